// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
)

var errDead = errors.New("rotationtest: the process is dead")

// process is what one process can do to the world, until it dies. Once dead it has no effect any more.
type process struct {
	u       *universe
	name    string
	fault   fault             // none: nothing happens to it
	rotator *rotation.Rotator // nil: it could not be made

	mu    sync.Mutex // guards the fields below
	calls []call
	count map[string]int
	dead  bool
}

// disarm takes away a fault that has not happened.
func (p *process) disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault{}
}

// all are the calls so far.
func (p *process) all() []call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

// next takes down a call and says what is to happen to it.
func (p *process) next(c call) (mishap, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return none, errDead
	}
	p.count[c.op]++
	c.nth = p.count[c.op]
	p.calls = append(p.calls, c)
	if p.fault.mishap == none || p.fault.op != c.op || p.fault.nth != c.nth {
		return none, nil
	}
	p.dead = p.fault.dies()
	return p.fault.mishap, nil
}

// through is a call through the seam between a process and a part.
func through[T any](ctx context.Context, p *process, c call, do func(context.Context) (T, error)) (T, error) {
	var nothing T
	m, err := p.next(c)
	if err != nil {
		return nothing, err
	}
	switch m {
	case diesBefore:
		p.u.note(p.name + " dies before " + c.op)
		return nothing, errDead
	case failsBefore:
		p.u.note(p.name + ": " + c.op + " fails")
		return nothing, timeout{c.op}
	case landsLate:
		p.u.note(p.name + " dies, and " + c.op + " is on its way")
		p.u.hold(ctx, func(ctx context.Context) {
			_, err := do(ctx)
			p.u.note("it lands now: " + c.op + outcome(err))
		})
		return nothing, errDead
	}
	ended := p.u.begin()
	value, err := do(ctx)
	ended()
	if c.effect {
		p.u.note(p.name + ": " + c.op + outcome(err))
		if !p.u.sim.RealClock { // there the traffic shows it: this call's time is counted
			p.u.look(ctx, "after "+c.op)
		}
	}
	switch m {
	case diesAfter:
		p.u.note(p.name + " dies")
		return nothing, errDead
	case answerLost:
		p.u.note(p.name + " does not get the answer")
		return nothing, timeout{c.op}
	}
	return value, err
}

func outcome(err error) string {
	if err == nil {
		return ""
	}
	for _, known := range []error{rotation.ErrConflict, rotation.ErrNotIssued, rotation.ErrRejected, rotation.ErrNotYet, rotation.ErrNoSlot, rotation.ErrDenied} {
		if errors.Is(err, known) {
			return ": " + known.Error()
		}
	}
	return ": an error"
}

// do is through for calls without an answer.
func (p *process) do(ctx context.Context, c call, do func(context.Context) error) error {
	_, err := through(ctx, p, c, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

// hold keeps an effect up until land, or for ever if the schedule ends before.
func (u *universe) hold(ctx context.Context, effect func(context.Context)) {
	u.landing.Go(func() {
		<-u.late
		if !u.dropped.Load() {
			effect(context.WithoutCancel(ctx))
		}
	})
}

// issuerSeam is an issuer as a process sees it.
type issuerSeam struct{ p *process }

func (s issuerSeam) Unwrap() rotation.Issuer { return s.p.u.issuer }

func (s issuerSeam) Describe() rotation.Traits { return s.p.u.traits }

func (s issuerSeam) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	u := s.p.u
	return through(ctx, s.p, call{op: "Issue", effect: true, yours: u.sim.Issuer != nil}, func(ctx context.Context) (rotation.Key, error) {
		kills := u.traits.KillsOld && !req.Current.Secret.IsZero()
		if kills {
			u.excuse(req.Chosen)
		}
		reign := u.reign()
		key, err := u.issuer.Issue(ctx, req)
		if !key.Secret.IsZero() {
			known := key
			known.Name, known.Generation = req.Name, req.Generation
			u.know(known)
			if u.reign() != reign { // an emergency came meanwhile, which accuses what the call has made
				u.accuse(known)
			}
		}
		if kills { // whatever else was made while the call was under way
			u.excuse(key)
		}
		return key, err
	})
}

func (s issuerSeam) Revoke(ctx context.Context, key rotation.Key) error {
	return s.p.do(ctx, call{op: fmt.Sprintf("Revoke of generation %d", key.Generation), effect: true, yours: s.p.u.sim.Issuer != nil}, func(ctx context.Context) error {
		return s.p.u.issuer.Revoke(ctx, key)
	})
}

func (s issuerSeam) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	l, ok := rotation.As[rotation.Lister](s.p.u.issuer)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return through(ctx, s.p, call{op: "List", yours: s.p.u.sim.Issuer != nil}, l.List)
}

