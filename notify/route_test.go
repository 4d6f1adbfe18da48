// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

func TestAlertsAndOutcomes(t *testing.T) {
	kinds := []rotation.EventKind{
		rotation.EventBegan, rotation.EventIssued, rotation.EventProven, rotation.EventPromoted, rotation.EventActivated, rotation.EventDeployed,
		rotation.EventVerified, rotation.EventDisabled, rotation.EventRevoked, rotation.EventDead, rotation.EventWaiting, rotation.EventFailed,
		rotation.EventAnswered, rotation.EventRollBack, rotation.EventEnded, rotation.EventDebt, rotation.EventNotice, rotation.EventDue,
		rotation.EventWarning, "unknown",
	}
	always := map[rotation.EventKind]bool{
		rotation.EventWaiting: true, rotation.EventFailed: true, rotation.EventRollBack: true, rotation.EventDebt: true,
	}
	for _, kind := range kinds {
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			for _, strategy := range []rotation.Strategy{rotation.Standard, rotation.RollBack, rotation.Emergency} {
				e := rotation.Event{Kind: kind, Level: level, Strategy: strategy}
				want := always[kind] || level >= slog.LevelWarn || kind == rotation.EventBegan && strategy == rotation.Emergency
				assert.Equal(t, want, notify.Alerts(e), "%+v", e)
				assert.Equal(t, kind == rotation.EventEnded, notify.Outcomes(e))
			}
		}
	}
}

func TestIf(t *testing.T) {
	r := &recorder{err: errors.New("once")}
	s := notify.If(r, func(e rotation.Event) bool { return e.ID != "b" })
	require.Error(t, s.Deliver(t.Context(), rotation.Event{ID: "a"}))
	require.NoError(t, s.Deliver(t.Context(), rotation.Event{ID: "a"}))
	require.NoError(t, s.Deliver(t.Context(), rotation.Event{ID: "b"}))
	require.Equal(t, []string{"a"}, r.ids())
}

// Wrappers have the identity and the mistakes of what they wrap, and their own.
func TestWrappersShowWhatTheyWrap(t *testing.T) {
	keep := func(rotation.Event) bool { return true }
	inner := notify.Slack{URL: secret.New("https://chat.example/" + canary)}
	for _, s := range []rotation.Sink{notify.If(inner, keep), notify.Quiet(inner, 0), notify.If(notify.Quiet(inner, time.Hour), keep)} {
		id, ok := rotation.As[rotation.Identifier](s)
		require.True(t, ok)
		require.Equal(t, "slack https://chat.example", id.Identity())
		require.NoError(t, s.(rotation.Validator).Validate())
	}
	for want, s := range map[string]rotation.Sink{
		"notify: If: sink is required\nnotify: If: keep is required":           notify.If(nil, nil),
		"notify: Quiet: sink is required\nnotify: Quiet: period is negative":   notify.Quiet(nil, -1),
		"notify: If: keep is required\nnotify: Slack.URL is required":          notify.If(notify.Slack{}, nil),
		"notify: Slack.URL is required":                                        notify.Quiet(notify.If(notify.Slack{}, keep), 0),
		"notify: Quiet: period is negative\nnotify: Slack.Timeout is negative": notify.Quiet(notify.Slack{URL: inner.URL, Timeout: -1}, -1),
	} {
		require.EqualError(t, s.(rotation.Validator).Validate(), want)
		require.Error(t, s.Deliver(t.Context(), rotation.Event{Kind: rotation.EventFailed}), want)
		_, err := rotation.New(rotation.Config{Journal: journal.NewMemory(), Sinks: []rotation.Sink{s}})
		require.ErrorContains(t, err, "Config.Sinks[0]: notify: ")
	}
}

func TestRouter(t *testing.T) {
	taken := map[string]*recorder{"pager": {}, "payments": {}, "search": {}, "everybody": {}}
	sinks := map[string]rotation.Sink{}
	for name, r := range taken {
		sinks[name] = r
	}
	router := notify.Router{
		Sinks: sinks,
		Routes: []notify.Route{
			{Level: slog.LevelError, To: []string{"pager"}},
			{Contact: "payments", Level: slog.LevelWarn, To: []string{"payments", "payments"}},
			{Contact: "payments", Level: slog.LevelError, To: []string{"payments"}},
			{Contact: "search", Keep: notify.Outcomes, To: []string{"search"}},
		},
		Default: notify.Route{Level: slog.LevelWarn, To: []string{"everybody"}},
	}
	all, err := router.All()
	require.NoError(t, err)
	require.Len(t, all, 4)
	for want, e := range map[string]rotation.Event{
		"pager payments":   {Contact: "payments", Level: slog.LevelError},
		"payments":         {Contact: "payments", Level: slog.LevelWarn},
		"":                 {Contact: "payments", Level: slog.LevelInfo},
		"search":           {Contact: "search", Level: slog.LevelInfo, Kind: rotation.EventEnded},
		"everybody":        {Contact: "search", Level: slog.LevelWarn}, // its own route leaves it out
		"everybody ":       {Contact: "paymenst", Level: slog.LevelWarn},
		"everybody  ":      {Level: slog.LevelWarn},
		"pager everybody":  {Contact: "paymenst", Level: slog.LevelError}, // a route for everybody does not stand in for its contact
		"pager everybody ": {Level: slog.LevelError},
		" ":                {Level: slog.LevelInfo},
	} {
		e.ID = "1"
		for _, s := range all {
			require.NoError(t, s.Deliver(t.Context(), e))
		}
		var got []string
		for _, name := range []string{"pager", "payments", "search", "everybody"} {
			for range taken[name].ids() {
				got = append(got, name)
			}
		}
		require.Equal(t, len(got), len(compact(want)), "%+v went to %v", e, got)
		require.Equal(t, compact(want), got, "%+v", e)
	}
}

