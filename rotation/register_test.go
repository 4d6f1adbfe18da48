// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// faulty is any part with any mistake.
type faulty struct {
	*rotationtest.Provider
	conditional bool
	invalid     error
	check       error
	lag         time.Duration
}

func (f faulty) Deploy(context.Context, rotation.DeployRequest) error { return nil }
func (f faulty) Deliver(context.Context, rotation.Event) error        { return nil }
func (f faulty) Validate() error                                      { return f.invalid }
func (f faulty) Check(context.Context) error                          { return f.check }
func (f faulty) Lag() time.Duration                                   { return f.lag }
func (f faulty) Conditional() bool                                    { return f.conditional }

// silent is a store that does not say whether it compares.
type silent struct{ rotation.SecretStore }

// unsure is one that says that it does not.
type unsure struct{ rotation.SecretStore }

func (unsure) Conditional() bool { return false }

type unsureJournal struct{ rotation.Journal }

func (unsureJournal) Conditional() bool { return false }

type issuerOnly struct{ rotation.Issuer }

func soundConfig() rotation.Config {
	p := rotationtest.NewProvider()
	return rotation.Config{
		Journal: rotationtest.NewJournal(),
		Store:   rotationtest.NewStore(),
		Credentials: []rotation.Credential{{
			Name: name, Type: rotation.APIKey, Issuer: p,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(p)}},
		}},
	}
}

func TestNewTakesWhatIsRight(t *testing.T) {
	_, err := rotation.New(soundConfig())
	require.NoError(t, err)
	_, err = rotation.New(rotation.Config{Journal: journal.NewMemory()})
	require.NoError(t, err, "credentials can come later")
}

