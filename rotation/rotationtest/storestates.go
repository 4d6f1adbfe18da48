// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// differ says in which field got is not want; empty if in none. The order of the keys and the revision do not count. It tells
// no value.
func differ(want, got rotation.Versions) string {
	switch {
	case len(got.Keys) != len(want.Keys):
		return fmt.Sprintf("%d keys, not %d", len(got.Keys), len(want.Keys))
	case got.Stamp != want.Stamp:
		return "another Stamp"
	case !maps.Equal(got.Metadata, want.Metadata):
		return "another Metadata"
	}
	found := make(map[int64]rotation.StoredKey)
	for _, k := range got.Keys {
		found[k.Key.Serial] = k
	}
	for _, k := range want.Keys {
		f, ok := found[k.Key.Serial]
		if !ok {
			return fmt.Sprintf("no key of serial %d", k.Key.Serial)
		}
		if field := differKey(k, f); field != "" {
			return fmt.Sprintf("another %s of the %s key", field, k.Role)
		}
	}
	return ""
}

func differKey(want, got rotation.StoredKey) string {
	w, g := want.Key, got.Key
	for _, c := range []struct {
		field string
		same  bool
	}{
		{"Role", want.Role == got.Role},
		{"Compromised", want.Compromised == got.Compromised},
		{"ID", w.ID == g.ID},
		{"Generation", w.Generation == g.Generation},
		{"Name", w.Name == g.Name},
		{"Secret", w.Secret.Equal(g.Secret)},
		{"Attributes", maps.Equal(w.Attributes, g.Attributes)},
		{"IssuedAt", sameTime(w.IssuedAt, g.IssuedAt)},
		{"ExpiresAt", sameTime(w.ExpiresAt, g.ExpiresAt)},
	} {
		if !c.same {
			return c.field
		}
	}
	return ""
}

// full is a state with something in every field, and values that are hard to keep: lines, quotes, spaces at the ends, what a
// shell or a template would expand, what is not ASCII, and much of it.
func full() rotation.Versions {
	issued := time.Date(2024, 2, 29, 23, 59, 59, 987_000_000, time.UTC)
	random := secret.Random(16).Reveal()
	return rotation.Versions{
		Stamp: `stamp/1 "é" ` + random,
		Metadata: map[string]string{
			"rotated_at": issued.Format(time.RFC3339Nano), "rotated_by": "someone@example.com", "empty": "",
			"incident_reference": "INC-2024-0042: \"quoted\"\nand more = ${HOME}",
		},
		Keys: []rotation.StoredKey{
			{Role: rotation.RoleCurrent, Key: rotation.Key{
				ID: "user x/1", Serial: 1 << 53, Generation: 4, Name: "suite-v4-k7q2m9",
				Secret:     secret.New("-----BEGIN KEY-----\n" + random + "\n-----END KEY-----\n"),
				Attributes: map[string]string{"user": "app_a", "empty": "", "quote": "a\"b\\c\n"},
				IssuedAt:   issued, ExpiresAt: issued.Add(90 * 24 * time.Hour),
			}},
			{Role: rotation.RolePending, Key: rotation.Key{
				ID: "key-2", Serial: 1<<53 + 1, Generation: 5, Name: "suite-v5-a1b2c3",
				Secret:   secret.New(" $" + random + "='%s' `\"\\{{.}}é漢🔑\t "),
				IssuedAt: issued.Add(time.Millisecond),
			}},
			{Role: rotation.RolePrevious, Compromised: true, Key: rotation.Key{
				ID: "user x/1", Serial: 3, Generation: 3, Secret: secret.New(random + strings.Repeat("0123456789abcdef", 256)),
			}},
			{Role: rotation.RoleRetiring, Key: rotation.Key{Serial: 2, Generation: 2, Secret: secret.New("x")}},
		},
	}
}

// small is a state with one current key.
func small(serial int64) rotation.Versions {
	return rotation.Versions{
		Stamp:    fmt.Sprintf("stamp of %d", serial),
		Metadata: map[string]string{"rotated_by": fmt.Sprintf("writer %d", serial)},
		Keys:     []rotation.StoredKey{{Role: rotation.RoleCurrent, Key: stored(serial)}},
	}
}

func stored(serial int64) rotation.Key {
	return rotation.Key{
		ID: fmt.Sprintf("key-%d", serial), Serial: serial, Generation: int(serial), Secret: secret.Random(16),
		Attributes: map[string]string{"user": fmt.Sprintf("user-%d", serial)},
	}
}
