// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, path string, now []byte) []byte {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, now, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	return want
}

// The golden file of a format is never changed: it stands for what is in people's stores.
func TestMarshalGolden(t *testing.T) {
	data, err := store.Marshal(testVersions())
	require.NoError(t, err)
	want := golden(t, "testdata/versions-v1.json", data)
	assert.Equal(t, string(want), string(data))

	v, err := store.Unmarshal(want)
	require.NoError(t, err)
	requireSame(t, testVersions(), v)
	assert.Empty(t, v.Revision)
}

func TestMarshalLeavesTheRevisionOut(t *testing.T) {
	v := testVersions()
	without, err := store.Marshal(v)
	require.NoError(t, err)
	v.Revision = "7"
	with, err := store.Marshal(v)
	require.NoError(t, err)
	assert.Equal(t, without, with)
}

func TestMarshalOfNothing(t *testing.T) {
	data, err := store.Marshal(rotation.Versions{})
	require.NoError(t, err)
	assert.Equal(t, `{"handover":1,"keys":[]}`, string(data))
	v, err := store.Unmarshal(data)
	require.NoError(t, err)
	assert.Equal(t, rotation.Versions{}, v)
}

func TestMarshalRefuses(t *testing.T) {
	for text, v := range invalid() {
		_, err := store.Marshal(v)
		require.ErrorContains(t, err, text)
	}
}

func TestMarshalKeepsEveryTime(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 75)), // RFC 3339 has no seconds in an offset
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Now(),
	} {
		data, err := store.Marshal(rotation.Versions{Keys: []rotation.StoredKey{{Role: rotation.RolePrevious, Key: rotation.Key{ExpiresAt: at}}}})
		require.NoError(t, err)
		v, err := store.Unmarshal(data)
		require.NoError(t, err)
		assert.True(t, at.Equal(v.Keys[0].Key.ExpiresAt), "%s, %s", at, v.Keys[0].Key.ExpiresAt)
	}
}

func TestUnmarshalBareValues(t *testing.T) {
	for _, value := range []string{
		"sk_live_abc", "abc\n", " abc ", "\xff\x00", "12345", "null", "true", `"quoted"`, `[1,2]`, "{}", "{not json}", "{{mustache}}",
		`{"username":"u","password":"p"}`, `{"keys":[]}`, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
		`{"Handover":1}`, `{"nested":{"other":1}}`, "handover", "}", `["keys"]`, "handover:1",
	} {
		v, err := store.Unmarshal([]byte(value))
		require.NoError(t, err, value)
		require.Len(t, v.Keys, 1)
		assert.Equal(t, rotation.RoleCurrent, v.Keys[0].Role)
		assert.True(t, v.Keys[0].Key.Equal(rotation.Key{Secret: secret.New(value)}), value)
		assert.Empty(t, v.Stamp)
	}
}

// However a document is damaged, it is never taken for a bare value: the value would be everybody's next key.
func TestUnmarshalNeverTakesADamagedDocumentForAKey(t *testing.T) {
	doc, err := store.Marshal(testVersions())
	require.NoError(t, err)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, doc, "", "  "))
	for _, d := range [][]byte{doc, indented.Bytes()} {
		for n := range len(d) {
			_, err := store.Unmarshal(d[:n])
			require.Error(t, err, "%d bytes: %s", n, d[:n])
		}
	}
	for i := range doc {
		for _, replaced := range []byte{'x', '"', 0xff} {
			changed := bytes.Clone(doc)
			changed[i] = replaced
			v, err := store.Unmarshal(changed)
			require.False(t, err == nil && len(v.Keys) == 1, "byte %d: %s", i, changed)
		}
	}
	quoted, err := json.Marshal(string(doc))
	require.NoError(t, err)
	for what, d := range map[string][]byte{
		"twice":              append(bytes.Clone(doc), doc...),
		"trailing text":      append(bytes.Clone(doc), " x"...),
		"in a string":        quoted,
		"in an array":        append(append([]byte("["), doc...), ']'),
		"in an object":       append(append([]byte(`{"data":`), doc...), '}'),
		"in base64":          []byte(base64.StdEncoding.EncodeToString(doc)),
		"behind a mark":      append([]byte("\ufeff"), doc...),
		"without its braces": doc[1 : len(doc)-1],
	} {
		_, err := store.Unmarshal(d)
		require.Error(t, err, what)
	}
}

