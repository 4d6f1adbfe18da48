// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// users is a Discoverer.
type users map[string][]string

func (u users) Discover(_ context.Context, credential string) ([]string, error) {
	if u[credential] == nil {
		return nil, errors.New("hunter2")
	}
	return u[credential], nil
}

// findings are diagnoses with the consumer they are about.
func findings(found []*rotation.Error) []string {
	var out []string
	for _, e := range found {
		text := string(e.Diagnosis)
		if e.Consumer != "" {
			text += " " + e.Consumer
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

func TestInspect(t *testing.T) {
	stamped := func(s string) func(w *world) {
		return func(w *world) {
			v := w.versions()
			v.Stamp = s
			require.NoError(w.t, w.store.Save(w.t.Context(), name, v))
		}
	}
	for what, c := range map[string]struct {
		before func(w *world) // the rotator is made
		after  func(w *world) // the first rotation has ended
		want   []string
	}{
		"all is well":          {nil, nil, nil},
		"overdue":              {nil, func(w *world) { time.Sleep(91 * 24 * time.Hour) }, []string{"overdue"}},
		"it can do everything": {func(w *world) { w.cred.Scope = rotation.ScopeFull }, nil, []string{"scope-too-broad"}},
		"the current key is refused": {nil, func(w *world) {
			require.NoError(w.t, w.provider.Revoke(w.t.Context(), w.current()))
		}, []string{"current-key-rejected"}},
		"replaced by hand": {nil, func(w *world) {
			w.byHand(w.provider.Mint(), true, true)
		}, []string{"consumer-not-updated c0", "consumer-not-updated c1", "drift"}},
		"another installation": {nil, stamped("handover1:OTHER:R:1:1"), []string{"foreign-owner"}},
		"a key that looks ours": {nil, func(w *world) {
			_, err := w.provider.Issue(w.t.Context(), rotation.IssueRequest{Name: name + "-v9-abcdef"})
			require.NoError(w.t, err)
			_, err = w.provider.Issue(w.t.Context(), rotation.IssueRequest{Name: "another-api-v9-abcdef"})
			require.NoError(w.t, err)
		}, []string{"unknown-key"}},
		"a consumer went back": {nil, func(w *world) {
			require.NoError(w.t, w.consumers[1].Deploy(w.t.Context(), rotation.DeployRequest{Key: w.seeded}))
		}, []string{"consumer-not-updated c1"}},
		"a consumer nobody bound": {func(w *world) {
			w.cfg.Discoverers = []rotation.Discoverer{users{name: {"c0", "cron", "c1"}}}
		}, nil, []string{"unknown-consumer cron"}},
		"no room for the next": {func(w *world) { w.provider.Traits.MaxKeys = 2 }, func(w *world) { w.provider.Mint() }, []string{"no-slot"}},
		"a secret nobody listed": {nil, func(w *world) {
			for _, n := range []string{"forgotten", "handover/installation", "team/db/handover"} {
				require.NoError(w.t, w.store.Save(w.t.Context(), n, rotation.Versions{Keys: []rotation.StoredKey{{Key: rotation.Key{Secret: secret.New("value")}}}}))
			}
		}, []string{"unlisted-secret"}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 2)
				if c.before != nil {
					c.before(w)
				}
				r := w.rotator()
				w.rotate(r)
				w.ends(r)
				if c.after != nil {
					c.after(w)
				}
				changes := w.changes()
				found, err := r.Inspect(t.Context())
				require.NoError(t, err)
				require.Equal(t, c.want, findings(found), "%v", found)
				for _, e := range found {
					require.NotEmpty(t, e.Credential)
					require.NotEmpty(t, e.Evidence)
					require.NotEmpty(t, e.Action)
				}
				_, err = r.Status(t.Context(), name)
				require.NoError(t, err)
				_, err = r.List(t.Context())
				require.NoError(t, err)
				require.Equal(t, changes, w.changes(), "it looks, and changes nothing")
			})
		})
	}
}

// changes counts every call that changes anything.
func (w *world) changes() int {
	n := w.journal.Calls("Save") + w.store.Calls("Save")
	for _, op := range []string{"Issue", "Revoke", "Disable", "Enable"} {
		n += w.provider.Calls(op)
	}
	for _, c := range w.consumers {
		n += c.Calls("Deploy")
	}
	return n
}

// The grace of a provider is compared with the slowest consumer before anything begins.
func TestInspectGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 2)
		w.provider.Traits.Grace, w.cred.Policy.AllowProviderDeadline = time.Hour, true
		w.cred.Consumers[1].Lag = time.Hour // not more, which would be refused; but clocks differ too
		r := w.rotator()
		found, err := r.Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Contains(t, findings(found), "grace-too-short c1")
	})
}

