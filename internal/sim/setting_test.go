// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Setting is one arrangement of the world: how the provider behaves, who uses the credential, how wrong the clocks are.
type Setting struct {
	Name   string
	Traits rotation.Traits // what the issuer says of its provider
	Policy rotation.Policy

	Propagate time.Duration // until an edge of the provider sees a change
	ListLag   time.Duration // until a new key is listed
	UsageLag  time.Duration // age of the usage figures
	NoUsage   bool          // the provider does not tell who uses a key
	NoList    bool          // nor which keys there are
	Untagged  bool          // keys have no names
	Disables  bool          // a key can be switched off and on
	Chooses   bool          // values are chosen here
	Halves    bool          // the first call that sets one reaches a half of the provider, and nobody can tell of the other until it is set again, or ended
	Slots     bool          // two ids that come back
	Services  []Kind        // who uses the credential, canaries first
	Stray     bool          // somebody whom no inventory knows uses the first key for some hours
	Skews     []time.Duration

	Signing   Signing // of a webhook
	Receivers []Kind
	OneID     bool           // every secret of the webhook bears the same id
	Renewed   time.Duration  // when those that are started anew are so once more; negative: they never are
	Past      bool           // deliveries that were made before are still to come
	NoPing    bool           // the sender makes no test deliveries
	AbortIn   rotation.Phase // where somebody gives the new secret up, in the script of the roll-back

	Brittle, BrittleFirst bool // the last service, or the first, breaks with every key but the first

	Hours    *Hours        // what Policy.Windows and Policy.Blackouts allow, as the oracle knows it
	Check    time.Duration // Config.Check
	Age      time.Duration // of the first key; zero: a day
	ByItself bool          // the schedule begins a rotation within some days
	Twin     *Setting      // of another credential, with which a consumer is shared
	After    time.Duration // the other credential's rotation is asked for so much later
	NoHealth bool          // nothing says whether a shared consumer works
	Hurried  bool          // emergencies only: the provider's list is slow, and its usage figures are nonsense
}

// Kind is a way to use a credential.
type Kind string

// Kinds of services.
const (
	Pushed  Kind = "pushed"  // told the key, uses it at once
	Caching Kind = "caching" // told the key, goes on with the old one for some minutes
	Restart Kind = "restart" // restarted one instance after the other; each reads the store when it starts
	Reader  Kind = "reader"  // reads the store: one instance at once, one as late as it may
	Job     Kind = "job"     // reads the store at the beginning of each run
	Blind   Kind = "blind"   // told the key; nobody can see what it uses
	Shared  Kind = "shared"  // one process for two credentials: restarted, it reads both from their stores
)

// Settings that every table is tried in. The first is the one for pairs.
func Settings() []Setting {
	policy := rotation.Policy{Overlap: 2 * time.Hour, Quiet: time.Hour, Patience: 90 * time.Second}
	quick := rotation.Traits{Propagation: -1, ListLag: -1}
	slow := rotation.Traits{Propagation: time.Minute, ListLag: 30 * time.Second}
	with := func(t rotation.Traits, change func(*rotation.Traits)) rotation.Traits {
		change(&t)
		return t
	}
	all := []Kind{Pushed, Restart, Reader, Job, Caching}
	return slices.Concat([]Setting{
		{Name: "plain", Traits: quick, Policy: policy, Services: []Kind{Pushed, Restart, Reader}},
		{
			Name: "slow", Traits: slow, Policy: policy, Propagate: 50 * time.Second, ListLag: 25 * time.Second, UsageLag: 10 * time.Minute,
			Disables: true, Services: all, Skews: []time.Duration{-2 * time.Second, 2 * time.Second},
		},
		{
			Name: "two slots, chosen values", Traits: with(slow, func(t *rotation.Traits) { t.MaxKeys = 2 }), Policy: policy,
			Propagate: 30 * time.Second, ListLag: 20 * time.Second, Chooses: true, Disables: true, Services: []Kind{Pushed, Caching, Reader},
		},
		{
			Name: "ids that come back", Traits: with(quick, func(t *rotation.Traits) { t.MaxKeys = 2; t.Independent = true }), Policy: policy,
			Slots: true, Services: []Kind{Pushed, Restart, Reader},
		},
		{
			Name: "provider's grace", Traits: with(slow, func(t *rotation.Traits) { t.Grace = 24 * time.Hour }),
			Policy:    rotation.Policy{Overlap: 2 * time.Hour, Quiet: time.Hour, Patience: 90 * time.Second, AllowProviderDeadline: true},
			Propagate: 30 * time.Second, ListLag: 20 * time.Second, Services: []Kind{Pushed, Reader, Job},
		},
		{
			Name: "untagged, ours alone", Traits: with(slow, func(t *rotation.Traits) { t.Exclusive = true; t.MaxKeys = 3 }), Policy: policy,
			Propagate: 30 * time.Second, ListLag: 20 * time.Second, Untagged: true, NoUsage: true, Disables: true, Services: []Kind{Pushed, Restart},
		},
		{
			Name: "nothing is told", Traits: slow, Policy: policy, Propagate: 50 * time.Second, NoList: true, NoUsage: true,
			Services: []Kind{Pushed, Blind, Reader},
		},
		{
			Name: "a stranger uses it", Traits: quick, Policy: rotation.Policy{Overlap: time.Hour, Quiet: 3 * time.Hour, Patience: 90 * time.Second},
			UsageLag: 20 * time.Minute, Stray: true, Disables: true, Services: []Kind{Pushed, Reader},
		},
		{
			Name: "issuing kills", Traits: with(quick, func(t *rotation.Traits) { t.KillsOld = true }),
			Policy: rotation.Policy{Overlap: 2 * time.Hour, Quiet: time.Hour, Patience: 90 * time.Second, AllowOutage: true}, Services: []Kind{Pushed, Reader},
		},
	}, Webhooks(), Policies(), []Setting{{
		Name: "half-made value", Traits: slow, Policy: policy, Propagate: 30 * time.Second, ListLag: 20 * time.Second,
		NoList: true, NoUsage: true, Chooses: true, Halves: true, AbortIn: rotation.PhaseIssue, Services: []Kind{Pushed, Reader},
	}})
}

// lag is how long a service of this kind may go on with the old key.
func (k Kind) lag() time.Duration {
	switch k {
	case Caching:
		return 20 * time.Second
	case Reader, Follows:
		return 40 * time.Second
	case Job:
		return jobRuns
	default:
		return 0
	}
}

const (
	jobEvery = 3 * time.Minute
	jobRuns  = 2 * time.Minute
)

// fits reports whether a script makes sense here: where issuing ends the old key, or is what tells the sender, there is nothing
// to go back to.
func (s Setting) fits(sc Script) bool {
	blind := sc.BrittleFirst && len(s.Receivers) > 0 && s.Receivers[0] == Unseen // nobody sees that it does not take the new one
	if sc.BrittleFirst && s.NoHealth {                                           // nobody sees that it does not work with the new one
		return false
	}
	if s.Halves && (sc.Table != rotation.RollBack || sc.BrittleFirst) { // nothing but giving it up ends that
		return false
	}
	if sc.Scheduled && !s.ByItself || s.Hurried && sc.Table != rotation.Emergency {
		return false
	}
	return !((s.Traits.KillsOld || s.Signing == AtOnce) && sc.Table == rotation.RollBack) && !blind
}
