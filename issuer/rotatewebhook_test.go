// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// inbox receives deliveries and tells which secret each matched.
type inbox struct {
	mu      sync.Mutex
	accept  []rotation.Key
	matched map[int64]time.Time
	since   time.Time
	refused int
}

func (i *inbox) Deploy(_ context.Context, req rotation.DeployRequest) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.accept = slices.Clone(req.Accept)
	return nil
}

func (i *inbox) find(s secret.Value) int {
	return slices.IndexFunc(i.accept, func(k rotation.Key) bool { return k.Secret.Equal(s) })
}

func (i *inbox) Verify(_ context.Context, key rotation.Key) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.find(key.Secret) < 0 {
		return rotation.ErrRejected
	}
	return nil
}

func (i *inbox) Usage(_ context.Context, key rotation.Key) (rotation.Usage, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return rotation.Usage{LastUsed: i.matched[key.Serial], Since: i.since, AsOf: time.Now()}, nil
}

// deliver is one delivery that was signed with a secret.
func (i *inbox) deliver(signed string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := i.find(secret.New(signed)); n >= 0 {
		i.matched[i.accept[n].Serial] = time.Now()
	} else {
		i.refused++
	}
}

// stage is a rotation of a webhook secret, with a delivery every minute.
type stage struct {
	t        *testing.T
	box      *inbox
	secrets  rotation.SecretStore
	rotator  *rotation.Rotator
	signs    func() []string // with which secrets the sender signs now; a delivery for each
	silences int             // minutes in which nothing was delivered
}

const hookName = "hook"

func newStage(t *testing.T, sender rotation.Issuer, current rotation.Key, signs func() []string) *stage {
	s := &stage{t: t, secrets: store.NewMemory(), signs: signs, box: &inbox{
		accept: []rotation.Key{current}, matched: map[int64]time.Time{}, since: time.Now(),
	}}
	require.NoError(t, store.Seed(t.Context(), s.secrets, hookName, current))
	var err error
	s.rotator, err = rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: s.secrets, ClockSkew: -1, Logger: slog.New(slog.DiscardHandler),
		Policy: rotation.Policy{Overlap: time.Hour, Quiet: time.Hour},
		Credentials: []rotation.Credential{{
			Name: hookName, Type: rotation.WebhookSecret, Issuer: sender,
			Consumers: []rotation.Binding{{Name: "inbox", Consumer: s.box}},
		}},
	})
	require.NoError(t, err)
	return s
}

// after lets time pass, with its deliveries.
func (s *stage) after(d time.Duration) {
	for ; d > 0; d -= time.Minute {
		time.Sleep(time.Minute)
		signs := s.signs()
		for _, signed := range signs {
			s.box.deliver(signed)
		}
		if len(signs) == 0 {
			s.silences++
		}
	}
}

// until advances the rotation until something is so.
func (s *stage) until(what string, so func(rotation.Status) bool) rotation.Status {
	s.t.Helper()
	var st rotation.Status
	for range 1000 {
		var err error
		if st, err = s.rotator.Advance(s.t.Context(), hookName); err == nil && so(st) {
			return st
		}
		s.after(5 * time.Minute)
	}
	s.t.Fatalf("%s does not come: %+v", what, st)
	return st
}

func (s *stage) rotate() {
	s.t.Helper()
	_, err := s.rotator.Rotate(s.t.Context(), hookName, rotation.Trigger{Reason: "test"})
	st, statusErr := s.rotator.Status(s.t.Context(), hookName)
	require.NoError(s.t, statusErr)
	require.NotNil(s.t, st.Open, "%v", err) // a problem on the way is no reason not to begin
}

func ended(st rotation.Status) bool { return st.Open == nil }

func phase(p rotation.Phase) func(rotation.Status) bool {
	return func(st rotation.Status) bool { return st.Open != nil && st.Open.Phase == p }
}

