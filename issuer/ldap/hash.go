// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // a form that directories keep passwords in
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/handover-go/handover/secret"
)

// Hash is how a value is stored. Any of them is enough for 32 random bytes, which nobody can guess. slapd knows SSHA by itself
// and the others by the module pw-sha2.
type Hash string

// Hashes.
const (
	SSHA    Hash = "SSHA"
	SSHA256 Hash = "SSHA256"
	SSHA512 Hash = "SSHA512"
)

const (
	saltLength = 8
	idLength   = 12 // hexadecimal digits
)

// sums are the schemes that can be compared, salted or not.
var sums = map[string]func() hash.Hash{
	"SHA": sha1.New, "SSHA": sha1.New,
	"SHA256": sha256.New, "SSHA256": sha256.New,
	"SHA384": sha512.New384, "SSHA384": sha512.New384,
	"SHA512": sha512.New, "SSHA512": sha512.New,
}

func (h Hash) known() bool { return h == "" || h == SSHA || h == SSHA256 || h == SSHA512 }

// store is the text that is stored for a value. The salt comes from the value, so that the same value always gives the same text: it
// can be found again after a lost answer. Salts are there for passwords that two people could choose.
func (h Hash) store(v secret.Value) string {
	if h == "" {
		h = SSHA
	}
	first := sha256.Sum256([]byte("handover salt " + v.Reveal()))
	salt := first[:saltLength]
	sum := sums[string(h)]()
	sum.Write([]byte(v.Reveal()))
	sum.Write(salt)
	return "{" + string(h) + "}" + base64.StdEncoding.EncodeToString(append(sum.Sum(nil), salt...))
}

// matching are the stored texts that are the password.
func matching(stored []string, v secret.Value) []string {
	var found []string
	for _, text := range stored {
		if !v.IsZero() && is(text, v) {
			found = append(found, text)
		}
	}
	return found
}

func is(stored string, v secret.Value) bool {
	scheme, rest := split(stored)
	if scheme == "" {
		return v.Equal(secret.New(rest))
	}
	makes, ok := sums[scheme]
	if !ok {
		return false
	}
	data, err := base64.StdEncoding.DecodeString(rest)
	sum := makes()
	if err != nil || len(data) < sum.Size() {
		return false
	}
	sum.Write([]byte(v.Reveal()))
	sum.Write(data[sum.Size():]) // the salt
	return bytes.Equal(sum.Sum(nil), data[:sum.Size()])
}

// foreign reports whether a stored text is in a form that cannot be compared.
func foreign(stored string) bool {
	scheme, _ := split(stored)
	_, ok := sums[scheme]
	return scheme != "" && !ok
}

// split takes "{SSHA}..." apart. The scheme is in capitals, and empty for a password in clear.
func split(stored string) (scheme, rest string) {
	if scheme, rest, ok := strings.Cut(stored, "}"); ok && strings.HasPrefix(scheme, "{") {
		return strings.ToUpper(scheme[1:]), rest
	}
	return "", stored
}

// idOf is what a key is called that is stored like this.
func idOf(stored string) string {
	sum := sha256.Sum256([]byte(stored))
	return hex.EncodeToString(sum[:])[:idLength]
}

func isID(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == idLength
}