func TestUnmarshalReadsAnyOrderAndSpace(t *testing.T) {
	v, err := store.Unmarshal([]byte(" {\n \"stamp\": \"s\", \"keys\": [ {\"secret\": \"a\", \"role\": \"current\"} ],\n\"handover\": 1 }\n"))
	require.NoError(t, err)
	assert.Equal(t, "a", v.Key(rotation.RoleCurrent).Secret.Reveal())
	assert.Equal(t, "s", v.Stamp)
}

func TestUnmarshalRefuses(t *testing.T) {
	const canary = "canary-7f3Kq9ZxW2pL"
	for data, text := range map[string]string{
		"":                               "empty",
		" \n":                            "empty",
		`{`:                              "does not parse",
		`{"handover":1`:                  "does not parse",
		`{"handover":2,"more":{}}`:       "newer version (format 2, this one reads 1)",
		`{"handover":0,"keys":[]}`:       "not a format number",
		`{"handover":-1,"keys":[]}`:      "not a format number",
		`{"handover":"1","keys":[]}`:     "not a format number",
		`{"handover":1.5,"keys":[]}`:     "not a format number",
		`{"handover":null,"keys":[]}`:    "not a format number",
		`{"handover":1}`:                 `no member "keys"`,
		`{"handover":1,"keys":null}`:     `no member "keys"`,
		`{"handover":1,"keys":{}}`:       "at byte",
		`{"handover":1,"keys":[],"x":1}`: "not known",
		`{"handover":1,"keys":[{"role":"current","` + canary + `":1}]}`:                               "not known",
		`{"handover":1,"keys":[{"role":"` + canary + `"}]}`:                                           "no known role",
		`{"handover":1,"keys":[{}]}`:                                                                  "no known role",
		`{"handover":1,"keys":[{"role":"current"},{"role":"current"}]}`:                               "2 keys are current",
		`{"handover":1,"keys":[{"role":"pending"},{"role":"pending"}]}`:                               "2 keys are pending",
		`{"handover":1,"keys":[{"role":"current","secret":"` + canary + `","secret_base64":"AA=="}]}`: "two secrets",
		`{"handover":1,"keys":[{"role":"current","secret_base64":"` + canary + `"}]}`:                 "wrong kind",
		`{"handover":1,"keys":[{"role":"current","issued_at":"` + canary + `"}]}`:                     "wrong kind",
		`{"handover":1,"keys":[{"role":"current","secret":8345126783451267}]}`:                        "at byte",
		"{\"handover\":1,\"keys\":[{\"role\":\"current\",\"secret\":\"\xff\"}]}":                      "UTF-8",
	} {
		v, err := store.Unmarshal([]byte(data))
		require.ErrorContains(t, err, text, data)
		assert.NotContains(t, err.Error(), canary)
		assert.NotContains(t, err.Error(), "83451267")
		assert.Equal(t, rotation.Versions{}, v)
		var public rotation.PublicError
		require.ErrorAs(t, err, &public)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := store.Unmarshal(data)
		if err != nil {
			require.Equal(t, rotation.Versions{}, v)
			return
		}
		again, err := store.Marshal(v)
		require.NoError(t, err)
		back, err := store.Unmarshal(again)
		require.NoError(t, err)
		require.Len(t, back.Keys, len(v.Keys))
		for i := range v.Keys {
			require.True(t, v.Keys[i].Key.Equal(back.Keys[i].Key))
		}
		require.Equal(t, v.Stamp, back.Stamp)
		twice, err := store.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, string(again), string(twice))

		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) != nil || members["handover"] == nil { // it was a bare value: all of it is the key
			require.Len(t, v.Keys, 1)
			require.Equal(t, string(data), v.Key(rotation.RoleCurrent).Secret.Reveal())
		}
	})
}
