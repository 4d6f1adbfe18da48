// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// Each test of this file is an interleaving that a simpler design fails: what happens, and what the naive behaviour would
// do to whom.

// C1: Deploy(batch) returns nil, its restart silently fails, and its health check is content, because the old key still
// works. Naive: the overlap passes, the old key is revoked, and batch is down.
func TestC1AdoptionIsObserved(t *testing.T) {
	healthy := func(c *rotationtest.Consumer) rotation.Verifier {
		return rotation.VerifierFunc(func(ctx context.Context, _ rotation.Key) error { return c.Verify(ctx, c.Key()) })
	}
	told := rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil })
	for what, c := range map[string]struct {
		usage, observed bool
		want            rotation.Diagnosis
	}{
		"nobody sees it":      {false, false, rotation.Unproven},
		"the provider sees":   {true, false, rotation.OldKeyInUse},
		"its instance says":   {false, true, rotation.ConsumerNotUpdated},
		"both of them see it": {true, true, rotation.ConsumerNotUpdated},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 2)
				if !c.usage {
					withoutUsage(h.world)
				}
				h.cred.Issuer = final{h.cred.Issuer}
				batch := h.consumers[1]
				h.cred.Consumers[1] = rotation.Binding{Name: "batch", Consumer: told, Verifier: healthy(batch)}
				if c.observed {
					h.cred.Consumers[1].Consumer = observing{told, batch}
				}
				r := h.rotator()
				h.begin(r)
				st := h.drive(r, 12*time.Hour)
				h.laws()
				require.NotNil(t, st.Open, "ended although batch never moved")
				assert.Equal(t, c.want, diagnosis(st), "%s", st.Open)
				require.Contains(t, h.provider.Live(), h.seeded.ID)

				h.give(batch, h.current()) // the restart works at last
				if c.want == rotation.Unproven {
					h.answer(r, rotation.VerbAttest)
				}
				h.ended(r, 24*time.Hour, rotation.Rotated)
				h.laws()
			})
		})
	}
}

// final is an issuer that cannot disable.
type final struct{ rotation.Issuer }

func (f final) Unwrap() rotation.Issuer                     { return f.Issuer }
func (f final) Disable(context.Context, rotation.Key) error { return errors.ErrUnsupported }
func (f final) Enable(context.Context, rotation.Key) error  { return errors.ErrUnsupported }

// C2: promote; a reader of the store takes the new key; another consumer fails on it; everybody who was told is put back
// and the new key is revoked. Naive: "every consumer touched" misses the reader, which presents a dead key.
func TestC2RollBackIsGated(t *testing.T) {
	setup := func(t *testing.T) (h *hazard, heal func()) {
		h = newHazard(t, 1)
		h.cred.Consumers = append(h.cred.Consumers, h.follow().binding())
		healed := false
		h.cred.Consumers[0].Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			if key.ID != h.seeded.ID && !healed {
				return errors.New("crash loop")
			}
			return h.consumers[0].Verify(ctx, key)
		})
		return h, func() { healed = true }
	}
	t.Run("a reader still has the new key", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h, _ := setup(t)
			r := h.rotator()
			h.begin(r)
			h.ended(r, 24*time.Hour, rotation.RolledBack)
			h.laws()
			require.Equal(t, h.seeded.ID, h.current().ID)
		})
	})
	// Nor may the new key die before the old one was proven again: it may have ended meanwhile.
	t.Run("the old key died meanwhile", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h, heal := setup(t)
			r := h.rotator()
			h.begin(r)
			h.drive(r, 14*time.Minute)
			require.NoError(t, h.provider.Revoke(t.Context(), h.seeded))
			st := h.drive(r, 12*time.Hour)
			require.NotNil(t, st.Open)
			require.Contains(t, h.provider.Live(), h.current().ID)
			heal()
			h.drive(r, 12*time.Hour)
			h.answer(r, rotation.VerbAttest) // nothing sees the reader any more
			h.ended(r, 24*time.Hour, rotation.Rotated)
			h.laws()
		})
	})
}

// C3: the Save of the promotion is applied, its answer is lost, and it is made again as a move (pending becomes current,
// current becomes previous). Naive: current is empty, the old value is gone, and a restarting pod finds nothing. The same for
// the put-back and the last Save.
func TestC3PromoteIsATarget(t *testing.T) {
	currentIs := func(h *hazard, v rotation.Versions) bool { return v.Key(rotation.RoleCurrent).ID == h.seeded.ID }
	for what, c := range map[string]struct {
		abort bool
		when  func(*hazard, rotation.Versions) bool
	}{
		"promote":  {false, func(h *hazard, v rotation.Versions) bool { return !currentIs(h, v) && len(v.Keys) == 2 }},
		"finish":   {false, func(h *hazard, v rotation.Versions) bool { return !currentIs(h, v) && len(v.Keys) == 1 }},
		"put back": {true, func(h *hazard, v rotation.Versions) bool { return currentIs(h, v) && h.current().ID != h.seeded.ID }},
	} {
		for how, end := range map[string]cut{
			"answer lost": {after: true, lives: true},
			"dead after":  {after: true},
			"dead before": {},
		} {
			t.Run(what+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					h := newHazard(t, 2)
					end.op, end.when = "Save", func(v any) bool { return c.when(h, v.(rotation.Versions)) }
					r, outcome := h.doomed(end), rotation.Rotated
					h.begin(r)
					if c.abort {
						outcome = rotation.RolledBack
						h.until(r, rotation.PhaseSoak)
						_, _ = r.Abort(t.Context(), name, "no good")
					}
					h.drive(r, time.Minute)
					h.ended(h.rotator(), 24*time.Hour, outcome)
					h.laws()
				})
			})
		}
	}
}