// spared fails if a delivery was refused or did not come.
func (s *stage) spared() {
	s.t.Helper()
	assert.Zero(s.t, s.box.refused, "no delivery was refused")
	assert.Zero(s.t, s.silences, "the deliveries never stopped")
}

var quickSender = rotation.Traits{Propagation: -1, ListLag: -1, RetryHorizon: time.Hour}

// board is a stage with subscriptions.
func board(t *testing.T, isGitea bool) (*stage, *switchboard, *lossy) {
	b := newSwitchboard(isGitea)
	old := b.seed("the secret of yesterday, by hand")
	wire := &lossy{Handler: b}
	make := pagerDuty
	if isGitea {
		make = gitea
	}
	sender := make("https://api.example.com")
	sender.Client = &http.Client{Transport: wire}
	exclusive := sender.Traits.Exclusive
	sender.Traits = quickSender
	sender.Traits.Exclusive = exclusive
	s := newStage(t, sender, rotation.Key{ID: old.id, Secret: secret.New(old.secret), IssuedAt: time.Now()}, func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		var signs []string
		for _, id := range b.live() {
			signs = append(signs, b.subs[id].secret)
		}
		return signs
	})
	return s, b, wire
}

func TestRotateSubscriptions(t *testing.T) {
	for name, lost := range map[string][]string{
		"PagerDuty":                        nil,
		"Gitea":                            nil,
		"PagerDuty with answers that fail": {"POST /webhook_subscriptions", "PUT /webhook_subscriptions/3", "PUT /webhook_subscriptions/1", "DELETE /webhook_subscriptions/1"},
		"Gitea with answers that fail":     {"POST /repos/acme/web/hooks", "PATCH /repos/acme/web/hooks/3", "PATCH /repos/acme/web/hooks/1", "DELETE /repos/acme/web/hooks/1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b, wire := board(t, strings.HasPrefix(name, "Gitea"))
				wire.lose(lost...)
				s.rotate()
				st := s.until("the end", ended)
				assert.Equal(t, rotation.Rotated, st.Last.Outcome)
				for _, d := range st.Debts { // a value that nobody knows cannot be proven dead, but what had it is gone
					assert.NotEmpty(t, lost)
					assert.NotContains(t, b.subs, d.Key.ID)
				}
				s.spared()
				require.Len(t, b.subs, 1, "what a lost answer made is deleted, and so is the old one")
				assert.Equal(t, []string{st.Last.NewID}, b.on())
				assert.Empty(t, wire.lost)
				require.Len(t, s.box.accept, 1)
				assert.Equal(t, b.subs[st.Last.NewID].secret, s.box.accept[0].Secret.Reveal())
			})
		})
	}
}

func TestRollBackSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, _ := board(t, false)
		s.rotate()
		st := s.until("the soak", phase(rotation.PhaseSoak))
		assert.Equal(t, []string{st.Open.NewID}, b.on())
		_, err := s.rotator.Abort(t.Context(), hookName, "test")
		require.NoError(t, err)
		st = s.until("the end", ended)
		assert.Equal(t, rotation.RolledBack, st.Last.Outcome)
		s.spared()
		assert.Equal(t, []string{"1"}, b.on())
		assert.Equal(t, []string{"on 2", "off 1", "on 1", "off 2", "delete 2"}, b.log)
	})
}

func TestEmergencySubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, _ := board(t, true)
		_, err := s.rotator.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{hookName}, ConfirmedAt: time.Now()})
		require.NoError(t, err)
		st := s.until("the end", ended)
		assert.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Len(t, b.subs, 1)
		assert.Equal(t, []string{st.Last.NewID}, b.on())
		assert.Len(t, s.box.accept, 1)
	})
}

