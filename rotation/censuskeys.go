// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"slices"
	"time"
)

// count sorts what the issuer lists into what is ours and what is not, and adds what is ours and not listed.
func (a *Account) count(creds []known, listed []KeyInfo) {
	now := time.Now()
	for _, info := range listed {
		info.Key = info.Key.identity()
		if k, ours := whose(creds, info, now); ours {
			a.Keys = append(a.Keys, k)
		} else {
			a.Strangers++
		}
	}
	for _, c := range creds {
		a.Keys = append(a.Keys, c.unseen(a.Keys, a.Listed, now)...)
	}
	slices.SortStableFunc(a.Keys, func(x, y CensusKey) int {
		return cmp.Or(cmp.Compare(x.Credential, y.Credential), x.Key.IssuedAt.Compare(y.Key.IssuedAt), cmp.Compare(x.Key.ID, y.Key.ID))
	})
	if a.Listed {
		a.Used = len(listed)
		a.Free = max(a.Slots-a.Used, 0)
	}
}

// whose finds the credential that a listed key belongs to: by its record, by the store, by its name. ours is false where nothing
// of that knows it.
func whose(creds []known, info KeyInfo, now time.Time) (k CensusKey, ours bool) {
	k = CensusKey{Key: info.Key, Listed: true, Disabled: info.Disabled, Scopes: info.Scopes, Usage: info.Usage}
	var strangers []known
	for _, c := range creds {
		k.Credential = c.reg.Name
		k.Role = c.role(info.Key)
		if c.st == nil {
			strangers = append(strangers, c)
			continue
		}
		if s, recorded := c.st.standing(info.Key, c.reg.Traits, now); recorded {
			k.Recorded, k.Standing = true, s
			return k, true
		}
		if k.Role != "" || isSuccessorName(c.reg.Name, info.Key.Name) {
			k.Standing = c.st.unrecorded(k.Role)
			return k, true
		}
	}
	for _, c := range strangers {
		k.Credential, k.Role = c.reg.Name, c.role(info.Key)
		if k.Role != "" || isSuccessorName(c.reg.Name, info.Key.Name) {
			k.Standing = KeyUnclear
			return k, true
		}
	}
	return CensusKey{}, false
}

// unrecorded is the standing of a key that no record names. The one that was seeded is taken up by the first Advance.
func (st *state) unrecorded(r Role) Standing {
	if r == RoleCurrent && st.Current == 0 {
		return KeyAlive
	}
	return KeyUnrecorded
}

// role is the label of a key in the store.
func (c known) role(key Key) Role {
	for _, s := range c.doc.Keys {
		if key.ID != "" && s.Key.ID == key.ID {
			return s.Role
		}
	}
	return ""
}

// standing is what the record says of a listed key: known by its id, or as what a try of ours has made. Where an id is a slot, it is
// alive if one of the keys is that it has held.
func (st *state) standing(key Key, t Traits, now time.Time) (s Standing, recorded bool) {
	lag := max(t.Propagation, t.ListLag)
	for _, k := range st.Keys {
		if key.ID == "" || k.Key.ID != key.ID {
			continue
		}
		if k.DeadAt.IsZero() && k.DebtSince.IsZero() && k.live() {
			return KeyAlive, true
		}
		s, recorded = k.dying(lag, now), true
	}
	if recorded {
		return s, true
	}
	if st.Run != nil {
		for _, a := range st.Run.Attempts {
			switch {
			case key.Name == "" || a.Name != key.Name:
			case a.Fate == fateOpen || a.Fate == fateStored:
				return KeyAlive, true
			default:
				return KeyUndead, true
			}
		}
	}
	for _, e := range slices.Backward(st.Ended) {
		for _, killed := range e.record().killed() {
			if killed.Key == "" || killed.Key != key.ID && killed.Key != key.Name {
				continue
			}
			if killed.RevokedAt.Add(lag).After(now) {
				return KeyDying, true
			}
			return KeyUndead, true
		}
	}
	return "", false
}

