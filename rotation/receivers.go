// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The accepting side of a webhook secret is its receivers, all of them together. This file asks them.

// errBlind is the answer of a receiver that nothing can look into.
var errBlind = recorded("nothing sees what it accepts")

// received asks every receiver whether it accepts what is signed with key. nil: all do. ErrRejected: none does. errMixed: some
// do, or in some places only. Where nothing can look a person's word counts.
func (d *drive) received(key Key) error {
	answers := make([]error, len(d.reg.Bindings))
	shared := d.shared(key)
	var g errgroup.Group
	g.SetLimit(readers)
	if d.emergency() {
		g.SetLimit(-1)
	}
	for i := range d.reg.Bindings {
		b, since, word := &d.reg.Bindings[i], time.Time{}, errBlind
		if run := d.st.Run; run != nil && run.consumer(b.Name) != nil {
			c := run.consumer(b.Name)
			since, word = c.AckedAt, c.word(key)
			switch { // it is where it was when the rotation began
			case c.Sent != 0:
			case key.Serial == run.New && run.New != 0:
				word = refused
			case key.Serial == run.Old && run.Old != 0:
				word = accepted
			}
		}
		g.Go(func() error {
			if answers[i] = d.r.accepts(d.ctx, b, key, since, shared); answers[i] == errBlind {
				answers[i] = word
			}
			return nil
		})
	}
	_ = g.Wait() // each receiver has its own answer
	return together(d.reg.Bindings, answers)
}

// word is what a person has said that a receiver accepts.
func (c *consumerState) word(key Key) recorded {
	sworn := slices.Contains(strings.Split(c.Sworn, setSeparator), serialText(key.Serial))
	switch {
	case sworn && c.holds(key.Serial): // in the set that was looked at, and in every one since
		return accepted
	case c.Sworn != "" && c.Sworn == c.Holds:
		return refused
	default:
		return errBlind
	}
}

// accepted and refused are a person's word; together reads them.
const (
	accepted = recorded("accepted")
	refused  = recorded("refused")
)

// together is one answer of many receivers.
func together(bindings []binding, answers []error) error {
	var yes, no, unknown []string
	var first error
	for i, err := range answers {
		switch name := bindings[i].Name; {
		case err == nil || err == accepted:
			yes = append(yes, name)
		case err == refused || errors.Is(err, ErrRejected):
			no = append(no, name)
		case errors.Is(err, errMixed):
			yes, no = append(yes, name), append(no, name)
		default:
			unknown = append(unknown, name)
			if first == nil || first == errBlind {
				first = err
			}
		}
	}
	switch {
	case len(no) == 0 && len(unknown) == 0:
		return nil
	case len(yes) == 0 && len(unknown) == 0:
		return ErrRejected
	case len(yes) > 0:
		return &Error{Evidence: "accepted by " + some(yes) + ", and not by " + some(append(no, unknown...)), Err: errMixed}
	default:
		return &Error{Evidence: "not known of " + some(unknown), Err: hide(first)}
	}
}

// accepts asks one receiver, as of a time: by a delivery that is signed for it, and by what its processes say. Where both can
// be had they have to agree. An id that other keys have too tells nothing.
func (r *Rotator) accepts(ctx context.Context, b *binding, key Key, since time.Time, shared bool) error {
	var answers []error
	if b.Verifier != nil && !key.Secret.IsZero() {
		err := guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error { return b.Verifier.Verify(ctx, key) })
		if !unsupported(err) {
			answers = append(answers, err)
		}
	}
	if b.Observer != nil {
		asked := time.Now()
		instances, err := guarded(ctx, r.cfg.CallTimeout, b.Observer.Observe)
		switch {
		case unsupported(err):
		case err != nil:
			answers = append(answers, err)
		default:
			answers = append(answers, seenAccepting(instances, key, window{since, asked, r.cfg.ClockSkew}, shared))
		}
	}
	answer := error(errBlind)
	for i, err := range answers {
		switch {
		case err != nil && !errors.Is(err, ErrRejected):
			return err
		case i == 0:
			answer = err
		case (answer == nil) != (err == nil):
			return errMixed
		}
	}
	return answer
}

// seenAccepting reads what the processes of a receiver say: each shows one instance for each key that it accepts.
func seenAccepting(instances []Instance, key Key, w window, shared bool) error {
	now := time.Now()
	takes := map[string]bool{}
	for _, i := range instances {
		at := i.AsOf
		if at.IsZero() {
			at = now
		}
		if !w.fresh(at, now) {
			return &Error{Evidence: i.Name + " was last seen before it was told"}
		}
		takes[i.Name] = takes[i.Name] || uses(i.Key, key, shared)
	}
	with, without := 0, 0
	for _, yes := range takes {
		if yes {
			with++
		} else {
			without++
		}
	}
	switch {
	case len(takes) == 0:
		return &Error{Evidence: "it shows no instance, which is no evidence"}
	case without == 0:
		return nil
	case with == 0:
		return ErrRejected
	default:
		return errMixed
	}
}

// forgotten looks for the proof that a secret is dead: every receiver refuses it, and accepts the live one, when nothing can change
// that any more.
func (d *drive) forgotten(k *keyState) (deathVerdict, string) {
	key := d.whole(k)
	lost := key.Secret.IsZero()
	if never := !k.Stored && !k.Lost && !k.Unseen && k.Leaked == ""; lost && never && k.Answered {
		return isDead, "ended at the sender, and no receiver was ever given it"
	}
	if at := d.landed(); at.After(time.Now()) {
		return isUnknown, "a call that tells a receiver what to accept can still land"
	}
	switch err := d.proof(key, d.reg.Policy.Proofs); {
	case err == nil:
		return isAlive, "every receiver accepts it"
	case errors.Is(err, errMixed):
		return isAlive, publicText(err)
	case lost && !errors.Is(err, ErrRejected):
		return isUnprovable, "its value is not known"
	case !errors.Is(err, ErrRejected):
		return isUnknown, publicText(err)
	}
	live := d.living()
	if live.IsZero() { // who refuses everything proves nothing
		return isUnknown, "there is no live secret to compare with"
	}
	if err := d.verify(live); err != nil {
		return isUnknown, "the live one is not accepted by every receiver: " + publicText(err)
	}
	return isDead, fmt.Sprintf("refused %d times by every receiver, while the live one was accepted", d.reg.Policy.Proofs)
}

// seeReceiver asks one receiver how it takes the target.
func (d *drive) seeReceiver(b *binding, c *consumerState, key Key) sight {
	err := d.r.accepts(d.ctx, b, key, c.AckedAt, d.shared(key))
	if err == errBlind {
		return sight{Blind: true}
	}
	return sight{Verifiable: true, VerifyErr: err}
}

// labelOf names a set of keys.
func labelOf(keys []Key) string {
	var serials []int64
	for _, k := range keys {
		serials = append(serials, k.Serial)
	}
	return labelOfSerials(serials)
}

func labelOfSerials(set []int64) string {
	var serials []string
	for _, serial := range set {
		serials = append(serials, serialText(serial))
	}
	if len(serials) == 0 {
		return "none"
	}
	return strings.Join(serials, setSeparator)
}

const setSeparator = "+"

func serialText(serial int64) string { return fmt.Sprint(serial) }
