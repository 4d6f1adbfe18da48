// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// The harness of the counterexamples: a world whose presenters are at work all the time, processes that die or whose calls
// land late, and the laws that hold at the end whatever happened.

// hazard is a world in which every consumer presents its key at odd intervals.
type hazard struct {
	*world
	others []string // ids of somebody else's keys in the same account

	mu       sync.Mutex
	accepts  func(rotation.Key) bool // guarded by mu: the accepting side; nil: the provider's RoundTrip
	rejected []string                // guarded by mu: presentations that failed
}

// newHazard seeds a key that every consumer really uses, short windows, and the traffic.
func newHazard(t *testing.T, consumers int, change ...func(*world)) *hazard {
	h := &hazard{world: newWorld(t, consumers, change...)}
	if h.provider.Traits.MaxKeys == 0 {
		h.others = append(h.others, h.provider.Mint().ID)
	}
	h.traffic("a pod that restarts", h.stored())
	h.cred.Policy.Overlap, h.cred.Policy.Quiet = time.Hour, time.Hour
	for i, c := range h.consumers {
		h.give(c, h.seeded)
		h.traffic(fmt.Sprint("c", i), c.Key)
	}
	return h
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// give hands a key to a consumer by hand, as whoever operates it would.
func (h *hazard) give(c *rotationtest.Consumer, key rotation.Key) {
	require.NoError(h.t, c.Deploy(context.Background(), rotation.DeployRequest{ID: "by hand", Key: key, Role: rotation.RoleCurrent}))
}

// present opens the door with a key, as a service does.
func (h *hazard) present(key rotation.Key) bool {
	h.mu.Lock()
	accepts := h.accepts
	h.mu.Unlock()
	if accepts != nil {
		return accepts(key)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://provider.invalid/pay", nil)
	require.NoError(h.t, err)
	req.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
	resp, err := h.provider.RoundTrip(req)
	require.NoError(h.t, err)
	require.NoError(h.t, resp.Body.Close())
	return resp.StatusCode == http.StatusOK
}

// oddly is the interval between two presentations, out of step with everything else.
const oddly = 37*time.Second + 300*time.Millisecond

// traffic presents, until the test ends, whatever key the presenter holds.
func (h *hazard) traffic(who string, key func() rotation.Key) {
	ctx := h.t.Context()
	go func() {
		tick := time.NewTicker(oddly)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if k := key(); !h.present(k) {
				h.mu.Lock()
				h.rejected = append(h.rejected, fmt.Sprintf("%s presents %s, which is dead", who, k))
				h.mu.Unlock()
			}
		}
	}()
}

// stored is what a pod finds that starts now: the current key, or while the store does not answer the last one.
func (h *hazard) stored() func() rotation.Key {
	var last rotation.Key
	return func() rotation.Key {
		if v, err := h.store.Load(context.Background(), name); err == nil {
			last = v.Key(rotation.RoleCurrent)
		}
		return last
	}
}

// outages are the presentations that failed so far.
func (h *hazard) outages() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.rejected)
}

// laws checks what holds in a standard rotation, ended or not: nobody was turned away, no key is lost, and nothing was
// revoked that is not ours.
func (h *hazard) laws() {
	h.t.Helper()
	time.Sleep(2 * oddly) // everybody presents once more
	require.Empty(h.t, h.outages(), "a presenter held a dead key: %s", h.status().Last)
	h.nothingLost()
}

// nothingLost checks that every key that lives is stored or listed as a debt, and that what is not ours lives.
func (h *hazard) nothingLost() {
	h.t.Helper()
	var known []string
	for _, k := range h.versions().Keys {
		known = append(known, k.Key.ID)
	}
	for _, d := range h.status().Debts {
		known = append(known, d.Key.ID)
	}
	live := h.provider.Live()
	require.Subset(h.t, live, h.others, "a key that is not ours was revoked")
	require.Subset(h.t, append(known, h.others...), live, "a live key is neither stored nor listed as a debt")
}

