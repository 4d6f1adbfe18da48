// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// needID names a need. It holds the rotation and the key it is heading to, so that an answer to one does not fit another.
func (d *drive) needID(what string) string {
	if d.st.Run != nil {
		return fmt.Sprintf("%s.%d/%s", d.st.Run.ID[:6], d.st.Run.Target, what)
	}
	return what
}

// personNeed is something that only a person can do or know.
func (d *drive) personNeed(what, consumer, text string, verbs ...Verb) Need {
	if consumer != "" {
		what += "/" + consumer
	}
	return Need{ID: d.needID(what), Kind: NeedPerson, Name: consumer, Text: text, Verbs: verbs}
}

// keyNeed is something that a person has to do about one key.
func (d *drive) keyNeed(what string, k *keyState, text string, verbs ...Verb) Need {
	return d.personNeed(fmt.Sprintf("%s/%d", what, k.Key.Serial), "", text, verbs...)
}

// what is a need's ID without the rotation that it belongs to.
func (n Need) what() string {
	_, what, found := strings.Cut(n.ID, "/")
	if !found {
		return n.ID
	}
	return what
}

// about finds the key that a keyNeed is about.
func (st *state) about(n Need) *keyState {
	serial, err := strconv.ParseInt(n.ID[strings.LastIndex(n.ID, "/")+1:], 10, 64)
	if err != nil {
		return nil
	}
	return st.key(serial)
}

func (d *drive) releaseNeed() Need {
	h := d.st.Hold
	return Need{ID: "hold", Kind: NeedRelease, Until: h.Until, Text: withReason("held by "+h.Actor, h.Reason)}
}

// again waits for what nothing announces.
func (d *drive) again(needs ...Need) error { return &waiting{needs: needs, again: true} }

// The needs of troubles that a person ends.
const (
	needScopes    = "scopes"    // the new key may do less than the old one
	needAttempts  = "attempts"  // new keys in a row were of no use
	needLost      = "lost/"     // what became of an attempt, by its number
	needSacrifice = "sacrifice" // a receiver would forget what the sender signs with
	needRefused   = "refused"   // a key that the provider lists is refused, and so is every other one
)

// answers are the verbs that a hold admits.
var answers = map[Diagnosis][]Verb{
	Drift:         {VerbAdopt, VerbReassert, VerbRollBack},
	ConsumerGone:  {VerbForget, VerbRollBack},
	ForeignOwner:  {VerbAdopt},
	JournalBehind: {VerbAdopt},
	PartsChanged:  {},
	ClockSkew:     {},
}

// holdNeed is what a trouble looks like to whoever can end it.
func (d *drive) holdNeed(e *Error) Need {
	n := Need{ID: d.needID("retry"), Kind: NeedRetry, Name: e.Consumer, Until: d.st.Retry.At, Text: e.Error()}
	if verbs, ok := answers[e.Diagnosis]; ok {
		n.ID, n.Kind, n.Verbs = d.needID(string(e.Diagnosis)), NeedPerson, verbs
		if e.Consumer != "" {
			n.ID += "/" + e.Consumer
		}
	}
	if e.Action != "" {
		n.Text += ": " + e.Action
	}
	return n
}

// offerable takes back verbs that would be refused.
func (d *drive) offerable() {
	for i := range d.st.Needs {
		d.st.Needs[i].Verbs = d.possible(d.st.Needs[i].Verbs)
	}
}

// possible are those of the verbs that would not be refused.
func (d *drive) possible(verbs []Verb) []Verb {
	run := d.st.Run
	if run != nil && (run.Strategy == Standard && !run.irreversible(d.st) && run.Old != 0 || run.Strategy == RollBack && d.st.key(run.New).live()) {
		return verbs
	}
	return slices.DeleteFunc(slices.Clone(verbs), func(v Verb) bool { return v == VerbRollBack })
}

// backoff is when to try again: exponentially later for each failure in a row, with a jitter that depends on the credential
// and nothing else, or at the time that the provider named. Its scale is the call timeout.
func (d *drive) backoff(r retry, err error) retry {
	r.Failures++
	r.At = time.Now().Add(delay(r.Failures, d.r.cfg.CallTimeout/10, d.slowest(), d.reg.Name))
	var rate *retryAt
	if errors.As(err, &rate) && rate.at.After(r.At) {
		r.At = rate.at
	}
	return r
}

// slowest is the longest time between two tries.
func (d *drive) slowest() time.Duration {
	dead := d.reg.webhook && d.st.Run != nil && !slices.ContainsFunc(d.st.victims(), func(k *keyState) bool { return k.DeadAt.IsZero() })
	if d.emergency() && !dead {
		return d.r.cfg.CallTimeout
	}
	return 30 * d.r.cfg.CallTimeout
}