func compact(names string) []string {
	var out []string
	for _, name := range []string{"pager", "payments", "search", "everybody"} {
		for i := range names {
			if len(names)-i >= len(name) && names[i:i+len(name)] == name {
				out = append(out, name)
			}
		}
	}
	return out
}

func TestRouterKeepsItsOwnCopy(t *testing.T) {
	a := &recorder{}
	router := notify.Router{Sinks: map[string]rotation.Sink{"a": a}, Routes: []notify.Route{{To: []string{"a"}}}, Default: notify.Route{To: []string{"a"}}}
	all, err := router.All()
	require.NoError(t, err)
	router.Routes[0].To[0], router.Default.To[0] = "b", "b"
	require.NoError(t, all[0].Deliver(t.Context(), rotation.Event{ID: "1"}))
	require.Equal(t, []string{"1"}, a.ids())
}

func TestRouterIdentities(t *testing.T) {
	hook := secret.New("https://chat.example/" + canary)
	all, err := notify.Router{
		Sinks:   map[string]rotation.Sink{"b": notify.Slack{URL: hook}, "a": notify.Quiet(notify.Slack{URL: hook}, 0), "c": &recorder{}},
		Default: notify.Route{To: []string{"a", "b", "c"}},
	}.All()
	require.NoError(t, err)
	var ids []string
	for _, s := range all {
		ids = append(ids, s.(rotation.Identifier).Identity())
	}
	require.Equal(t, []string{"slack https://chat.example as a", "slack https://chat.example as b", "*notify_test.recorder as c"}, ids)
}

func TestRouterValidate(t *testing.T) {
	_, err := notify.Router{}.All()
	require.EqualError(t, err, "notify: Router.Sinks is required\nnotify: Router.Default.To is required")
	_, err = notify.Router{
		Sinks:   map[string]rotation.Sink{"a": &recorder{}, "b": &recorder{}, "c": nil, "d": notify.Slack{}},
		Routes:  []notify.Route{{}, {To: []string{"a", "x"}}},
		Default: notify.Route{Contact: "me", To: []string{"d"}},
	}.All()
	require.EqualError(t, err, `notify: Router.Routes[0].To is required
notify: Router.Routes[1].To names "x", which is not in Sinks
notify: Router.Default.Contact has to be empty: it takes what no route with a Contact takes
notify: Router.Sinks["b"]: no route leads there
notify: Router.Sinks["c"] is nil
notify: Router.Sinks["d"]: notify: Slack.URL is required`)
}

// With an engine: a destination that is down gets everything later, and the other one nothing twice.
func TestRouterUnderAnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, down := &recorder{}, &stubborn{until: time.Now().Add(time.Hour)}
		router := notify.Router{
			Sinks:   map[string]rotation.Sink{"down": down, "up": up},
			Default: notify.Route{To: []string{"down", "up"}},
		}
		sinks, err := router.All()
		require.NoError(t, err)
		provider, secrets := rotationtest.NewProvider(), store.NewMemory()
		require.NoError(t, store.Seed(t.Context(), secrets, "crm", provider.Mint()))
		rotator, err := rotation.New(rotation.Config{
			Journal: journal.NewMemory(), Store: secrets, Sinks: sinks, Logger: slog.New(slog.DiscardHandler),
			Credentials: []rotation.Credential{{
				Name: "crm", Type: rotation.APIKey, Issuer: provider,
				Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
			}},
		})
		require.NoError(t, err)
		_, err = rotator.Rotate(t.Context(), "crm", rotation.Trigger{Reason: "test"})
		require.NoError(t, err)
		for end := time.Now().Add(10 * 24 * time.Hour); time.Now().Before(end); {
			st, err := rotator.Advance(t.Context(), "crm")
			require.NoError(t, err)
			time.Sleep(min(st.Delay(), time.Until(end)+time.Second))
		}
		all := up.ids()
		require.NotEmpty(t, all)
		seen := map[string]bool{}
		for _, id := range all {
			require.False(t, seen[id], "%s came twice", id)
			seen[id] = true
		}
		require.Equal(t, all, down.ids())
		require.Positive(t, down.refused)
	})
}

// stubborn is a recorder that takes nothing until a time.
type stubborn struct {
	recorder
	until   time.Time
	refused int
}

func (s *stubborn) Deliver(ctx context.Context, e rotation.Event) error {
	if time.Now().Before(s.until) {
		s.refused++
		return errors.New("down")
	}
	return s.recorder.Deliver(ctx, e)
}
