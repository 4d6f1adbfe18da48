// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// happen has the plot happen: one process, and if it dies another one.
func (u *universe) happen(ctx context.Context) {
	first := u.process("process 1", u.fault)
	begin := (*universe).rotate
	if !u.plot.begins {
		begin = (*universe).declare
	}
	ended := u.drive(ctx, first, begin)
	u.calls = first.all()
	last := first
	if !ended && !u.isBroken() {
		last = u.process("process 2", fault{})
		if u.plot.ends {
			begin = (*universe).declare
		}
		ended = u.drive(ctx, last, begin)
	}
	if ended && u.fault.mishap == landsLate {
		u.land(ctx)
		ended = u.drive(ctx, last, begin)
	}
	if ended {
		last.disarm()
		u.ending(ctx, last)
	}
}

// land lets what was held up arrive.
func (u *universe) land(ctx context.Context) {
	if v, err := u.Store.Load(ctx, u.Credential); err == nil {
		u.loaded(u.Credential, v)
	}
	close(u.late)
	u.landing.Wait()
}

// process starts one, with a rotator of its own.
func (u *universe) process(name string, f fault) *process {
	p := &process{u: u, name: name, fault: f, count: map[string]int{}}
	cred := rotation.Credential{
		Name: u.Credential, Type: rotation.APIKey, Issuer: p.issuer(), Verifier: verifierSeam{p, "Verify", u.verifier}, Store: storeSeam{p},
		Policy: rotation.Policy{
			Overlap: u.pace.overlap, Quiet: u.pace.quiet, Patience: u.pace.patience,
			AllowProviderDeadline: u.traits.Grace > 0, AllowOutage: u.traits.KillsOld,
		},
	}
	for i, pr := range u.presenters {
		b := pr.Binding
		b.Consumer = consumerSeam{p, pr}
		works := b.Verifier
		if works == nil {
			works, _ = rotation.As[rotation.Verifier](pr.Consumer)
		}
		if i+1 == u.plot.breaks {
			works = breaks{works}
		}
		if works != nil {
			b.Verifier = verifierSeam{p, "Verify " + b.Name, works}
		}
		cred.Consumers = append(cred.Consumers, b)
	}
	var err error
	p.rotator, err = rotation.New(rotation.Config{
		Journal: journalSeam{p}, Credentials: []rotation.Credential{cred}, Sinks: []rotation.Sink{sink{u}}, Actor: name,
		Logger: slog.New(slog.NewTextHandler(&u.said, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lease:  u.pace.lease, CallTimeout: u.pace.call, ClockSkew: u.pace.skew,
	})
	if err != nil {
		u.violate("This cannot be simulated", "%s", u.safe(err))
	}
	return p
}

// breaks is the verifier of a consumer that does not work with any key but the first one.
type breaks struct{ inner rotation.Verifier }

func (b breaks) Unwrap() rotation.Verifier { return b.inner }

func (b breaks) Verify(ctx context.Context, key rotation.Key) error {
	switch {
	case key.Generation > 1:
		return errors.New("it does not start")
	case b.inner == nil:
		return nil
	default:
		return b.inner.Verify(ctx, key)
	}
}

// sink takes down what is said in events.
type sink struct{ u *universe }

func (sink) Identity() string { return "rotationtest simulation" }

func (s sink) Deliver(_ context.Context, e rotation.Event) error {
	s.u.hear(e)
	return nil
}

// hear takes down what is said for the record.
func (u *universe) hear(v any) {
	switch v := v.(type) {
	case nil:
	case error:
		_, _ = u.said.Write([]byte(texts(v)))
	default:
		text, err := json.Marshal(v)
		_, _ = u.said.Write(text)
		_, _ = fmt.Fprintf(&u.said, "%v %+v %v\n", v, v, err)
	}
}

// rotate asks for a rotation.
func (u *universe) rotate(ctx context.Context, p *process) (bool, error) {
	st, err := p.rotator.Rotate(ctx, u.Credential, rotation.Trigger{ID: "once", Reason: "simulation"})
	return err == nil || st.Open != nil || st.Last != nil, err
}

func (u *universe) reference() string { return "INC-" + u.Credential }

// firstTime reports whether nobody declared the emergency before.
func (u *universe) firstTime() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	first := !u.declared
	u.declared = true
	return first
}

// declare declares an emergency: what was made until now is compromised.
func (u *universe) declare(ctx context.Context, p *process) (bool, error) {
	if u.firstTime() {
		u.note(p.name + " learns of the emergency")
		u.excuse(rotation.Key{})
	}
	_, err := p.rotator.Emergency(ctx, rotation.Incident{Reference: u.reference(), Credentials: []string{u.Credential}, Reason: "simulation"})
	return err == nil, err
}

// patience of the driver, in looks.
const looks = 400

// drive has a process do its work until the rotation has ended and nothing is owed, or it is dead.
func (u *universe) drive(ctx context.Context, p *process, begin func(*universe, context.Context, *process) (bool, error)) (ended bool) {
	if p.rotator == nil {
		return false
	}
	begun, deadline := false, time.Now().Add(u.pace.limit)
	st, err := p.rotator.Status(ctx, u.Credential)
	for range looks {
		if !p.alive() || u.isBroken() {
			return false
		}
		if !begun {
			begun, err = begin(u, ctx, p)
			u.hear(err)
			st, err = p.rotator.Status(ctx, u.Credential)
		}
		u.hear(err)
		if err == nil && begun && u.done(ctx, p, st) {
			return true
		}
		u.assist(ctx, p, st)
		nap := min(max(time.Until(st.Next), u.pace.nap), max(u.pace.overlap, u.pace.lease))
		if wait(ctx, nap) != nil || time.Now().After(deadline) {
			break
		}
		touched, swept := p.rotator.Sweep(ctx)
		u.hear(swept)
		if len(touched) == 1 {
			st, err = touched[0], nil
		} else {
			st, err = p.rotator.Status(ctx, u.Credential)
		}
	}
	if p.alive() {
		u.violate("Every rotation ends as it should, without a person", "it does not end:\n%s", u.standstill(st))
	}
	return false
}

// done reports whether nothing is left to do.
func (u *universe) done(ctx context.Context, p *process, st rotation.Status) bool {
	if st.Open != nil || st.Last == nil || len(st.Debts) > 0 {
		return false
	}
	u.mu.Lock()
	declared := u.declared
	u.mu.Unlock()
	if !declared {
		return true
	}
	report, err := p.rotator.Incident(ctx, u.reference())
	u.hear(err)
	return err == nil && report.Done()
}

// standstill says where a rotation stands that does not go on.
func (u *universe) standstill(st rotation.Status) string {
	text := strings.TrimRight(st.String(), "\n")
	if st.Open != nil && st.Open.Problem != nil && st.Open.Problem.Action != "" {
		text += "\n  action      " + st.Open.Problem.Action
	}
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// assist plays the person where no part can know: whether an issuer that does not list has made a key, whether a key that
// nobody has the value of is dead, which key a consumer uses that nobody can see. The fakes can tell all of that.
func (u *universe) assist(ctx context.Context, p *process, st rotation.Status) {
	if u.sim.Issuer == nil && u.sim.Consumer == nil {
		return
	}
	answer := func(need string, verb rotation.Verb, id string) {
		_, err := p.rotator.Resolve(rotation.WithActor(ctx, "a person"), u.Credential, rotation.Answer{Need: need, Verb: verb, KeyID: id})
		u.hear(err)
		if err == nil {
			u.note("a person answers: " + string(verb) + " " + id)
			u.mu.Lock()
			u.persons++
			u.mu.Unlock()
		}
	}
	settles := slices.ContainsFunc(st.Needs, func(n rotation.Need) bool {
		return n.Kind == rotation.NeedQuiet || n.Kind == rotation.NeedTime // and then it may be known
	})
	for _, n := range st.Needs {
		switch {
		case slices.Contains(n.Verbs, rotation.VerbAttest) && !settles && u.movedOn(ctx, n.Name):
			answer(n.ID, rotation.VerbAttest, "")
		case !slices.Contains(n.Verbs, rotation.VerbSettle):
		case strings.Contains(n.ID, "/lost/"): // what became of an attempt
			answer(n.ID, rotation.VerbSettle, u.whatWasMade(ctx, n.Text))
		case u.onlyCurrentLives(ctx):
			answer(n.ID, rotation.VerbSettle, "")
		}
	}
	for _, d := range st.Debts {
		if _, lists, _ := u.list(ctx); lists {
			continue
		}
		key, known := u.whole(d.Key)
		if known && errors.Is(u.verifier.Verify(ctx, key), rotation.ErrRejected) {
			answer(d.ID, rotation.VerbSettle, "")
		}
	}
}

// whatWasMade looks for a key by its name in what a need says. One that has no id is ended by hand.
func (u *universe) whatWasMade(ctx context.Context, text string) string {
	for _, k := range u.keys() {
		if k.Name != "" && strings.Contains(text, k.Name) {
			if k.ID == "" {
				u.hear(u.issuer.Revoke(ctx, k))
			}
			return k.ID
		}
	}
	return ""
}

// movedOn reports whether a consumer uses the newest key.
func (u *universe) movedOn(ctx context.Context, name string) bool {
	v, err := u.Store.Load(ctx, u.Credential)
	current := v.Key(rotation.RoleCurrent)
	for _, p := range u.presenters {
		if err == nil && p.Name == name {
			return u.holdsOnly(ctx, p, current)
		}
	}
	return false
}

func (u *universe) holdsOnly(ctx context.Context, p *presenter, key rotation.Key) bool {
	seen, err := p.holds(ctx)
	return err == nil && len(seen) > 0 && !slices.ContainsFunc(seen, func(k rotation.Key) bool {
		own, known := u.whole(k)
		return !known || !own.Secret.Equal(key.Secret)
	})
}

// onlyCurrentLives reports whether every key but the current one is refused.
func (u *universe) onlyCurrentLives(ctx context.Context) bool {
	v, err := u.Store.Load(ctx, u.Credential)
	current := v.Key(rotation.RoleCurrent)
	for _, k := range u.keys() {
		if err != nil || !k.Secret.Equal(current.Secret) && !errors.Is(u.verifier.Verify(ctx, k), rotation.ErrRejected) {
			return false
		}
	}
	return true
}
