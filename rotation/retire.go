// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"slices"
	"time"
)

// inSoak sends a gate that did not open back to where it is waited for.
func inSoak(err error) error {
	var w *waiting
	if !errors.As(err, &w) {
		return err
	}
	return to(PhaseSoak, "a fact is missing again")
}

// whole is a key with its secret, as far as it is known.
func (d *drive) whole(k *keyState) Key {
	key := k.Key
	if v := d.value(key.Serial); !v.IsZero() {
		key.Secret = v.Secret
	} else if v, ok := d.leaked[key.Serial]; ok {
		key.Secret = v.Secret
	}
	return key
}

// leak remembers a value that is not in the store, for this Advance.
func (d *drive) leak(serial int64, key Key) {
	if d.leaked == nil {
		d.leaked = map[int64]Key{}
	}
	d.leaked[serial] = key
}

// retire revokes the victims, on facts that are observed in this Advance. From its intent on there is only forward.
func (d *drive) retire() error {
	if err := d.nobodyBehind(); err != nil {
		return err
	}
	d.buryRevoked()
	if !slices.ContainsFunc(d.st.victims(), func(k *keyState) bool { return k.DeadAt.IsZero() && !k.Answered }) {
		return nil
	}
	if err := d.inWindow(); err != nil {
		return err
	}
	if err := d.passGate(); err != nil {
		if d.st.Run.irreversible(d.st) {
			return err
		}
		return inSoak(err)
	}
	for _, victim := range d.st.victims() {
		if !victim.DeadAt.IsZero() || victim.Answered {
			continue
		}
		if why := d.untouchable(victim); why != nil {
			victim.Condemned = true
			d.owe(victim, why)
			continue
		}
		victim.Condemned = true
		if err := d.save(); err != nil {
			return err
		}
		if err := d.revoke(victim); err != nil {
			return d.lateRevoke(victim, err)
		}
	}
	return nil
}

// buryRevoked looks for victims whose revocation was sent, and worked although its answer was lost: a dead key has no gate to
// pass. One that is still listed is not asked about, because asking is use.
func (d *drive) buryRevoked() {
	for _, victim := range d.st.victims() {
		if !victim.DeadAt.IsZero() || victim.RevokedAt.IsZero() {
			continue
		}
		keys, listed, err := d.list()
		alive := slices.ContainsFunc(keys, func(i KeyInfo) bool { return i.Key.ID == victim.Key.ID })
		if err != nil || listed && alive {
			continue
		}
		if verdict, how := d.dead(victim); verdict == isDead {
			d.buried(victim, how)
		}
	}
}

// lateRevoke keeps trying for as long as patience lasts; then the key becomes a debt, and the rotation is not undone by it.
func (d *drive) lateRevoke(victim *keyState, err error) error {
	e := &Error{Evidence: victim.Key.String() + " was not revoked", Err: hide(err)}
	run := d.st.Run
	if run.Failing.IsZero() {
		run.Failing = time.Now()
	}
	if time.Since(run.Failing) < d.reg.Policy.Patience {
		return e
	}
	run.Failing = time.Time{}
	d.owe(victim, e)
	return nil
}

// untouchable says why a key must not be revoked by this library; nil if it may be.
func (d *drive) untouchable(k *keyState) *Error {
	switch {
	case k.Named == "":
		return &Error{Diagnosis: UnknownKey, Evidence: "no record of this library says that it is ours", Action: "end it at the provider, and answer with settle"}
	case k.Key.ID == "" && !k.compromised() && !d.reg.webhook:
		return &Error{Evidence: "its id at the provider is not known", Action: "end it at the provider, and answer with settle"}
	case k.Issuer != d.reg.parts.Issuer && !d.reg.webhook:
		return &Error{Diagnosis: PartsChanged, Evidence: "it was made by another issuer: " + k.Issuer, Action: "end it there, and answer with settle"}
	}
	return nil
}

// revoke makes the call. nil is an answer, and no proof. A slot that holds a live key now is left alone.
func (d *drive) revoke(k *keyState) error {
	if d.reg.webhook {
		return d.shut(k)
	}
	replaced, err := d.replaced(k)
	if err != nil {
		return err
	}
	if replaced || d.heldByLive(k.Key) {
		k.Answered = true
		return nil
	}
	d.fresh = nil
	key, at := d.whole(k), time.Now()
	err = guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Issuer.Revoke(ctx, key) })
	if k.RevokedAt.IsZero() && !errors.Is(err, ErrManual) {
		k.RevokedAt = at
	}
	return d.revoked(k, at, err)
}

// revoked records the answer to a revocation that was sent at a time. One that asks for a person has revoked nothing.
func (d *drive) revoked(k *keyState, at time.Time, err error) error {
	switch {
	case errors.Is(err, ErrManual):
		k.Manual, k.Answered = publicText(err), true
		return nil
	case err != nil && !errors.Is(err, ErrNotFound): // gone already is fine; the proof comes later all the same
		return err
	}
	k.Answered = true
	if run := d.st.Run; run != nil && slices.Contains(run.Victims, k.Key.Serial) {
		run.RevokedAt = earliest(run.RevokedAt, k.RevokedAt)
	}
	text := k.Key.String() + " was revoked"
	if d.reg.webhook {
		text = "every receiver was told to refuse " + k.Key.String()
	}
	d.emit(Event{At: at, Kind: EventRevoked, Key: k.Key.named(), Text: text})
	return nil
}

// heldByLive reports whether the id is a slot in which a live key lives: revoking it would kill that one.
func (d *drive) heldByLive(key Key) bool {
	return !d.reg.webhook && key.ID != "" && slices.ContainsFunc(d.st.Keys, func(k *keyState) bool {
		return k.Key.ID == key.ID && k.Key.Serial != key.Serial && k.live() && k.DeadAt.IsZero()
	})
}

// replaced reports whether a key is refused while the one that stays is accepted, of which nobody knows the id: a person put it into the
// store. It may live in the slot that the key had before it, and to end that key at the provider could end the one that stays. A
// key that is still accepted has a slot of its own.
func (d *drive) replaced(k *keyState) (bool, error) {
	key, stays := d.whole(k), d.living()
	if stays.IsZero() || stays.ID != "" || k.Key.ID == "" || key.Secret.IsZero() || k.disabled() || k.compromised() {
		return false, nil
	}
	err := d.proof(key, d.reg.Policy.Proofs)
	if err == nil {
		return false, nil
	}
	if errors.Is(err, ErrRejected) && time.Since(k.Since) >= d.reg.Traits.Propagation { // else it may not be known everywhere yet
		if err = d.verify(stays); err == nil {
			return true, nil
		}
	}
	return false, &Error{Evidence: "it is not known whether " + k.Key.String() + " is still accepted", Err: hide(err)}
}

// supersede settles the debts of a slot that was given a new key: its old values died with that.
func (d *drive) supersede(key Key) {
	if key.ID == "" {
		return
	}
	for _, k := range d.st.debts() {
		if k.Key.ID == key.ID && k.Key.Serial != key.Serial {
			k.DeadAt, k.Proof = time.Now(), "replaced in its slot by "+key.String()
		}
	}
}
