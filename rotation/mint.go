// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"time"
)

// mint makes the call. The intent also covers the write of the answer to the store: nothing stands between the two.
func (d *drive) mint(a *attempt) error {
	run := d.st.Run
	req := IssueRequest{
		Credential: d.reg.Name, Name: a.Name, Token: a.Token, Generation: run.Generation,
		Current: d.succeeded(), Overlap: d.overlap(),
	}
	if c, ok := As[Chooser](d.reg.Issuer); ok && d.supplied == nil {
		chosen, absent, err := d.choose(c, a, req)
		if err != nil {
			return err
		}
		if !absent {
			req.Chosen = chosen
		}
	}
	a.Manual, a.Handed = false, a.Chosen
	if err := d.read(); err != nil { // the write of the answer compares with what is read now
		return err
	}
	writing := d.st.Writing
	d.st.Writing = true
	if from := d.st.key(d.succeeded().Serial); from != nil && d.reg.Traits.NoReplay && d.supplied == nil {
		from.Spent, a.From = true, from.Key.Serial
	}
	if err := d.save(); err != nil {
		return err
	}
	key, err := d.answer(req)
	if err == nil && key.Secret.IsZero() && req.Chosen.Secret.IsZero() {
		err = &Error{Evidence: "the issuer answered without a secret"}
	}
	if err != nil {
		d.st.Writing = writing // nothing is written
		return d.notMinted(a, key, err)
	}
	if key.Secret.IsZero() {
		key.Secret = req.Chosen.Secret
	}
	contested := !d.reg.webhook && d.spareSlot(key.ID)
	if err := d.keep(a, key); err != nil || !contested {
		return err
	}
	return d.outlived(a, key)
}

// outlived makes sure that a new key has survived the revocation of what was in its slot before, which was under way while it
// was made.
func (d *drive) outlived(a *attempt, key Key) error {
	d.fold()
	if !errors.Is(d.proof(key, d.reg.Policy.Proofs), ErrRejected) {
		return nil
	}
	d.condemnAttempt(a, key)
	return &Error{Evidence: "the revocation of what was in its slot before has hit the new key", Action: "another one is made"}
}

// succeeded is the key that a new one succeeds: the old one, or what has replaced it since.
func (d *drive) succeeded() Key {
	st := d.st
	serial := st.Current
	if old := st.key(st.Run.Old); serial == 0 || old != nil && old.DeadAt.IsZero() && !old.Answered {
		serial = st.Run.Old
	}
	if key := d.value(serial); !key.IsZero() {
		return key
	}
	return d.value(st.Run.Old)
}

// unspend says that an attempt made nothing of the key that it was given.
func (st *state) unspend(a *attempt) {
	if from := st.key(a.From); from != nil {
		from.Spent = false
	}
	a.From = 0
}

// answer is the issuer's, or the person's who made the key.
func (d *drive) answer(req IssueRequest) (Key, error) {
	if d.supplied != nil {
		return *d.supplied, nil
	}
	limit := d.r.cfg.CallTimeout
	if d.emergency() {
		limit = min(limit, d.r.cfg.IssueLimit)
	}
	return guarded(d.ctx, limit, func(ctx context.Context) (Key, error) { return d.reg.Issuer.Issue(ctx, req) })
}

// overlap is how long a provider that ends the old key by itself is asked to wait.
func (d *drive) overlap() time.Duration {
	return overlapOf(Standard, d.reg, d.r.cfg.ClockSkew)
}

// choose stores a value that is ours to choose before the provider learns it. absent: the issuer has no such choice after all.
func (d *drive) choose(c Chooser, a *attempt, req IssueRequest) (chosen Key, absent bool, err error) {
	if a.Chosen {
		return d.value(a.Serial), false, nil
	}
	chosen, err = guarded(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) (Key, error) { return c.Choose(ctx, req) })
	switch {
	case unsupported(err):
		return Key{}, true, nil
	case err != nil:
		a.Fate = fateRefused
		return Key{}, false, &Error{Evidence: "the issuer does not choose a value", Err: hide(err)}
	case chosen.Secret.IsZero():
		a.Fate = fateRefused
		return Key{}, false, &Error{Evidence: "the issuer chose an empty value"}
	}
	if err := d.read(); err != nil { // what was written in this Advance has another revision
		a.Fate = fateRefused
		return Key{}, false, err
	}
	if landed := d.value(a.Serial); !landed.IsZero() { // by a write of this attempt that was given up
		chosen = landed
	}
	chosen = d.numbered(a, chosen)
	a.Chosen, d.st.Run.Target = true, a.Serial
	d.enter(a, chosen)
	if err := d.put(d.target(chosen)); err != nil {
		a.Chosen, a.Fate, d.st.Run.Target = false, fateRefused, 0
		d.st.drop(a.Serial)
		return Key{}, false, err
	}
	return chosen, false, nil
}

// numbered gives a new key what only the engine knows.
func (d *drive) numbered(a *attempt, key Key) Key {
	key.Serial, key.Generation, key.Name = a.Serial, d.st.Run.Generation, a.Name
	if known := d.st.key(a.Serial); known != nil { // of an earlier run, perhaps
		key.Generation = known.Key.Generation
	}
	if key.IssuedAt.IsZero() {
		key.IssuedAt = time.Now()
	}
	key.IssuedAt = key.IssuedAt.Round(0)
	return key
}

