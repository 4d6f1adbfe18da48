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
	"time"
)

// Advance begins a rotation of name if one is due, carries on the one that is open, and settles debts: everything that can
// be done now. It never sleeps. If another process is driving, it returns that status and no error.
func (r *Rotator) Advance(ctx context.Context, name string) (Status, error) {
	return r.advance(ctx, name, nil)
}

// Rotate is Advance with a rotation that begins now, due or not. If one is open, or ended that was begun under the same
// Trigger.ID, it joins that one. Under a hold it is an error, and nothing begins. It takes as long as issuing, proving and the first deployments take.
func (r *Rotator) Rotate(ctx context.Context, name string, t Trigger) (Status, error) {
	joined := func(st *state) bool { return st.Run != nil || t.ID != "" && st.triggered(t.ID) }
	return r.advance(ctx, name, &command{joined: joined, strict: true, do: func(d *drive) error {
		if joined(d.st) {
			return nil
		}
		d.begin(Standard, t.Reason, t.ID)
		return nil
	}})
}

// triggered reports whether a rotation that ended was begun under the trigger.
func (st *state) triggered(id string) bool {
	return slices.Contains(st.Triggers, id)
}

// command is what a method does before the rotation is carried on. It needs the lease: while another process drives, it
// fails with ErrConflict, unless that is doing the same.
type command struct {
	joined func(*state) bool // whoever drives is doing it already; nil: never
	strict bool              // a hold refuses it
	early  bool              // before the store is looked at: what a person decides may concern just that
	do     func(*drive) error
}

// advance takes the lease, does what can be done, and gives the lease back.
func (r *Rotator) advance(ctx context.Context, name string, cmd *command) (Status, error) {
	reg, err := r.registration(name)
	if err != nil {
		return Status{Credential: name, Next: time.Now()}, err
	}
	if err := r.recordLate(ctx, reg); err != nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "an emergency is not recorded yet", slog.String("credential", name), slog.String("problem", publicText(err)))
	}
	e, st, err := r.load(ctx, name)
	if err != nil {
		return Status{Credential: name, Next: time.Now().Add(r.cfg.CallTimeout)}, err
	}
	from, owing := r.owing(name)
	owing = owing && !from.After(time.Now())
	if cmd == nil && st.Lease == nil && st.idle(reg, time.Now()) && !owing {
		r.correct(ctx, reg, e, st)
		return r.sooner(st.status(reg)), nil
	}
	d, st, err := r.acquire(ctx, reg, e, st, politely)
	if err != nil {
		return Status{Credential: name, Next: time.Now().Add(r.cfg.CallTimeout)}, err
	}
	if d == nil {
		r.lookAgain(name, 0) // whoever drives writes when it is due by a policy that may be another one
		if !cmd.done(st) {
			return r.sooner(st.status(reg)), busy(name, st.Lease)
		}
		return r.sooner(st.status(reg)), nil
	}
	err = d.do(cmd)
	return r.sooner(d.st.status(reg)), err
}

// drive is one Advance of one credential by the owner of its lease.
type drive struct {
	r        *Rotator
	ctx      context.Context
	reg      *registration
	st       *state
	revision int64 // of the journal's entry
	began    time.Time

	savedFrom, savedTo time.Time // around the last save, by this machine's clock

	home       string               // the installation's id
	doc        Versions             // what the store holds
	loaded     bool                 // doc is as it was after the last write
	recognised bool                 // what the store held when this Advance began is ours
	fresh      *facts               // what was observed in this Advance; nil after every effect on a presenter or a key
	asked      []Need               // what the last Advance waited for
	trouble0   *Error               // what was wrong at the end of the last Advance
	rest       retry                // and when its step is to be tried again
	verdict    *verdict             // a person's word on drift, for recognise
	called     map[string]time.Time // what Lands was before the calls of this Advance
	unwritten  bool                 // doc was renumbered in memory: the store has to learn it
	supplied   *Key                 // a person's key, instead of a call of Issue
	leaked     map[int64]Key        // values that the caller of Emergency named
	kills      *kills               // revocations of an emergency that are under way
	alarm      *time.Timer          // sends the revocations if the successor takes too long
	unkilled   []error              // those that failed in this Advance
	tasks      []Need               // receivers that a person has to tell of what is compromised
	unclear    []*asking            // attempts that an incident came upon, and of which only a person knows what they made
}

