// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
)

// ServerHash and HashMatches are for the fake server. The first is made as a MySQL does, whose salts have any character below 128 but "$" and 0.
func ServerHash(plugin string, value secret.Value) string {
	if plugin == native {
		return nativeHash(value)
	}
	salt := make([]byte, sha2Salt-3, sha2Salt)
	rand.Read(salt)
	for i, b := range salt {
		salt[i] = max(1, b&127)
		if salt[i] == '$' {
			salt[i]++
		}
	}
	salt = append(salt, `'\"`...) // in all of them, and not in some
	return sha2Prefix + string(salt) + sha256crypt(value.Reveal(), string(salt), sha2Rounds)
}

func HashMatches(plugin, hash string, value secret.Value) bool {
	n, _ := account{entries: []entry{{plugin, hash}}}.find(value)
	return n == 0
}

// The first is what OpenSSL makes of SHA-crypt, the second the example of hashcat for a MySQL (mode 7401), the third is PASSWORD().
func TestHashes(t *testing.T) {
	require.Equal(t, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", sha256crypt("Hello world!", "saltstring", 5000))
	salt, err := hex.DecodeString("F9CC98CE08892924F50A213B6BC571A2C11778C5")
	require.NoError(t, err)
	require.True(t, HashMatches(sha2, "$A$005$"+string(salt)+"bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/", secret.New("hashcat")))
	require.Equal(t, "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", nativeHash(secret.New("password")))
	for _, plugin := range []string{native, sha2} {
		value := secret.Random(32)
		e := hashFor(plugin, value)
		require.True(t, HashMatches(plugin, e.auth, value))
		require.False(t, HashMatches(plugin, e.auth, secret.Random(32)))
		require.Len(t, freedHash(plugin), len(e.auth), "of the same form")
		require.True(t, entry{plugin, freedHash(plugin)}.unusable())
	}
}

// A server may count more rounds for a password that it was told in clear (caching_sha2_password_digest_rounds). The first is an example of
// the paper of SHA-crypt. A hash that cannot be read is not taken for that of another password.
func TestRounds(t *testing.T) {
	require.Equal(t, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", sha256crypt("Hello world!", "saltstringsaltst", 10000))
	value := secret.Random(32)
	salt := strings.Repeat("s", sha2Salt)
	require.True(t, HashMatches(sha2, "$A$00A$"+salt+sha256crypt(value.Reveal(), salt, 10000), value))
	require.False(t, HashMatches(sha2, "$A$00A$"+salt+sha256crypt(value.Reveal(), salt, 5000), value))
	for _, hash := range []string{"$A$00A$short", "$B$005$" + salt + strings.Repeat(".", sha2Digest)} {
		n, known := account{entries: []entry{{sha2, hash}}}.find(value)
		require.Equal(t, -1, n)
		require.False(t, known)
	}
}

func TestTwoPasswords(t *testing.T) {
	for version, want := range map[string]bool{
		"10.11.19-MariaDB-0+deb12u1": true, "5.5.5-10.11.19-MariaDB": true, "10.3.39-MariaDB": false, "11.8.3-MariaDB": true,
		"8.0.13": false, "8.0.14": true, "8.4.9": true, "9.5.0-commercial": true, "5.7.44-log": false, "?": false,
	} {
		require.Equal(t, want, twoPasswords(version), version)
	}
}

func TestGrantsHoldNoHash(t *testing.T) {
	for line, want := range map[string]string{
		"GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*247' REQUIRE SSL WITH GRANT OPTION":                                  "GRANT USAGE ON *.* TO `a`@`%` REQUIRE SSL WITH GRANT OPTION",
		"GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED VIA mysql_native_password USING '*247' OR ed25519 USING 'xyz' WITH GRANT OPTION":   "GRANT USAGE ON *.* TO `a`@`%` WITH GRANT OPTION",
		"GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED VIA unix_socket":                                                                   "GRANT USAGE ON *.* TO `a`@`%`",
		"GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED VIA mysql_native_password USING '*247' OR unix_socket REQUIRE SUBJECT 'it''s' SSL": "GRANT USAGE ON *.* TO `a`@`%` REQUIRE SUBJECT 'it''s' SSL",
		"GRANT SELECT ON `test`.* TO `a`@`%`": "GRANT SELECT ON `test`.* TO `a`@`%`",
	} {
		require.Equal(t, want, identifiedPart.ReplaceAllString(line, ""))
	}
}