func (s issuerSeam) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	c, ok := rotation.As[rotation.Chooser](s.p.u.issuer)
	if !ok {
		return rotation.Key{}, errors.ErrUnsupported
	}
	return through(ctx, s.p, call{op: "Choose", yours: s.p.u.sim.Issuer != nil}, func(ctx context.Context) (rotation.Key, error) { return c.Choose(ctx, req) })
}

// issuer is the user's as p sees it. It is a Disabler only if that is one.
func (p *process) issuer() rotation.Issuer {
	if d, ok := rotation.As[rotation.Disabler](p.u.issuer); ok {
		return disablerSeam{issuerSeam{p}, d}
	}
	return issuerSeam{p}
}

// disablerSeam is an issuer with a revocation that can be undone.
type disablerSeam struct {
	issuerSeam
	inner rotation.Disabler
}

func (s disablerSeam) Disable(ctx context.Context, key rotation.Key) error {
	return s.flip(ctx, "Disable", key, s.inner.Disable)
}

func (s disablerSeam) Enable(ctx context.Context, key rotation.Key) error {
	return s.flip(ctx, "Enable", key, s.inner.Enable)
}

func (s disablerSeam) flip(ctx context.Context, what string, key rotation.Key, do func(context.Context, rotation.Key) error) error {
	c := call{op: fmt.Sprintf("%s of generation %d", what, key.Generation), effect: true, yours: s.p.u.sim.Issuer != nil}
	return s.p.do(ctx, c, func(ctx context.Context) error { return do(ctx, key) })
}

// verifierSeam is a verifier as a process sees it.
type verifierSeam struct {
	p     *process
	op    string
	yours bool
	inner rotation.Verifier
}

func (s verifierSeam) Unwrap() rotation.Verifier { return s.inner }

func (s verifierSeam) Verify(ctx context.Context, key rotation.Key) error {
	return s.p.do(ctx, call{op: s.op, yours: s.yours}, func(ctx context.Context) error { return s.inner.Verify(ctx, key) })
}

// storeSeam is a store as a process sees it.
type storeSeam struct{ p *process }

const (
	lawStore   = "A store returns what it said it saved (S1, S2)"
	lawJournal = "A journal returns what it said it saved (J2)"
	lawStale   = "A change of what has changed since is refused (S3, J2)"
)

func (s storeSeam) Unwrap() rotation.SecretStore { return s.p.u.Store }

func (s storeSeam) Load(ctx context.Context, name string) (rotation.Versions, error) {
	return through(ctx, s.p, call{op: "Load of the store", yours: s.p.u.sim.Store != nil}, func(ctx context.Context) (rotation.Versions, error) {
		return s.p.u.loadStore(ctx, name)
	})
}

// loadStore loads, and compares unless it is written meanwhile.
func (u *universe) loadStore(ctx context.Context, name string) (rotation.Versions, error) {
	before, still := u.stillness()
	v, err := u.Store.Load(ctx, name)
	if after, stillThen := u.stillness(); err == nil && still && stillThen && after == before {
		u.loaded(name, v)
	}
	return v, err
}

func (s storeSeam) Save(ctx context.Context, name string, v rotation.Versions) error {
	for _, k := range v.Keys {
		s.p.u.know(k.Key)
	}
	return s.p.do(ctx, call{op: "Save of the store", effect: true, save: true, yours: s.p.u.sim.Store != nil}, func(ctx context.Context) error {
		ended := s.p.u.write()
		err := s.p.u.Store.Save(ctx, name, v)
		s.p.u.stored(name, v, err, ended())
		return err
	})
}