// status is what the journal says.
func (w *world) status() rotation.Status {
	w.t.Helper()
	st, err := w.rotator().Status(context.Background(), name)
	require.NoError(w.t, err)
	return st
}

// begin starts a rotation; a process that dies in it is no failure of the test.
func (h *hazard) begin(r *rotation.Rotator) {
	_, _ = r.Rotate(h.t.Context(), name, rotation.Trigger{Reason: "test"})
}

// drive advances whenever the status says so, for at most d or until the rotation has ended.
func (h *hazard) drive(r *rotation.Rotator, d time.Duration) rotation.Status {
	h.t.Helper()
	for end := time.Now().Add(d); ; {
		st, err := r.Advance(h.t.Context(), name)
		if err == nil && st.Open == nil || !time.Now().Before(end) {
			return h.status()
		}
		time.Sleep(min(max(time.Until(st.Next), time.Second), time.Until(end)))
	}
}

// until drives until the open rotation stands in a phase.
func (h *hazard) until(r *rotation.Rotator, phase rotation.Phase) rotation.Status {
	h.t.Helper()
	for range 1000 {
		st := h.status()
		if st.Open != nil && st.Open.Phase == phase {
			return st
		}
		time.Sleep(max(time.Until(st.Next), time.Second))
		_, _ = r.Advance(h.t.Context(), name)
	}
	h.t.Fatalf("never in phase %s: %s", phase, h.status().Open)
	return rotation.Status{}
}

// ended drives to the end and checks it: one live key of ours, which is current and alone in the store, and no debt.
func (h *hazard) ended(r *rotation.Rotator, d time.Duration, outcome rotation.Outcome) rotation.Status {
	h.t.Helper()
	st := h.drive(r, d)
	if st.Open != nil || st.Last == nil {
		h.t.Fatalf("still open after %v: %s\nneeds: %+v", d, st.Open, st.Needs)
	}
	require.Equal(h.t, outcome, st.Last.Outcome, "%s", st.Last)
	require.Empty(h.t, h.paid(r), "debts that nothing can pay")
	require.ElementsMatch(h.t, append([]string{h.current().ID}, h.others...), h.provider.Live())
	require.Len(h.t, h.versions().Keys, 1)
	return h.status()
}

// paid gives debts an hour to be paid, and returns those that are left.
func (h *hazard) paid(r *rotation.Rotator) []rotation.Debt {
	for range 60 {
		if len(h.status().Debts) == 0 {
			break
		}
		time.Sleep(time.Minute)
		_, _ = r.Advance(h.t.Context(), name)
	}
	return h.status().Debts
}

// abort turns back as soon as nobody else drives.
func (h *hazard) abort(r *rotation.Rotator) {
	h.t.Helper()
	var err error
	for range 120 {
		if _, err = r.Abort(h.t.Context(), name, "no good"); !errors.Is(err, rotation.ErrConflict) {
			break
		}
		time.Sleep(time.Second)
	}
	require.NoError(h.t, err)
}

// need finds what the open rotation waits for by the end of its ID.
func need(t *testing.T, st rotation.Status, verb rotation.Verb) rotation.Need {
	t.Helper()
	for _, n := range st.Needs {
		if slices.Contains(n.Verbs, verb) {
			return n
		}
	}
	t.Fatalf("nothing waits for %s: %+v\n%s", verb, st.Needs, st.Open)
	return rotation.Need{}
}

// answer gives a person's word where it is asked for.
func (h *hazard) answer(r *rotation.Rotator, verb rotation.Verb, more ...func(*rotation.Answer)) {
	h.t.Helper()
	a := rotation.Answer{Need: need(h.t, h.status(), verb).ID, Verb: verb, Reason: "looked"}
	for _, m := range more {
		m(&a)
	}
	_, err := r.Resolve(rotation.WithActor(h.t.Context(), "ann"), name, a)
	require.NoError(h.t, err)
}