// Each mistake alone: the error names the field, and the credential where it is one's.
func TestEveryMistakeIsNamed(t *testing.T) {
	type change func(*rotation.Config, *rotation.Credential)
	credential := func(f func(*rotation.Credential)) change {
		return func(_ *rotation.Config, c *rotation.Credential) { f(c) }
	}
	config := func(f func(*rotation.Config)) change {
		return func(cfg *rotation.Config, _ *rotation.Credential) { f(cfg) }
	}
	invalid := faulty{Provider: rotationtest.NewProvider(), invalid: errors.New("REST: URL is required")}
	slow := faulty{Provider: rotationtest.NewProvider(), lag: 3 * time.Hour}
	traits := func(tr rotation.Traits) rotation.Issuer {
		p := rotationtest.NewProvider()
		p.Traits = tr
		return p
	}
	var noProvider *rotationtest.Provider
	var noStore *rotationtest.Store
	var noJournal *rotationtest.Journal
	var noConsumer *rotationtest.Consumer
	for what, c := range map[string]struct {
		change change
		want   []string
	}{
		"no journal":                {config(func(c *rotation.Config) { c.Journal = nil }), []string{"Config.Journal is required"}},
		"a nil journal":             {config(func(c *rotation.Config) { c.Journal = noJournal }), []string{"Config.Journal is required"}},
		"an unsafe journal":         {config(func(c *rotation.Config) { c.Journal = unsureJournal{c.Journal} }), []string{"Config.Journal", "compare"}},
		"an invalid sink":           {config(func(c *rotation.Config) { c.Sinks = []rotation.Sink{faulty{}, invalid} }), []string{"Config.Sinks[1]", "URL is required"}},
		"a nil sink":                {config(func(c *rotation.Config) { c.Sinks = []rotation.Sink{nil} }), []string{"Config.Sinks[0]"}},
		"a nil discoverer":          {config(func(c *rotation.Config) { c.Discoverers = []rotation.Discoverer{nil} }), []string{"Config.Discoverers[0]"}},
		"a lease as long as a call": {config(func(c *rotation.Config) { c.Lease = 10 * time.Second }), []string{"Config.Lease (10s)", "Config.CallTimeout (10s)"}},
		"a lease below zero":        {config(func(c *rotation.Config) { c.Lease = -1 }), []string{"Config.Lease"}},
		"a call without an end":     {config(func(c *rotation.Config) { c.CallTimeout = -1 }), []string{"Config.CallTimeout"}},
		"an issue without an end":   {config(func(c *rotation.Config) { c.IssueLimit = -1 }), []string{"Config.IssueLimit"}},
		"nothing at a time":         {config(func(c *rotation.Config) { c.Parallel = -1 }), []string{"Config.Parallel"}},

		"no name":              {credential(func(c *rotation.Credential) { c.Name = "" }), []string{"Credentials[0].Name is required"}},
		"a name with a blank":  {credential(func(c *rotation.Credential) { c.Name = "my key" }), []string{"Name", `"my key"`}},
		"a name that goes up":  {credential(func(c *rotation.Credential) { c.Name = "a/../b" }), []string{"Name"}},
		"a reserved name":      {credential(func(c *rotation.Credential) { c.Name = "handover/x" }), []string{"Name", "kept for the engine"}},
		"a long name":          {credential(func(c *rotation.Credential) { c.Name = strings.Repeat("x", 201) }), []string{"Name", "201"}},
		"no type":              {credential(func(c *rotation.Credential) { c.Type = "" }), []string{"Type", "api-key"}},
		"an unknown type":      {credential(func(c *rotation.Credential) { c.Type = "API" }), []string{"Type", `"API"`}},
		"an unknown risk":      {credential(func(c *rotation.Credential) { c.Risk = "low" }), []string{"Risk", `"low"`}},
		"an unknown scope":     {credential(func(c *rotation.Credential) { c.Scope = "all" }), []string{"Scope", `"all"`}},
		"no issuer":            {credential(func(c *rotation.Credential) { c.Issuer = nil }), []string{"Issuer is required"}},
		"a nil issuer":         {credential(func(c *rotation.Credential) { c.Issuer = noProvider }), []string{"Issuer is required"}},
		"an invalid issuer":    {credential(func(c *rotation.Credential) { c.Verifier, c.Issuer = c.Issuer.(rotation.Verifier), invalid }), []string{"Issuer: REST: URL is required"}},
		"no verifier":          {credential(func(c *rotation.Credential) { c.Issuer = issuerOnly{c.Issuer} }), []string{"Verifier is required"}},
		"a nil verifier func":  {credential(func(c *rotation.Credential) { c.Issuer, c.Verifier = issuerOnly{c.Issuer}, rotation.VerifierFunc(nil) }), []string{"Verifier is required"}},
		"an invalid verifier":  {credential(func(c *rotation.Credential) { c.Verifier = invalid }), []string{"Verifier: REST: URL is required"}},
		"no store":             {func(cfg *rotation.Config, _ *rotation.Credential) { cfg.Store = nil }, []string{"Store is required"}},
		"a nil store":          {func(cfg *rotation.Config, _ *rotation.Credential) { cfg.Store = noStore }, []string{"Store is required"}},
		"a store that is mute": {credential(func(c *rotation.Credential) { c.Store = silent{rotationtest.NewStore()} }), []string{"Store", "Conditional"}},
		"a store that says no": {credential(func(c *rotation.Credential) { c.Store = unsure{rotationtest.NewStore()} }), []string{"Store", "Conditional"}},
		"no consumer":          {credential(func(c *rotation.Credential) { c.Consumers[0].Consumer = nil }), []string{"Consumers[0].Consumer (web) is required"}},
		"a nil consumer":       {credential(func(c *rotation.Credential) { c.Consumers[0].Consumer = noConsumer }), []string{"Consumers[0].Consumer (web) is required"}},
		"a nil consumer func":  {credential(func(c *rotation.Credential) { c.Consumers[0].Consumer = rotation.ConsumerFunc(nil) }), []string{"Consumers[0].Consumer"}},
		"an invalid consumer":  {credential(func(c *rotation.Credential) { c.Consumers[0].Consumer = invalid }), []string{"Consumers[0].Consumer: REST: URL"}},
		"an invalid check":     {credential(func(c *rotation.Credential) { c.Consumers[0].Verifier = invalid }), []string{"Consumers[0].Verifier: REST: URL"}},
		"a binding sans name":  {credential(func(c *rotation.Credential) { c.Consumers[0].Name = "" }), []string{"Consumers[0].Name is required"}},
		"a binding twice":      {credential(func(c *rotation.Credential) { c.Consumers = append(c.Consumers, c.Consumers[0]) }), []string{"Consumers[1].Name", `"web"`}},
		"no maximal age":       {credential(func(c *rotation.Credential) { c.Policy.MaxAge = -1 }), []string{"Policy.MaxAge"}},
		"no proofs":            {credential(func(c *rotation.Credential) { c.Policy.Proofs = -1 }), []string{"Policy.Proofs"}},
		"no deployments":       {credential(func(c *rotation.Credential) { c.Policy.Parallel = -1 }), []string{"Policy.Parallel"}},
		"windows beyond its age": {
			credential(func(c *rotation.Credential) { c.Policy = rotation.Policy{MaxAge: 47 * time.Hour} }),
			[]string{"Policy", "overlap (24h0m0s)", "quiet (24h0m0s)", "47h0m0s"},
		},
		"a notice beyond its age": {
			credential(func(c *rotation.Credential) { c.Policy.MaxAge, c.Policy.Notice = 30*24*time.Hour, 40*24*time.Hour }),
			[]string{"Policy.Notice (960h0m0s)", "720h0m0s"},
		},
		"a consumer beyond its age": {
			credential(func(c *rotation.Credential) {
				c.Policy.MaxAge = 49 * time.Hour
				c.Consumers[0].Lag = 2 * time.Hour
			}),
			[]string{"Policy", "2h0m0s"},
		},
		"a grace that is too short": {
			credential(func(c *rotation.Credential) {
				c.Issuer = traits(rotation.Traits{Grace: 2 * time.Hour})
				c.Policy.AllowProviderDeadline = true
				c.Consumers[0].Consumer = slow
			}),
			[]string{"Traits.Grace (2h0m0s)", `"web"`, "3h0m0s", string(rotation.GraceTooShort)},
		},
		"a deadline unasked for": {
			credential(func(c *rotation.Credential) { c.Issuer = traits(rotation.Traits{Grace: 72 * time.Hour}) }),
			[]string{"Policy.AllowProviderDeadline", "72h0m0s"},
		},
		"an outage unasked for": {
			credential(func(c *rotation.Credential) { c.Issuer = traits(rotation.Traits{KillsOld: true}) }),
			[]string{"Policy.AllowOutage"},
		},
	} {
		cfg := soundConfig()
		c.change(&cfg, &cfg.Credentials[0])
		r, err := rotation.New(cfg)
		require.Nil(t, r, what)
		require.Error(t, err, what)
		require.Len(t, strings.Split(err.Error(), "\n"), 1, "%s: one mistake, one line: %v", what, err)
		for _, w := range c.want {
			require.ErrorContains(t, err, w, what)
		}
		if cred := cfg.Credentials[0]; cred.Name != "" && !strings.Contains(c.want[0], "Config.") && !strings.Contains(c.want[0], "Name") {
			require.ErrorContains(t, err, cred.Name, what)
		}
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	cfg := soundConfig()
	cfg.Journal, cfg.Parallel, cfg.Lease = nil, -1, time.Second
	bad := rotation.Credential{
		Name: "bad name", Type: "T", Risk: "R", Scope: "S", Store: silent{rotationtest.NewStore()},
		Consumers: []rotation.Binding{{}, {Name: "web"}},
		Policy:    rotation.Policy{MaxAge: -1, Proofs: -1},
	}
	cfg.Credentials = append(cfg.Credentials, bad, rotation.Credential{}, cfg.Credentials[0])
	_, err := rotation.New(cfg)
	require.Error(t, err)
	for _, want := range []string{
		"Config.Journal", "Config.Parallel", "Config.Lease", "bad name: Name", "bad name: Type", "bad name: Risk", "bad name: Scope",
		"bad name: Issuer", "bad name: Store", "bad name: Consumers[0].Name", "bad name: Consumers[0].Consumer",
		"bad name: Consumers[1].Consumer", "bad name: Policy.MaxAge", "bad name: Policy.Proofs", "Credentials[2].Name",
		name + ": Name is given to two credentials",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestPolicyOfTheConfig(t *testing.T) {
	cfg := soundConfig()
	cfg.Policy = rotation.Policy{MaxAge: time.Hour}
	_, err := rotation.New(cfg)
	require.ErrorContains(t, err, "Policy", "the default of all credentials counts where one has none")
	cfg.Credentials[0].Policy.MaxAge = 60 * 24 * time.Hour
	_, err = rotation.New(cfg)
	require.NoError(t, err)
	cfg.Credentials[0].Policy = rotation.Policy{MaxAge: time.Hour, Overlap: -1, Quiet: -1}
	_, err = rotation.New(cfg)
	require.NoError(t, err, "negative is none")
}

// Register is all or none, and what was registered before stays.
func TestRegisterAllOrNone(t *testing.T) {
	cfg := soundConfig()
	r, err := rotation.New(cfg)
	require.NoError(t, err)
	good := cfg.Credentials[0]
	good.Name, good.Contact = "another", "ops"
	bad := good
	bad.Name, bad.Issuer = "third", nil
	require.ErrorContains(t, r.Register(good, bad), "third: Issuer")
	require.Len(t, r.Credentials(), 1)
	require.NoError(t, r.Register(good))
	changed := cfg.Credentials[0]
	changed.Contact = "somebody else"
	require.NoError(t, r.Register(changed))
	all := r.Credentials()
	require.Len(t, all, 2)
	require.Equal(t, []string{"another", name}, []string{all[0].Name, all[1].Name})
	require.Equal(t, "somebody else", all[1].Contact, "what was given, replaced")
	require.Zero(t, all[1].Policy.Overlap, "as it was given, without defaults")

	r.Remove("another", "never there")
	require.Len(t, r.Credentials(), 1)
}

// A name that every store takes is seeded, rotated and found again.
func TestNamesInStores(t *testing.T) {
	for _, n := range []string{"a", "team/payment.api_1", "0-0", strings.Repeat("x", 200)} {
		synctest.Test(t, func(t *testing.T) {
			provider, secrets := rotationtest.NewProvider(), store.NewMemory()
			require.NoError(t, store.Seed(t.Context(), secrets, n, provider.Mint()))
			r, err := rotation.New(rotation.Config{
				Journal: journal.NewMemory(), Store: secrets, Policy: rotation.Policy{Overlap: -1, Quiet: -1}, ClockSkew: -1,
				Credentials: []rotation.Credential{{Name: n, Type: rotation.APIKey, Issuer: provider}},
			})
			require.NoError(t, err)
			st, err := r.Rotate(t.Context(), n, rotation.Trigger{})
			require.NoError(t, err)
			require.Equal(t, rotation.Rotated, st.Last.Outcome)
			infos, err := provider.List(t.Context())
			require.NoError(t, err)
			require.Len(t, infos, 1)
			require.LessOrEqual(t, len(infos[0].Key.Name), 64)
		})
	}
}

// Nothing is minted before every part says that it can do its work.
func TestNothingIsMintedWhenACheckFails(t *testing.T) {
	for what, change := range map[string]func(w *world, bad faulty){
		"issuer":   func(w *world, bad faulty) { w.cred.Issuer = bad },
		"verifier": func(w *world, bad faulty) { w.cred.Verifier = bad },
		"store":    func(w *world, bad faulty) { w.cred.Store = checkedStore{w.store, bad.check} },
		"consumer": func(w *world, bad faulty) { w.cred.Consumers[1].Consumer = bad },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2)
				bad := faulty{Provider: w.provider, check: fmt.Errorf("no: %w", rotation.ErrDenied)}
				change(w, bad)
				r := w.rotator()
				st, err := r.Rotate(t.Context(), name, rotation.Trigger{})
				require.ErrorIs(t, err, rotation.ErrDenied)
				require.ErrorContains(t, err, "the "+what+" will not be able")
				require.Equal(t, rotation.PhasePrepare, st.Open.Phase)
				require.Equal(t, what == "consumer", st.Open.Problem.Consumer == "c1")
				require.Equal(t, what == "store", errors.Is(err, rotation.StoreDenied))
				time.Sleep(time.Hour)
				_, err = r.Advance(t.Context(), name)
				require.Error(t, err, "asked again")
				require.Zero(t, w.provider.Calls("Issue"))
				require.Equal(t, []string{w.seeded.ID}, w.provider.Live())
				require.Len(t, w.versions().Keys, 1)
			})
		})
	}
}

type checkedStore struct {
	*rotationtest.Store
	err error
}

func (s checkedStore) Check(context.Context) error { return s.err }

// A check that the part turns out not to have is none.
func TestAnUnsupportedCheckIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cred.Issuer = faulty{Provider: w.provider, check: errors.ErrUnsupported}
		st, err := w.rotator().Rotate(t.Context(), name, rotation.Trigger{})
		require.NoError(t, err)
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
	})
}
