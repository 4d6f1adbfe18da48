// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// soak waits until nobody presents the victims any more: it collects the facts that the kill will ask for again.
func (d *drive) soak() error {
	run := d.st.Run
	if len(d.pendingDeploy(run.Consumers, RoleCurrent)) > 0 {
		return to(PhaseDeploy, "a consumer was added") // whatever the phase, nobody is left behind
	}
	return d.passGate()
}

// passGate observes everything and returns nil if every victim may be killed now.
func (d *drive) passGate() error {
	run := d.st.Run
	var needs []Need
	add := func(lacks []missing) {
		for _, m := range lacks {
			if slices.ContainsFunc(needs, func(n Need) bool { return n.ID == d.needID(m.ID) }) {
				continue
			}
			if m.Problem != nil && d.st.Problem == nil {
				d.st.Problem = m.Problem
			}
			needs = append(needs, Need{ID: d.needID(m.ID), Kind: m.Kind, Name: m.Consumer, Until: m.Until, Text: m.Text, Verbs: m.Verbs})
		}
	}
	victims := slices.DeleteFunc(d.st.victims(), func(k *keyState) bool { return !k.DeadAt.IsZero() })
	if !slices.ContainsFunc(victims, func(k *keyState) bool { return k.Presented }) {
		return nil
	}
	d.watchDeadline()
	f, err := d.observe()
	if err != nil {
		return err
	}
	for _, victim := range victims {
		add(gate(d.reg, d.st, victim, f, d.r.cfg.ClockSkew))
	}
	if len(needs) == 0 {
		return nil
	}
	if slices.ContainsFunc(run.Consumers, func(c *consumerState) bool { return d.strayed(c, f) }) {
		return to(PhaseDeploy, "a consumer went back to another key")
	}
	announced := func(n Need) bool { return n.Kind == NeedPerson || n.Until.After(time.Now()) }
	if !slices.ContainsFunc(needs, func(n Need) bool { return !announced(n) }) {
		return &waiting{needs: needs} // nothing can come of asking earlier
	}
	return d.again(needs...)
}

// strayed reports whether a consumer that was seen on the target is seen using another key: it has to be told again.
func (d *drive) strayed(c *consumerState, f *facts) bool {
	run := d.st.Run
	if s := f.Consumers[c.Name]; c.Observed != run.Target || len(s.Elsewhere) == 0 || time.Since(c.AckedAt) < d.reg.Policy.Patience {
		return false
	}
	c.Acked, c.Observed, c.Done = 0, 0, 0
	d.note(slog.LevelWarn, c.Name+" went back to another key: it is told again")
	return true
}

// deadlineNear reports that the provider is about to end the old key: then consumers are told without waves.
func (d *drive) deadlineNear() bool {
	old := d.st.key(d.st.Run.Old)
	if old == nil || old.Ends.IsZero() {
		return false
	}
	return time.Now().After(old.Ends.Add(-overlapNeed(d.reg, d.r.cfg.ClockSkew)))
}

// watchDeadline tells people when the provider ends the old key before everybody has moved.
func (d *drive) watchDeadline() {
	run := d.st.Run
	if !d.deadlineNear() || run.Alarmed || run.Strategy != Standard {
		return
	}
	run.Alarmed = true
	old := d.st.key(run.Old)
	d.emit(Event{Kind: EventWaiting, Level: slog.LevelError, Text: fmt.Sprintf("the provider ends %s at %s", old.Key, timeText(old.Ends))})
}

// disable switches the old key off where that can be undone, and watches before it is revoked for good.
func (d *drive) disable() error {
	dis, ok := As[Disabler](d.reg.Issuer)
	run := d.st.Run
	if !ok || run.NoOverlap {
		return nil
	}
	for _, victim := range d.st.victims() {
		if !victim.Presented || victim.Key.ID == "" || d.shared(victim.Key) || victim.Issuer != d.reg.parts.Issuer {
			continue
		}
		if victim.DisabledAt.IsZero() {
			if err := d.passGate(); err != nil {
				return inSoak(err)
			}
			victim.DisableSent = time.Now()
			d.fresh = nil
			if err := d.save(); err != nil {
				return err
			}
			err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return dis.Disable(ctx, d.whole(victim)) })
			if unsupported(err) {
				victim.DisableSent = time.Time{}
				return nil
			}
			if err != nil {
				return &Error{Evidence: "the old key was not disabled", Err: hide(err)}
			}
			victim.DisabledAt = time.Now()
			d.emit(Event{Kind: EventDisabled, Text: victim.Key.String() + " is disabled; that can be undone"})
		}
		if err := d.watchDisabled(victim); err != nil {
			return err
		}
	}
	return nil
}

