// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Replicas asks a Receiver whether it accepts a key without sending it: "nonce.proof", both in hexadecimal, where only who has the
// value can make the proof. The answer is a verdict and nothing else: a process proves nothing itself, and so signs nothing for
// whoever asks. Who sends guesses learns what a forged delivery would tell as well.
//
// The proof is no signature of any scheme: it is made with a key that HKDF derives from the value for this use alone, so that who
// overhears it has nothing to deliver.
const probeHeader = "Handover-Probe"

const (
	nonceSize = 32
	proofInfo = "handover: proof that a receiver accepts a secret"
)

// verdict is the answer to a probe.
type verdict string

const (
	accepts     verdict = "accepted"
	refuses     verdict = "refused"
	cannotProbe verdict = "unsupported" // it has the key, and cannot sign with it
	cannotTell  verdict = "unknown"
)

func proof(v secret.Value, nonce []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, []byte(v.Reveal()), nil, proofInfo, sha256.Size)
	if err != nil {
		return nil, fail(nil, "nothing can be derived from the secret in this mode of FIPS 140")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(nonce)
	return mac.Sum(nil), nil
}

// newProbe is the text of probeHeader.
func newProbe(v secret.Value) (string, error) {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // never fails
	sum, err := proof(v, nonce)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(nonce) + "." + hex.EncodeToString(sum), nil
}

// readProbe divides the text of a probeHeader.
func readProbe(text string) (nonce, sum []byte, ok bool) {
	first, second, _ := strings.Cut(text, ".")
	if len(first) != 2*nonceSize || len(second) != 2*sha256.Size {
		return nil, nil, false
	}
	nonce, err1 := hex.DecodeString(first)
	sum, err2 := hex.DecodeString(second)
	return nonce, sum, err1 == nil && err2 == nil
}

// probed answers the probe of a request: empty if there is none.
func (r *Receiver) probed(req *http.Request) (v verdict, ok bool) {
	text := req.Header.Get(probeHeader)
	if text == "" {
		return "", true
	}
	nonce, sum, ok := readProbe(text)
	if !ok {
		return "", false
	}
	for _, k := range r.wanted() {
		if k.Secret.IsZero() {
			continue
		}
		if want, err := proof(k.Secret, nonce); err == nil && hmac.Equal(want, sum) {
			return r.verdict(req, k), true
		}
	}
	return refuses, true
}

func (r *Receiver) verdict(req *http.Request, k rotation.Key) verdict {
	err := r.Verify(req.Context(), k)
	switch {
	case err == nil:
		return accepts
	case errors.Is(err, rotation.ErrRejected):
		return refuses
	case errors.Is(err, errors.ErrUnsupported):
		return cannotProbe
	default:
		return cannotTell
	}
}
