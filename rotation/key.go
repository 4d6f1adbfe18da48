// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/handover-go/handover/secret"
)

// Key is one issued value of a credential, whole: the parts of a multi-part credential travel together. It prints as its ID
// and generation. It marshals to JSON only where Secret is zero: as an identity, never as a value.
type Key struct {
	ID         string            `json:",omitzero"` // the provider's identifier; never secret. Slots (user names) come back
	Serial     int64             `json:",omitzero"` // set by the engine: one for each key ever issued, tells apart what shares an ID
	Generation int               `json:",omitzero"` // set by the engine: 4 succeeds 3
	Name       string            `json:",omitzero"` // set by the engine: IssueRequest.Name it was issued under
	Secret     secret.Value      `json:",omitzero"` // zero where only the identity is known
	Attributes map[string]string `json:",omitzero"` // not secret: user name, client id, whatever Revoke will need. Do not modify
	IssuedAt   time.Time         `json:",omitzero"` // zero: unknown, which counts as overdue
	ExpiresAt  time.Time         `json:",omitzero"` // zero: does not expire by itself
}

// IsZero reports whether k is no key at all.
func (k Key) IsZero() bool {
	return k.ID == "" && k.Serial == 0 && k.Generation == 0 && k.Name == "" && k.Secret.IsZero() &&
		len(k.Attributes) == 0 && k.IssuedAt.IsZero() && k.ExpiresAt.IsZero()
}

// Equal compares everything, the secret in constant time. Test helpers that use reflect.DeepEqual say false for any two
// keys that hold a secret.
func (k Key) Equal(other Key) bool {
	return k.ID == other.ID && k.Serial == other.Serial && k.Generation == other.Generation && k.Name == other.Name &&
		maps.Equal(k.Attributes, other.Attributes) && k.IssuedAt.Equal(other.IssuedAt) &&
		k.ExpiresAt.Equal(other.ExpiresAt) && k.Secret.Equal(other.Secret)
}

// String returns the ID and generation.
func (k Key) String() string {
	if k.IsZero() {
		return "no key"
	}
	return fmt.Sprintf("%s (generation %d)", cmp.Or(k.ID, k.Name, "key without id"), k.Generation)
}

// LogValue returns the ID and generation.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.Int("generation", k.Generation))
}

// named is what a record calls k: its id, or its name where it has none.
func (k Key) named() string { return cmp.Or(k.ID, k.Name) }

// identity is k without its secret.
func (k Key) identity() Key {
	k.Secret = secret.Value{}
	return k
}

// Role of a key in the store.
type Role string

// Roles.
const (
	RoleCurrent  Role = "current"  // presented
	RolePending  Role = "pending"  // minted, not promoted
	RolePrevious Role = "previous" // replaced, still accepted
	RoleRetiring Role = "retiring" // kept until it is proven dead; served to nobody
)

// StoredKey is a key as the store keeps it.
type StoredKey struct {
	Key         Key
	Role        Role
	Compromised bool // served to nobody, whatever its role
}

// Versions is what the store keeps of one credential. Stores write and read it as a whole and look into none of it but Keys.
type Versions struct {
	Keys     []StoredKey
	Stamp    string            // opaque: which installation, rotation and attempt wrote it
	Metadata map[string]string // rotated_at, rotated_by, incident_reference ... never secret
	Revision string            // opaque, set by Load, compared by Save; empty: not stored yet
}

// Key returns the key with role r, or a zero Key if there is none that may be served: a compromised or retiring key is
// served to nobody.
func (v Versions) Key(r Role) Key {
	for _, k := range v.Keys {
		if k.Role == r && !k.Compromised && r != RoleRetiring {
			return k.Key
		}
	}
	return Key{}
}

// Accepted returns what an accepting side has to accept: pending, current and previous, newest first, nothing compromised.
func (v Versions) Accepted() []Key {
	var keys []Key
	for _, r := range []Role{RolePending, RoleCurrent, RolePrevious} {
		for _, k := range v.Keys {
			if k.Role == r && !k.Compromised {
				keys = append(keys, k.Key)
			}
		}
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return cmp.Compare(b.Serial, a.Serial) })
	return keys
}

// KeyInfo is what a provider tells of a key; Key.Secret is zero.
type KeyInfo struct {
	Key      Key
	Disabled bool     // the provider has it and accepts it nowhere: switched off, and not gone
	Scopes   []string // nil: not told
	Usage    Usage
}

// Usage is evidence of use: quiet is proven from Since to AsOf and for no other time.
type Usage struct {
	LastUsed time.Time // zero: not in that time
	Since    time.Time // zero: from the beginning
	AsOf     time.Time // zero: no evidence
	Source   string    // who or where, if known
}

// Instance is one process, pod or machine of a consumer, and the key that it is seen using; Key.Secret is zero.
type Instance struct {
	Name string
	Key  Key       // Serial, ID or Generation: what can be seen
	AsOf time.Time // zero: at the time of the call
}
