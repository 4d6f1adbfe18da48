// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// runs runs a Rotator for a time.
func (w *world) runs(r *rotation.Rotator, d time.Duration) {
	ctx, stop := context.WithTimeout(w.t.Context(), d)
	defer stop()
	require.NoError(w.t, r.Run(ctx))
}

// An idle credential is looked at every day, by one of the processes that could, and the record says when.
func TestCheckIsDaily(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Lease = time.Hour
		a, b := w.rotator(), w.rotator()
		done := make(chan struct{})
		go func() {
			w.runs(b, 10*24*time.Hour)
			close(done)
		}()
		w.runs(a, 10*24*time.Hour)
		<-done
		looks := w.provider.Calls("Verify") / 3
		require.GreaterOrEqual(t, looks, 10)
		require.LessOrEqual(t, looks, 15, "at most four in three days, whatever the name")
		st := w.status()
		require.Nil(t, st.Open)
		require.WithinRange(t, st.CheckedAt, time.Now().Add(-24*time.Hour), time.Now())
		require.WithinRange(t, st.Next, time.Now(), time.Now().Add(24*time.Hour))
	})
}

// A key that is refused when nothing is open is told once, and so is its recovery.
func TestCheckTellsThatTheKeyIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		g := &gazette{name: "chat"}
		w.cfg.Sinks = []rotation.Sink{g}
		r := w.rotator()
		w.runs(r, time.Hour)
		healthy := w.status().CheckedAt
		require.NotZero(t, healthy)
		until := time.Now().Add(3 * 24 * time.Hour)
		w.provider.Inject(rotationtest.Fault{Op: "Verify", Until: until, Err: fmt.Errorf("no: %w", rotation.ErrRejected)})
		w.runs(r, 2*24*time.Hour)
		st := w.status()
		require.Equal(t, healthy, st.CheckedAt, "a silent stop would look the same: the time stands still")
		require.Nil(t, st.Open, "a verifier may be wrong: nothing is begun")
		require.ErrorIs(t, st.Problem, rotation.CurrentRejected)
		require.Contains(t, st.String(), "rotate it now")
		require.Len(t, g.all(), 1)
		require.ErrorIs(t, g.all()[0].Problem, rotation.CurrentRejected)
		w.runs(r, 2*24*time.Hour)
		require.Len(t, g.all(), 2)
		require.Contains(t, g.all()[1].Text, "accepted again")
		require.True(t, w.status().CheckedAt.After(until))
		require.Nil(t, w.status().Problem)
	})
}

// Without a check nobody looks between two rotations.
func TestNoCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Check = -1
		w.runs(w.rotator(), 10*24*time.Hour)
		require.Zero(t, w.provider.Calls("Verify"))
		require.Zero(t, w.status().CheckedAt)
	})
}

// A credential that is driven can be told from one that nobody drives: at rest, in a rotation that takes its time, and under a hold.
func TestTheHeartbeatDoesNotStandStill(t *testing.T) {
	for name, change := range map[string]func(*world, *rotation.Rotator){
		"at rest": func(*world, *rotation.Rotator) {},
		"under a hold": func(w *world, r *rotation.Rotator) {
			require.NoError(w.t, r.Hold(w.t.Context(), "payment-gateway-api", time.Now().Add(300*24*time.Hour), "the season"))
		},
		"in a rotation": func(w *world, r *rotation.Rotator) {
			w.cred.Policy.Overlap = 20 * 24 * time.Hour
			w.again(r)
			w.rotate(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.cfg.Lease = time.Hour
				r := w.rotator()
				w.runs(r, 24*time.Hour)
				change(w, r)
				w.runs(r, 10*24*time.Hour)
				require.Less(t, time.Since(w.status().CheckedAt), 50*time.Hour, "it looks as if nobody had come by for %v", time.Since(w.status().CheckedAt))
			})
		})
	}
}

// What nothing can look at was not looked at.
func TestABlindCheckIsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		p.cred.Consumers = []rotation.Binding{{Name: "blind", Consumer: rotation.ConsumerFunc(told)}}
		p.paces(p.rotator(), 3*24*time.Hour)
		require.Zero(t, p.status().CheckedAt, "nobody has asked the accepting side anything")
	})
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1, func(p *post) { p.mute(0) })
		r := p.rotator()
		p.rotate(r)
		for st := p.status(); st.Open != nil; st = p.paces(r, 2*time.Hour) {
			for _, n := range st.Needs {
				if slices.Contains(n.Verbs, rotation.VerbAttest) {
					p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
				}
			}
		}
		require.Equal(t, rotation.Rotated, p.status().Last.Outcome)
		require.Zero(t, p.status().CheckedAt, "nor in a rotation, which went by the word of a person")
	})
}

// Under a hold nothing is done; that the key is refused is told all the same, once, and so is its recovery.
func TestCheckUnderAHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		g := &gazette{name: "chat"}
		w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
		r := w.rotator()
		held(w, 60)
		healthy, known := w.status().CheckedAt, len(g.all())
		until := time.Now().Add(5 * 24 * time.Hour)
		w.provider.Inject(rotationtest.Fault{Op: "Verify", Until: until, Err: fmt.Errorf("no: %w", rotation.ErrRejected)})
		w.runs(r, 4*24*time.Hour)
		st := w.status()
		require.Equal(t, healthy, st.CheckedAt)
		require.ErrorIs(t, st.Problem, rotation.CurrentRejected)
		require.False(t, st.HeldUntil.IsZero())
		require.Len(t, g.all(), known+1, "%v", g.all())
		w.runs(r, 2*24*time.Hour)
		require.Contains(t, g.all()[known+1].Text, "accepted again")
		require.True(t, w.status().CheckedAt.After(until))
		require.Nil(t, w.status().Problem)
		saves := w.store.Calls("Save")
		w.store.Inject(rotationtest.Fault{Op: "Load"})
		w.runs(r, 3*24*time.Hour)
		require.Error(t, w.status().Problem, "the store")
		require.Equal(t, saves, w.store.Calls("Save"), "it reads, and writes nothing")
	})
}

// A rotation that waits for a person for weeks is looked after; one whose key is refused is not said to be well.
func TestTheHeartbeatOfARotationThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Lease, w.cred.Issuer = time.Hour, minted{w.provider}
		r := w.rotator()
		w.rotate(r)
		w.runs(r, 20*24*time.Hour)
		require.Equal(t, rotation.PhaseIssue, w.status().Open.Phase)
		require.Less(t, time.Since(w.status().CheckedAt), 26*time.Hour)
		require.NoError(t, w.provider.Revoke(t.Context(), w.seeded))
		revoked, calls := time.Now(), w.provider.Calls("Verify")
		w.runs(r, 4*24*time.Hour)
		require.True(t, w.status().CheckedAt.Before(revoked))
		require.Less(t, w.provider.Calls("Verify")-calls, 4*24*4, "once an hour, three times each")
	})
}

// A receiver that nothing can look into says nothing of those that something can.
func TestCheckOfReceiversThatCanBeLookedInto(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		p.cred.Consumers = append(p.cred.Consumers, rotation.Binding{Name: "blind", Consumer: rotation.ConsumerFunc(told)})
		p.paces(p.rotator(), 3*24*time.Hour)
		require.Nil(t, p.status().Problem)
		require.Less(t, time.Since(p.status().CheckedAt), 26*time.Hour)
	})
}
