// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// account is a small provider: it makes keys, ends them, and knows which are alive. It lists nothing and counts nothing.
type account struct {
	mu   sync.Mutex
	n    int
	live map[string]bool // by value
	ids  map[string]string
}

func (a *account) Issue(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	k := rotation.Key{ID: fmt.Sprint("key-", a.n), Secret: secret.Random(16), IssuedAt: time.Now()}
	a.live[k.Secret.Reveal()], a.ids[k.ID] = true, k.Secret.Reveal()
	return k, nil
}

func (a *account) Revoke(_ context.Context, key rotation.Key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.live, a.ids[key.ID])
	return nil
}

func (a *account) Verify(_ context.Context, key rotation.Key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.live[key.Secret.Reveal()] {
		return fmt.Errorf("account: %w", rotation.ErrRejected)
	}
	return nil
}

func (a *account) Describe() rotation.Traits { return rotation.Traits{Propagation: -1, ListLag: -1} }

// machine is a process that uses several credentials and reads their current keys when it is started.
type machine struct {
	mu       sync.Mutex
	uses     map[string]rotation.Key
	restarts []time.Time
	secrets  rotation.SecretStore
}

func (m *machine) restart(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restarts = append(m.restarts, time.Now())
	for name := range m.uses {
		v, err := m.secrets.Load(ctx, name)
		if err != nil {
			return err
		}
		m.uses[name] = v.Key(rotation.RoleCurrent)
	}
	return nil
}

// part is a machine as the consumer of one credential.
type part struct {
	*machine
	name string
}

func (p part) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if req.Role != rotation.RoleCurrent {
		return fmt.Errorf("machine: %w", errors.ErrUnsupported)
	}
	return p.restart(ctx)
}

func (p part) Observe(context.Context) ([]rotation.Instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []rotation.Instance{{Name: "m-1", Key: p.uses[p.name], AsOf: time.Now()}}, nil
}

var yearly = flag.Int("rotation.year", 100, "how many credentials TestAYear has")

// A year of many credentials: every key is replaced before it is too old, nothing that anybody can notice happens outside the windows,
// no machine is started anew more often than it may be, and the work is spread over the windows.
func TestAYear(t *testing.T) {
	credentials := *yearly
	const perMachine, interval = 2, 3 * day
	bubble(t, func(t *testing.T) {
		secrets := store.NewMemory()
		var machines []*machine
		var all []rotation.Credential
		issued := map[string]time.Time{}
		ages := map[string]time.Duration{}
		types := []rotation.Type{rotation.APIKey, rotation.OAuthClient, rotation.ServiceAccount, rotation.Database}
		for i := range credentials {
			if i%perMachine == 0 {
				machines = append(machines, &machine{uses: map[string]rotation.Key{}, secrets: secrets})
			}
			m := machines[len(machines)-1]
			name, a := fmt.Sprintf("credential-%04d", i), &account{live: map[string]bool{}, ids: map[string]string{}}
			key, _ := a.Issue(t.Context(), rotation.IssueRequest{})
			key.IssuedAt = time.Now().Add(-time.Duration(i%20) * day)
			require.NoError(t, store.Seed(t.Context(), secrets, name, key))
			m.uses[name] = key
			c := rotation.Credential{
				Name: name, Type: types[i%len(types)], Issuer: a, Risk: []rotation.Risk{rotation.StandardRisk, rotation.HighRisk}[i/8%2],
				Scope:     []rotation.Scope{rotation.ScopeWrite, rotation.ScopeReadOnly, rotation.ScopeBroad}[i%3],
				Consumers: []rotation.Binding{{Name: "machine", Group: fmt.Sprint("machine-", len(machines)), Consumer: part{m, name}}},
			}
			all = append(all, c)
			issued[name], ages[name] = key.IssuedAt, c.MaxAge()
		}
		g := &gazette{name: "all"}
		r, err := rotation.New(rotation.Config{
			Journal: journal.NewMemory(), Store: secrets, Credentials: all, Sinks: []rotation.Sink{g}, Check: -1, Lease: time.Hour,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Policy: rotation.Policy{
				Windows: []rotation.Window{"Mon-Thu 01:00-05:00 Europe/Berlin"}, Blackouts: []rotation.Blackout{"2000-04-20..2000-04-24 Europe/Berlin"},
				Notice: 48 * time.Hour, Jitter: 30 * day, MinInterval: interval, Overlap: time.Hour, Quiet: -1, Proofs: 1,
			},
		})
		require.NoError(t, err)
		ctx, stop := contextFor(t, 366*day)
		defer stop()
		require.NoError(t, r.Run(ctx))

		berlin, err := time.LoadLocation("Europe/Berlin")
		require.NoError(t, err)
		hours, rotations := map[time.Time]int{}, 0
		for _, e := range g.all() {
			require.Nil(t, e.Problem, "%s", e.Text)
			if e.Kind == rotation.EventIssued {
				require.LessOrEqual(t, e.At.Sub(issued[e.Credential]), ages[e.Credential], "%s, until %s", e.Credential, e.At)
				issued[e.Credential] = e.At
				rotations++
			}
			if !noticeable[e.Kind] {
				continue
			}
			at := e.At.In(berlin)
			require.True(t, at.Hour() >= 1 && at.Hour() < 5 && at.Weekday() >= time.Monday && at.Weekday() <= time.Thursday, "%s: %s", at, e.Text)
			require.False(t, at.Month() == time.April && at.Day() >= 20 && at.Day() <= 24, "%s: %s", at, e.Text)
			if e.Kind == rotation.EventBegan {
				hours[at.Truncate(time.Hour)]++
			}
		}
		statuses, err := r.List(t.Context())
		require.NoError(t, err)
		for _, st := range statuses {
			require.True(t, st.Due.After(time.Now()), "%s", st)
		}
		restarts, restarted := 0, map[time.Time]int{}
		for _, m := range machines {
			restarts += len(m.restarts)
			for _, at := range m.restarts {
				restarted[at.Truncate(time.Hour)]++
			}
			for i := range m.restarts[1:] {
				require.GreaterOrEqual(t, m.restarts[i+1].Sub(m.restarts[i]), interval)
			}
		}
		allowed := (366*4/7 - 2) * 4 // four days a week but for two, four hours a day
		busiest := slices.Max(slices.Collect(maps.Values(hours)))
		mean := float64(rotations) / float64(allowed)
		t.Logf("%d credentials, %d rotations in %d allowed hours; %d in the busiest one, %.1f on average: %.2f times as many", credentials, rotations, allowed, busiest, mean, float64(busiest)/mean)
		t.Logf("%d restarts of %d machines; %d in the busiest hour", restarts, len(machines), slices.Max(slices.Collect(maps.Values(restarted))))
		if mean > 20 { // else chance decides
			require.LessOrEqual(t, float64(busiest), 3*mean)
		}
	})
}

const day = 24 * time.Hour