// delay is a pure function of the number of failures in a row.
func delay(failures int, first, limit time.Duration, name string) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0),
		backoff.WithMaxInterval(limit),
		backoff.WithMaxElapsedTime(0),
	)
	var wait time.Duration
	for range min(failures, 32) {
		wait = b.NextBackOff()
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	jitter := time.Duration(h.Sum32()%21) - 10 // percent
	return wait + wait*jitter/100
}

func levelOf(bad bool) slog.Level {
	if bad {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// idle reports that there is nothing to do before a time that has not come.
func (st *state) idle(reg *registration, now time.Time) bool {
	return st.wake(reg, now).After(now) && st.patient(now)
}

// patient reports that the open rotation has to wait for a time, and for nothing else.
func (st *state) patient(now time.Time) bool {
	switch {
	case st.Run == nil:
		return true
	case st.Run.Strategy == Emergency:
		return st.Look.After(now)
	default:
		return st.Retry.At.After(now)
	}
}

// wake is when there is something to do: the next look at an open rotation, at the current key, at debts and events, the next
// rotation, or the next word to people.
func (st *state) wake(reg *registration, now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) { at = earliest(at, t) }
	look := st.checkAt(reg)
	if !look.IsZero() {
		look = latest(look, st.Retry.At)
	}
	if st.Hold != nil && st.Hold.Until.After(now) && (st.Run == nil || st.Run.Strategy != Emergency) {
		sooner(st.Hold.Until)
		sooner(st.remindAt(reg))
		sooner(look)
		sooner(st.Outbox.retryAt(now))
		return latest(at, now)
	}
	sooner(st.remindAt(reg))
	if st.Run != nil {
		sooner(latest(st.Look, now))
		if st.Run.Strategy != Emergency { // which is looked at often enough
			sooner(look)
		}
	} else {
		sooner(latest(latest(st.opening(reg, now), now), st.Retry.At))
		sooner(st.noticeAt(reg, now))
		if st.Seen.IsZero() && reg.Policy.Jitter > 0 {
			sooner(now)
		}
		sooner(look)
		if st.Problem != nil {
			sooner(st.Retry.At)
		}
	}
	for _, k := range st.debts() {
		sooner(latest(latest(k.Retry.At, st.Retry.At), now))
	}
	sooner(st.Outbox.retryAt(now))
	return at
}

// nextLook is when to look at the open rotation again, decided when an Advance ends.
func (st *state) nextLook(reg *registration, now time.Time, proof time.Duration) time.Time {
	look := st.nextStep(reg, now, proof)
	if st.Run == nil || st.Run.Strategy != Emergency {
		return look
	}
	for _, a := range st.Run.Attempts {
		asked := slices.ContainsFunc(st.Needs, func(n Need) bool { return st.Run.lostOne(n.ID) == a })
		if a.accused() && !asked { // what it made has to die as well
			look = earliest(look, latest(latest(a.SettleAt, st.Settle), now.Add(proof)))
		}
	}
	for _, k := range st.victims() { // killing waits for nothing that the steps wait for
		switch {
		case !k.compromised() || !k.DeadAt.IsZero():
		case k.Answered:
			look = earliest(look, now.Add(proof))
		default:
			look = earliest(look, latest(k.Retry.At, now))
		}
	}
	return look
}

// nextStep is when the steps can go on.
func (st *state) nextStep(reg *registration, now time.Time, proof time.Duration) time.Time {
	if st.Retry.At.After(now) {
		at := st.Retry.At
		if run := st.Run; run != nil && run.Strategy == Standard && !run.Failing.IsZero() {
			if end := run.Failing.Add(reg.Policy.Patience); end.After(now) {
				at = earliest(at, end) // patience ends on time
			}
		}
		for _, n := range st.Needs { // a clock may bring it sooner
			if n.Until.After(now) {
				at = earliest(at, n.Until)
			}
		}
		return at
	}
	var clock time.Time
	for _, n := range st.Needs {
		if n.Until.After(now) {
			clock = earliest(clock, n.Until)
		}
	}
	for _, n := range st.Needs {
		if n.Kind == NeedTime && !n.Until.IsZero() && !n.Until.After(now) {
			return now.Add(proof / floor) // its time has come while this Advance ended
		}
	}
	if len(st.Needs) > 0 && !clock.IsZero() {
		return clock
	}
	if len(st.Needs) > 0 {
		return now.Add(reg.Policy.Patience + time.Second) // a person: looked at now and then
	}
	return now
}

// latest returns the later time.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earliest returns the earlier time; zero is no time.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