// C4: a process sends something, pauses and loses its lease; another one takes over and goes the other way; then the first
// one's effect lands. Naive: everybody is back on the old key when its Disable arrives, or on the way to the kill of the new
// key when a consumer is given just that one.
func TestC4LateEffectsAreWaitedOut(t *testing.T) {
	isNew := func(h *hazard) func(any) bool {
		return func(req any) bool { return req.(rotation.DeployRequest).Key.ID != h.seeded.ID }
	}
	promotes := func(h *hazard) func(any) bool {
		return func(v any) bool { return v.(rotation.Versions).Key(rotation.RoleCurrent).ID != h.seeded.ID }
	}
	for what, c := range map[string]struct {
		op   string
		when func(*hazard) func(any) bool
		late []time.Duration // less than a lease and what settles after it
	}{
		"Disable": {"Disable", nil, []time.Duration{5 * time.Second, 33 * time.Second, 42 * time.Second}},
		"Deploy":  {"Deploy", isNew, []time.Duration{5 * time.Second, 33 * time.Second, 42 * time.Second}},
		"Save":    {"Save", promotes, []time.Duration{5 * time.Second, 42 * time.Second, 10 * time.Minute}},
	} {
		for _, late := range c.late {
			t.Run(fmt.Sprint(what, " lands after ", late), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					h := newHazard(t, 2)
					withoutUsage(h.world)
					for i, c := range h.consumers { // seen, and asked nothing
						h.cred.Consumers[i].Consumer = observing{rotation.ConsumerFunc(c.Deploy), c}
					}
					end := cut{op: c.op, late: late}
					if c.when != nil {
						end.when = c.when(h)
					}
					a, b := h.doomed(end), h.rotator()
					h.begin(a)
					if c.op == "Disable" {
						h.until(a, rotation.PhaseDisable)
					}
					h.abort(b) // at the first moment at which somebody else can
					h.ended(b, 24*time.Hour, rotation.RolledBack)
					time.Sleep(late) // at the latest it lands now
					h.laws()
				})
			})
		}
	}
}

// C5: Issue is applied, its answer is lost, and the list does not show the key yet. Naive: "nothing there, issue again", and
// nobody ever looks for the first key. One tag for a whole rotation cannot tell the two apart.
func TestC5LostIssueIsSettled(t *testing.T) {
	lost := rotationtest.Fault{Op: "Issue", Call: 1, After: true}
	honest := func(t *testing.T, h *hazard, r *rotation.Rotator) {
		h.until(r, rotation.PhaseSoak)
		require.Len(t, h.provider.Live(), len(h.others)+2, "the lost key lives on through the overlap")
	}
	for what, change := range map[string]func(*hazard){
		"the list lags": func(h *hazard) { h.provider.Traits.ListLag = 2 * time.Minute },
		"the list lags longer than it says": func(h *hazard) {
			h.provider.Traits.ListLag = 20 * time.Minute
			h.cred.Issuer = claiming{h.provider, rotation.Traits{Propagation: -1, ListLag: -1}}
		},
		"without names, where nobody else makes keys": func(h *hazard) {
			h.provider.Traits.Exclusive = true
			withoutNames(h.world)
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				change(h)
				h.provider.Inject(lost)
				r := h.rotator()
				h.begin(r)
				if what != "the list lags longer than it says" {
					honest(t, h, r)
				}
				h.ended(r, 24*time.Hour, rotation.Rotated)
				h.laws()
				require.Equal(t, 2, h.provider.Calls("Issue"))
			})
		})
	}
	t.Run("the call lands after the takeover", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			h.begin(h.doomed(cut{op: "Issue", late: 42 * time.Second}))
			r := h.rotator()
			honest(t, h, r)
			h.ended(r, 24*time.Hour, rotation.Rotated)
			h.laws()
		})
	})
	for what, change := range map[string]func(*world){"without names": withoutNames, "without a list": withoutList} {
		t.Run(what+" a person says which", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				change(h.world)
				before := h.provider.Live()
				h.provider.Inject(lost)
				r := h.rotator()
				h.begin(r)
				minted := slices.DeleteFunc(h.provider.Live(), func(id string) bool { return slices.Contains(before, id) })
				h.others = append(h.others, h.provider.Mint().ID)
				st := h.drive(r, 12*time.Hour)
				require.Equal(t, rotation.AmbiguousIssue, diagnosis(st))
				require.Equal(t, 1, h.provider.Calls("Issue"))
				require.Zero(t, h.provider.Calls("Revoke"))
				h.answer(r, rotation.VerbSettle, func(a *rotation.Answer) { a.KeyID = minted[0] })
				require.NotContains(t, h.provider.Live(), minted[0])
				for _, d := range h.status().Debts { // without a list nothing else proves its death
					_, err := r.Resolve(t.Context(), name, rotation.Answer{Need: d.ID, Verb: rotation.VerbSettle})
					require.NoError(t, err)
				}
				h.ended(r, 24*time.Hour, rotation.Rotated)
				h.laws()
			})
		})
	}
}

