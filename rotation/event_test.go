// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// Whoever is asked by an event reads there what to answer.
func TestEventsSayWhatToAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		do     func(*world, *rotation.Rotator)
	}{
		"an emergency that a person has to finish": {
			func(w *world) {
				w.cred.Issuer = sorry{w.provider}
				w.provider.Inject(rotationtest.Fault{Op: "Issue", Err: errors.New("503")})
			},
			func(w *world, r *rotation.Rotator) {
				_, _ = r.Emergency(w.t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{"payment-gateway-api"}})
			},
		},
		"a key that a person put into the store": {
			func(*world) {},
			func(w *world, r *rotation.Rotator) {
				w.paces(r, time.Hour)
				w.byHand(w.provider.Mint(), true, false)
				w.paces(r, 24*time.Hour)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1, c.change)
				g := &gazette{name: "all"}
				w.cfg.Sinks = []rotation.Sink{g}
				r := w.rotator()
				c.do(w, r)
				w.paces(r, time.Hour)
				needs := map[string]bool{}
				for _, n := range w.status().Needs {
					if n.Kind == rotation.NeedPerson {
						needs[n.ID] = true
					}
				}
				require.NotEmpty(t, needs)
				for _, e := range g.all() {
					if len(e.Verbs) > 0 {
						delete(needs, e.Need)
					}
				}
				require.Empty(t, needs, "no event says what to answer: %v", g.all())
			})
		})
	}
}

// That a deadline has passed is told although the store does not answer: that may be why it has passed.
func TestAMissedDeadlineIsToldWithoutAStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1, func(w *world) { w.cred.Issuer = sorry{w.provider} })
		g := &gazette{name: "all"}
		w.cfg.Sinks = []rotation.Sink{g}
		r := w.rotator()
		w.paces(r, time.Hour)
		w.store.Inject(rotationtest.Fault{Op: "Load", Err: errors.New("503")})
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		w.paces(r, 5*time.Hour)
		told := false
		for _, e := range g.all() {
			told = told || strings.Contains(e.Text, "deadline")
		}
		require.True(t, told, "%v", g.all())
	})
}

// What becomes a person's to end is told again, with the answers, although the trouble is the same.
func TestATroubleThatAPersonHasToEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		g := &gazette{name: "all"}
		w.cfg.Sinks = []rotation.Sink{g}
		r := w.rotator()
		w.paces(r, time.Hour)
		w.byHand(w.provider.Mint(), true, false)
		st := w.paces(r, 24*time.Hour)
		failed := g.ofKind(rotation.EventFailed)
		require.Len(t, failed, 1, "the same is not told twice")
		require.Equal(t, asked(t, st, rotation.VerbAdopt).ID, failed[0].Need)
		require.Equal(t, []rotation.Verb{rotation.VerbAdopt, rotation.VerbReassert}, failed[0].Verbs, "no rotation is open: there is nothing to roll back")
	})
}