// watchDisabled waits until the disabling is seen everywhere. If something breaks the key is enabled again.
func (d *drive) watchDisabled(victim *keyState) error {
	run := d.st.Run
	broken := d.broken()
	if broken == "" {
		end := victim.DisabledAt.Add(d.reg.Traits.Propagation)
		if !end.After(time.Now()) {
			return nil
		}
		until := earliest(end, time.Now().Add(d.reg.Traits.Propagation/watches))
		return &waiting{needs: []Need{{ID: d.needID("disable"), Kind: NeedTime, Until: until, Text: "the old key is disabled; watching until " + timeText(end), Verbs: []Verb{VerbRollBack}}}}
	}
	if err := d.enable(victim); err != nil {
		return err
	}
	victim.DisabledAt = time.Time{}
	run.Extend = time.Now().Add(max(d.reg.Policy.Quiet, d.reg.Policy.Patience))
	d.st.Problem = &Error{Diagnosis: OldKeyInUse, Consumer: broken, Evidence: "it broke when the old key was disabled; the key is enabled again", Action: "find out what still uses the old key"}
	d.emit(Event{Kind: EventFailed, Level: slog.LevelWarn, Consumer: broken, Problem: d.st.Problem, Text: "the old key is enabled again: " + broken + " broke without it"})
	return to(PhaseSoak, "something broke without the old key")
}

// watches is how often a disabled key is looked after within its propagation time.
const watches = 5

// broken names a consumer that worked and does not.
func (d *drive) broken() string {
	d.fresh = nil
	f, err := d.observe()
	if err != nil {
		return ""
	}
	for _, c := range d.st.Run.Consumers {
		if s := f.Consumers[c.Name]; s.Verifiable && s.VerifyErr != nil && c.Verified == d.st.Run.Target {
			return c.Name
		}
	}
	return ""
}

func (d *drive) enable(k *keyState) error {
	dis, ok := As[Disabler](d.reg.Issuer)
	if !ok {
		return nil
	}
	if err := d.save(); err != nil {
		return err
	}
	if err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return dis.Enable(ctx, d.whole(k)) }); err != nil {
		return &Error{Evidence: "the old key was not enabled again", Err: hide(err)}
	}
	d.fresh = nil
	return nil
}

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
	if !slices.ContainsFunc(d.st.victims(), func(k *keyState) bool { return k.DeadAt.IsZero() && !k.Answered }) {
		return nil
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

// lateRevoke keeps trying for as long as patience lasts; then the key becomes a debt, and the rotation is not undone by it.
func (d *drive) lateRevoke(victim *keyState, err error) error {
	e := &Error{Evidence: "the old key was not revoked", Err: hide(err)}
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
	case k.Key.ID == "" && !k.compromised():
		return &Error{Evidence: "its id at the provider is not known", Action: "end it at the provider, and answer with settle"}
	case k.Issuer != d.reg.parts.Issuer:
		return &Error{Diagnosis: PartsChanged, Evidence: "it was made by another issuer: " + k.Issuer, Action: "end it there, and answer with settle"}
	}
	return nil
}

// revoke makes the call. nil is an answer, and no proof. A slot that holds a live key now is left alone.
func (d *drive) revoke(k *keyState) error {
	if d.heldByLive(k.Key) {
		k.Answered = true
		return nil
	}
	d.fresh = nil
	if k.RevokedAt.IsZero() {
		k.RevokedAt = time.Now()
	}
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Issuer.Revoke(ctx, d.whole(k)) })
	return d.revoked(k, err)
}

// revoked records the answer of Revoke.
func (d *drive) revoked(k *keyState, err error) error {
	if errors.Is(err, ErrManual) {
		k.Manual, err = publicText(err), nil
	}
	if errors.Is(err, ErrNotFound) {
		err = nil // gone already; the proof comes later all the same
	}
	if err != nil {
		return err
	}
	k.Answered = true
	if run := d.st.Run; run != nil && slices.Contains(run.Victims, k.Key.Serial) {
		run.RevokedAt = earliest(run.RevokedAt, k.RevokedAt)
	}
	d.emit(Event{Kind: EventRevoked, Text: k.Key.String() + " was revoked"})
	return nil
}