// C5: one process is about to revoke the lost key, another one's late Save brings its value as pending, and a third sees a
// key of its own attempt there. Naive: it adopts and promotes it, and then the revocation lands.
func TestC5CondemnedIsNeverAdopted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		pending := func(v any) bool {
			return slices.ContainsFunc(v.(rotation.Versions).Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RolePending })
		}
		h.begin(h.doomed(cut{op: "Save", when: pending, late: 55 * time.Second}))
		h.drive(h.doomed(cut{op: "Revoke", late: 50 * time.Second}), 54*time.Second)
		time.Sleep(3 * time.Second)
		require.True(t, pending(h.versions()), "the late value is not there: this test tests nothing")
		h.ended(h.rotator(), 24*time.Hour, rotation.Rotated)
		h.laws()
	})
}

// claiming is a provider whose traits are not what it says.
type claiming struct {
	*rotationtest.Provider
	traits rotation.Traits
}

func (c claiming) Describe() rotation.Traits { return c.traits }

// retaining accepts a primary and a secondary password, like MySQL after ALTER USER ... RETAIN CURRENT PASSWORD: a new
// password makes the primary one the secondary and discards what was secondary before, even if the new one is the old one.
type retaining struct {
	mu                 sync.Mutex
	primary, secondary rotation.Key // guarded by mu
	set                []string     // guarded by mu: every value that was ever sent
	lost               int          // guarded by mu: so many answers get lost, before or after the effect
	after              bool
}

func (r *retaining) Choose(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{Secret: secret.Random(20)}, nil
}

func (r *retaining) Issue(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := rotation.Key{ID: fmt.Sprint("app/", len(r.set)+1), Secret: req.Chosen.Secret}
	lost := r.lost > 0
	r.lost--
	if !lost || r.after {
		r.set = append(r.set, key.Secret.Reveal())
		r.primary, r.secondary = key, r.primary
	}
	if lost {
		return rotation.Key{}, context.DeadlineExceeded
	}
	return key, nil
}

func (r *retaining) Revoke(_ context.Context, key rotation.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.secondary.Secret.Equal(key.Secret) { // DISCARD OLD PASSWORD has no argument: look first
		r.secondary = rotation.Key{}
	}
	return nil
}

func (r *retaining) accepts(key rotation.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !key.Secret.IsZero() && (r.primary.Secret.Equal(key.Secret) || r.secondary.Secret.Equal(key.Secret))
}

func (r *retaining) Verify(_ context.Context, key rotation.Key) error {
	if !r.accepts(key) {
		return rotation.ErrRejected
	}
	return nil
}

func (r *retaining) Identity() string { return "a database" }

func (r *retaining) Describe() rotation.Traits { return rotation.Traits{Propagation: -1, ListLag: -1} }

// elsewhere makes another accepting side of a world's: its consumers are seen, and asked nothing.
func (h *hazard) elsewhere(issuer rotation.Issuer, accepts func(rotation.Key) bool) {
	h.cred.Issuer = issuer
	h.mu.Lock()
	h.accepts = accepts
	h.mu.Unlock()
	for i, c := range h.consumers {
		h.cred.Consumers[i].Consumer = observing{rotation.ConsumerFunc(c.Deploy), c}
	}
}

// C6: the client chooses the password, and the answer of the call that sets it is lost. Naive: another one is set, or the
// same one again: the first becomes the secondary, and the password that everybody uses is discarded.
func TestC6ChosenValuesAreStoredFirst(t *testing.T) {
	for what, c := range map[string]struct {
		lost  int
		after bool
		end   *cut
	}{
		"applied, answer lost":     {1, true, nil},
		"never arrived":            {1, false, nil},
		"never arrived, twice":     {2, false, nil},
		"applied, process died":    {end: &cut{op: "Issue", after: true}},
		"died before":              {end: &cut{op: "Issue"}},
		"lands after the takeover": {end: &cut{op: "Issue", late: 42 * time.Second}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				db := &retaining{primary: h.seeded, lost: c.lost, after: c.after}
				h.elsewhere(db, db.accepts)
				r := h.rotator()
				if c.end != nil {
					h.begin(h.doomed(*c.end))
				} else {
					h.begin(r)
				}
				st := h.drive(r, 24*time.Hour)
				require.Nil(t, st.Open, "%s %+v", st.Open, st.Needs)
				time.Sleep(2 * oddly)
				require.Empty(t, h.outages())
				require.Equal(t, rotation.Rotated, st.Last.Outcome)
				require.Empty(t, st.Debts)
				require.Len(t, db.set, 1, "what was set once must not be set again")
				require.Equal(t, h.current().Secret.Reveal(), db.set[0])
				require.False(t, db.accepts(h.seeded))
			})
		})
	}
}

