// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// plan asks for a plan and makes sure that nothing was changed anywhere.
func (w *world) plan(r *rotation.Rotator, s rotation.Strategy) rotation.Plan {
	w.t.Helper()
	changes, entry := w.changes(), w.journal.Calls("Save")
	p, err := r.Plan(w.t.Context(), name, s)
	require.NoError(w.t, err)
	require.Equal(w.t, changes, w.changes(), "a plan changes nothing")
	require.Equal(w.t, entry, w.journal.Calls("Save"))
	data, err := json.Marshal(p)
	require.NoError(w.t, err)
	for _, k := range w.versions().Keys {
		require.NotContains(w.t, string(data)+p.String(), k.Key.Secret.Reveal())
	}
	return p
}

// text is a plan without what differs from run to run.
func (w *world) text(p rotation.Plan) string {
	return strings.NewReplacer(w.provider.Identity(), "the provider", w.store.Identity(), "the store").Replace(p.String())
}

// step finds a step of a plan.
func step(t *testing.T, p rotation.Plan, phase rotation.Phase) rotation.PlanStep {
	t.Helper()
	for _, s := range p.Steps {
		if s.Phase == phase {
			return s
		}
	}
	t.Fatalf("no step %s in\n%s", phase, p)
	return rotation.PlanStep{}
}

// slowWorld is a world where everything takes its time.
func slowWorld(t *testing.T) *world {
	return newWorld(t, 4, func(w *world) {
		w.provider.Traits.Propagation = 15 * time.Minute
		w.cred.Consumers[2] = rotation.Binding{Name: "cron", Consumer: nightly{w.consumers[2]}, Lag: 2 * time.Hour}
		w.cred.Policy.Parallel = 2
	})
}

// The times of a plan are those of the rotation, where nothing takes longer than it has to.
func TestPlanOfAStandardRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowWorld(t)
		r := w.rotator()
		p := w.plan(r, rotation.Standard)
		golden(t, "plan-standard", w.text(p))
		require.True(t, p.Ready())
		require.Equal(t, 24*time.Hour, p.Overlap)
		require.Equal(t, 2, p.Generation)

		w.rotate(r)
		st := w.status()
		require.Equal(t, step(t, p, rotation.PhaseCanary).At.Sub(p.AsOf), 15*time.Minute)
		require.Equal(t, rotation.PhaseProve, st.Open.Phase)
		w.paces(r, 20*time.Hour)
		p = w.plan(r, rotation.Standard)
		golden(t, "plan-open", w.text(p))
		require.Equal(t, w.status().Open.ID, p.Open.ID)
	})
}

// What a plan foresees comes true: the gate opens at the time that it names.
func TestAPlanComesTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(w *world) { w.cred.Consumers[1].Lag = time.Hour })
		r := w.rotator()
		p := w.plan(r, rotation.Standard)
		w.rotate(r)
		st := w.within(r, 7*24*time.Hour)
		require.WithinDuration(t, step(t, p, rotation.PhaseRetire).At, st.Last.RevokedAt, time.Minute, "%s\n%s", p, st.Last)
		require.WithinDuration(t, p.RollbackEnd, st.Last.RevokedAt, time.Minute)
	})
}

func TestPlanOfARollBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowWorld(t)
		r := w.rotator()
		p := w.plan(r, rotation.RollBack)
		require.False(t, p.Ready())
		require.ErrorContains(t, p.Blockers[0], "no rotation is open")
		require.Empty(t, p.Steps)
		w.rotate(r)
		w.paces(r, time.Hour)
		p = w.plan(r, rotation.RollBack)
		golden(t, "plan-roll-back", w.text(p))
		require.True(t, p.Ready())
		require.Equal(t, rotation.Standard, w.status().Open.Strategy, "it was only thought")
	})
}

func TestPlanOfAnEmergency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowWorld(t)
		r := w.rotator()
		p := w.plan(r, rotation.Emergency)
		golden(t, "plan-emergency", w.text(p))
		require.Equal(t, p.AsOf.Add(15*time.Minute), p.Deadline)
		require.Equal(t, rotation.PhaseIssue, p.Steps[0].Phase)
		require.Equal(t, rotation.PhaseRetire, p.Steps[1].Phase)

		w.provider.Traits.Independent = true
		r = w.rotator()
		require.NoError(t, r.Hold(t.Context(), name, time.Now().Add(time.Hour), "freeze"))
		p = w.plan(r, rotation.Emergency)
		require.Equal(t, rotation.PhaseRetire, p.Steps[0].Phase, "it waits for nothing")
		require.True(t, p.Ready(), "a hold is ignored")
		require.False(t, w.plan(r, rotation.Standard).Ready())

		w.provider.Inject(rotationtest.Fault{Op: "Revoke"})
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: w.seeded.ID}}})
		require.Error(t, err)
		p = w.plan(r, rotation.Emergency)
		require.Contains(t, p.String(), "an emergency is open already, under INC-1")
		require.NotNil(t, p.Open)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.store = rotationtest.NewStore()
		w.cfg.Store = w.store
		p := w.plan(w.rotator(), rotation.Emergency)
		require.ErrorContains(t, p.Blockers[0], "no key of it is known")
	})
}

