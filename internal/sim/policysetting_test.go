// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"
	_ "time/tzdata" // the windows here are in time zones

	"github.com/handover-go/handover/rotation"
)

// Policies are the settings in which a rotation is kept to times: windows and blackouts, a notice, jitter, a consumer that two
// credentials share, a regular look, and a provider that is in no hurry to tell who used a key.
func Policies() []Setting {
	const berlin, newYork = time.Hour, -5 * time.Hour // in January, when everything here happens
	policy := rotation.Policy{Overlap: 2 * time.Hour, Quiet: time.Hour, Patience: 90 * time.Second, Notice: 12 * time.Hour}
	quick := rotation.Traits{Propagation: -1, ListLag: -1}
	slow := rotation.Traits{Propagation: time.Minute, ListLag: 30 * time.Second}
	skews := []time.Duration{-2 * time.Second, 2 * time.Second}
	with := func(change func(*rotation.Policy)) rotation.Policy {
		p := policy
		change(&p)
		return p
	}
	short := with(func(p *rotation.Policy) { p.Windows = []rotation.Window{"daily 07:00-07:03 Europe/Berlin"} })
	threeMinutes := &Hours{From: 7 * time.Hour, To: 7*time.Hour + 3*time.Minute, Ahead: berlin}
	ended, killed := short, short
	ended.AllowProviderDeadline, killed.AllowOutage = true, true
	grace, kills := slow, quick
	grace.Grace, kills.KillsOld = 4*time.Hour, true
	shared := with(func(p *rotation.Policy) { p.Notice, p.MinInterval, p.MaxAge = 0, 30*time.Minute, 30*24*time.Hour })
	hook := with(func(p *rotation.Policy) { p.Overlap, p.Windows = time.Hour, short.Windows })
	return []Setting{
		{
			Name: "windows", Traits: quick, Services: []Kind{Pushed, Restart, Reader}, Disables: true, Check: 2 * time.Hour, Age: 26 * 24 * time.Hour, ByItself: true,
			Policy: with(func(p *rotation.Policy) {
				p.Windows, p.Blackouts = []rotation.Window{"daily 01:00-01:40 America/New_York"}, []rotation.Blackout{"2000-01-02 America/New_York"}
				p.Jitter, p.MaxAge = 30*time.Hour, 30*24*time.Hour
			}),
			Hours: &Hours{From: time.Hour, To: time.Hour + 40*time.Minute, Ahead: newYork, Off: []string{"2000-01-02"}},
		},
		{
			Name: "short windows", Traits: slow, Policy: short, Hours: threeMinutes, Propagate: 50 * time.Second, ListLag: 25 * time.Second, UsageLag: 10 * time.Minute,
			Disables: true, Services: []Kind{Pushed, Restart, Reader, Caching}, Skews: skews, Check: time.Hour,
		},
		{
			Name: "windows, provider's grace", Traits: grace, Policy: ended, Hours: threeMinutes, Propagate: 30 * time.Second, ListLag: 20 * time.Second,
			Services: []Kind{Pushed, Reader, Job},
		},
		{Name: "windows, issuing kills", Traits: kills, Policy: killed, Hours: threeMinutes, Services: []Kind{Pushed, Reader}},
		{
			Name: "webhook, windows", Signing: Activates, Traits: rotation.Traits{Propagation: -1, ListLag: -1, RetryHorizon: 3 * time.Hour}, Policy: hook,
			Hours: threeMinutes, Receivers: []Kind{Told, Follows, Renewed}, Renewed: -1,
		},
		{
			Name: "shared consumer", Traits: quick, Policy: shared, Services: []Kind{Pushed, Shared, Pushed}, Check: time.Hour,
			Age: 31 * 24 * time.Hour, After: time.Second, // both are overdue: whoever is ready first waits for the other one
			Twin: &Setting{Traits: quick, Policy: shared, Services: []Kind{Shared, Pushed}, Age: 31 * 24 * time.Hour},
		},
		{
			Name: "shared consumer, later", Traits: quick, Policy: shared, Services: []Kind{Shared, Reader}, After: 10 * time.Minute, NoHealth: true, Skews: skews,
			Twin: &Setting{Traits: quick, Policy: shared, Services: []Kind{Pushed, Shared}, NoHealth: true},
		},
		{Name: "nobody tells in time who used it", Traits: quick, Policy: policy, Services: []Kind{Pushed, Restart, Reader}, Hurried: true},
	}
}

// slowList is how long a list of keys takes where nobody tells in time.
const slowList = 8 * time.Second

// Hours are a daily window without summer time, and days without it.
type Hours struct {
	From, To time.Duration // after midnight on the wall
	Ahead    time.Duration // of UTC
	Off      []string      // days on the wall
}

// open reports whether a time lies in the window.
func (h *Hours) open(t time.Time) bool {
	wall := t.UTC().Add(h.Ahead)
	clock := wall.Sub(wall.Truncate(24 * time.Hour))
	return clock >= h.From && clock < h.To && !slices.Contains(h.Off, wall.Format(time.DateOnly))
}

// late is how long after a window something may be decided: what was looked at in it may have taken so long.
const late = lease + 2*callTimeout

// around reports whether a decision at this time can have been made in the window.
func (h *Hours) around(t time.Time) bool {
	return h.open(t) || h.open(t.Add(clockSkew)) || h.open(t.Add(-late))
}