// do is one Advance from beginning to end. It leaves errLost to nobody: that somebody else drives is not an error.
func (d *drive) do(cmd *command) error {
	err := d.work(cmd)
	var refused *refusal
	if err != nil && !errors.Is(err, errLost) && !errors.Is(err, errResting) && !errors.As(err, &refused) && d.emergency() {
		d.st.Run.IssueTried = true // whatever keeps the successor away does not keep the compromised key alive
		d.obligations()
	}
	d.lastFold()
	d.proveDeaths()
	if errors.Is(err, errLost) {
		return d.ejected(cmd)
	}
	var wait *waiting
	var no *refusal
	switch {
	case errors.As(err, &no): // whoever asked has to ask otherwise: nothing has changed
		d.st.Needs, d.st.Problem, d.st.Retry, err = d.asked, d.trouble0, d.rest, no.error
	case errors.Is(err, errResting):
		d.st.Needs, d.st.Problem, err = d.asked, cmp.Or(d.st.Problem, d.trouble0), nil
	case errors.As(err, &wait):
		d.wait(wait)
		err = nil
	case err != nil:
		err = d.trouble(err)
	}
	d.byHand()
	d.offerable()
	d.remind()
	d.deliver()
	if rel := d.release(); rel != nil && !errors.Is(rel, errLost) {
		return errors.Join(append(d.unkilled, err, rel)...)
	} else if rel != nil {
		return d.ejected(cmd)
	}
	return errors.Join(append(d.unkilled, err)...)
}

// ejected reads the state of whoever drives now.
func (d *drive) ejected(cmd *command) error {
	_, st, err := d.r.load(d.ctx, d.reg.Name)
	if err != nil {
		return err
	}
	d.st = st
	d.r.lookAgain(d.reg.Name, 0)
	if !cmd.done(st) {
		return busy(d.reg.Name, st.Lease)
	}
	return nil
}

// done reports whether nothing of a command is left to do for this process.
func (c *command) done(st *state) bool { return c == nil || c.joined != nil && c.joined(st) }

// work checks everything that may have changed since the last Advance, and then takes the steps of the open rotation.
func (d *drive) work(cmd *command) error {
	d.asked, d.st.Needs = d.st.Needs, nil
	d.rest, d.trouble0, d.st.Problem = d.st.Retry, d.st.Problem, nil
	home, err := d.r.installationID(d.ctx)
	if err != nil {
		return err
	}
	d.home = home
	d.obligations()
	d.watchRevocations()
	if err := d.settleAccused(); err != nil {
		return err
	}
	d.obligations()
	if err := d.checkClock(); err != nil {
		return err
	}
	if cmd != nil && cmd.early {
		if err := cmd.do(d); err != nil {
			return &refusal{err}
		}
	}
	if d.held() && !d.emergency() {
		d.lookHeld()
		if cmd != nil && cmd.strict {
			return &refusal{d.refuse("%s", withReason("it is held until "+timeText(d.st.Hold.Until), d.st.Hold.Reason))}
		}
		return &waiting{needs: []Need{d.releaseNeed()}}
	}
	if h := d.st.Hold; h != nil && !d.held() {
		d.st.Hold = nil
		d.emit(Event{Kind: EventWarning, Text: withReason("the hold of "+h.Actor+" is over", h.Reason)})
	}
	if err := d.recognise(); err != nil {
		return err
	}
	if cmd != nil && !cmd.early {
		if err := cmd.do(d); err != nil {
			return &refusal{err}
		}
	}
	if err := d.checkRegistration(); err != nil {
		return err
	}
	if d.reg.webhook {
		d.repay()
	}
	d.watchDeadline()
	if !d.emergency() { // debts can wait until the compromised keys are dead
		d.payDebts()
	}
	d.announce()
	if d.st.Run == nil && !d.st.opening(d.reg, d.began).After(d.began) && cmd == nil {
		d.begin(Standard, d.dueReason(), "")
	}
	if d.st.Run == nil && d.lookDue() {
		if err := d.check(); err != nil {
			return err
		}
	}
	err = d.steps()
	if !errors.Is(err, errLost) {
		d.heartbeat()
	}
	return err
}

// steps takes one step after the other until one has to wait, fails, or the rotation has ended.
func (d *drive) steps() error {
	if d.emergency() && d.st.Retry.At.After(d.began) {
		return errResting // the steps wait for their time; what has to die does not
	}
	for d.st.Run != nil {
		if d.ctx.Err() != nil {
			return nil // the process is ending; whoever comes next carries on here
		}
		d.obligations()
		run := d.st.Run
		err := d.reg.stepOf(run.Strategy, run.Phase).do(d)
		if d.emergency() && run.Phase == PhaseIssue && !run.IssueTried {
			run.IssueTried = true
			if err != nil && !errors.Is(err, errLost) {
				d.obligations() // no successor in time: the key dies regardless, and that may free a slot
				d.fold()
				continue
			}
		}
		var t *turn
		switch {
		case errors.As(err, &t):
			if err := t.take(d); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			d.st.Retry = retry{}
			if d.st.Run == run { // finish has ended it
				run.next(d.reg)
			}
		}
	}
	d.st.Retry = retry{}
	return nil
}

