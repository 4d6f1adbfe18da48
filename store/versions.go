// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
)

// clone returns a copy of v that shares nothing with it that can be modified.
func clone(v rotation.Versions) rotation.Versions {
	v.Keys = slices.Clone(v.Keys)
	for i := range v.Keys {
		v.Keys[i].Key.Attributes = maps.Clone(v.Keys[i].Key.Attributes)
	}
	v.Metadata = maps.Clone(v.Metadata)
	return v
}

// same reports whether a and b say the same, whatever the order of their keys and whatever their revisions.
func same(a, b rotation.Versions) bool {
	if len(a.Keys) != len(b.Keys) || a.Stamp != b.Stamp || !maps.Equal(a.Metadata, b.Metadata) {
		return false
	}
	rest := slices.Clone(b.Keys)
	for _, k := range a.Keys {
		i := slices.IndexFunc(rest, func(o rotation.StoredKey) bool {
			return k.Role == o.Role && k.Compromised == o.Compromised && k.Key.Equal(o.Key)
		})
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// checkName refuses what no store here can keep apart from other names.
func checkName(name string) error {
	switch {
	case name == "":
		return failf("store: the name of the credential is empty")
	case !utf8.ValidString(name):
		return failf("store: the name of the credential is not valid UTF-8: %q", name)
	}
	return nil
}

// check refuses Versions that nobody could read back as they are.
func check(v rotation.Versions) error {
	count := map[rotation.Role]int{}
	for i, k := range v.Keys {
		switch k.Role {
		case rotation.RoleCurrent, rotation.RolePending, rotation.RolePrevious, rotation.RoleRetiring:
			count[k.Role]++
		default:
			return failf("store: key %d of %d has no known role", i+1, len(v.Keys))
		}
		if field := unwritable(k.Key); field != "" {
			return failf("store: key %d of %d cannot be written: %s", i+1, len(v.Keys), field)
		}
	}
	for _, r := range []rotation.Role{rotation.RoleCurrent, rotation.RolePending} {
		if count[r] > 1 {
			return failf("store: %d keys are %s, one is the limit", count[r], r)
		}
	}
	if !utf8.ValidString(v.Stamp) {
		return failf("store: Stamp is not valid UTF-8")
	}
	if !validMap(v.Metadata) {
		return failf("store: Metadata is not valid UTF-8")
	}
	return nil
}

// unwritable says what is wrong with a field of k. A secret may be any bytes: it is looked after in Marshal.
func unwritable(k rotation.Key) string {
	switch {
	case !utf8.ValidString(k.ID):
		return "ID is not valid UTF-8"
	case !utf8.ValidString(k.Name):
		return "Name is not valid UTF-8"
	case !validMap(k.Attributes):
		return "Attributes is not valid UTF-8"
	case !validTime(k.IssuedAt):
		return "IssuedAt is outside the years 0 to 9999"
	case !validTime(k.ExpiresAt):
		return "ExpiresAt is outside the years 0 to 9999"
	}
	return ""
}

func validMap(m map[string]string) bool {
	for k, v := range m {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return false
		}
	}
	return true
}

// validTime reports whether RFC 3339 can hold t in UTC.
func validTime(t time.Time) bool {
	year := t.UTC().Year()
	return 0 <= year && year <= 9999
}
