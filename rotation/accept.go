// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/secret"
)

// accept brings every receiver to accept the target, beside what the sender signs with today, and looks whether each does.
func (d *drive) accept() error {
	run := d.st.Run
	if d.neverLeft() {
		return nil
	}
	if d.emergency() {
		d.fold() // what has to die is on its way to the same receivers
	}
	if err := d.read(); err != nil {
		return err
	}
	if err := d.deploy(run.Consumers, RolePending); err != nil {
		return err
	}
	for _, c := range run.Consumers { // one that holds both was told of each
		if c.holds(run.Target) {
			c.Acked = run.Target
		}
	}
	if err := d.gullible(); err != nil {
		return d.failing(err)
	}
	if err := d.adopted(run.Consumers); err != nil {
		var turned *turn
		if !errors.As(err, &turned) && d.overtaken() {
			return to(run.Phase, "a receiver does not hold what it was told")
		}
		return err
	}
	if needs := d.landing(); len(needs) > 0 && !d.emergency() { // and then it is looked once more
		return &waiting{needs: needs}
	}
	return d.sworn("nothing can see which secrets it accepts: look, and attest that it accepts generation %d")
}

// holds reports whether a set that a receiver was told has a key.
func (c *consumerState) holds(serial int64) bool {
	return slices.Contains(strings.Split(c.Holds, setSeparator), serialText(serial))
}

// neverLeft reports whether a roll-back finds the sender where it always was: then only the receivers have heard of the new secret.
func (d *drive) neverLeft() bool {
	run := d.st.Run
	other := d.st.key(run.New)
	return d.reg.webhook && run.Strategy == RollBack && (other == nil || !other.Presented)
}

// wanted are the serials that every receiver has to accept, newest first.
func (st *state) wanted() []int64 {
	var serials []int64
	for serial, w := range st.roles() {
		if w.Role != RoleRetiring && !w.Compromised {
			serials = append(serials, serial)
		}
	}
	slices.Sort(serials)
	slices.Reverse(serials)
	return serials
}

// toldAll reports whether a receiver was told everything that it has to accept. A value that the store has lost is no order to forget
// it: whoever holds it goes on.
func (d *drive) toldAll(c *consumerState) bool {
	return c.Holds != "" && c.Holds == c.Offered && (c.Holds == labelOfSerials(d.st.wanted()) || c.Holds == labelOf(d.acceptSet()))
}

// sacrifice asks a person before a receiver is told to forget what the sender signs with, because nobody knows its value any more,
// or nobody ever put it into the store.
func (d *drive) sacrifice(todo []*consumerState) error {
	run := d.st.Run
	if d.emergency() || run.Sacrificed || d.reg.Policy.AllowOutage || run.NoOverlap {
		return nil
	}
	what := ""
	for _, serial := range d.st.wanted() {
		if k := d.st.key(serial); k.Presented && d.value(serial).IsZero() {
			what = "the store has lost the value of " + k.Key.String()
		}
	}
	if run.Old == 0 && what == "" {
		for _, c := range todo {
			if b := d.reg.binding(c.Name); b != nil && c.Sent == 0 && d.acceptsStrangers(b) {
				what = b.Name + " accepts a secret that is not in the store"
			}
		}
	}
	if what == "" {
		return nil
	}
	problem := &Error{Evidence: what + ", and the sender may be signing with it", Action: "put it into the store, or answer with done: then deliveries are refused from the moment the receivers are told until the sender is"}
	return &asking{problem, needSacrifice, []Verb{VerbDone, VerbRollBack}}
}

// acceptsStrangers reports whether a receiver shows a key that no record names.
func (d *drive) acceptsStrangers(b *binding) bool {
	if b.Observer == nil {
		return false
	}
	instances, err := guarded(d.ctx, d.r.cfg.CallTimeout, b.Observer.Observe)
	return err == nil && slices.ContainsFunc(instances, func(i Instance) bool {
		return !i.Key.IsZero() && !slices.ContainsFunc(d.st.Keys, func(k *keyState) bool { return uses(i.Key, k.Key, false) })
	})
}

// acceptSet is what every receiver has to accept, newest first: the journal decides, the store has the values.
func (d *drive) acceptSet() []Key {
	want := d.st.roles()
	keys := []Key{} // nothing is an order too
	for _, k := range d.doc.Keys {
		if w, known := want[k.Key.Serial]; known && w.Role != RoleRetiring && !w.Compromised {
			keys = append(keys, k.Key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(b.Serial, a.Serial) })
	return keys
}

// gullible asks every receiver about a secret that nobody has: one that accepts it verifies nothing, and what it says of others
// is worth nothing.
func (d *drive) gullible() error {
	nobodys := Key{ID: "a secret that nobody has", Secret: secret.Random(32)}
	for i := range d.reg.Bindings {
		b := &d.reg.Bindings[i]
		if b.Verifier == nil || d.st.Run.consumer(b.Name) == nil {
			continue
		}
		err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return b.Verifier.Verify(ctx, nobodys) })
		if err == nil {
			return &Error{Consumer: b.Name, Evidence: "it accepts a delivery that was signed with a secret nobody has", Action: "make it verify: whatever it says of a secret proves nothing"}
		}
		if !errors.Is(err, ErrRejected) && !unsupported(err) {
			return &Error{Consumer: b.Name, Evidence: "it is not known whether it refuses anything", Err: hide(err)}
		}
	}
	return nil
}

