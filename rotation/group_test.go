// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// doomed is a journal that does not answer any more once the group's entry says who tells its consumer.
type doomed struct {
	rotation.Journal
	dead bool
}

func (j *doomed) Save(ctx context.Context, e rotation.Entry) error {
	if j.dead {
		return errors.New("the process has ended")
	}
	j.dead = strings.HasPrefix(e.Credential, "handover/group/") && strings.Contains(string(e.Data), `"by":`)
	return j.Journal.Save(ctx, e)
}

// A process that dies between the record that a shared consumer is to be told and its being told leaves nobody out, whether another
// rotation comes after it or not.
func TestGroupIsToldThoughAProcessDied(t *testing.T) {
	for _, names := range [][]string{{"a"}, {"a", "b"}} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s, j := rotationtest.NewStore(), rotationtest.NewJournal()
				app, restarts := map[string]rotation.Key{}, []time.Time(nil)
				current := func(name string) rotation.Key {
					v, err := s.Load(t.Context(), name)
					require.NoError(t, err)
					return v.Key(rotation.RoleCurrent)
				}
				read := func() {
					for _, name := range names {
						app[name] = current(name)
					}
				}
				var cs []rotation.Credential
				for _, name := range names {
					p := rotationtest.NewProvider()
					require.NoError(t, store.Seed(t.Context(), s, name, p.Mint()))
					shared := &sharedApp{name: name, app: app, restart: func() {
						restarts = append(restarts, time.Now())
						read()
					}}
					cs = append(cs, rotation.Credential{Name: name, Type: rotation.APIKey, Issuer: p, Consumers: []rotation.Binding{{Name: "app", Group: "app", Consumer: shared}}})
				}
				read()
				rotator := func(j rotation.Journal) *rotation.Rotator {
					r, err := rotation.New(rotation.Config{Journal: j, Store: s, Credentials: cs, Policy: rotation.Policy{MinInterval: time.Hour}})
					require.NoError(t, err)
					return r
				}
				_, _ = rotator(&doomed{Journal: j}).Rotate(t.Context(), "a", rotation.Trigger{}) // its process dies in it
				require.Empty(t, restarts)
				time.Sleep(time.Minute)
				r := rotator(j)
				for _, name := range names {
					_, err := r.Rotate(t.Context(), name, rotation.Trigger{ID: "job"})
					require.NoError(t, err)
				}
				ctx, stop := contextFor(t, 4*24*time.Hour)
				defer stop()
				require.NoError(t, r.Wait(ctx))
				for _, name := range names {
					require.True(t, app[name].Secret.Equal(current(name).Secret), "%s is left out", name)
				}
				require.NotEmpty(t, restarts)
				for i := range restarts[1:] {
					require.GreaterOrEqual(t, restarts[i+1].Sub(restarts[i]), time.Hour)
				}
			})
		})
	}
}

// An emergency's deployments are deployments: the next one to the group keeps its distance to them too.
func TestMinIntervalCountsFromAnEmergency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cred.Consumers[0].Group, w.cfg.Policy.MinInterval = "app", 7*24*time.Hour
		second := w.cred
		second.Name = "reporting-db"
		require.NoError(t, store.Seed(t.Context(), w.store, second.Name, w.provider.Mint()))
		g := &gazette{name: "all"}
		w.cfg.Sinks = []rotation.Sink{g}
		r := w.rotator()
		require.NoError(t, r.Register(second))
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		_, err = r.Rotate(t.Context(), second.Name, rotation.Trigger{})
		require.NoError(t, err)
		w.runs(r, 20*24*time.Hour)
		told := g.ofKind(rotation.EventDeployed)
		require.Len(t, told, 2)
		require.GreaterOrEqual(t, told[1].At.Sub(told[0].At), 7*24*time.Hour)
	})
}

// A rotation that is turned around twice tells a shared consumer again.
func TestAGroupIsToldAgainAfterARollBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cred.Consumers[0].Group = "app"
		r := w.rotator()
		w.rotate(r)
		w.paces(r, time.Hour)
		require.True(t, w.consumers[0].Key().Secret.Equal(w.current().Secret))
		_, err := r.Abort(t.Context(), name, "no")
		require.NoError(t, err)
		st := w.paces(r, time.Hour)
		require.True(t, w.consumers[0].Key().Secret.Equal(w.seeded.Secret))
		_, _ = w.says(r, rotation.Answer{Need: asked(t, st, rotation.VerbRollBack).ID, Verb: rotation.VerbRollBack})
		st = w.paces(r, 5*time.Minute)
		require.False(t, w.current().Secret.Equal(w.seeded.Secret))
		require.True(t, w.consumers[0].Key().Secret.Equal(w.current().Secret), "nobody told it again:\n%s", st.Open)
	})
}
