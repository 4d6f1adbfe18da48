// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"crypto/sha1" //nolint:gosec // a name, not a signature: RFC 9562 version 5
	"encoding/base32"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	maxAttempts = 3  // so many keys one rotation makes in vain before a person is asked
	keptAbsent  = 32 // tries that made none are looked for once more at the end, the newest of them
)

// issue mints the new key and stores it as pending. Each try is an attempt of its own, journaled before the call, so that
// whatever became of a lost answer can be told from every other key.
func (d *drive) issue() error {
	run := d.st.Run
	if run.successor(d.st) {
		return nil
	}
	a := run.attempt()
	if a != nil && (a.Incident != "" || d.supplied != nil && a.Fate == fateOpen && !a.Manual) {
		a = nil // settled at the end; what it made is no successor
	}
	if a != nil && a.Fate == fateOpen && d.supplied == nil {
		if err := d.settleAttempt(a); err != nil {
			return err
		}
		if run.successor(d.st) {
			return nil
		}
		d.payDebts() // what it minted may hold the only free slot
	}
	if a == nil || a.Fate != fateOpen {
		if run.wasted() >= maxAttempts {
			return &asking{&Error{Diagnosis: NewKeyRejected, Evidence: fmt.Sprintf("%d new keys in a row were of no use", maxAttempts), Action: "look at the provider, then answer with done to try again, or with roll-back"}, needAttempts, []Verb{VerbDone, VerbRollBack}}
		}
		if from := d.st.key(d.succeeded().Serial); from != nil && from.Spent && d.supplied == nil {
			return &asking{&Error{Diagnosis: AmbiguousIssue, Evidence: "a key was made from " + from.Key.String() + " before, and asking again with it could end every key", Action: "make a key at the provider, and hand it over with Supply"}, "supply", []Verb{VerbRollBack}}
		}
		if rest := d.restUntil(); rest.After(time.Now()) {
			return d.lost(Need{ID: d.needID("issue"), Kind: NeedTime, Until: rest, Text: "the issuer has made no key; it is asked again"})
		}
		if d.reg.noticed(PhaseIssue) && d.supplied == nil {
			if err := d.inWindow(); err != nil {
				return err
			}
		}
		var err error
		if a, err = d.openAttempt(); err != nil {
			return err
		}
	}
	if err := d.mint(a); err != nil {
		return err
	}
	if !run.successor(d.st) {
		return &Error{Evidence: "an incident names the key that was made", Action: "another one is made"}
	}
	return nil
}

// successor reports whether the key that takes over is stored and may be used.
func (r *run) successor(st *state) bool {
	if r.Target == 0 || !st.key(r.Target).live() {
		return false
	}
	for _, a := range r.Attempts {
		if a.Serial == r.Target {
			return a.Fate == fateStored
		}
	}
	return true // not issued by this run: the old key of a roll-back
}

// wasted counts the attempts since the last usable key that minted something useless. One that made nothing costs nothing but
// time: once the faults stop, the next one succeeds.
func (r *run) wasted() int {
	n := 0
	for _, a := range r.Attempts {
		if a.Fate == fateCondemned {
			n++
		}
	}
	return n - r.Forgiven
}

// restUntil is when the next attempt may be made: the later, the more of them have made nothing in a row.
func (d *drive) restUntil() time.Time {
	n := 0
	for _, a := range slices.Backward(d.st.Run.Attempts) {
		if a.Fate != fateAbsent {
			break
		}
		n++
	}
	if n == 0 {
		return time.Time{}
	}
	return d.st.Run.attempt().SettleAt.Add(delay(n, d.r.cfg.CallTimeout/10, d.slowest(), d.reg.Name))
}

// lost waits for what becomes of lost answers, which stay the problem that people see.
func (d *drive) lost(n Need) error {
	d.st.Problem = &Error{Evidence: "an answer of the issuer was lost"}
	return &waiting{needs: []Need{n}}
}

// absent ends an attempt that made nothing. A record that waits for a provider for days does not grow by them.
func (r *run) absent(a *attempt) {
	a.Fate, a.Before = fateAbsent, nil
	n := 0
	for _, a := range slices.Backward(r.Attempts) {
		if a.Fate != fateAbsent {
			continue
		}
		if n++; n > keptAbsent {
			r.Attempts = slices.DeleteFunc(r.Attempts, func(b *attempt) bool { return a == b })
			return
		}
	}
}

// openAttempt journals the intent to issue: its own name, token and serial, and what the provider lists beforehand.
func (d *drive) openAttempt() (*attempt, error) {
	if err := d.claim(); err != nil { // a store that cannot be written would lose the key
		return nil, err
	}
	run := d.st.Run
	a := run.attempt()
	if a == nil || a.Fate != fateRefused {
		d.st.LastSerial++
		last := a
		a = &attempt{N: 1, Serial: d.st.LastSerial}
		if last != nil {
			a.N = last.N + 1
		}
		seed := sha1.Sum(fmt.Appendf(nil, "%s/%s/%d", d.home, run.ID, a.N))
		a.Token = uuid5(seed)
		a.Name = successorName(d.reg.Name, run.Generation, seed)
		run.Attempts = append(run.Attempts, a)
	}
	a.Fate, a.OpenedAt, a.Before, a.Listed = fateOpen, time.Now(), nil, false
	a.SettleAt = a.OpenedAt.Add(d.r.settle(d.reg))
	keys, listed, err := d.list()
	if err != nil {
		a.Fate = fateRefused
		return nil, err
	}
	for _, k := range keys {
		a.Before = append(a.Before, k.Key.ID)
	}
	a.Listed = listed
	return a, nil
}

// maxKeyName is the shortest limit of a provider that is known.
const maxKeyName = 64

// successorName is derived from the old name, tells the generation and is unique: "payment-gateway-api-v4-k7q2m9".
func successorName(credential string, generation int, seed [sha1.Size]byte) string {
	unique := strings.ToLower(base32.HexEncoding.EncodeToString(seed[:5]))[:6]
	suffix := fmt.Sprintf("-v%d-%s", generation, unique)
	return credential[:min(len(credential), maxKeyName-len(suffix))] + suffix
}

var successorSuffix = regexp.MustCompile(`-v\d+-[0-9a-v]{6}$`)

// isSuccessorName reports whether a name has the form that successorName gives to keys of the credential.
func isSuccessorName(credential, name string) bool {
	suffix := successorSuffix.FindString(name)
	if suffix == "" {
		return false
	}
	head := strings.TrimSuffix(name, suffix)
	return head == credential[:min(len(credential), maxKeyName-len(suffix))]
}

// uuid5 formats the first bytes of a hash as a version 5 UUID.
func uuid5(seed [sha1.Size]byte) string {
	b := seed[:16]
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