// diagnosis is what the open rotation says is wrong.
func diagnosis(st rotation.Status) rotation.Diagnosis {
	if st.Open == nil || st.Open.Problem == nil {
		return ""
	}
	return st.Open.Problem.Diagnosis
}

// ---- processes that die

var errCut = errors.New("this process is gone")

// cut is where a process dies.
type cut struct {
	op    string         // Issue, Revoke, Disable, Enable, Deploy, Save (store), Journal (save)
	call  int            // which one that when admits, from 1; zero: the first
	when  func(any) bool // of the argument; nil: any
	after bool           // the effect happens, and nobody learns of it
	late  time.Duration  // the effect is on its way, and lands when somebody else may be driving
	lives bool           // only the answer is lost, not the process
}

// node is one process of a world. From its cut on nothing it does has an effect any more, but what is on its way lands.
type node struct {
	h   *hazard
	cut cut

	mu   sync.Mutex
	seen int  // guarded by mu
	done bool // guarded by mu: the cut was made
	dead bool // guarded by mu
}

// doomed is a process that dies.
func (h *hazard) doomed(c cut) *rotation.Rotator {
	_, r := h.mortal(c)
	return r
}

func (h *hazard) mortal(c cut) (*node, *rotation.Rotator) {
	n := &node{h: h, cut: c}
	cfg, cred := h.cfg, h.cred
	cfg.Journal, cfg.Store = nodeJournal{cfg.Journal, n}, nodeStore{cfg.Store, n}
	cred.Issuer = nodeIssuer{cred.Issuer, n}
	cred.Consumers = slices.Clone(cred.Consumers)
	for i := range cred.Consumers {
		cred.Consumers[i].Consumer = nodeConsumer{cred.Consumers[i].Consumer, n}
	}
	cfg.Credentials = []rotation.Credential{cred}
	r, err := rotation.New(cfg)
	require.NoError(h.t, err)
	return n, r
}

func (n *node) do(ctx context.Context, op string, arg any, effect func(context.Context) error) error {
	n.mu.Lock()
	if n.dead {
		n.mu.Unlock()
		return errCut
	}
	if op == n.cut.op && (n.cut.when == nil || n.cut.when(arg)) {
		n.seen++
	}
	hit := n.seen == max(n.cut.call, 1) && !n.done
	n.done = n.done || hit
	n.dead = hit && !n.cut.lives
	n.mu.Unlock()
	switch {
	case !hit:
		return effect(ctx)
	case n.cut.late > 0:
		go func() {
			select {
			case <-n.h.t.Context().Done():
			case <-time.After(n.cut.late):
				_ = effect(context.WithoutCancel(ctx))
			}
		}()
	case n.cut.after:
		_ = effect(ctx)
	}
	return errCut
}

type nodeIssuer struct {
	rotation.Issuer
	n *node
}

func (i nodeIssuer) Unwrap() rotation.Issuer { return i.Issuer }

func (i nodeIssuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	minted := make(chan rotation.Key, 1) // a late effect answers nobody
	err := i.n.do(ctx, "Issue", req, func(ctx context.Context) error {
		key, err := i.Issuer.Issue(ctx, req)
		minted <- key
		return err
	})
	if err != nil {
		return rotation.Key{}, err
	}
	return <-minted, nil
}

func (i nodeIssuer) Revoke(ctx context.Context, key rotation.Key) error {
	return i.n.do(ctx, "Revoke", key, func(ctx context.Context) error { return i.Issuer.Revoke(ctx, key) })
}

func (i nodeIssuer) Disable(ctx context.Context, key rotation.Key) error {
	d, ok := rotation.As[rotation.Disabler](i.Issuer)
	if !ok {
		return errors.ErrUnsupported
	}
	return i.n.do(ctx, "Disable", key, func(ctx context.Context) error { return d.Disable(ctx, key) })
}

