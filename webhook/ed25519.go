// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

const (
	publicKeySize = ed25519.PublicKeySize
	signatureSize = ed25519.SignatureSize
)

func decodePublic(raw []byte, err error) (material, error) {
	if err != nil {
		return material{}, err
	}
	if len(raw) != publicKeySize {
		return material{}, fmt.Errorf("is %d bytes long, an ed25519 public key has %d", len(raw), publicKeySize)
	}
	return material{public: raw}, nil
}

// decodePrivate takes a seed, or a seed with its public key behind it.
func decodePrivate(raw []byte, err error) (material, error) {
	if err != nil {
		return material{}, err
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return material{}, fmt.Errorf("is %d bytes long, an ed25519 private key has %d or %d", len(raw), ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !bytes.Equal(private, raw) {
		return material{}, fmt.Errorf("is an ed25519 private key beside another one's public key")
	}
	return material{public: private[ed25519.SeedSize:], private: private}, nil
}

// verifyPublic reports whether one of the ed25519 candidates is k's signature of what st holds.
func (s *Scheme) verifyPublic(k *key, st *state, d *delivery) bool {
	var signature [signatureSize]byte
	for i := range d.count {
		if d.isPublic(i) && s.config.Encoding.decode(signature[:], st, d.candidates[i]) &&
			ed25519.Verify(k.public, st.scratch, signature[:]) {
			return true
		}
	}
	return false
}

// decode reads a signature that is written as this package would write it, and in no other way.
func (e Encoding) decode(dst []byte, st *state, text string) bool {
	n := copy(st.text[:], text)
	if n != len(text) || n != e.length(len(dst)) {
		return false
	}
	var err error
	if e == Base64 {
		n, err = base64.StdEncoding.Strict().Decode(st.sum[:], st.text[:n])
	} else {
		n, err = hex.Decode(st.sum[:], st.text[:n])
	}
	if err != nil || n != len(dst) {
		return false
	}
	copy(dst, st.sum[:n])
	return string(e.append(st.text[:0], dst)) == text
}