// A webhook's plan asks its receivers, and never makes the sender deliver anything.
func TestPlanOfAWebhook(t *testing.T) {
	for _, s := range []rotation.Strategy{rotation.Standard, rotation.Emergency} {
		bubble(t, func(t *testing.T) {
			p := newPost(t, 2)
			r := p.rotator()
			sender := func() (n int) {
				for _, op := range []string{"Choose", "Issue", "Activate", "Revoke", "Verify"} {
					n += p.sender.Calls(op)
				}
				return n + p.receivers[0].Calls("Deploy") + p.receivers[1].Calls("Deploy")
			}
			before := sender()
			plan := p.plan(r, s)
			require.Equal(t, before, sender())
			golden(t, "plan-webhook-"+string(s), strings.ReplaceAll(plan.String(), p.sender.Identity(), "the sender"))
			if s == rotation.Standard {
				p.rotate(r)
				st := p.ends(r)
				require.False(t, st.Last.RevokedAt.Before(step(t, plan, rotation.PhaseDrop).At), "%s\n%s", plan, st.Last)
			}
		})
	}
}

// Whatever prepare would refuse is a blocker, each of them, and not the first alone.
func TestPlanBlockers(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*world, *rotation.Rotator)
		want   []string // diagnoses
		text   string
	}{
		"nothing":             {func(*world, *rotation.Rotator) {}, nil, ""},
		"no slot":             {func(w *world, r *rotation.Rotator) { w.provider.Traits.MaxKeys = 1; w.again(r) }, []string{"no-slot"}, "takes 1 keys"},
		"the store is silent": {func(w *world, _ *rotation.Rotator) { w.store.Inject(rotationtest.Fault{Op: "Load", From: time.Now()}) }, []string{""}, "the store does not answer"},
		"the store refuses": {func(w *world, _ *rotation.Rotator) {
			w.store.Inject(rotationtest.Fault{Op: "Load", Err: rotation.ErrDenied})
		}, []string{"store-denied"}, "permission denied"},
		"the list is silent": {func(w *world, _ *rotation.Rotator) { w.provider.Inject(rotationtest.Fault{Op: "List"}) }, []string{""}, "does not list"},
		"not known whether the old key is accepted": {
			func(w *world, _ *rotation.Rotator) {
				w.provider.Inject(rotationtest.Fault{Op: "Verify", Call: 1, Err: errors.New("hunter2")})
			}, []string{""}, "it is not known",
		},
		"two parts will not do": {func(w *world, r *rotation.Rotator) {
			w.cred.Consumers[0].Consumer = checked{w.consumers[0], errors.New("hunter2")}
			w.cred.Consumers[1].Consumer = checked{w.consumers[1], rotation.ErrDenied}
			w.again(r)
		}, []string{" c0", " c1"}, "will not be able"},
		"another installation": {func(w *world, _ *rotation.Rotator) {
			v := w.versions()
			v.Stamp = "handover1:OTHER:R:1:1"
			require.NoError(w.t, w.store.Save(w.t.Context(), name, v))
		}, []string{"foreign-owner"}, "another installation"},
		"held": {func(w *world, r *rotation.Rotator) {
			require.NoError(w.t, r.Hold(w.t.Context(), name, time.Now().Add(time.Hour), "freeze"))
		}, []string{""}, "freeze"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 2)
				r := w.rotator()
				_, err := r.Advance(t.Context(), name)
				require.NoError(t, err)
				c.change(w, r)
				calls := w.store.Calls("Save")
				p, err := r.Plan(t.Context(), name, rotation.Standard)
				require.NoError(t, err)
				require.Equal(t, calls, w.store.Calls("Save"))
				require.Equal(t, c.want, findings(p.Blockers), "%s", p)
				require.Contains(t, p.String(), c.text)
				require.NotContains(t, p.String(), "hunter2")
				require.Equal(t, len(c.want) == 0, p.Ready())
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		_, err := r.Plan(t.Context(), "nobody", rotation.Standard)
		require.ErrorIs(t, err, rotation.ErrNotFound)
		_, err = r.Plan(t.Context(), name, "sideways")
		require.ErrorContains(t, err, "no such strategy")
		w.journal.Inject(rotationtest.Fault{Op: "Load"})
		_, err = r.Plan(t.Context(), name, rotation.Standard)
		require.ErrorContains(t, err, "the journal does not answer")
	})
}

