// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// The seams: every interface of the engine, as one process sees the world through it. They shift times into the process's
// clock and back, so that it lives in a world whose clock goes wrong by its skew.

type issuer interface {
	rotation.Issuer
	rotation.Verifier
	rotation.Lister
	rotation.Disabler
}

type seamIssuer struct {
	in *provider
	p  *process
}

var _ issuer = (*provider)(nil)

func (s seamIssuer) Identity() string          { return "simulated provider" }
func (s seamIssuer) Describe() rotation.Traits { return s.in.w.setting.Traits }

func (s seamIssuer) Issue(ctx context.Context, req rotation.IssueRequest) (k rotation.Key, err error) {
	err = s.p.pass(ctx, opIssue, "", func(ctx context.Context) error {
		k, err = s.in.Issue(ctx, req)
		return err
	})
	if err != nil {
		return rotation.Key{}, err
	}
	return s.p.key(k), nil
}

func (s seamIssuer) Revoke(ctx context.Context, k rotation.Key) error {
	return s.p.pass(ctx, opRevoke, s.in.w.nameOf(k), func(ctx context.Context) error { return s.in.Revoke(ctx, k) })
}

func (s seamIssuer) Disable(ctx context.Context, k rotation.Key) error {
	if !s.in.w.setting.Disables {
		return errors.ErrUnsupported
	}
	return s.p.pass(ctx, opDisable, s.in.w.nameOf(k), func(ctx context.Context) error { return s.in.Disable(ctx, k) })
}

func (s seamIssuer) Enable(ctx context.Context, k rotation.Key) error {
	if !s.in.w.setting.Disables {
		return errors.ErrUnsupported
	}
	return s.p.pass(ctx, opEnable, s.in.w.nameOf(k), func(ctx context.Context) error { return s.in.Enable(ctx, k) })
}

func (s seamIssuer) Choose(ctx context.Context, _ rotation.IssueRequest) (k rotation.Key, err error) {
	if !s.in.w.setting.Chooses {
		return rotation.Key{}, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opChoose, "", func(context.Context) error {
		k = rotation.Key{Secret: newValue()}
		if s.in.w.setting.Halves { // it is known by what is chosen for it
			k.ID = s.in.newID()
		}
		return nil
	})
	if err != nil {
		return rotation.Key{}, err
	}
	return k, nil
}

func (s seamIssuer) List(ctx context.Context) (infos []rotation.KeyInfo, err error) {
	if s.in.w.setting.NoList {
		return nil, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opList, "", func(ctx context.Context) error {
		infos, err = s.in.List(ctx)
		if s.in.w.setting.Hurried {
			time.Sleep(slowList)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range infos {
		infos[i].Key = s.p.key(infos[i].Key)
		infos[i].Usage.LastUsed = s.p.mine(infos[i].Usage.LastUsed)
		infos[i].Usage.Since = s.p.mine(infos[i].Usage.Since)
		infos[i].Usage.AsOf = s.p.mine(infos[i].Usage.AsOf)
	}
	return infos, nil
}

type seamVerifier struct {
	in    rotation.Verifier
	p     *process
	op    op
	about string
}

func (s seamVerifier) Identity() string { return "simulated verifier " + s.about }

func (s seamVerifier) Verify(ctx context.Context, k rotation.Key) error {
	about := s.about
	if s.op == opVerify {
		about = s.p.w.nameOf(k)
	}
	err := s.p.pass(ctx, s.op, about, func(ctx context.Context) error { return s.in.Verify(ctx, k) })
	if s.op == opVerify && err == nil {
		s.p.w.locked(func() { s.p.accepted = time.Now() })
	}
	return err
}

type seamStore struct {
	in *vault
	p  *process
}

func (s seamStore) Identity() string  { return "simulated store" }
func (s seamStore) Conditional() bool { return true }

func (s seamStore) Load(ctx context.Context, name string) (v rotation.Versions, err error) {
	err = s.p.pass(ctx, opLoadStore, "", func(context.Context) error {
		v = s.in.load(name)
		return nil
	})
	if err != nil {
		return rotation.Versions{}, err
	}
	return s.p.versions(v, 1), nil
}

func (s seamStore) Save(ctx context.Context, name string, v rotation.Versions) error {
	v = s.p.versions(v, -1)
	var begun time.Time // a call that lands later was made on what was known then
	s.p.w.locked(func() { begun = s.p.advance })
	return s.p.pass(ctx, opStore, "", func(context.Context) error { return s.in.save(s.p, begun, name, v) })
}

type seamJournal struct {
	in *book
	p  *process
}

func (s seamJournal) Identity() string { return "simulated journal" }

func (s seamJournal) Load(ctx context.Context, name string) (e rotation.Entry, err error) {
	err = s.p.of(name).pass(ctx, opLoadJournal, s.p.entryLabel(name), func(context.Context) error {
		e = s.in.load(name)
		return nil
	})
	if err != nil {
		return rotation.Entry{}, err
	}
	return s.p.entry(e, 1), nil
}

func (s seamJournal) Save(ctx context.Context, e rotation.Entry) error {
	e = s.p.entry(e, -1)
	p := s.p.of(e.Credential)
	p.intends(e)
	err := p.pass(ctx, opJournal, s.p.entryLabel(e.Credential), func(context.Context) error { return s.in.save(p, e) })
	p.w.mu.Lock()
	if e.Credential == p.w.name {
		p.sawLoss = err != nil
	}
	p.w.mu.Unlock()
	return err
}

func (s seamJournal) Due(_ context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	due := s.in.due(names, t.Add(-s.p.ahead()), limit)
	for i := range due {
		due[i] = s.p.entry(due[i], 1)
	}
	return due, nil
}

// entryLabel is short for the entry that matters.
func (p *process) entryLabel(name string) string {
	switch {
	case p.of(name).w.name == name:
		return ""
	case strings.HasPrefix(name, groupEntries):
		return "group"
	}
	return "(" + name + ")"
}

type seamConsumer struct {
	in *service
	p  *process
}

func (s seamConsumer) Identity() string { return "simulated service " + s.in.name }

func (s seamConsumer) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if req.Role == rotation.RolePending && s.in.readsCurrent() {
		return errors.ErrUnsupported
	}
	s.p.tells(s.in, req)
	err := s.p.pass(ctx, opDeploy, s.in.name+" "+s.p.w.nameOf(req.Key), func(context.Context) error { return s.in.deploy(req) })
	return err
}

func (s seamConsumer) Observe(ctx context.Context) (seen []rotation.Instance, err error) {
	if s.in.kind == Blind {
		return nil, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opObserve, s.in.name, func(context.Context) error {
		seen = s.in.observe()
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.p.w.mu.Lock()
	s.p.seen[s.in.name] = time.Now()
	s.p.w.mu.Unlock()
	for i := range seen {
		seen[i].AsOf = s.p.mine(seen[i].AsOf)
	}
	return seen, nil
}

type seamSink struct {
	in *trail
	p  *process
}

func (s seamSink) Identity() string { return "simulated trail" }

func (s seamSink) Deliver(ctx context.Context, e rotation.Event) error {
	return s.p.pass(ctx, opDeliver, "", func(context.Context) error { return s.in.deliver(e) })
}