// dying is the standing of a key that should be dead, and is listed.
func (k *keyState) dying(lag time.Duration, now time.Time) Standing {
	switch {
	case !k.DeadAt.IsZero() && k.RevokedAt.IsZero(): // somebody else has ended it
		return KeyUndead
	case k.RevokedAt.IsZero():
		return KeyCondemned
	case k.RevokedAt.Add(lag).After(now):
		return KeyDying
	default:
		return KeyUndead
	}
}

// killed are the keys that a rotation which has ended is known to have killed.
func (r Record) killed() []DoomedKey {
	switch {
	case r.DeadAt.IsZero():
		return nil
	case len(r.Compromised) > 0:
		return r.Compromised
	case r.OldID == r.NewID:
		return nil
	case r.Outcome == Rotated:
		return []DoomedKey{{Key: r.OldID, RevokedAt: r.RevokedAt, DeadAt: r.DeadAt}}
	case r.Outcome == RolledBack:
		return []DoomedKey{{Key: r.NewID, RevokedAt: r.RevokedAt, DeadAt: r.DeadAt}}
	default:
		return nil
	}
}

// unseen are the keys of a credential that the issuer's list does not show.
func (c known) unseen(seen []CensusKey, listed bool, now time.Time) []CensusKey {
	has := func(key Key) bool {
		return slices.ContainsFunc(seen, func(k CensusKey) bool { return k.Credential == c.reg.Name && k.Key.ID == key.ID && key.ID != "" })
	}
	var out []CensusKey
	if c.st != nil {
		for _, k := range c.st.Keys {
			alive := k.DeadAt.IsZero() && k.DebtSince.IsZero() && k.live()
			if !alive || has(k.Key) {
				continue
			}
			key := CensusKey{Credential: c.reg.Name, Key: k.Key, Standing: KeyAlive, Recorded: true, Role: c.roleOf(k)}
			young := now.Sub(latest(k.Key.IssuedAt, k.Since)) <= c.reg.Traits.ListLag
			if listed && k.Key.ID != "" && !young && !c.reg.webhook { // the secrets of a webhook are at home at its receivers
				key.Standing = KeyMissing
			}
			out = append(out, key)
		}
	}
	for _, s := range c.doc.Keys {
		recorded := c.st != nil && (c.st.key(s.Key.Serial) != nil || c.st.recordOf(s) != nil)
		if recorded || has(s.Key) {
			continue
		}
		standing := KeyUnclear
		if c.st != nil {
			standing = c.st.unrecorded(s.Role)
		}
		out = append(out, CensusKey{Credential: c.reg.Name, Key: s.Key.identity(), Standing: standing, Role: s.Role})
	}
	return out
}

func (c known) roleOf(k *keyState) Role {
	for _, s := range c.doc.Keys {
		if s.Key.Serial == k.Key.Serial && s.Key.Serial != 0 || s.Key.Serial == 0 && c.st.recordOf(s) == k {
			return s.Role
		}
	}
	return ""
}

// finding says what is wrong with a key; nil if nothing is.
func (k CensusKey) finding() *Error {
	e := &Error{Credential: k.Credential, Diagnosis: UnknownKey}
	switch k.Standing {
	case KeyUndead:
		e.Diagnosis, e.Evidence, e.Action = RevocationNotEffective, "the provider lists "+k.Key.String()+", which should be dead", "look at the provider; it may be late to know, else end it there"
	case KeyCondemned:
		e.Diagnosis, e.Evidence, e.Action = "", "the provider lists "+k.Key.String()+", which is to be killed, and its revocation was not sent yet", "look what it waits for: the status of the credential says so"
	case KeyMissing:
		e.Diagnosis, e.Evidence, e.Action = CurrentRejected, "the provider does not list "+k.Key.String()+", which the record takes for alive", "look who ended it; rotate it, that is the repair"
		if k.Role != RoleCurrent {
			e.Diagnosis = ""
		}
	case KeyUnrecorded:
		if k.Role == "" {
			e.Evidence, e.Action = "the provider lists "+k.Key.String()+", which no record names", "look at it, and end it there if nobody needs it"
		} else {
			e.Evidence, e.Action = "the store has "+k.Key.String()+" as "+string(k.Role)+", which no record names", "somebody may be using it; the next Advance says what can be done"
		}
	default:
		return nil
	}
	return e
}
