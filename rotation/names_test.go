// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"crypto/sha1" //nolint:gosec // as in the code
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSuccessorName(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*-v[0-9]+-[0-9a-v]{6}$`)
	seen := map[string]bool{}
	for _, credential := range []string{"a", "payment-gateway-api", "team/db.main_1", strings.Repeat("x", maxName), strings.Repeat("y", 53) + "1", strings.Repeat("y", 53) + "2"} {
		require.Empty(t, nameMistake(credential))
		for _, generation := range []int{1, 4, 99999} {
			for n := range 50 {
				seed := sha1.Sum(fmt.Appendf(nil, "%s %d %d", credential, generation, n))
				got := successorName(credential, generation, seed)
				require.LessOrEqual(t, len(got), 64)
				require.Regexp(t, form, got)
				require.Contains(t, got, fmt.Sprintf("-v%d-", generation))
				require.True(t, strings.HasPrefix(got, credential[:min(len(credential), 40)]))
				require.False(t, seen[got], "%s twice", got)
				require.Equal(t, got, successorName(credential, generation, seed), "the same try has the same name")
				seen[got] = true
			}
		}
	}
	require.Equal(t, "payment-gateway-api-v4-000000", successorName("payment-gateway-api", 4, [sha1.Size]byte{}))
}

func TestUUID5(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for n := range 1000 {
		seed := sha1.Sum(fmt.Append(nil, n))
		before := seed
		id := uuid5(seed)
		require.Regexp(t, form, id)
		require.False(t, seen[id])
		seen[id] = true
		require.Equal(t, before, seed)
	}
}

func TestWhatBecame(t *testing.T) {
	opened := noon
	a := func(change ...func(*attempt)) *attempt {
		a := &attempt{Name: "api-v2-abcdef", OpenedAt: opened, SettleAt: opened.Add(75 * time.Second), Before: []string{"k4", "theirs"}, Listed: true}
		for _, f := range change {
			f(a)
		}
		return a
	}
	st := &state{Keys: []*keyState{{Key: Key{ID: "k4"}}, {Key: Key{ID: "k3"}}}}
	key := func(id, name string, after time.Duration) KeyInfo {
		return KeyInfo{Key: Key{ID: id, Name: name, IssuedAt: opened.Add(after)}}
	}
	used := key("new", "", time.Second)
	used.Usage.LastUsed = opened.Add(time.Minute)
	for what, c := range map[string]struct {
		a         *attempt
		listed    []KeyInfo
		exclusive bool
		want      mintVerdict
		id        string
	}{
		"an empty list":                      {a(), nil, false, mintedNothing, ""},
		"only what was there":                {a(), []KeyInfo{key("k4", "", -day), key("theirs", "", -day)}, true, mintedNothing, ""},
		"only what is known":                 {a(), []KeyInfo{key("k3", "", time.Second)}, true, mintedNothing, ""},
		"our name":                           {a(), []KeyInfo{key("theirs", "", -day), key("new", "api-v2-abcdef", time.Second)}, false, mintedFound, "new"},
		"our name, whatever the time":        {a(), []KeyInfo{key("new", "api-v2-abcdef", day)}, false, mintedFound, "new"},
		"another name is somebody else's":    {a(), []KeyInfo{key("new", "api-v2-ghijkl", time.Second)}, true, mintedNothing, ""},
		"one without a name, ours alone":     {a(), []KeyInfo{key("k4", "", -day), key("new", "", time.Second)}, true, mintedFound, "new"},
		"one without a name, among others":   {a(), []KeyInfo{key("new", "", time.Second)}, false, mintedUnclear, "new"},
		"two without a name":                 {a(), []KeyInfo{key("new", "", time.Second), key("newer", "", time.Second)}, true, mintedUnclear, "new"},
		"made before the call":               {a(), []KeyInfo{key("new", "", -time.Second)}, true, mintedUnclear, "new"},
		"made in the same second, truncated": {a(func(a *attempt) { a.OpenedAt = opened.Add(900 * time.Millisecond) }), []KeyInfo{key("new", "", 0)}, true, mintedFound, "new"},
		"made after the call can have been":  {a(), []KeyInfo{key("new", "", 76*time.Second)}, true, mintedUnclear, "new"},
		"used already":                       {a(), []KeyInfo{used}, true, mintedUnclear, "new"},
		"the list was not read before":       {a(func(a *attempt) { a.Before, a.Listed = nil, false }), []KeyInfo{key("new", "", time.Second)}, true, mintedUnclear, "new"},
	} {
		got, verdict := whatBecame(c.a, c.listed, st, c.exclusive)
		require.Equal(t, c.want, verdict, what)
		require.Equal(t, c.id, got.ID, what)
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "A9", "payment-gateway-api", "team/db.main_1", "0/1/2", "handover-api", "my/handovers", strings.Repeat("x", maxName)} {
		require.Empty(t, nameMistake(good), good)
	}
	for _, bad := range []string{
		"/a", "a/", "a//b", "-a", ".a", "a/.b", "a/-b", "..", "a/../b", "a b", "a\n", "ä", "a:b", "a\\b", "a?b", "a%2fb", "a\x00b",
		"handover", "handover/x", "a/handover", "a/handover/b", strings.Repeat("x", maxName+1),
	} {
		require.Contains(t, nameMistake(bad), "Name", "%q", bad)
	}
}