// again registers the credential as it is now.
func (w *world) again(r *rotation.Rotator) { require.NoError(w.t, r.Register(w.cred)) }

// checked is a consumer that says whether it will do its part.
type checked struct {
	rotation.Consumer
	err error
}

func (c checked) Check(context.Context) error { return c.err }

// What stops nothing and is to be known.
func TestPlanWarnings(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*world, *rotation.Rotator)
		want   string
	}{
		"the current key is dead": {func(w *world, _ *rotation.Rotator) {
			w.met()
			require.NoError(w.t, w.provider.Revoke(w.t.Context(), w.current()))
		}, "goes at full speed"},
		"nobody can see a consumer": {func(w *world, r *rotation.Rotator) {
			w.cred.Issuer = unlisted{w.provider}
			w.cred.Consumers[1].Consumer = rotation.ConsumerFunc(w.consumers[1].Deploy)
			w.again(r)
		}, "a person will be asked: c1: nothing can see which key it uses"},
		"the issuer has no list": {func(w *world, r *rotation.Rotator) { w.cred.Issuer = unlisted{w.provider}; w.again(r) }, "does not list its keys"},
		"the grace is short": {func(w *world, r *rotation.Rotator) {
			w.provider.Traits.Grace, w.cred.Policy.AllowProviderDeadline, w.cred.Consumers[1].Lag = time.Hour, true, time.Hour
			w.again(r)
		}, "grace-too-short"},
		"issuing kills": {func(w *world, r *rotation.Rotator) {
			w.provider.Traits.KillsOld, w.cred.Policy.AllowOutage = true, true
			w.again(r)
		}, "issuing ends the old key at once"},
		"nobody is bound": {func(w *world, r *rotation.Rotator) { w.cred.Consumers = nil; w.again(r) }, "no consumer is bound"},
		"a consumer went back": {func(w *world, _ *rotation.Rotator) {
			require.NoError(w.t, w.consumers[1].Deploy(w.t.Context(), rotation.DeployRequest{Key: w.provider.Mint()}))
		}, "it is not seen on the current key"},
		"one is open": {func(w *world, r *rotation.Rotator) { w.rotate(r) }, "Rotate carries it on"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 2)
				r := w.rotator()
				for _, c := range w.consumers {
					require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: w.seeded}))
				}
				_, err := r.Advance(t.Context(), name)
				require.NoError(t, err)
				require.Empty(t, w.plan(r, rotation.Standard).Warnings, "before")
				c.change(w, r)
				p := w.plan(r, rotation.Standard)
				require.True(t, p.Ready(), "%s", p)
				require.NotEmpty(t, p.Warnings)
				require.Contains(t, p.String(), c.want)
			})
		})
	}
}

// unlisted is an issuer without a list.
type unlisted struct{ p *rotationtest.Provider }

func (u unlisted) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return u.p.Issue(ctx, req)
}
func (u unlisted) Revoke(ctx context.Context, k rotation.Key) error { return u.p.Revoke(ctx, k) }
func (u unlisted) Verify(ctx context.Context, k rotation.Key) error { return u.p.Verify(ctx, k) }
func (u unlisted) Describe() rotation.Traits                        { return u.p.Describe() }
func (u unlisted) Identity() string                                 { return u.p.Identity() }

// By which rule a key is due.
func TestPlanDueBy(t *testing.T) {
	for want, change := range map[string]func(*world){
		"type api-key at standard risk": func(*world) {},
		"type api-key at high risk":     func(w *world) { w.cred.Risk = rotation.HighRisk },
		"scope broad":                   func(w *world) { w.cred.Type, w.cred.Scope = rotation.OAuthClient, rotation.ScopeBroad },
		"Policy.MaxAge":                 func(w *world) { w.cfg.Policy.MaxAge = 40 * 24 * time.Hour },
		"nobody knows how old": func(w *world) {
			v := w.versions()
			v.Keys[0].Key.IssuedAt = time.Time{}
			require.NoError(w.t, w.store.Save(w.t.Context(), name, v))
		},
		"the provider ends it at": func(w *world) {
			v := w.versions()
			v.Keys[0].Key.ExpiresAt = time.Now().Add(20 * 24 * time.Hour)
			require.NoError(w.t, w.store.Save(w.t.Context(), name, v))
		},
		"no key is known yet": func(w *world) { w.store = rotationtest.NewStore(); w.cfg.Store = w.store },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newBrief(t, 1, change)
			p := w.plan(w.rotator(), rotation.Standard)
			require.Contains(t, p.DueBy, want)
			require.Contains(t, p.String(), want)
			require.True(t, p.Ready(), "%s", p)
		})
	}
}