// alternating accepts the passwords of two users and knows keys by the user: an id comes back with every second rotation.
type alternating struct {
	mu     sync.Mutex
	users  map[string]secret.Value // guarded by mu
	broken bool                    // guarded by mu: Revoke fails
}

func (a *alternating) Issue(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := rotation.Key{ID: "x", Secret: secret.Random(20)}
	if req.Current.ID == "x" {
		key.ID = "x_clone"
	}
	a.users[key.ID] = key.Secret
	return key, nil
}

// Revoke locks the user out, whatever its password is.
func (a *alternating) Revoke(_ context.Context, key rotation.Key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken {
		return errors.New("not now")
	}
	delete(a.users, key.ID)
	return nil
}

// set gives a user a password, as an administrator does by hand.
func (a *alternating) set(user string, password secret.Value) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[user] = password
}

func (a *alternating) fail(yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = yes
}

func (a *alternating) accepts(key rotation.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	password, ok := a.users[cmp.Or(key.ID, key.Attributes["user"])]
	return ok && password.Equal(key.Secret)
}

func (a *alternating) Verify(_ context.Context, key rotation.Key) error {
	if !a.accepts(key) {
		return rotation.ErrRejected
	}
	return nil
}

func (a *alternating) Identity() string { return "a database" }

func (a *alternating) Describe() rotation.Traits {
	return rotation.Traits{Propagation: -1, ListLag: -1}
}

// C7: the revocation of user x fails and becomes a debt; the next rotation but one issues into x. Naive: the debt is tried
// again, and kills the live key.
func TestC7ReturningSlotIsNeverRevoked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 2)
		h.seeded.ID = "x"
		v := h.versions()
		v.Keys[0].Key.ID = "x"
		require.NoError(t, h.store.Save(t.Context(), name, v))
		db := &alternating{users: map[string]secret.Value{"x": h.seeded.Secret}, broken: true}
		h.elsewhere(db, db.accepts)
		for _, c := range h.consumers {
			h.give(c, h.seeded)
		}
		r := h.rotator()
		h.begin(r)
		st := h.drive(r, 24*time.Hour)
		require.Nil(t, st.Open, "%s", st.Open)
		require.Len(t, st.Debts, 1)
		require.Equal(t, "x", st.Debts[0].Key.ID)

		h.begin(r)
		h.until(r, rotation.PhaseSoak)
		require.Equal(t, "x", h.current().ID)
		db.fail(false)
		st = h.drive(r, 24*time.Hour)
		require.Nil(t, st.Open, "%s", st.Open)
		require.Empty(t, h.paid(r))
		time.Sleep(24 * time.Hour)
		_, err := r.Advance(t.Context(), name)
		require.NoError(t, err)
		time.Sleep(2 * oddly)
		require.Empty(t, h.outages())
		require.True(t, db.accepts(h.current()))
		require.Len(t, db.users, 1)
	})
}

// C8: an emergency has revoked, issued and deployed; its caller timed out and asks again, or two people report one leak.
// Naive: "the current key" is now the new one, which is revoked: a second outage.
func TestC8EmergencyAttaches(t *testing.T) {
	whole := rotation.Incident{Reference: "INC-42", Credentials: []string{name}}
	for what, again := range map[string]func(t *testing.T, h *hazard, r *rotation.Rotator) error{
		"the same process": func(t *testing.T, _ *hazard, r *rotation.Rotator) error {
			_, err := r.Emergency(t.Context(), whole)
			return err
		},
		"another process": func(t *testing.T, h *hazard, _ *rotation.Rotator) error {
			_, err := h.rotator().Emergency(t.Context(), whole)
			return err
		},
		"after its end": func(t *testing.T, h *hazard, r *rotation.Rotator) error {
			h.ended(r, time.Hour, rotation.Rotated)
			_, err := r.Emergency(t.Context(), whole)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 2)
				// The revocation is not heard at first, so that the obligation stays open.
				h.provider.Inject(rotationtest.Fault{Op: "Revoke", Until: time.Now().Add(time.Minute)})
				r := h.rotator()
				_, _ = r.Emergency(t.Context(), whole)
				time.Sleep(10 * time.Second)
				_, _ = r.Advance(t.Context(), name)
				require.NoError(t, again(t, h, r))
				h.ended(r, time.Hour, rotation.Rotated)
				require.NotContains(t, h.provider.Live(), h.seeded.ID)
				require.Equal(t, 1, h.provider.Calls("Issue"), "one leak, one new key")
				h.nothingLost()
			})
		})
	}
	t.Run("two people at once", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			var wg sync.WaitGroup
			for range 2 {
				r := h.rotator()
				wg.Go(func() { _, _ = r.Emergency(t.Context(), whole) })
			}
			wg.Wait()
			h.ended(h.rotator(), time.Hour, rotation.Rotated)
			require.Equal(t, 1, h.provider.Calls("Issue"))
			h.nothingLost()
		})
	})
	// A second incident while one is open: without keys it may be the same leak; with keys it adds to what has to die, and
	// drops nothing.
	t.Run("another incident", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			h.cred.Issuer = stubborn{h.provider, h.seeded.ID, time.Now().Add(time.Minute)}
			r := h.rotator()
			_, _ = r.Emergency(t.Context(), whole)
			second := h.current()
			require.NotEqual(t, h.seeded.ID, second.ID)
			_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-43", Credentials: []string{name}})
			require.Error(t, err, "which keys?")
			require.Contains(t, h.provider.Live(), second.ID)
			_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-44", Keys: []rotation.Leak{{Credential: name, KeyID: second.ID}}})
			h.ended(r, time.Hour, rotation.Rotated)
			require.NotContains(t, h.provider.Live(), h.seeded.ID)
			require.NotContains(t, h.provider.Live(), second.ID)
			h.nothingLost()
		})
	})
}

