// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestFaultByCall(t *testing.T) {
	p, sealed := rotationtest.NewProvider(), errors.New("sealed")
	p.Inject(rotationtest.Fault{Op: "Issue", Call: 2, Err: sealed})
	_, err := p.Issue(t.Context(), rotation.IssueRequest{})
	require.NoError(t, err)
	_, err = p.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, sealed)
	require.Len(t, p.Live(), 1, "nothing happened")
	_, err = p.Issue(t.Context(), rotation.IssueRequest{})
	require.NoError(t, err)
	assert.Equal(t, 3, p.Calls("Issue"))
	assert.Zero(t, p.Calls("Revoke"))
}

func TestFaultAfterLosesTheAnswer(t *testing.T) {
	p := rotationtest.NewProvider()
	p.Inject(rotationtest.Fault{Op: "Issue", After: true})
	key, err := p.Issue(t.Context(), rotation.IssueRequest{Name: "lost"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	assert.True(t, key.IsZero())
	infos, err := p.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.Equal(t, "lost", infos[0].Key.Name)
}

func TestTheFirstFaultThatFitsCounts(t *testing.T) {
	s, first := rotationtest.NewStore(), errors.New("first")
	s.Inject(rotationtest.Fault{Op: "Load", Call: 1, Err: first})
	s.Inject(rotationtest.Fault{Op: "Load"})
	_, err := s.Load(t.Context(), "x")
	require.ErrorIs(t, err, first)
	_, err = s.Load(t.Context(), "x")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestUnmetFaultsAreTold(t *testing.T) {
	p := rotationtest.NewProvider()
	c, s, j := rotationtest.NewConsumer(p), rotationtest.NewStore(), rotationtest.NewJournal()
	ignore := func(_ any, err error) error { return err }
	type fake interface {
		Inject(f rotationtest.Fault)
		Unmet() []rotationtest.Fault
	}
	for _, row := range []struct {
		fake fake
		op   string
		call func() error
	}{
		{p, "List", func() error { return ignore(p.List(t.Context())) }},
		{c, "Observe", func() error { return ignore(c.Observe(t.Context())) }},
		{s, "Names", func() error { return ignore(s.Names(t.Context())) }},
		{j, "Due", func() error { return ignore(j.Due(t.Context(), nil, time.Now(), 1)) }},
	} {
		assert.Empty(t, row.fake.Unmet(), row.op)
		first, second := rotationtest.Fault{Op: row.op, Call: 1}, rotationtest.Fault{Op: row.op, Call: 2}
		row.fake.Inject(first)
		row.fake.Inject(second)
		assert.Equal(t, []rotationtest.Fault{first, second}, row.fake.Unmet(), row.op)
		require.Error(t, row.call())
		assert.Equal(t, []rotationtest.Fault{second}, row.fake.Unmet(), row.op)
		require.Error(t, row.call())
		assert.Empty(t, row.fake.Unmet(), row.op)
	}
}

func TestFaultByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := rotationtest.NewProvider(), time.Now()
		key := p.Mint()
		p.Inject(rotationtest.Fault{Op: "Verify", From: start.Add(time.Hour), Until: start.Add(2 * time.Hour)})
		for _, down := range []bool{false, true, false} {
			err := p.Verify(t.Context(), key)
			assert.Equal(t, down, err != nil, "after %v", time.Since(start))
			time.Sleep(time.Hour)
		}
	})
}

func TestFaultDelay(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		fault   rotationtest.Fault
		timeout time.Duration
		takes   time.Duration
		err     error
		issued  int
	}{
		"slow":                 {rotationtest.Fault{Delay: time.Minute}, time.Hour, time.Minute, nil, 1},
		"slow, given up":       {rotationtest.Fault{Delay: time.Hour}, time.Minute, time.Minute, context.DeadlineExceeded, 1},
		"refused late":         {rotationtest.Fault{Delay: time.Minute, Err: refused}, time.Hour, time.Minute, refused, 0},
		"refused, given up":    {rotationtest.Fault{Delay: time.Hour, Err: refused}, time.Minute, time.Minute, context.DeadlineExceeded, 0},
		"lost late":            {rotationtest.Fault{Delay: time.Minute, After: true, Err: refused}, time.Hour, time.Minute, refused, 1},
		"lost late, a timeout": {rotationtest.Fault{Delay: time.Minute, After: true}, time.Hour, time.Minute, context.DeadlineExceeded, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, start := rotationtest.NewProvider(), time.Now()
				c.fault.Op = "Issue"
				p.Inject(c.fault)
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				_, err := p.Issue(ctx, rotation.IssueRequest{})
				require.ErrorIs(t, err, c.err)
				assert.Equal(t, c.takes, time.Since(start))
				assert.Len(t, p.Live(), c.issued)
			})
		})
	}
}