// A key that the provider ended by itself before it could be disabled stops nothing.
func TestAKeyThatEndedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Traits.Grace, w.cred.Policy.AllowProviderDeadline = 30*time.Minute, true
		r := w.rotator()
		w.rotate(r)
		st := w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
	})
}

// A key of unknown age counts as overdue.
func TestInspectUnknownAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		v := w.versions()
		v.Keys[0].Key.IssuedAt = time.Time{}
		require.NoError(t, w.store.Save(t.Context(), name, v))
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Err: rotation.ErrNotIssued})
		r := w.rotator()
		w.rotate(r)
		found, err := r.Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, []string{"overdue"}, findings(found))
		require.Contains(t, found[0].Evidence, "nobody knows how old")
	})
}

// cutOff is a sink that cannot take anything, and knows it.
type cutOff struct{ err error }

func (cutOff) Deliver(context.Context, rotation.Event) error { return nil }
func (m cutOff) Check(context.Context) error                 { return m.err }
func (cutOff) Identity() string                              { return "the pager" }

// A pager that cannot be reached is found before it is needed.
func TestInspectSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cfg.Sinks = []rotation.Sink{cutOff{rotation.ErrDenied}, cutOff{}, &gazette{name: "all"}}
		found, err := w.rotator().Inspect(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, "rotation: the sink the pager cannot take events: permission denied", found[0].Error())
		found, err = w.rotator().Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, found, "nobody asked about all")
	})
}

// What cannot be looked at is an error, and hides nothing else.
func TestInspectInTheDark(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(w *world)
		want  string
	}{
		"the store":      {func(w *world) { w.store.Inject(rotationtest.Fault{Op: "Load"}) }, "the store does not answer"},
		"the store list": {func(w *world) { w.store.Inject(rotationtest.Fault{Op: "Names"}) }, "the store does not list its names"},
		"the provider":   {func(w *world) { w.provider.Inject(rotationtest.Fault{Op: "List"}) }, "the issuer does not list its keys"},
		"the verifier":   {func(w *world) { w.provider.Inject(rotationtest.Fault{Op: "Verify"}) }, "it is not known whether the current key works"},
		"a consumer":     {func(w *world) { w.consumers[0].Inject(rotationtest.Fault{Op: "Observe"}) }, "c0: it does not tell which key it uses"},
		"the journal":    {func(w *world) { w.journal.Inject(rotationtest.Fault{Op: "Load", From: time.Now()}) }, "the journal does not answer"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 2)
				w.cred.Scope = rotation.ScopeFull
				r := w.rotator()
				w.rotate(r)
				w.ends(r)
				c.spoil(w)
				found, err := r.Inspect(t.Context())
				require.ErrorContains(t, err, c.want)
				if what != "the journal" {
					require.Equal(t, []string{"scope-too-broad"}, findings(found))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cfg.Discoverers = []rotation.Discoverer{users{}}
		_, err := w.rotator().Inspect(t.Context())
		require.ErrorContains(t, err, "a discoverer does not answer")
		require.NotContains(t, err.Error(), "hunter2")
		_, err = w.rotator().Inspect(t.Context(), "nobody")
		require.ErrorIs(t, err, rotation.ErrNotFound)
	})
}

// The first thing that looks at an empty journal may be Inspect: it writes nothing there.
func TestInspectOfAnEmptyJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		_, err := w.rotator().Inspect(t.Context())
		require.NoError(t, err)
		require.Zero(t, w.journal.Calls("Save"))
	})
}

// The keys of "pay-v2" are not those of "pay"; and those of a long name are, although their names had to be cut.
func TestWhoseKeyItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		_, err := w.provider.Issue(t.Context(), rotation.IssueRequest{Name: name + "-v2-v1-abcdef"})
		require.NoError(t, err)
		found, err := w.rotator().Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

// Somebody forgot to seed the key that consumers use: they are told before and when the first one is made.
func TestAKeyThatWasNeverSeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.store = rotationtest.NewStore()
		w.cfg.Store = w.store
		heard := &gazette{}
		w.cfg.Sinks = []rotation.Sink{heard}
		r := w.rotator()
		found, err := r.Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, []string{"unknown-key"}, findings(found))
		require.Contains(t, found[0].Action, "store.Seed")
		_, err = r.Advance(t.Context(), name)
		require.NoError(t, err)
		began := heard.all()[0]
		require.Equal(t, rotation.EventBegan, began.Kind)
		require.Equal(t, slog.LevelWarn, began.Level)
		require.Contains(t, began.Text, "store.Seed")
		w.ends(r)
		found, err = r.Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, found)
	})
}