// stubborn does not hear about the revocation of one key for a while.
type stubborn struct {
	*rotationtest.Provider
	id    string
	until time.Time
}

func (s stubborn) Revoke(ctx context.Context, key rotation.Key) error {
	if key.ID == s.id && time.Now().Before(s.until) {
		return errors.New("not now")
	}
	return s.Provider.Revoke(ctx, key)
}

// C9: the compromised key is to be revoked while another process holds the lease in a long rollout, the journal or the store
// is down, or the provider has told the standard rotation to come back later. Naive: each of them makes the revocation wait.
func TestC9EmergencyWaitsForNothing(t *testing.T) {
	for what, before := range map[string]func(t *testing.T, h *hazard){
		"nothing in the way": func(*testing.T, *hazard) {},
		"a rollout under lease": func(t *testing.T, h *hazard) {
			h.cfg.CallTimeout, h.cfg.Lease = 5*time.Minute, 6*time.Minute
			h.consumers[0].Inject(rotationtest.Fault{Op: "Deploy", Call: 2, Delay: 4 * time.Minute})
			go h.begin(h.rotator())
			time.Sleep(time.Minute)
		},
		"the journal is down": func(_ *testing.T, h *hazard) {
			until := time.Now().Add(time.Hour)
			h.journal.Inject(rotationtest.Fault{Op: "Load", Until: until})
			h.journal.Inject(rotationtest.Fault{Op: "Save", Until: until})
		},
		"the journal takes nothing": func(_ *testing.T, h *hazard) {
			h.journal.Inject(rotationtest.Fault{Op: "Save", Until: time.Now().Add(time.Hour)})
		},
		"the store is down": func(_ *testing.T, h *hazard) {
			h.begin(h.rotator())
			h.store.Inject(rotationtest.Fault{Op: "Save", Until: time.Now().Add(time.Hour)})
		},
		"the issuer says later": func(t *testing.T, h *hazard) {
			later := rotation.RetryAt(rotation.ErrNotIssued, time.Now().Add(time.Hour))
			h.provider.Inject(rotationtest.Fault{Op: "Issue", Until: time.Now().Add(time.Hour), Err: later})
			h.begin(h.rotator())
			require.Equal(t, rotation.IssuerRateLimited, diagnosis(h.status()))
		},
		"a person holds it": func(t *testing.T, h *hazard) {
			require.NoError(t, h.rotator().Hold(t.Context(), name, time.Now().Add(time.Hour), "freeze"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				before(t, h)
				r, called := h.rotator(), time.Now()
				doomed := []string{h.seeded.ID}
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
				require.NotContains(t, h.provider.Live(), h.seeded.ID)
				require.LessOrEqual(t, time.Since(called), time.Minute, "limit of issuing and one call")
				if !strings.Contains(what, "journal") {
					report, err := r.Incident(t.Context(), "INC-1")
					require.NoError(t, err)
					require.Len(t, report.Records, 1, "revoked without a record")
				}
				if what == "a person holds it" {
					h.ended(r, 10*time.Minute, rotation.Rotated)
				}
				for range 200 { // whatever was in the way ends after an hour
					_, _ = r.Sweep(t.Context())
					time.Sleep(time.Minute)
				}
				st := h.status()
				require.Nil(t, st.Open, "%s\n%+v", st.Open, st.Needs)
				report, err := r.Incident(t.Context(), "INC-1")
				require.NoError(t, err)
				require.True(t, report.Done(), "%s", report)
				for _, id := range doomed {
					require.NotContains(t, h.provider.Live(), id)
				}
				require.True(t, h.present(h.current()))
				require.True(t, h.present(h.consumers[0].Key()))
				h.nothingLost()
			})
		})
	}
}

// copied is a journal that holds what another one holds now: a backup.
func copied(t *testing.T, from rotation.Journal, names ...string) *rotationtest.Journal {
	t.Helper()
	to := rotationtest.NewJournal()
	for _, n := range names {
		e, err := from.Load(t.Context(), n)
		require.NoError(t, err)
		require.NotZero(t, e.Revision, "there is no entry %s", n)
		e.Revision = 0
		require.NoError(t, to.Save(t.Context(), e))
	}
	return to
}

