// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/secure-io/sio-go"
	"golang.org/x/crypto/argon2"
)

// What MinIO's administrators send and get is sealed with their secret key, also where TLS is used:
//
//	salt, 32 bytes | cipher, 1 byte | nonce, 8 bytes | JSON, encrypted in pieces of 16 KiB (sio-go)
const (
	saltSize  = 32
	nonceSize = 8
	headSize  = saltSize + 1 + nonceSize
)

// Ciphers: how the key is made of the secret, and what it is for. A server chooses by its machine and its build.
const (
	argonAES byte = iota
	argonChaCha
	pbkdf2AES
)

var errSeal = errors.New("minio: not sealed with this secret")

// seal is v as JSON, for the server.
func seal(secret string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	head := make([]byte, headSize)
	rand.Read(head)
	head[saltSize] = argonAES
	cipher, err := cipherOf(secret, head)
	if err != nil {
		return nil, err
	}
	sealed := bytes.NewBuffer(head)
	w := cipher.EncryptWriter(sealed, head[saltSize+1:], nil)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return sealed.Bytes(), err
}

// open reads what the server has sealed.
func open(secret string, sealed []byte, v any) error {
	if len(sealed) < headSize {
		return errSeal
	}
	head, rest := sealed[:headSize], sealed[headSize:]
	cipher, err := cipherOf(secret, head)
	if err != nil {
		return err
	}
	plain, err := io.ReadAll(cipher.DecryptReader(bytes.NewReader(rest), head[saltSize+1:], nil))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// cipherOf is the cipher that a head names.
func cipherOf(secret string, head []byte) (*sio.Stream, error) {
	salt := head[:saltSize]
	switch head[saltSize] {
	case argonAES:
		return sio.AES_256_GCM.Stream(argon(secret, salt))
	case argonChaCha:
		return sio.ChaCha20Poly1305.Stream(argon(secret, salt))
	case pbkdf2AES:
		key, err := pbkdf2.Key(sha256.New, secret, salt, 8192, 32)
		if err != nil {
			return nil, err
		}
		return sio.AES_256_GCM.Stream(key)
	}
	return nil, errSeal
}

// argon takes 64 MiB, hence one at a time.
func argon(secret string, salt []byte) []byte {
	deriving.Lock()
	defer deriving.Unlock()
	return argon2.IDKey([]byte(secret), salt, 1, 64<<10, 4, 32)
}

var deriving sync.Mutex