// heldByLive reports whether the id is a slot in which a live key lives: revoking it would kill that one.
func (d *drive) heldByLive(key Key) bool {
	return key.ID != "" && slices.ContainsFunc(d.st.Keys, func(k *keyState) bool {
		return k.Key.ID == key.ID && k.Key.Serial != key.Serial && k.live() && k.DeadAt.IsZero()
	})
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

// earliest returns the earlier time; zero is no time.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// confirm proves the victims dead. Past the provider's propagation time a key that still lives becomes a debt; in an
// emergency there is no debt, and no end, before every compromised key is dead.
func (d *drive) confirm() error {
	run := d.st.Run
	d.fold(true)
	d.proveDeaths()
	var needs []Need
	for _, victim := range d.st.victims() {
		if !victim.DeadAt.IsZero() {
			continue
		}
		verdict, how := d.dead(victim)
		switch {
		case verdict == isDead:
			d.buried(victim, how)
		case victim.Manual != "":
			needs = append(needs, d.personNeed("revoke", "", victim.Manual, VerbDone))
		case d.emergency():
			n := Need{ID: d.needID("dead"), Kind: NeedRetry, Text: victim.Key.String() + " is not proven dead: " + how}
			if d.unprovable(victim) {
				n = d.personNeed("dead", "", n.Text+"; look at the provider", VerbSettle)
			}
			needs = append(needs, n)
		case latest(victim.RevokedAt, run.BeganAt).Add(d.reg.Traits.Propagation).After(time.Now()):
			d.st.Problem = &Error{Diagnosis: RevocationPropagating, Evidence: how, Action: "wait"}
			needs = append(needs, Need{ID: d.needID("dead"), Kind: NeedTime, Until: victim.RevokedAt.Add(d.reg.Traits.Propagation), Text: "the revocation is not seen everywhere yet"})
		default:
			d.owe(victim, &Error{Diagnosis: RevocationNotEffective, Evidence: how, Action: "look at the provider; it is revoked again now and then"})
		}
	}
	if len(needs) > 0 {
		return d.again(needs...)
	}
	for _, victim := range d.st.victims() {
		run.DeadAt = latest(run.DeadAt, victim.DeadAt)
	}
	return d.stillWorking()
}

// stillWorking looks at the consumers once more after the kill. There is no way back; who broke is named, and waited for.
func (d *drive) stillWorking() error {
	run := d.st.Run
	seen := d.look(run.Consumers, run.Target)
	for _, c := range run.Consumers {
		s := seen[c.Name]
		if !s.Verifiable || s.VerifyErr == nil || d.reg.binding(c.Name) == nil {
			continue
		}
		if d.emergency() || time.Since(run.DeadAt) < d.reg.Policy.Patience && time.Since(run.RevokedAt) < d.reg.Policy.Patience {
			return &Error{Consumer: c.Name, Diagnosis: VerificationTimeout, Evidence: "it does not work now that the other key is dead", Action: "restart it: the new key is in the store", Err: hide(s.VerifyErr)}
		}
	}
	return nil
}

type deathVerdict int

const (
	isUnknown deathVerdict = iota
	isAlive
	isDead
)

// dead looks for the proof that a key is dead: refused by a verifier that accepts the live one at the same time, or gone from
// a list that shows the live one. An answer of Revoke is no proof, and neither is a verifier that refuses everything.
func (d *drive) dead(k *keyState) (deathVerdict, string) {
	if !k.DeadAt.IsZero() {
		return isDead, k.Proof
	}
	live := d.living()
	if key := d.whole(k); !key.Secret.IsZero() {
		err := d.proof(key, d.reg.Policy.Proofs)
		if err == nil {
			return isAlive, "it is still accepted"
		}
		if errors.Is(err, ErrRejected) && !live.IsZero() && d.verify(live) == nil {
			return isDead, fmt.Sprintf("refused %d times while the live key was accepted", d.reg.Policy.Proofs)
		}
	}
	keys, listed, err := d.list()
	if err != nil || !listed || k.Key.ID == "" || live.ID == "" || d.shared(k.Key) {
		return isUnknown, "nothing proves it"
	}
	if time.Since(k.RevokedAt) < d.reg.Traits.ListLag {
		return isUnknown, "the list may be older than the revocation"
	}
	has := func(id string) bool {
		return slices.ContainsFunc(keys, func(i KeyInfo) bool { return i.Key.ID == id && !i.Disabled })
	}
	switch {
	case !has(live.ID):
		return isUnknown, "the list does not show the live key"
	case has(k.Key.ID):
		return isAlive, "it is still listed"
	default:
		return isDead, "no longer listed, while the live key is"
	}
}

// living is the key that proves that the accepting side answers: the target, or the current one.
func (d *drive) living() Key {
	if run := d.st.Run; run != nil && d.st.key(run.Target).live() {
		if v := d.value(run.Target); !v.IsZero() {
			return v
		}
	}
	if d.st.key(d.st.Current).live() {
		return d.value(d.st.Current)
	}
	return Key{}
}

// unprovable reports that neither a value nor a list can ever prove the death of a key: a person has to look.
func (d *drive) unprovable(k *keyState) bool {
	_, lists := As[Lister](d.reg.Issuer)
	return d.whole(k).Secret.IsZero() && (!lists || k.Key.ID == "")
}

// buried records the proof of a death.
func (d *drive) buried(k *keyState, how string) {
	k.DeadAt, k.Proof, k.Problem, k.Retry = time.Now(), how, nil, retry{}
	d.emit(Event{Kind: EventDead, Text: k.Key.String() + " is dead: " + how})
}
