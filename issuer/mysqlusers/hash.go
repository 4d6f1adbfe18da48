// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // it is what mysql_native_password is
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/handover-go/handover/secret"
)

// The plugins whose hashes are made here.
const (
	native = "mysql_native_password"
	sha2   = "caching_sha2_password"
)

// usable names them.
func usable(maria bool) string {
	if maria {
		return native
	}
	return sha2 + " or " + native
}

// nativeHash is what mysql_native_password keeps of a password: SHA-1 twice. That is enough for 32 random bytes.
func nativeHash(value secret.Value) string {
	once := sha1.Sum([]byte(value.Reveal())) //nolint:gosec // see above
	twice := sha1.Sum(once[:])               //nolint:gosec // see above
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}

func isNative(hash string) bool { return len(hash) == 1+2*sha1.Size && hash[0] == '*' }

// fingerprint tells hashes apart. It is no secret: nothing leads from it to a hash.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte("handover/mysqlusers " + text))
	return hex.EncodeToString(sum[:6])
}

// hashFor is an entry of a plugin for a password.
func hashFor(plugin string, value secret.Value) entry {
	if plugin == sha2 {
		salt := make([]byte, sha2Salt)
		rand.Read(salt) // never fails
		for i, b := range salt {
			salt[i] = alphabet[b&63]
		}
		return entry{sha2, sha2Prefix + string(salt) + sha256crypt(value.Reveal(), string(salt), sha2Rounds)}
	}
	return entry{native, nativeHash(value)}
}

// freedHash is the hash of no password: what this package leaves in an account without one.
func freedHash(plugin string) string {
	if plugin == sha2 {
		return sha2Prefix + strings.Repeat("h", sha2Salt) + strings.Repeat(".", sha2Digest)
	}
	return "*" + strings.Repeat("0", 2*sha1.Size)
}

// What caching_sha2_password keeps: "$A$", a number of rounds in thousands as three hexadecimal digits, "$", a salt and a digest.
const (
	sha2Prefix = "$A$005$"
	sha2Salt   = 20
	sha2Digest = 43
	sha2Rounds = 5000
	alphabet   = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// sha2Matches compares a password with what caching_sha2_password keeps, of any number of rounds: a server that is told a password in clear
// counts as its caching_sha2_password_digest_rounds says. known is false if the form is another one.
func sha2Matches(hash string, value secret.Value) (same, known bool) {
	const head = len(sha2Prefix)
	if len(hash) != head+sha2Salt+sha2Digest || hash[:3] != sha2Prefix[:3] || hash[head-1] != '$' {
		return false, false
	}
	thousands, err := strconv.ParseUint(hash[3:head-1], 16, 16)
	if err != nil {
		return false, false
	}
	salt, digest := hash[head:head+sha2Salt], hash[head+sha2Salt:]
	want := sha256crypt(value.Reveal(), salt, 1000*int(thousands))
	return subtle.ConstantTimeCompare([]byte(want), []byte(digest)) == 1, true
}

// sha256crypt is the digest of the SHA-256 variant of Unix crypt (https://www.akkadia.org/drepper/SHA-crypt.txt), with a salt of
// any length.
func sha256crypt(password, salt string, rounds int) string {
	p, s := []byte(password), []byte(salt)
	b := sum(p, s, p)
	a := sha256.New()
	a.Write(p)
	a.Write(s)
	a.Write(stretch(b, len(p)))
	for n := len(p); n > 0; n >>= 1 {
		if n&1 != 0 {
			a.Write(b)
		} else {
			a.Write(p)
		}
	}
	digest := a.Sum(nil)

	pp := stretch(sum(repeat(p, len(p))...), len(p))
	ss := stretch(sum(repeat(s, 16+int(digest[0]))...), len(s))
	for round := range rounds {
		c := sha256.New()
		first, last := digest, pp
		if round&1 != 0 {
			first, last = pp, digest
		}
		c.Write(first)
		if round%3 != 0 {
			c.Write(ss)
		}
		if round%7 != 0 {
			c.Write(pp)
		}
		c.Write(last)
		digest = c.Sum(nil)
	}
	return crypt64(digest)
}

func sum(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func repeat(p []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = p
	}
	return all
}

// stretch repeats a digest to a length.
func stretch(digest []byte, n int) []byte {
	var out []byte
	for len(out) < n {
		out = append(out, digest[:min(len(digest), n-len(out))]...)
	}
	return out
}

// crypt64 writes a digest in the order and the digits of crypt.
func crypt64(d []byte) string {
	var out strings.Builder
	put := func(v uint, digits int) {
		for range digits {
			out.WriteByte(alphabet[v&63])
			v >>= 6
		}
	}
	for i, x := 0, 0; i < 10; i++ {
		put(uint(d[x])<<16|uint(d[(x+10)%30])<<8|uint(d[(x+20)%30]), 4)
		x = (x + 21) % 30
	}
	put(uint(d[31])<<8|uint(d[30]), 3)
	return out.String()
}

// plain reports whether a password can stand in a statement, and is the same in every character set.
func plain(value secret.Value) bool {
	return strings.Trim(value.Reveal(), alphabet) == "" && !strings.ContainsAny(value.Reveal(), "./")
}
