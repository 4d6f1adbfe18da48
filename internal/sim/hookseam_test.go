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

// seamSender is the sender of a webhook as one process sees it. Its Verify makes a test delivery.
type seamSender struct {
	in *hooks
	p  *process
}

func (s seamSender) Identity() string          { return "simulated sender" }
func (s seamSender) Describe() rotation.Traits { return s.in.w.setting.Traits }

func (s seamSender) Issue(ctx context.Context, req rotation.IssueRequest) (k rotation.Key, err error) {
	err = s.p.pass(ctx, opIssue, "", func(context.Context) error {
		k, err = s.in.issue(req)
		return err
	})
	if err != nil {
		return rotation.Key{}, err
	}
	return s.p.key(k), nil
}

func (s seamSender) Choose(ctx context.Context, req rotation.IssueRequest) (k rotation.Key, err error) {
	if s.in.w.setting.Signing == AtOnce {
		return rotation.Key{}, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opChoose, "", func(context.Context) error {
		k = s.in.choose(req)
		return nil
	})
	if err != nil {
		return rotation.Key{}, err
	}
	return k, nil
}

func (s seamSender) Revoke(ctx context.Context, k rotation.Key) error {
	return s.p.pass(ctx, opRevoke, s.in.w.nameOf(k), func(context.Context) error {
		s.in.revoke(k)
		return nil
	})
}

func (s seamSender) List(ctx context.Context) (infos []rotation.KeyInfo, err error) {
	if s.in.w.setting.NoList || s.in.w.setting.Signing != AtOnce {
		return nil, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opList, "", func(context.Context) error {
		infos = s.in.list()
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range infos {
		infos[i].Key = s.p.key(infos[i].Key)
	}
	return infos, nil
}

func (s seamSender) Verify(ctx context.Context, _ rotation.Key) error {
	if s.in.w.setting.NoPing {
		return errors.ErrUnsupported
	}
	return s.p.pass(ctx, opPing, "", s.in.ping)
}

// seamActivator is a sender that can be told what to sign with.
type seamActivator struct{ seamSender }

func (s seamActivator) Activate(ctx context.Context, k rotation.Key) error {
	return s.p.pass(ctx, opActivate, s.in.w.nameOf(k), func(context.Context) error { return s.in.activate(k, false) })
}

// seamReceiver is one receiver as one process sees it.
type seamReceiver struct {
	in *receiver
	p  *process
}

func (s seamReceiver) Identity() string { return "simulated receiver " + s.in.name }

func (s seamReceiver) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	w := s.in.w
	w.mu.Lock()
	set := namesOf(w.secrets(req.Accept))
	s.in.meant = req.Accept
	w.mu.Unlock()
	label := s.in.name + " " + set
	if strings.HasPrefix(req.ID, "unrecorded/") {
		label += " unrecorded"
	}
	return s.p.pass(ctx, opDeploy, label, func(context.Context) error { return s.in.deploy(req) })
}

func (s seamReceiver) Verify(ctx context.Context, k rotation.Key) error {
	if s.in.kind == Unseen || s.in.kind == Follows {
		return errors.ErrUnsupported
	}
	err := s.p.pass(ctx, opProbe, s.in.name+" "+s.in.w.nameOf(k), func(context.Context) error { return s.in.probe(k) })
	s.looked(err == nil || errors.Is(err, rotation.ErrRejected))
	return err
}

// looked notes that this process has seen what the receiver accepts.
func (s seamReceiver) looked(did bool) {
	s.p.w.locked(func() {
		if did {
			s.p.seen[s.in.name] = time.Now()
		}
	})
}

func (s seamReceiver) Observe(ctx context.Context) (seen []rotation.Instance, err error) {
	if s.in.kind == Unseen || s.in.kind == Renewed {
		return nil, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opObserve, s.in.name, func(context.Context) error {
		seen = s.in.observe()
		return nil
	})
	s.looked(err == nil)
	if err != nil {
		return nil, err
	}
	for i := range seen {
		seen[i].AsOf = s.p.mine(seen[i].AsOf)
	}
	return seen, nil
}

func (s seamReceiver) Usage(ctx context.Context, k rotation.Key) (u rotation.Usage, err error) {
	if s.in.kind == Unseen {
		return u, errors.ErrUnsupported
	}
	err = s.p.pass(ctx, opUsage, s.in.name, func(context.Context) error {
		u = s.in.usage(k)
		return nil
	})
	if err != nil {
		return rotation.Usage{}, err
	}
	s.p.w.locked(func() { s.p.told[s.in.name] = time.Now() })
	u.LastUsed, u.Since, u.AsOf = s.p.mine(u.LastUsed), s.p.mine(u.Since), s.p.mine(u.AsOf)
	return u, nil
}

// webhook is the inventory of this process.
func (p *process) webhook() rotation.Credential {
	w := p.w
	sender := seamSender{w.hooks, p}
	c := rotation.Credential{Name: w.name, Type: rotation.WebhookSecret, Policy: w.setting.Policy, Issuer: sender}
	if w.setting.Signing != AtOnce {
		c.Issuer = seamActivator{sender}
	}
	for _, r := range w.hooks.receivers {
		if !r.hidden && !r.left {
			c.Consumers = append(c.Consumers, rotation.Binding{Name: r.name, Consumer: seamReceiver{r, p}, Lag: r.kind.lag()})
		}
	}
	return c
}