// enter takes a key of an attempt into the record.
func (d *drive) enter(a *attempt, key Key) *keyState {
	if named := d.st.unseen(key.ID); named != nil { // an incident named it before this record knew it
		a.Incident = named.Incidents[0]
		d.st.drop(named.Key.Serial)
	}
	ks := d.st.key(a.Serial)
	if ks == nil {
		ks = &keyState{Since: time.Now()}
		d.st.Keys = append(d.st.Keys, ks)
	}
	ks.DeadAt, ks.Proof, ks.Answered = time.Time{}, "", false
	ks.Key, ks.Issuer, ks.Named, ks.Ends = key.identity(), d.reg.parts.Issuer, a.Name, key.ExpiresAt
	ks.Stored = true
	return ks
}

// unseen returns the key that an incident named by this id and that nothing has shown so far.
func (st *state) unseen(id string) *keyState {
	for _, k := range st.Keys {
		if k.Unseen && k.Key.ID == id {
			return k
		}
	}
	return nil
}

// keep brings a minted key to safety. Where the store does not take it, the only good key is a dead one.
func (d *drive) keep(a *attempt, key Key) error {
	key = d.numbered(a, key)
	d.compareForms(key)
	d.stored(a, key)
	var err error
	for try := range saveTries {
		if try > 0 { // whoever lost the lease in the meantime must not write: the open attempt tells the new owner
			if err := d.save(); errors.Is(err, errLost) {
				return err
			}
			d.loaded = false
			if err = d.read(); err != nil {
				continue
			}
		}
		want := d.target(key)
		if d.strangeCurrent() && !d.emergency() { // put there in the meantime: nobody was asked yet
			want = d.beside(key)
		}
		if err = d.store(want); err == nil {
			return nil
		}
	}
	ks := d.st.key(a.Serial)
	a.Fate, ks.Condemned, ks.Stored = fateCondemned, true, false
	d.st.Run.Target, d.st.Run.New = 0, 0
	if !ks.compromised() { // else it is a victim
		d.owe(ks, &Error{Evidence: "the store did not take its value"})
	}
	d.leak(ks.Key.Serial, key)
	if saveErr := d.save(); errors.Is(saveErr, errLost) {
		return saveErr
	} else if saveErr != nil { // neither store nor journal: it is killed while its id is known
		return errors.Join(err, saveErr, d.revoke(ks))
	}
	d.payDebts()
	return err
}

// stored records that an attempt's key is the new key of this run.
func (d *drive) stored(a *attempt, key Key) {
	run := d.st.Run
	ks := d.enter(a, key)
	a.Fate = fateStored
	d.emit(Event{Kind: EventIssued, Key: key.named(), Text: "issued " + key.String()})
	if a.Incident != "" {
		ks.accuse(a.Incident)
		run.kill(a.Serial)
		return
	}
	if run.Strategy == RollBack {
		run.New = a.Serial
		run.kill(a.Serial)
		return
	}
	run.New, run.Target, run.IssuedAt = a.Serial, a.Serial, time.Now()
	ks.Presented = ks.Presented || d.signsAtOnce()
	old := d.st.key(run.Old)
	if old == nil {
		return
	}
	if d.reg.Traits.KillsOld {
		run.NoOverlap, old.Ends = true, run.IssuedAt
	}
	if end := a.OpenedAt.Add(d.reg.Traits.Grace); d.reg.Traits.Grace > 0 && (old.Ends.IsZero() || end.Before(old.Ends)) {
		old.Ends = end
	}
	if !d.reg.webhook { // receivers know it by its value
		d.supersede(key)
	}
}

// notMinted sorts an error of Issue: a definite one leaves nothing behind, any other one leaves the attempt open.
func (d *drive) notMinted(a *attempt, key Key, err error) error {
	e := &Error{Evidence: "no new key", Err: hide(err)}
	var rate *retryAt
	switch {
	case errors.Is(err, ErrManual):
		a.Manual = true
		d.st.unspend(a)
		return &waiting{needs: []Need{d.personNeed("supply", "", publicText(err), VerbRollBack)}}
	case errors.As(err, &rate):
		e.Diagnosis, e.Action = IssuerRateLimited, "wait: it is asked again by itself at "+timeText(rate.at)+"; if that is too late, ask the provider for a higher limit"
	case errors.Is(err, ErrNoSlot):
		e.Diagnosis, e.Action = NoSlot, "end a key at the provider that nobody needs"
	case errors.Is(err, ErrDenied):
		e.Action = "give this process the right to make keys"
	}
	if errors.Is(err, ErrNotIssued) || errors.Is(err, ErrDenied) || errors.Is(err, ErrNoSlot) {
		d.st.unspend(a)
		if !a.Chosen { // a chosen value stays for the next try of the same attempt
			a.Fate = fateRefused
		} else {
			a.SettleAt = time.Now()
		}
		return e
	}
	if key.ID != "" { // minted, and its value is lost: it can be named, so it can be killed
		d.condemnAttempt(a, key)
		return e
	}
	e.Evidence = "it is not known whether a new key was made"
	return e
}
