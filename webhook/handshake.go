// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
)

const maxChallenge = 512 // bytes of a question

// answerOkta echoes Okta's question, which comes without a secret: the answer holds what the question held, as JSON.
func (v *Verifier) answerOkta(w http.ResponseWriter, r *http.Request) bool {
	if v.scheme.config.Handshake != OktaHandshake || r.Method != http.MethodGet {
		return false
	}
	challenge, err := one(r.Header, "X-Okta-Verification-Challenge", maxChallenge)
	if err != nil || challenge == "" {
		return false
	}
	writeJSON(w, map[string]string{"verification": challenge})
	return true
}

// answerZoom answers Zoom's question, which has verified: k is the secret that Zoom signs with. The question is a word: a text
// with more in it could be one whose HMAC is the signature of a delivery.
func (v *Verifier) answerZoom(w http.ResponseWriter, k *key, body []byte) bool {
	if v.scheme.config.Handshake != ZoomHandshake {
		return false
	}
	var question struct {
		Event   string `json:"event"`
		Payload struct {
			PlainToken string `json:"plainToken"`
		} `json:"payload"`
	}
	if json.Unmarshal(body, &question) != nil || question.Event != "endpoint.url_validation" {
		return false
	}
	plain := question.Payload.PlainToken
	if !isWord(plain) || len(plain) > maxChallenge {
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return true
	}
	st := k.get()
	st.mac.Reset()
	st.mac.Write([]byte(plain))
	encrypted := hex.EncodeToString(st.mac.Sum(st.sum[:0]))
	k.put(st)
	writeJSON(w, map[string]string{"plainToken": plain, "encryptedToken": encrypted})
	return true
}

// isWord reports whether s holds nothing but what is in the two alphabets of base64.
func isWord(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '+', c == '/', c == '-', c == '_', c == '=':
		default:
			return false
		}
	}
	return s != ""
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(data)
}
