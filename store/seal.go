// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"

	"github.com/handover-go/handover/secret"
)

// A sealed file is the header, which is the magic and one byte with the number of the format, then a nonce of 12 bytes
// and what AES-256-GCM made of the content. The header is its additional data: to change it is to break the seal.
const (
	sealMagic  = "handover store"
	sealFormat = 1
	sealHeader = sealMagic + "\x01"
	sealExtra  = 12 + 16 // nonce and tag
)

// sealer seals and opens. It is made of functions for the reason that secret.Value is: reflection finds no key in them.
type sealer struct {
	seal func(plain []byte) []byte
	open func(sealed []byte) ([]byte, error)
}

// newSealer takes 32 bytes in hexadecimal.
func newSealer(key secret.Value) (sealer, error) {
	if key.IsZero() {
		return sealer{}, failf("store: OpenFile: key is required")
	}
	raw, err := hex.DecodeString(key.Reveal())
	if err != nil || len(raw) != 32 {
		return sealer{}, failf("store: OpenFile: key has to be 32 bytes in hexadecimal, 64 digits") // err quotes a digit
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return sealer{}, failf("store: OpenFile: key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // a new nonce in each call of Seal
	if err != nil {
		return sealer{}, failf("store: OpenFile: key: %w", err)
	}
	return sealer{
		seal: func(plain []byte) []byte { return aead.Seal([]byte(sealHeader), nil, plain, []byte(sealHeader)) },
		open: func(sealed []byte) ([]byte, error) {
			if err := checkHeader(sealed); err != nil {
				return nil, err
			}
			plain, err := aead.Open(nil, nil, sealed[len(sealHeader):], []byte(sealHeader))
			if err != nil {
				return nil, failf("the key is wrong, or the file was changed or truncated")
			}
			return plain, nil
		},
	}, nil
}

// checkHeader says as exactly as can be known without the key what is wrong with a file.
func checkHeader(sealed []byte) error {
	switch {
	case len(sealed) == 0:
		return failf("it is empty")
	case len(sealed) <= len(sealMagic) && bytes.HasPrefix([]byte(sealMagic), sealed):
		return failf("it is truncated")
	case !bytes.HasPrefix(sealed, []byte(sealMagic)):
		return failf("it is not a file of this store")
	}
	switch format := sealed[len(sealMagic)]; {
	case format > sealFormat:
		return failf("a newer version wrote it (format %d, this one reads %d)", format, sealFormat)
	case format < sealFormat:
		return failf("its format (%d) is not known", format)
	case len(sealed) < len(sealHeader)+sealExtra:
		return failf("it is truncated")
	}
	return nil
}