func TestAnEndedContextPreventsTheEffect(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := rotationtest.NewProvider()
	_, err := p.Issue(ctx, rotation.IssueRequest{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, p.Live())
	assert.Equal(t, 1, p.Calls("Issue"))
}

func TestWrongFaultsPanic(t *testing.T) {
	p := rotationtest.NewProvider()
	for name, fake := range map[string]struct {
		ops    []string
		inject func(rotationtest.Fault)
		calls  func(string) int
	}{
		"Provider": {[]string{"Issue", "Revoke", "Verify", "List", "Disable", "Enable", "RoundTrip"}, p.Inject, p.Calls},
		"Store":    {[]string{"Load", "Save", "Names"}, rotationtest.NewStore().Inject, rotationtest.NewStore().Calls},
		"Consumer": {[]string{"Deploy", "Verify", "Observe"}, rotationtest.NewConsumer(p).Inject, rotationtest.NewConsumer(p).Calls},
		"Journal":  {[]string{"Load", "Save", "Due"}, rotationtest.NewJournal().Inject, rotationtest.NewJournal().Calls},
	} {
		t.Run(name, func(t *testing.T) {
			for _, op := range fake.ops {
				assert.NotPanics(t, func() { fake.inject(rotationtest.Fault{Op: op}); fake.calls(op) }, op)
			}
			for _, op := range []string{"", "issue", "Describe", "Mint"} {
				assert.Panics(t, func() { fake.inject(rotationtest.Fault{Op: op}) }, op)
				assert.Panics(t, func() { fake.calls(op) }, op)
			}
			assert.Panics(t, func() { fake.inject(rotationtest.Fault{Op: fake.ops[0], Call: -1}) })
			assert.Panics(t, func() { fake.inject(rotationtest.Fault{Op: fake.ops[0], Delay: -1}) })
		})
	}
}

// Every operation of every fake has faults by operation, by call and by time.
func TestFaultsOfEveryOperation(t *testing.T) {
	for fake, make := range map[string]func(t *testing.T) operations{
		"Provider": providerOperations, "Store": storeOperations, "Consumer": consumerOperations, "Journal": journalOperations,
	} {
		for op := range make(t).calls {
			t.Run(fake+"/"+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var got []bool
					try := func(o operations) {
						err := o.calls[op](t.Context())
						require.True(t, err == nil || errors.Is(err, errInjected), "%v", err)
						got = append(got, err != nil)
					}
					byOp, byCall, byTime := make(t), make(t), make(t)
					start := time.Now()
					byOp.inject(rotationtest.Fault{Op: op, Err: errInjected})
					byCall.inject(rotationtest.Fault{Op: op, Call: 2, Err: errInjected})
					byTime.inject(rotationtest.Fault{Op: op, From: start.Add(time.Hour), Until: start.Add(2 * time.Hour), Err: errInjected})
					for range 3 {
						try(byOp)
						try(byCall)
						try(byTime)
						time.Sleep(time.Hour)
					}
					assert.Equal(t, []bool{true, false, false, true, true, true, true, false, false}, got)
					for _, o := range []operations{byOp, byCall, byTime} {
						assert.Equal(t, 3, o.count(op))
					}
				})
			})
		}
	}
}

var errInjected = errors.New("injected")

// operations of one fake.
type operations struct {
	inject func(rotationtest.Fault)
	count  func(string) int
	calls  map[string]func(context.Context) error
}

func providerOperations(*testing.T) operations {
	p := rotationtest.NewProvider()
	key := p.Mint()
	request := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://provider.invalid", nil)
		if err != nil {
			return err
		}
		_, err = p.RoundTrip(r)
		return err
	}
	return operations{p.Inject, p.Calls, map[string]func(context.Context) error{
		"Issue":     func(ctx context.Context) error { _, err := p.Issue(ctx, rotation.IssueRequest{}); return err },
		"Revoke":    func(ctx context.Context) error { return p.Revoke(ctx, rotation.Key{ID: "another"}) },
		"Verify":    func(ctx context.Context) error { return p.Verify(ctx, key) },
		"List":      func(ctx context.Context) error { _, err := p.List(ctx); return err },
		"Disable":   func(ctx context.Context) error { return p.Disable(ctx, key) },
		"Enable":    func(ctx context.Context) error { return p.Enable(ctx, key) },
		"RoundTrip": request,
	}}
}

func storeOperations(*testing.T) operations {
	s := rotationtest.NewStore()
	save := func(ctx context.Context) error {
		v, err := s.Load(ctx, "a")
		if err != nil {
			return err
		}
		return s.Save(ctx, "a", v)
	}
	return operations{s.Inject, s.Calls, map[string]func(context.Context) error{
		"Load":  func(ctx context.Context) error { _, err := s.Load(ctx, "a"); return err },
		"Save":  save,
		"Names": func(ctx context.Context) error { _, err := s.Names(ctx); return err },
	}}
}

func consumerOperations(t *testing.T) operations {
	p := rotationtest.NewProvider()
	c, key := rotationtest.NewConsumer(p), p.Mint()
	req := rotation.DeployRequest{Key: key}
	verify := func(ctx context.Context) error {
		if c.Key().IsZero() { // it needs one
			require.NoError(t, c.Deploy(ctx, req))
		}
		return c.Verify(ctx, key)
	}
	return operations{c.Inject, c.Calls, map[string]func(context.Context) error{
		"Deploy":  func(ctx context.Context) error { return c.Deploy(ctx, req) },
		"Verify":  verify,
		"Observe": func(ctx context.Context) error { _, err := c.Observe(ctx); return err },
	}}
}

func journalOperations(*testing.T) operations {
	j := rotationtest.NewJournal()
	save := func(ctx context.Context) error {
		e, err := j.Load(ctx, "a")
		if err != nil {
			return err
		}
		e.Credential = "a"
		return j.Save(ctx, e)
	}
	due := func(ctx context.Context) error {
		_, err := j.Due(ctx, []string{"a"}, time.Now(), 1)
		return err
	}
	return operations{j.Inject, j.Calls, map[string]func(context.Context) error{
		"Load": func(ctx context.Context) error { _, err := j.Load(ctx, "a"); return err },
		"Save": save,
		"Due":  due,
	}}
}