// sworn asks people about the receivers that nothing can look into. What they deployed by hand they have seen.
func (d *drive) sworn(text string) error {
	var needs []Need
	for _, c := range d.st.Run.Consumers {
		b := d.reg.binding(c.Name)
		if b == nil || c.Sent == 0 || c.Verified == d.st.Run.Target || c.Sworn == c.Holds || d.r.accepts(d.ctx, b, d.value(d.st.Run.Target), c.AckedAt, false) != errBlind {
			continue
		}
		needs = append(needs, d.personNeed("attest", c.Name, fmt.Sprintf("%s: "+text, c.Name, generationOf(d.st.key(d.st.Run.Target))), VerbAttest, VerbRollBack))
	}
	if len(needs) > 0 {
		return d.again(needs...)
	}
	return nil
}

// notAccepting is what is wrong with a receiver that was told of a secret and does not take it.
func notAccepting(name string, err error) *Error {
	e := &Error{Consumer: name, Evidence: "it was told to accept the secret, and that is not seen", Err: hide(err)}
	switch {
	case errors.Is(err, ErrRejected):
		e.Diagnosis, e.Evidence, e.Action = ConsumerNotUpdated, "it was told to accept the secret, and refuses it", "restart it"
	case errors.Is(err, errMixed):
		e.Diagnosis, e.Evidence, e.Action = PartialRollout, "some of its processes accept the secret, and others refuse it", "wait for the rollout, or restart them"
	}
	return e
}

// drop has every receiver forget the victims, on facts that are observed in this Advance; the store stops serving them first, for
// whoever reads it. From its intent on there is only forward.
func (d *drive) drop() error {
	run := d.st.Run
	due := slices.ContainsFunc(d.st.victims(), func(k *keyState) bool { return k.DeadAt.IsZero() && !k.Answered })
	if !due {
		if err := d.deploy(run.Consumers, RoleCurrent); err != nil { // who did not do what it was told
			return d.lateDrop(err)
		}
		return d.cleanSender()
	}
	if !run.irreversible(d.st) {
		if err := d.nobodyBehind(); err != nil {
			return err
		}
		if err := d.inWindow(); err != nil {
			return err
		}
	}
	err := d.passGate()
	if err == nil && d.ping() { // what the sender would sign with at this moment
		d.fresh = nil
		err = d.passGate()
	}
	if err != nil {
		if run.irreversible(d.st) {
			return err
		}
		return inSoak(err)
	}
	for _, victim := range d.st.victims() {
		victim.Condemned = true // whether this library may end it or not: it is served to nobody
		if why := d.untouchable(victim); why != nil {
			d.owe(victim, why)
		} else if victim.RevokedAt.IsZero() {
			victim.RevokedAt = time.Now()
		}
	}
	if err := d.save(); err != nil {
		return err
	}
	if err := d.project(nil); err != nil {
		return err
	}
	if err := d.deploy(run.Consumers, RoleCurrent); err != nil {
		return d.lateDrop(err)
	}
	for _, victim := range d.st.victims() {
		_ = d.revoked(victim, victim.RevokedAt, nil) // which has no error of its own
	}
	return d.cleanSender()
}

// reprieve takes the intent of a drop back as long as nothing has come of it: the gate is asked again, and whatever has become of the
// store in the meantime is judged as if there had been none.
func (d *drive) reprieve() {
	run := d.st.Run
	if !d.reg.webhook || run == nil || run.Strategy == Emergency {
		return
	}
	for _, victim := range d.st.victims() {
		begun := !victim.Condemned || victim.RevokedAt.IsZero() || victim.compromised() || victim.Answered || !victim.DebtSince.IsZero()
		for _, c := range run.Consumers { // who is on a list of the record before it is told
			begun = begun || c.Sent != 0 && !slices.Contains(strings.Split(c.Offered, setSeparator), serialText(victim.Key.Serial))
		}
		for _, k := range d.doc.Keys { // and who follows the store has forgotten it
			begun = begun || k.Key.Serial == victim.Key.Serial && k.Role == RoleRetiring
		}
		if !begun {
			victim.Condemned, victim.RevokedAt = false, time.Time{}
		}
	}
}

// lateDrop waits for a person, and for receivers that do not answer as long as patience lasts; then the secret is a debt.
func (d *drive) lateDrop(err error) error {
	var w *waiting
	if errors.As(err, &w) || errors.Is(err, errLost) || time.Since(d.st.Run.Failing) < d.reg.Policy.Patience {
		return err
	}
	d.st.Run.Failing = time.Time{}
	for _, victim := range d.st.victims() {
		d.owe(victim, &Error{Evidence: "not every receiver was told to forget it"})
	}
	return nil
}

// endAtSender ends what the provider still holds of a secret that no receiver is to accept any more.
func (d *drive) endAtSender(k *keyState) error {
	held := k.Key.ID != "" && slices.ContainsFunc(d.st.Keys, func(o *keyState) bool {
		return o.Key.ID == k.Key.ID && o != k && o.live() && o.DeadAt.IsZero() // the id is the webhook's, whatever it signs with
	})
	if held {
		return nil
	}
	if k.Issuer != "" && k.Issuer != d.reg.parts.Issuer {
		d.note(slog.LevelWarn, k.Key.String()+" is accepted by nobody any more; end it at its sender, "+k.Issuer)
		return nil
	}
	key := d.whole(k)
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Issuer.Revoke(ctx, key) })
	switch {
	case errors.Is(err, ErrManual):
		d.emit(Event{Kind: EventWaiting, Level: slog.LevelWarn, Text: k.Key.String() + " is accepted by nobody any more: " + publicText(err)})
		return nil
	case errors.Is(err, ErrNotFound):
		return nil
	default:
		return err
	}
}