func (i nodeIssuer) Enable(ctx context.Context, key rotation.Key) error {
	d, ok := rotation.As[rotation.Disabler](i.Issuer)
	if !ok {
		return errors.ErrUnsupported
	}
	return i.n.do(ctx, "Enable", key, func(ctx context.Context) error { return d.Enable(ctx, key) })
}

type nodeStore struct {
	rotation.SecretStore
	n *node
}

func (s nodeStore) Unwrap() rotation.SecretStore { return s.SecretStore }

func (s nodeStore) Save(ctx context.Context, name string, v rotation.Versions) error {
	return s.n.do(ctx, "Save", v, func(ctx context.Context) error { return s.SecretStore.Save(ctx, name, v) })
}

type nodeJournal struct {
	rotation.Journal
	n *node
}

func (j nodeJournal) Save(ctx context.Context, e rotation.Entry) error {
	return j.n.do(ctx, "Journal", e, func(ctx context.Context) error { return j.Journal.Save(ctx, e) })
}

type nodeConsumer struct {
	rotation.Consumer
	n *node
}

func (c nodeConsumer) Unwrap() rotation.Consumer { return c.Consumer }

func (c nodeConsumer) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return c.n.do(ctx, "Deploy", req, func(ctx context.Context) error { return c.Consumer.Deploy(ctx, req) })
}

// ---- presenters and providers of other sorts

// follower reads the store by itself, every ttl, and is told nothing.
type follower struct {
	h   *hazard
	ttl time.Duration

	mu  sync.Mutex
	key rotation.Key // guarded by mu
}

const followerLag = 10 * time.Minute

// follow starts a presenter that reads the store. It is not a binding until it is added as one.
func (h *hazard) follow() *follower {
	f := &follower{h: h, ttl: followerLag - 13*time.Second}
	f.refresh()
	ctx := h.t.Context()
	go func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(f.ttl):
				f.refresh()
			}
		}
	}()
	h.traffic("the reader", f.Key)
	return f
}

func (f *follower) refresh() {
	v, err := f.h.store.Load(context.Background(), name)
	if k := v.Key(rotation.RoleCurrent); err == nil && !k.IsZero() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.key = k
	}
}

func (f *follower) Key() rotation.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key
}

// binding is a follower as the rotator knows it: nothing to deploy, a lag, and nothing that can see it.
func (f *follower) binding() rotation.Binding {
	told := rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil })
	return rotation.Binding{Name: "reader", Consumer: told, Lag: followerLag}
}

// lists is a provider whose list is seen through change.
type lists struct {
	*rotationtest.Provider
	change func([]rotation.KeyInfo) ([]rotation.KeyInfo, error)
}

func (l lists) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	keys, err := l.Provider.List(ctx)
	if err != nil {
		return nil, err
	}
	return l.change(keys)
}

// withoutList hides the list, withoutUsage the figures in it, withoutNames the names that tell whose key it is.
func withoutList(w *world) {
	w.cred.Issuer = lists{w.provider, func([]rotation.KeyInfo) ([]rotation.KeyInfo, error) { return nil, errors.ErrUnsupported }}
}

func withoutUsage(w *world) {
	w.cred.Issuer = lists{w.provider, func(keys []rotation.KeyInfo) ([]rotation.KeyInfo, error) {
		for i := range keys {
			keys[i].Usage = rotation.Usage{}
		}
		return keys, nil
	}}
}

func withoutNames(w *world) {
	w.cred.Issuer = lists{w.provider, func(keys []rotation.KeyInfo) ([]rotation.KeyInfo, error) {
		for i := range keys {
			keys[i].Key.Name = ""
		}
		return keys, nil
	}}
}

// observing adds sight to a consumer: what is deployed and what is seen can be two things.
type observing struct {
	rotation.Consumer
	rotation.Observer
}
