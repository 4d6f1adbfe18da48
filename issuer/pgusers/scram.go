// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/handover-go/handover/secret"
)

const (
	iterations = 4096 // PostgreSQL's own number (scram_iterations)
	saltSize   = 16
)

// scramVerifier is what PostgreSQL (10 and later) stores of a password, and takes instead of one: RFC 5803 in the form of
// pg_authid.rolpassword. Its error holds nothing of the password.
func scramVerifier(password secret.Value) (string, error) {
	for _, c := range []byte(password.Reveal()) {
		if c < 0x20 || c > 0x7e { // others would have to go through SASLprep first
			return "", errors.New("the password is not of printable ASCII characters, as Choose makes it")
		}
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	return verifierOf(password, salt)
}

func verifierOf(password secret.Value, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password.Reveal(), salt, iterations, sha256.Size)
	if err != nil {
		return "", errors.New("no key can be derived from the password in this mode of FIPS 140")
	}
	client := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(client[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
