// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/handover-go/handover/secret"
)

// Secret is one signing secret.
type Secret struct {
	// ID names the secret in matches and metrics. It is never secret, required, and different for each secret of a set.
	ID string
	// Value is the secret as the sender shows it. Leading and trailing white space is an error and never trimmed: it comes
	// from a file that ends in a newline, and the sender does not have it. A zero Value is an empty slot and skipped.
	Value secret.Value
	// NotAfter is when the secret ends: later it verifies and signs nothing. Zero: no end.
	NotAfter time.Time
}

const (
	leastSecret = 16 // bytes of a key. 14 is the least of FIPS 140-3.
	mostSecrets = 16 // each of them costs a pass over every forgery
)

// material is a secret as its scheme decodes it. Only one of mac and the ed25519 keys is set.
type material struct {
	mac     []byte
	public  []byte
	private []byte
}

// decode turns the text of a secret into a key. Errors say what is wrong and quote nothing.
func (s *Scheme) decode(text string, least int) (material, error) {
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	if unicode.IsSpace(first) || unicode.IsSpace(last) {
		return material{}, fmt.Errorf("begins or ends with white space: was it read from a file that ends in a newline?")
	}
	if s.config.Key == KeyStandard && s.config.PublicTag != "" {
		if rest, ok := strings.CutPrefix(text, "whpk_"); ok {
			return decodePublic(decodeBase64(rest))
		}
		if rest, ok := strings.CutPrefix(text, "whsk_"); ok {
			return decodePrivate(decodeBase64(rest))
		}
	}
	raw, err := s.config.Key.decode(text)
	if err != nil {
		return material{}, err
	}
	if s.config.Algorithm == Ed25519 {
		if len(raw) == publicKeySize {
			return decodePublic(raw, nil)
		}
		return decodePrivate(raw, nil)
	}
	if len(raw) < max(least, 1) {
		return material{}, fmt.Errorf("is %d bytes long, at least %d are required", len(raw), leastSecret)
	}
	if s.config.Algorithm == Token && (len(text) > maxHeader || !isVisible(text)) {
		return material{}, fmt.Errorf("holds what a header cannot")
	}
	return material{mac: raw}, nil
}

func (k KeyForm) decode(text string) ([]byte, error) {
	switch k {
	case KeyStandard:
		return decodeBase64(strings.TrimPrefix(text, "whsec_"))
	case KeyHex:
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("is not hexadecimal") // err quotes a digit
		}
		return raw, nil
	default:
		return []byte(text), nil
	}
}

func decodeBase64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which Go skips
		return nil, fmt.Errorf("is not base64 behind its prefix")
	}
	return raw, nil
}