func TestRotateWebhook(t *testing.T) {
	for _, outcome := range []rotation.Outcome{rotation.Rotated, rotation.RolledBack} {
		t.Run(string(outcome), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender := &endpoint{}
				wire := &lossy{Handler: sender}
				hook := svix("https://api.example.com")
				hook.Client, hook.Traits = &http.Client{Transport: wire}, quickSender
				old := rotation.Key{ID: "by hand", Secret: issuer.StandardSecret(), IssuedAt: time.Now()}
				sender.told = []string{old.Secret.Reveal()}
				s := newStage(t, hook, old, func() []string {
					sender.mu.Lock()
					defer sender.mu.Unlock()
					return []string{sender.secret()}
				})
				wire.lose("POST /app/a1/endpoint/ep1/secret/rotate")
				s.rotate()
				if outcome == rotation.RolledBack {
					s.until("the soak", phase(rotation.PhaseSoak))
					_, err := s.rotator.Abort(t.Context(), hookName, "test")
					require.NoError(t, err)
				}
				st := s.until("the end", ended)
				assert.Equal(t, outcome, st.Last.Outcome)
				assert.Empty(t, st.Debts)
				s.spared()
				require.Len(t, s.box.accept, 1)
				assert.Equal(t, sender.secret(), s.box.accept[0].Secret.Reveal())
				assert.Equal(t, outcome == rotation.RolledBack, s.box.accept[0].Secret.Equal(old.Secret))
				assert.Len(t, sender.told, map[rotation.Outcome]int{rotation.Rotated: 2, rotation.RolledBack: 3}[outcome], "each secret is told once")
			})
		})
	}
}

// A person sets the secret at a console, finds the value in the store, and says that it is done.
func TestRotateManualWebhook(t *testing.T) {
	for name, console := range map[string]issuer.ManualWebhook{
		"chosen here":      {Tell: "Set {name} at the console.", Traits: quickSender},
		"made by a person": {Tell: "Set {name} at the console.", Create: "Make {name} at the console.", Traits: quickSender},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signs := "the secret of yesterday, by hand"
				old := rotation.Key{ID: "s1", Secret: secret.New(signs), IssuedAt: time.Now()}
				s := newStage(t, console, old, func() []string { return []string{signs} })
				s.rotate()
				person := func(st rotation.Status) bool {
					return slices.ContainsFunc(st.Needs, func(n rotation.Need) bool { return n.Kind == rotation.NeedPerson })
				}
				var done []string
				for range 5 {
					st := s.until("a task", func(st rotation.Status) bool { return ended(st) || person(st) })
					if ended(st) {
						break
					}
					n := st.Needs[slices.IndexFunc(st.Needs, func(n rotation.Need) bool { return n.Kind == rotation.NeedPerson })]
					done = append(done, regexp.MustCompile("Make|Set").FindString(n.Text))
					switch {
					case strings.Contains(n.Text, "Make"):
						_, err := s.rotator.Supply(t.Context(), hookName, rotation.Key{ID: "s2", Secret: secret.New("made at the console, by a person")})
						require.NoError(t, err)
						continue
					case strings.Contains(n.Text, "Set"):
						v, err := s.secrets.Load(t.Context(), hookName)
						require.NoError(t, err)
						pending := v.Key(rotation.RolePending)
						assert.Contains(t, n.Text, pending.Name)
						signs = pending.Secret.Reveal()
					}
					_, err := s.rotator.Resolve(t.Context(), hookName, rotation.Answer{Need: n.ID, Verb: rotation.VerbDone, Reason: "done"})
					require.NoError(t, err)
				}
				st, err := s.rotator.Status(t.Context(), hookName)
				require.NoError(t, err)
				require.Nil(t, st.Open, "%+v", st.Needs)
				assert.Equal(t, rotation.Rotated, st.Last.Outcome)
				s.spared()
				require.Len(t, s.box.accept, 1)
				assert.Equal(t, signs, s.box.accept[0].Secret.Reveal())
				assert.Equal(t, map[string][]string{"chosen here": {"Set"}, "made by a person": {"Make", "Set"}}[name], done)
			})
		})
	}
}