// C10: the journal comes back from a backup of the middle of a rotation that has ended otherwise since; or it is lost; or each
// replica has one of its own. Naive: the old record's facts "hold", and the live key is revoked; keys that no record names
// look like orphans, and are.
func TestC10JournalAndStoreDisagree(t *testing.T) {
	const installation = "handover/installation"
	check := func(t *testing.T, h *hazard, r *rotation.Rotator, want rotation.Diagnosis) {
		t.Helper()
		live := h.provider.Live()
		revoked, issued := h.provider.Calls("Revoke"), h.provider.Calls("Issue")
		_, err := r.Advance(t.Context(), name)
		require.ErrorIs(t, err, want)
		h.drive(r, 12*time.Hour)
		require.Equal(t, revoked, h.provider.Calls("Revoke"))
		require.Equal(t, issued, h.provider.Calls("Issue"))
		require.Equal(t, live, h.provider.Live())
		time.Sleep(2 * oddly)
		require.Empty(t, h.outages())
	}
	t.Run("restored", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			r := h.rotator()
			h.begin(r)
			h.until(r, rotation.PhaseSoak)
			backup := copied(t, h.journal, installation, name)
			h.abort(r)
			h.ended(r, 24*time.Hour, rotation.RolledBack)
			h.cfg.Journal, h.journal = backup, backup
			r = h.rotator()
			check(t, h, r, rotation.JournalBehind)
			h.answer(r, rotation.VerbAdopt)
			h.drive(r, 24*time.Hour)
			h.laws()
			require.Equal(t, h.seeded.ID, h.current().ID)
		})
	})
	t.Run("lost", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			r := h.rotator()
			h.begin(r)
			h.until(r, rotation.PhaseSoak)
			h.journal = rotationtest.NewJournal()
			h.cfg.Journal = h.journal
			r = h.rotator()
			check(t, h, r, rotation.ForeignOwner)
			h.answer(r, rotation.VerbAdopt)
			h.ended(r, 48*time.Hour, rotation.Rotated)
			h.laws()
		})
	})
	t.Run("two journals", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			r := h.rotator()
			h.begin(r)
			h.until(r, rotation.PhaseSoak)
			other := *h.world
			other.cfg.Journal = rotationtest.NewJournal()
			second := other.rotator()
			_, err := second.Rotate(t.Context(), name, rotation.Trigger{})
			require.ErrorIs(t, err, rotation.ForeignOwner)
			require.Equal(t, 1, h.provider.Calls("Issue"))
			h.ended(r, 24*time.Hour, rotation.Rotated)
			h.laws()
		})
	})
	// Staging and production: the same names, one account at the provider, everything else apart.
	t.Run("two installations on one account", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			prod, staging := h, &hazard{world: newWorld(t, 0, func(w *world) { w.provider = h.provider; w.cred.Issuer = h.provider })}
			staging.seeded, staging.cred.Policy = h.provider.Mint(), h.cred.Policy
			v := staging.versions()
			v.Keys[0].Key = staging.seeded
			require.NoError(t, staging.store.Save(t.Context(), name, v))
			h.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
			h.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 2, After: true})
			s, p := staging.rotator(), prod.rotator()
			prod.begin(p)
			staging.begin(s)
			for range 300 {
				time.Sleep(time.Minute)
				_, _ = p.Advance(t.Context(), name)
				_, _ = s.Advance(t.Context(), name)
			}
			require.ElementsMatch(t, append(h.others, prod.current().ID, staging.current().ID), h.provider.Live())
			require.NotEqual(t, h.seeded.ID, prod.current().ID)
			require.NotEqual(t, staging.seeded.ID, staging.current().ID)
			require.Empty(t, h.outages())
		})
	})
}

