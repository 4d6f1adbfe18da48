// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// planner makes a Plan: the engine's own functions on a copy of the record that is thrown away.
type planner struct {
	d       *drive
	plan    Plan
	usage   map[string]Usage // of listed keys whose use the issuer reports, by id
	blind   map[string]bool  // consumers that can say neither which key they use nor that anything is wrong: asked now
	silent  map[string]bool  // consumers that nothing can verify: asked now
	at      time.Time        // where the prediction stands
	reading bool             // the store was read, and is what the journal expects
}

// errPlanned is what a write meets that a plan comes to all the same.
var errPlanned = recorded("a plan writes nothing")

// readOnly parts make sure that a plan changes nothing, whatever function of the engine it uses.
type readOnlyJournal struct{ Journal }

func (readOnlyJournal) Save(context.Context, Entry) error { return errPlanned }

type readOnlyStore struct{ SecretStore }

func (readOnlyStore) Save(context.Context, string, Versions) error { return errPlanned }
func (s readOnlyStore) Unwrap() SecretStore                        { return s.SecretStore }

// scratch is a drive without a lease, on a copy of the record, that can read and not write.
func (r *Rotator) scratch(ctx context.Context, reg *registration) (*drive, error) {
	_, st, err := r.load(ctx, reg.Name)
	if err != nil {
		return nil, err
	}
	home, err := r.knownInstallation(ctx)
	if err != nil {
		return nil, err
	}
	cfg := r.cfg
	cfg.Journal, cfg.Sinks, cfg.Logger = readOnlyJournal{r.cfg.Journal}, nil, slog.New(slog.DiscardHandler)
	own := *reg
	own.Store = readOnlyStore{reg.Store}
	st.Outbox = outbox{} // nobody is told of what is only thought
	return &drive{r: &Rotator{cfg: cfg}, ctx: ctx, reg: &own, st: st, home: home, began: time.Now()}, nil
}

func (p *planner) block(e *Error) {
	e.Credential = p.plan.Credential
	p.plan.Blockers = append(p.plan.Blockers, e)
}

func (p *planner) warn(e *Error) {
	e.Credential = p.plan.Credential
	p.plan.Warnings = append(p.plan.Warnings, e)
}

// asError takes any error of the engine for the plan.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		own := *e
		own.Rotation = ""
		return &own
	}
	return &Error{Err: hide(err)}
}

// look reads what is there, before anything is imagined.
func (p *planner) look() {
	d := p.d
	p.usage, p.blind, p.silent = map[string]Usage{}, map[string]bool{}, map[string]bool{}
	if err := d.read(); err != nil {
		p.block(asError(err))
	} else if e := judge(d.st, d.doc, d.home).finding(); e != nil {
		p.block(e)
	} else {
		p.reading = true
		if d.st.Current == 0 && !d.st.Claimed {
			d.meetCurrent()
		}
	}
	current := d.st.key(d.st.Current)
	p.plan.Due, p.plan.DueBy = dueAt(d.reg, current), explain(d.reg, d.st, p.plan.AsOf).Rule.Text
	p.list(current)
	bound, _, err := d.r.countBindings(d.ctx, d.reg)
	for _, e := range bound.findings() {
		p.warn(e)
	}
	if err != nil {
		p.warn(asError(err))
	}
	p.traits()
}

// list takes what the issuer tells of its keys.
func (p *planner) list(current *keyState) {
	keys, listed, err := p.d.list()
	switch {
	case err != nil:
		p.block(asError(err))
		return
	case !listed && !p.d.reg.webhook:
		p.warn(&Error{Diagnosis: AmbiguousIssue, Evidence: "the issuer does not list its keys: a lost answer becomes a question to a person, and nothing shows whether the old key is still used"})
		return
	}
	for _, k := range keys {
		if !k.Usage.AsOf.IsZero() && k.Key.ID != "" {
			p.usage[k.Key.ID] = k.Usage
		}
		if current != nil && k.Key.ID == current.Key.ID && k.Key.ID != "" {
			p.plan.Scopes = k.Scopes
		}
	}
}

// traits warns of what the provider does by itself.
func (p *planner) traits() {
	reg := p.d.reg
	need := overlapNeed(reg, p.d.r.cfg.ClockSkew)
	name, lag := reg.slowest()
	if g := reg.Traits.Grace; g > 0 && g < need {
		p.warn(&Error{Diagnosis: GraceTooShort, Consumer: name, Evidence: fmt.Sprintf("the provider ends the old key %v after issuing, and everybody has moved for certain only after %v (this consumer: %v)", g, need, lag), Action: "make it faster, or use an issuer that creates and deletes"})
	} else if g > 0 {
		p.warn(&Error{Evidence: fmt.Sprintf("the provider ends the old key %v after issuing, whether or not every consumer has moved", g)})
	}
	if reg.Traits.KillsOld {
		p.warn(&Error{Evidence: "issuing ends the old key at once: whoever uses it is out until it has the new one"})
	}
	if len(reg.Bindings) == 0 {
		p.warn(&Error{Evidence: "no consumer is bound: nobody is waited for, and the old key dies when the overlap is over", Action: "bind whoever uses it"})
	}
}