// errResting ends an Advance that came before the time at which its step is to be tried again.
var errResting = errors.New("too early")

// waiting is what a step returns when it cannot go on now although nothing is wrong.
type waiting struct {
	needs []Need
	again bool // nothing announces the change: look again, less and less often
}

func (w *waiting) Error() string { return fmt.Sprintf("waiting for %d facts", len(w.needs)) }

// turn is what a step returns when the rotation goes on somewhere else than at the next step.
type turn struct {
	take func(*drive) error
	why  string
}

func (t *turn) Error() string { return t.why }

// to turns to another phase of the same strategy.
func to(p Phase, why string) error {
	return &turn{why: why, take: func(d *drive) error {
		d.st.Run.Phase = p
		return nil
	}}
}

// refusal is an error of the caller: nothing is wrong with the credential, and nothing is to be retried.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// wait records what the rotation waits for, and tells people when it becomes their turn.
func (d *drive) wait(w *waiting) {
	d.st.Needs = append(d.st.Needs, w.needs...)
	for _, n := range w.needs {
		if n.Kind == NeedPerson && !slices.ContainsFunc(d.asked, func(a Need) bool { return a.ID == n.ID }) {
			d.emit(Event{Kind: EventWaiting, Level: slog.LevelWarn, Consumer: n.Name, Problem: d.st.Problem, Need: n.ID, Verbs: d.possible(n.Verbs), Text: n.Text})
		}
	}
	if w.again {
		r := &d.st.Retry
		r.Looks++
		r.At = time.Now().Add(delay(r.Looks, d.r.cfg.CallTimeout/10, d.slowest(), d.reg.Name))
	} else {
		d.st.Retry = retry{}
	}
	if p := d.st.Problem; p != nil {
		d.place(p)
		d.report(p)
	} else {
		d.st.Cause = ""
	}
}

// trouble records what went wrong, once for each cause, and when to try again.
func (d *drive) trouble(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Err: hide(err)}
	}
	d.place(e)
	d.st.Retry = d.backoff(d.st.Retry, err)
	d.st.Problem = e
	n := d.holdNeed(e)
	var a *asking
	if errors.As(err, &a) {
		n = d.askNeed(a)
	}
	d.st.Needs = append(d.st.Needs, n)
	if n.Kind == NeedPerson {
		d.reportNeed(e, n)
	} else {
		d.report(e)
	}
	return e
}

// asking is a trouble that a person ends, with answers that its diagnosis alone does not tell.
type asking struct {
	problem *Error
	what    string // names the need
	verbs   []Verb
}

// askNeed is what it looks like to whoever answers.
func (d *drive) askNeed(a *asking) Need {
	d.place(a.problem)
	n := d.holdNeed(a.problem)
	n.ID, n.Kind, n.Verbs = d.needID(a.what), NeedPerson, a.verbs
	return n
}

func (a *asking) Error() string { return a.problem.Error() }
func (a *asking) Unwrap() error { return a.problem }

// report tells people of a trouble that is new.
func (d *drive) report(e *Error) { d.reportNeed(e, Need{}) }

// reportNeed is report of a trouble that a person ends, by an answer to n. That it has become theirs to end is new as well.
func (d *drive) reportNeed(e *Error, n Need) {
	cause := e.cause()
	if n.ID != "" {
		cause += "|" + n.ID
	}
	if cause != d.st.Cause {
		d.st.Cause = cause
		d.emit(Event{Kind: EventFailed, Level: slog.LevelWarn, Consumer: e.Consumer, Problem: e, Need: n.ID, Verbs: d.possible(n.Verbs), Text: e.Error()})
		d.r.cfg.Logger.LogAttrs(d.ctx, slog.LevelWarn, "rotation in trouble", slog.String("credential", d.reg.Name), slog.String("problem", e.Error()))
	}
}

// place says where a trouble belongs.
func (d *drive) place(e *Error) {
	e.Credential = d.reg.Name
	if d.st.Run != nil {
		e.Rotation, e.Phase = d.st.Run.ID, d.st.Run.Phase
	}
}

// cause tells one trouble from another: the same one again is not told again.
func (e *Error) cause() string {
	return fmt.Sprint(e.Rotation, "|", e.Phase, "|", e.Consumer, "|", e.Diagnosis)
}

// emergency reports whether the open rotation is one.
func (d *drive) emergency() bool { return d.st.Run != nil && d.st.Run.Strategy == Emergency }

func (d *drive) held() bool { return d.st.Hold != nil && d.st.Hold.Until.After(d.began) }