// C11: the provider's figures are 20 hours old, the window is 24 hours, and an unknown presenter of the old key has been at
// work since the tenth hour: "fresher than the window, and quiet for the window" is true at the 25th. Or its counter was
// restarted and has seen nothing. Or our own probes are the only use there is, and quiet never comes.
func TestC11QuietIsEvidenceOverTheWholeWindow(t *testing.T) {
	day := func(h *hazard) { h.cred.Policy.Overlap, h.cred.Policy.Quiet = 24*time.Hour, 24*time.Hour }
	stale := func(age time.Duration) func(*hazard) rotation.Issuer {
		return func(h *hazard) rotation.Issuer {
			uses := map[string][]time.Time{}
			return lists{h.provider, func(keys []rotation.KeyInfo) ([]rotation.KeyInfo, error) {
				asOf := time.Now().Add(-age)
				for i := range keys {
					u, id := &keys[i].Usage, keys[i].Key.ID
					uses[id] = append(uses[id], u.LastUsed)
					u.LastUsed, u.AsOf = time.Time{}, asOf
					for _, at := range uses[id] {
						if !at.After(asOf) && at.After(u.LastUsed) {
							u.LastUsed = at
						}
					}
				}
				return keys, nil
			}}
		}
	}
	restarted := func(h *hazard) rotation.Issuer {
		since := time.Now().Add(20 * time.Hour)
		return lists{h.provider, func(keys []rotation.KeyInfo) ([]rotation.KeyInfo, error) {
			for i := range keys {
				if u := &keys[i].Usage; time.Now().After(since) {
					u.Since = since
					if u.LastUsed.Before(since) {
						u.LastUsed = time.Time{}
					}
				}
			}
			return keys, nil
		}}
	}
	for what, c := range map[string]struct {
		figures  func(*hazard) rotation.Issuer
		from, to time.Duration // when the unknown presenter is at work
	}{
		"stale figures":     {stale(20 * time.Hour), 10 * time.Hour, 30 * time.Hour},
		"restarted counter": {restarted, 30 * time.Hour, 32 * time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				day(h)
				h.cred.Issuer = c.figures(h)
				began := time.Now()
				h.traffic("somebody unknown", func() rotation.Key {
					if age := time.Since(began); age >= c.from && age < c.to {
						return h.seeded
					}
					return h.current()
				})
				r := h.rotator()
				h.begin(r)
				h.drive(r, c.to)
				require.Contains(t, h.provider.Live(), h.seeded.ID)
				h.ended(r, 4*24*time.Hour, rotation.Rotated)
				h.laws()
			})
		})
	}
	t.Run("our own probes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			presented := []rotation.Phase(nil)
			h.cred.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
				if st := h.status(); key.ID == h.seeded.ID && st.Open != nil && h.current().ID != h.seeded.ID && h.provider.Calls("Revoke") == 0 {
					presented = append(presented, st.Open.Phase)
				}
				return h.provider.Verify(ctx, key)
			})
			r := h.rotator()
			h.begin(r)
			h.ended(r, 3*time.Hour, rotation.Rotated)
			h.laws()
			require.Empty(t, presented, "the old key is presented by nobody between promotion and proof of death")
		})
	})
}

// C12: the registration changes under an open rotation: a consumer is added that holds the old key, one is renamed or gone,
// the issuer is another account. Naive: the added one is not in the journaled list, and the old key dies under it; the other
// account has never heard of the old key, so that it counts as dead, and lives on.
func TestC12RegistrationChangesUnderway(t *testing.T) {
	open := func(t *testing.T, consumers int) *hazard {
		h := newHazard(t, consumers)
		r := h.rotator()
		h.begin(r)
		h.until(r, rotation.PhaseSoak)
		return h
	}
	t.Run("added", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := open(t, 1)
			late := rotationtest.NewConsumer(h.provider)
			h.give(late, h.seeded) // from an old file
			h.traffic("the added one", late.Key)
			time.Sleep(59 * time.Minute)
			h.cred.Consumers = append(h.cred.Consumers, rotation.Binding{Name: "late", Consumer: late})
			h.ended(h.rotator(), 24*time.Hour, rotation.Rotated)
			h.laws()
			require.Equal(t, h.current().ID, late.Key().ID)
		})
	})
	for what, c := range map[string]struct{ forget bool }{"gone, and forgotten": {true}, "gone, and back": {false}} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := open(t, 2)
				all := h.cred.Consumers
				h.cred.Consumers = all[:1]
				r := h.rotator()
				st := h.drive(r, 12*time.Hour)
				require.Equal(t, rotation.ConsumerGone, diagnosis(st))
				require.Contains(t, h.provider.Live(), h.seeded.ID)
				if c.forget {
					h.answer(r, rotation.VerbForget)
				} else {
					h.cred.Consumers = all
					require.NoError(t, r.Register(h.cred))
				}
				h.ended(r, 24*time.Hour, rotation.Rotated)
				h.laws()
			})
		})
	}
	t.Run("gone before it was told anything", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			h.provider.Inject(rotationtest.Fault{Op: "Issue", Until: time.Now().Add(time.Hour), Err: rotation.ErrNotIssued})
			h.begin(h.rotator())
			h.cred.Consumers = h.cred.Consumers[:1]
			h.consumers[1].Inject(rotationtest.Fault{Op: "Deploy"})
			r := h.rotator()
			h.until(r, rotation.PhaseSoak)
			require.Zero(t, h.consumers[1].Calls("Deploy")-1, "given by hand, and never told")
		})
	})
	t.Run("another account", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := open(t, 1)
			here, there := h.cred.Issuer, rotationtest.NewProvider()
			h.cred.Issuer = there
			r := h.rotator()
			st := h.drive(r, 12*time.Hour)
			require.Equal(t, rotation.PartsChanged, diagnosis(st))
			for _, op := range []string{"Issue", "Revoke", "Verify", "List", "Disable", "Enable"} {
				require.Zero(t, there.Calls(op), "%s of an account that this rotation does not concern", op)
			}
			h.cred.Issuer = here
			require.NoError(t, r.Register(h.cred))
			h.ended(r, 24*time.Hour, rotation.Rotated)
			h.laws()
		})
	})
}