// open makes of the record what the strategy would make of it. false: there is nothing to tell the steps of.
func (p *planner) open(s Strategy) bool {
	st := p.d.st
	if st.Run != nil {
		p.plan.Open = st.record(p.d.reg, time.Now()).summary()
	}
	if l := st.Lease; l != nil {
		p.warn(&Error{Evidence: "it is being driven by " + l.Actor + " now"})
	}
	if h := st.Hold; h != nil && h.Until.After(time.Now()) {
		e := &Error{Evidence: withReason("it is held until "+when(h.Until)+" by "+h.Actor, h.Reason)}
		if s == Emergency {
			p.warn(e)
		} else {
			e.Action = "release it with Hold"
			p.block(e)
		}
	}
	switch s {
	case Emergency:
		return p.openEmergency()
	case RollBack:
		return p.openRollBack()
	default:
		return p.openStandard()
	}
}

func (p *planner) openStandard() bool {
	d := p.d
	if d.st.Run != nil {
		p.warn(&Error{Evidence: fmt.Sprintf("a %s rotation is open: Rotate carries it on, and begins no other one", d.st.Run.Strategy)})
		p.unchanged()
		return true
	}
	d.begin(Standard, "", "")
	if !p.reading {
		return true
	}
	p.proveOld()
	p.parts(p.block)
	if err := d.checkSlots(); err != nil {
		p.block(asError(err))
	}
	if from := d.st.key(d.succeeded().Serial); from != nil && from.Spent {
		p.block(&Error{Diagnosis: AmbiguousIssue, Evidence: "a key was made from " + from.Key.String() + " before, and asking again with it could end every key", Action: "make a key at the provider, and hand it over with Supply"})
	}
	p.consumers()
	return true
}

func (p *planner) openRollBack() bool {
	d := p.d
	if d.st.Run == nil {
		p.block(&Error{Evidence: "no rotation is open"})
		return false
	}
	p.unchanged()
	if err := d.rollBack(""); err != nil {
		p.block(asError(err))
		return false
	}
	return true
}

func (p *planner) openEmergency() bool {
	d := p.d
	if d.emergency() {
		p.warn(&Error{Evidence: "an emergency is open already, under " + strings.Join(d.st.Run.Incidents, ", ") + ": only that reference, or single keys, can be added to it"})
		return true
	}
	in := Incident{Reference: "the incident", Credentials: []string{d.reg.Name}, ConfirmedAt: time.Now()}
	d.meetStored(in)
	for _, k := range d.st.Keys {
		if k.DeadAt.IsZero() {
			k.accuse(in.Reference)
		}
	}
	d.st.accuseAttempts(in.Reference)
	if !slices.ContainsFunc(d.st.Keys, (*keyState).compromised) {
		p.block(&Error{Evidence: "no key of it is known", Action: "name the key's id in Incident.Keys"})
		return false
	}
	d.arrive(in)
	p.parts(p.warn)
	return true
}

// unchanged looks whether the open rotation can go on with what is registered.
func (p *planner) unchanged() {
	if run := p.d.st.Run; run.Parts != p.d.reg.parts {
		p.block(&Error{Diagnosis: PartsChanged, Evidence: "the issuer, the store or the verifier is not the one that the open rotation began with: " + run.Parts.diff(p.d.reg.parts), Action: "register the former one until it has ended"})
	}
}

// parts asks all of them that can say beforehand whether they will do their part.
func (p *planner) parts(tell func(*Error)) {
	for _, part := range p.d.parts() {
		if err := p.d.checkPart(part); err != nil {
			e := asError(err)
			e.Action = "repair it"
			tell(e)
		}
	}
}

// proveOld looks whether there is an overlap to keep. A dead key blocks nothing: the rotation is its repair.
func (p *planner) proveOld() {
	run := p.d.st.Run
	if err := p.d.proveOld(); err != nil {
		p.block(asError(err))
	}
	if run.NoOverlap {
		p.warn(&Error{Diagnosis: CurrentRejected, Evidence: "the current key is rejected: the rotation is the repair, and goes at full speed without an overlap"})
	}
}

// consumers asks each which key it uses and whether it works: what it cannot say now it will not say later.
func (p *planner) consumers() {
	d := p.d
	run := d.st.Run
	if run.Old == 0 || run.NoOverlap || d.value(run.Old).IsZero() {
		return
	}
	if d.reg.webhook {
		if err := d.gullible(); err != nil {
			p.warn(asError(err))
		}
		return
	}
	seen := d.look(run.Consumers, run.Old)
	for _, c := range run.Consumers {
		s := seen[c.Name]
		p.blind[c.Name], p.silent[c.Name] = !s.Observable, !s.Verifiable
		switch {
		case s.Observable && s.ObserveErr != nil:
			p.warn(&Error{Consumer: c.Name, Evidence: "it does not tell which key it uses", Err: hide(s.ObserveErr)})
		case s.Observable && !s.OnTarget:
			p.warn(&Error{Diagnosis: ConsumerNotUpdated, Consumer: c.Name, Evidence: "it is not seen on the current key", Action: "look at it before it gets another one"})
		}
		if s.Verifiable && s.VerifyErr != nil {
			p.warn(&Error{Diagnosis: map[bool]Diagnosis{true: CurrentRejected, false: VerificationTimeout}[errors.Is(s.VerifyErr, ErrRejected)], Consumer: c.Name, Evidence: "it is not seen working with the current key", Action: "look at it before it gets another one", Err: hide(s.VerifyErr)})
		}
	}
}