// loaded compares with what was saved.
func (u *universe) loaded(name string, v rotation.Versions) {
	u.mu.Lock()
	want, known := u.versions[name]
	if known {
		want.Revision = v.Revision
	}
	if !u.unsure { // else it can be another one yet
		u.versions[name] = v
	}
	u.mu.Unlock()
	if !known {
		return
	}
	if diff := differ(want, v); diff != "" {
		u.violate(lawStore, "Load returned %s", diff)
	}
}

// stored takes down what a store said, if nothing else was written at the same time. The revision of what it now has is known
// after the next Load.
func (u *universe) stored(name string, v rotation.Versions, err error, alone bool) {
	u.mu.Lock()
	before, known := u.versions[name]
	stale := alone && known && before.Revision != "" && before.Revision != v.Revision
	switch {
	case err == nil && alone:
		v = cloneVersions(v)
		v.Revision = ""
		u.versions[name], u.unsure = v, false // what is still under way compares with an older revision
	case !errors.Is(err, rotation.ErrConflict):
		delete(u.versions, name)
		u.unsure = true
	}
	u.mu.Unlock()
	if err == nil && stale {
		u.violate(lawStale, "the store took a change that was made from an older state")
	}
}

// journalSeam is a journal as a process sees it.
type journalSeam struct{ p *process }

func (s journalSeam) Unwrap() rotation.Journal { return s.p.u.journal }

func (s journalSeam) Load(ctx context.Context, credential string) (rotation.Entry, error) {
	return through(ctx, s.p, call{op: "Load of the journal", yours: s.p.u.sim.Journal != nil}, func(ctx context.Context) (rotation.Entry, error) {
		before, still := s.p.u.stillness()
		e, err := s.p.u.journal.Load(ctx, credential)
		if after, stillThen := s.p.u.stillness(); err == nil && still && stillThen && after == before {
			s.p.u.remembered(credential, e.Revision)
		}
		return e, err
	})
}

func (s journalSeam) Save(ctx context.Context, e rotation.Entry) error {
	u := s.p.u
	_, _ = u.said.Write(e.Data)
	op := "Save of the journal"
	if e.Credential != u.Credential {
		op = "Save of the engine's own entry"
	}
	return s.p.do(ctx, call{op: op, effect: true, save: true, yours: u.sim.Journal != nil}, func(ctx context.Context) error {
		ended := u.write()
		err := u.journal.Save(ctx, e)
		u.recorded(e, err, ended())
		return err
	})
}

func (s journalSeam) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	return through(ctx, s.p, call{op: "Due", yours: s.p.u.sim.Journal != nil}, func(ctx context.Context) ([]rotation.Entry, error) {
		return s.p.u.journal.Due(ctx, names, t, limit)
	})
}

// remembered compares with what was saved.
func (u *universe) remembered(credential string, revision int64) {
	u.mu.Lock()
	want, known := u.saved[credential]
	u.mu.Unlock()
	if known && revision < want {
		u.violate(lawJournal, "Load returned revision %d of an entry that was saved as %d", revision, want)
	}
}

// recorded takes down what a journal said.
func (u *universe) recorded(e rotation.Entry, err error, alone bool) {
	u.mu.Lock()
	before, known := u.saved[e.Credential]
	if err == nil {
		u.saved[e.Credential] = max(before, e.Revision+1)
	}
	u.mu.Unlock()
	if err == nil && alone && known && e.Revision < before {
		u.violate(lawStale, "the journal took a change of revision %d, where %d is stored", e.Revision, before)
	}
}

// consumerSeam is a consumer as a process sees it.
type consumerSeam struct {
	p  *process
	of *presenter
}

func (s consumerSeam) Unwrap() rotation.Consumer { return s.of.Consumer }

func (s consumerSeam) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	s.p.u.know(req.Key)
	op := fmt.Sprintf("Deploy of generation %d to %s", req.Key.Generation, s.of.Name)
	return s.p.do(ctx, call{op: op, effect: true, yours: s.of.yours}, func(ctx context.Context) error { return s.of.Consumer.Deploy(ctx, req) })
}

func (s consumerSeam) Observe(ctx context.Context) ([]rotation.Instance, error) {
	o, ok := rotation.As[rotation.Observer](s.of.Consumer)
	if !ok {
		o, ok = rotation.As[rotation.Observer](s.of.Verifier)
	}
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return through(ctx, s.p, call{op: "Observe " + s.of.Name, yours: s.of.yours}, o.Observe)
}