// A key that may have a successor already, where that is possible once; and parts that are others than the open rotation's.
func TestPlanOfWhatWasBegunOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Traits.NoReplay = true
		r := w.rotator()
		w.rotate(r)
		_, err := r.Abort(t.Context(), name, "changed my mind")
		require.NoError(t, err)
		require.Equal(t, rotation.RolledBack, w.ends(r).Last.Outcome)
		p := w.plan(r, rotation.Standard)
		require.Equal(t, []string{"ambiguous-issue"}, findings(p.Blockers), "%s", p)
		require.Contains(t, p.String(), "Supply")
	})
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		other := w.cred
		other.Issuer = rotationtest.NewProvider()
		require.NoError(t, r.Register(other))
		for _, s := range []rotation.Strategy{rotation.Standard, rotation.RollBack} {
			p := w.plan(r, s)
			require.Contains(t, findings(p.Blockers), "parts-changed", "%s", p)
		}
	})
	synctest.Test(t, func(t *testing.T) { // past the kill there is only forward
		w := newBrief(t, 1)
		w.provider.Inject(rotationtest.Fault{Op: "Revoke"})
		r := w.rotator()
		w.rotate(r)
		w.paces(r, 70*time.Minute)
		require.Equal(t, rotation.PhaseRetire, w.status().Open.Phase)
		p := w.plan(r, rotation.RollBack)
		require.Contains(t, p.String(), "is condemned already")
		require.Empty(t, p.Steps)
		require.True(t, w.plan(r, rotation.Standard).RollbackEnd.IsZero())
	})
	synctest.Test(t, func(t *testing.T) { // the first key has no predecessor
		w := newBrief(t, 1)
		w.store = rotationtest.NewStore()
		w.cfg.Store = w.store
		p := w.plan(w.rotator(), rotation.Standard)
		require.Equal(t, 1, p.Generation)
		require.Zero(t, p.Overlap)
		require.Contains(t, step(t, p, rotation.PhaseRetire).Text, "nothing")
		require.True(t, p.RollbackEnd.IsZero())
	})
}

// Every step of every strategy has its text, and all of them come in the order of the engine's tables.
func TestPlanKnowsEveryStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.stopsIn(rotation.PhaseProve)
		plans := []rotation.Plan{p.plan(r, rotation.Standard), p.plan(r, rotation.Emergency)}
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		plans = append(plans, p.plan(r, rotation.RollBack))
		w := newBrief(t, 1)
		r = w.rotator()
		plans = append(plans, w.plan(r, rotation.Standard), w.plan(r, rotation.Emergency))
		w.rotate(r)
		plans = append(plans, w.plan(r, rotation.RollBack))
		for _, p := range plans {
			require.NotEmpty(t, p.Steps)
			require.Equal(t, rotation.PhaseFinish, p.Steps[len(p.Steps)-1].Phase)
			for i, s := range p.Steps {
				require.NotEmpty(t, s.Text, "%s", s.Phase)
				require.False(t, s.At.Before(p.AsOf))
				require.False(t, i > 0 && s.At.Before(p.Steps[i-1].At), "%s", p)
			}
		}
	})
}

// A plan says what would happen.
func TestAPlanKnowsWindows(t *testing.T) {
	t.Run("and names them", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Policy.Windows = []rotation.Window{"Wed 12:00-14:00 UTC"}
			p := w.plan(w.rotator(), rotation.Standard)
			require.Contains(t, strings.ToLower(p.String()), "window", "nothing says why it takes four days:\n%s", p)
		})
	})
	t.Run("that a repair does not wait for", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Policy.Windows = []rotation.Window{"Wed 12:00-14:00 UTC"}
			w.met()
			require.NoError(t, w.provider.Revoke(t.Context(), w.seeded))
			r := w.rotator()
			p := w.plan(r, rotation.Standard)
			_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
			w.paces(r, time.Hour)
			require.False(t, w.current().Secret.Equal(w.seeded.Secret), "it has happened within the hour")
			require.WithinDuration(t, time.Now(), step(t, p, rotation.PhasePromote).At, 2*time.Hour, "%s", p)
		})
	})
	t.Run("and the interval of a group", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Consumers[0].Group, w.cfg.Policy.MinInterval = "app", 7*24*time.Hour
			r := w.rotator()
			w.rotate(r)
			w.within(r, 3*24*time.Hour)
			p := w.plan(r, rotation.Standard)
			told := step(t, p, rotation.PhaseDeploy)
			wait := step(t, p, rotation.PhaseVerify).At.Sub(p.AsOf)
			require.Greater(t, wait, 24*time.Hour, "it was told a day ago, and is not to be told within a week: %+v\n%s", told, p)
		})
	})
}
