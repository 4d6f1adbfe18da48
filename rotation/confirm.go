// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// confirm proves the victims dead. Past the provider's propagation time a key that still lives becomes a debt; in an
// emergency there is no debt, and no end, before every compromised key is dead.
func (d *drive) confirm() error {
	run := d.st.Run
	if err := d.keepTarget(); err != nil {
		return err
	}
	d.fold()
	if d.reg.webhook {
		if err := d.allTold(); err != nil {
			return err
		}
	}
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
			needs = append(needs, d.keyNeed("revoke", victim, victim.Manual, VerbDone))
		case d.emergency():
			n := Need{ID: d.needID("dead"), Kind: NeedRetry, Text: victim.Key.String() + " is not proven dead: " + how}
			if verdict == isUnprovable || !d.mine(victim) {
				n = d.keyNeed("dead", victim, n.Text+"; end it at its provider", VerbSettle)
			}
			needs = append(needs, n)
		case latest(victim.RevokedAt, run.BeganAt).Add(d.reg.Traits.Propagation).After(time.Now()):
			end := latest(victim.RevokedAt, run.BeganAt).Add(d.reg.Traits.Propagation)
			d.st.Problem = &Error{Diagnosis: RevocationPropagating, Evidence: victim.afterwards(how), Action: "wait until " + timeText(end) + ": the provider may take that long; it is asked again by itself"}
			needs = append(needs, Need{ID: d.needID("dead"), Kind: NeedTime, Until: end, Text: "the revocation is not seen everywhere yet"})
		default:
			d.owe(victim, &Error{Diagnosis: RevocationNotEffective, Evidence: victim.afterwards(how), Action: "look at the provider, and end it there if it is alive; it is revoked again now and then. If you know it dead, answer the debt with settle"})
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
			e := &Error{Consumer: c.Name, Diagnosis: VerificationTimeout, Evidence: "it does not work now that the other key is dead", Action: "restart it: the new key is in the store", Err: hide(s.VerifyErr)}
			if why := d.failure(c, s); why.Diagnosis == KeyCached {
				e.Diagnosis, e.Evidence, e.Action = KeyCached, why.Evidence+" now that the other key is dead", why.Action
			}
			return e
		}
	}
	return nil
}

// afterwards says what was seen of a key that should be dead.
func (k *keyState) afterwards(how string) string {
	if k.RevokedAt.IsZero() {
		return k.Key.String() + ": " + how
	}
	return k.Key.String() + " was revoked at " + timeText(k.RevokedAt) + ", and " + how
}

type deathVerdict int

const (
	isUnknown deathVerdict = iota
	isAlive
	isDead
	isUnprovable // no value and no list can ever tell: a person has to look
)

// dead looks for the proof that a key is dead: refused by a verifier that accepts the live one at the same time, or gone from
// a list that shows the live one. An answer of Revoke is no proof, and neither is a verifier that refuses everything.
func (d *drive) dead(k *keyState) (deathVerdict, string) {
	if !k.DeadAt.IsZero() {
		return isDead, k.Proof
	}
	if k.Lands.After(time.Now()) {
		return isUnknown, "the call that makes it can still land"
	}
	if d.reg.webhook {
		return d.forgotten(k)
	}
	young := k.Since.Add(d.reg.Traits.Propagation).After(time.Now()) // it may be refused where it is not known yet
	live := d.living()
	keys, listed, err := d.list()
	if key := d.whole(k); !key.Secret.IsZero() && !(listed && k.disabled()) { // a key that is only disabled is refused too
		err := d.proof(key, d.reg.Policy.Proofs)
		if err == nil || errors.Is(err, errMixed) { // no list outweighs what somebody can still do with it
			k.Unseen = false
			return isAlive, "it is still accepted"
		}
		if errors.Is(err, ErrRejected) && !young && !live.IsZero() && d.verify(live) == nil {
			k.Unseen = false
			return isDead, fmt.Sprintf("refused %d times while the live key was accepted", d.reg.Policy.Proofs)
		}
	}
	if d.whole(k).Secret.IsZero() && (!listed || k.Key.ID == "") {
		return isUnprovable, "nothing can prove it"
	}
	if err != nil || !listed || k.Key.ID == "" || live.ID == "" || d.shared(k.Key) {
		return isUnknown, "nothing proves it"
	}
	if young || time.Since(k.RevokedAt) < max(d.reg.Traits.ListLag, d.reg.Traits.Propagation) { // an edge may not know yet what the list knows
		return isUnknown, "the list may be older than the revocation, or newer than what is accepted"
	}
	has := func(id string) bool {
		return slices.ContainsFunc(keys, func(i KeyInfo) bool {
			return i.Key.ID == id && (!i.Disabled || id == k.Key.ID && !k.DisableSent.IsZero()) // ours, and it can be enabled
		})
	}
	switch {
	case !has(live.ID):
		return isUnknown, "the list does not show the live key"
	case has(k.Key.ID):
		k.Unseen = false
		return isAlive, "it is still listed"
	case k.Unseen:
		return isDead, "never seen: no record names it, and the provider does not list it"
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

// buried records the proof of a death.
func (d *drive) buried(k *keyState, how string) {
	if !k.RevokedAt.IsZero() && !k.Answered { // it was sent, and whoever sent it heard nothing
		d.emit(Event{At: k.RevokedAt, Kind: EventRevoked, Key: k.Key.named(), Text: k.Key.String() + " was revoked; the answer was lost"})
	}
	k.DeadAt, k.Proof, k.Problem, k.Retry = time.Now(), how, nil, retry{}
	e := Event{Kind: EventDead, Key: k.Key.named(), Text: k.Key.String() + " is dead: " + how}
	if k.Unseen { // it may be a slip of the pen: then what leaked is still alive
		e.Level, e.Text = slog.LevelWarn, k.Key.String()+": "+how+"; look whether this is the id that was meant"
	}
	d.emit(e)
}