// C13: in the soak the current key, or both, turn out to be compromised, and no revocation gets through for an hour. Naive:
// three slots are too few, so a value is dropped before its key is dead; and "previous" is still served to whoever starts.
func TestC13CompromisedValuesAreKeptAndServedToNobody(t *testing.T) {
	for what, c := range map[string]struct {
		both    bool
		want    int // keys in the store while nothing dies
		outcome rotation.Outcome
	}{"the new key": {false, 2, rotation.RolledBack}, "both keys": {true, 3, rotation.Rotated}} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 2)
				r := h.rotator()
				h.begin(r)
				h.until(r, rotation.PhaseSoak)
				bad := map[string]bool{h.current().ID: true}
				in := rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: h.current().ID}}}
				if c.both {
					bad[h.seeded.ID] = true
					in.Keys, in.Credentials = nil, []string{name}
				}
				h.provider.Inject(rotationtest.Fault{Op: "Revoke", Until: time.Now().Add(time.Hour)})
				_, _ = r.Emergency(t.Context(), in)
				for range 55 {
					time.Sleep(time.Minute)
					_, _ = r.Advance(t.Context(), name)
					v := h.versions()
					require.Len(t, v.Keys, c.want, "a value left the store before its key was dead")
					for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RolePending, rotation.RolePrevious, rotation.RoleRetiring} {
						require.False(t, bad[v.Key(role).ID], "%s is compromised and served as %s", v.Key(role), role)
					}
					for _, k := range v.Keys {
						require.Equal(t, bad[k.Key.ID], k.Compromised, "the mark of %s", k.Key)
					}
					for _, k := range v.Accepted() {
						require.False(t, bad[k.ID], "%s is compromised and accepted", k)
					}
					require.False(t, bad[h.consumers[0].Key().ID])
				}
				require.NotNil(t, h.status().Open, "ended although a compromised key lives")
				h.ended(r, 6*time.Hour, c.outcome)
				for id := range bad {
					require.NotContains(t, h.provider.Live(), id)
				}
				if !c.both {
					require.Equal(t, h.seeded.ID, h.current().ID, "the old key was good")
				}
				h.laws()
			})
		})
	}
}

// C15: the provider ends the old key by itself, a day after issuing, and one consumer does not move. Naive: the rotation
// holds, nobody is told, the key dies under the consumer, and "roll back" leads everybody else to a dead key.
func TestC15ProviderDeadlineIsAFact(t *testing.T) {
	const grace = 24 * time.Hour
	t.Run("refused unless it is meant", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			h.provider.Traits.Grace = grace
			_, err := rotation.New(rotation.Config{Journal: h.journal, Store: h.store, Credentials: []rotation.Credential{h.cred}})
			require.ErrorContains(t, err, "AllowProviderDeadline")
			h.provider.Traits.Grace, h.provider.Traits.KillsOld = 0, true
			_, err = rotation.New(rotation.Config{Journal: h.journal, Store: h.store, Credentials: []rotation.Credential{h.cred}})
			require.ErrorContains(t, err, "AllowOutage")
		})
	})
	t.Run("one consumer does not move", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 2)
			h.provider.Traits.Grace = grace
			h.cred.Policy.AllowProviderDeadline = true
			slow := h.consumers[1]
			h.cred.Consumers[1].Consumer = observing{rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil }), slow}
			h.cred.Consumers[1].Lag = time.Hour
			alarms := &recorder{}
			h.cfg.Sinks = []rotation.Sink{alarms}
			r := h.rotator()
			issued := time.Now()
			h.begin(r)
			ends := issued.Add(grace)

			st := h.drive(r, 12*time.Hour)
			require.False(t, st.Open.RollbackUntil.After(ends), "a roll-back is promised to a key that will be dead")
			h.drive(r, 12*time.Hour-time.Minute)
			require.Empty(t, h.outages())
			alarm := alarms.first(func(e rotation.Event) bool { return e.Level >= slog.LevelError })
			require.NotNil(t, alarm, "nobody was told in time")
			require.True(t, alarm.At.Before(ends.Add(-30*time.Minute)), "told at %v: no time is left to restart it", alarm.At)

			h.drive(r, time.Hour) // the old key dies on schedule
			require.NotContains(t, h.provider.Live(), h.seeded.ID)
			_, _ = r.Abort(t.Context(), name, "back, please")
			h.drive(r, 6*time.Hour)
			require.True(t, h.present(h.consumers[0].Key()), "who had moved is led to a dead key")
			require.True(t, h.present(h.current()))
			h.give(slow, h.current())
			h.ended(r, 24*time.Hour, rotation.Rotated)
			for _, o := range h.outages() {
				require.Contains(t, o, "c1 presents", "only who did not move is out")
			}
			h.nothingLost()
		})
	})
}

// recorder is a sink that keeps what it gets, unless it is down.
type recorder struct {
	mu     sync.Mutex
	down   bool             // guarded by mu
	events []rotation.Event // guarded by mu
}

func (r *recorder) Deliver(_ context.Context, e rotation.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errors.New("down")
	}
	r.events = append(r.events, e)
	return nil
}

func (r *recorder) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *recorder) all() []rotation.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func (r *recorder) first(is func(rotation.Event) bool) *rotation.Event {
	all := r.all()
	if i := slices.IndexFunc(all, is); i >= 0 {
		return &all[i]
	}
	return nil
}
