// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// shared is a world with a second credential at the same account.
func shared(t *testing.T) (*world, *rotation.Rotator) {
	w := newBrief(t, 2)
	second := w.cred
	second.Name, second.Consumers = "search-api", nil
	require.NoError(t, store.Seed(t.Context(), w.store, second.Name, w.provider.Mint()))
	w.provider.Traits.MaxKeys = 8
	r := w.rotator()
	require.NoError(t, r.Register(second))
	w.rotate(r)
	w.ends(r)
	_, err := r.Advance(t.Context(), second.Name)
	require.NoError(t, err)
	return w, r
}

// standings are the standings of a credential's keys, by id.
func standings(c rotation.Census) map[string]rotation.Standing {
	out := map[string]rotation.Standing{}
	for _, a := range c.Accounts {
		for _, k := range a.Keys {
			out[k.Key.ID] = k.Standing
		}
	}
	return out
}

// An account that two credentials share is asked once, and each of its keys is found in the record of the one it belongs to.
func TestCensus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := shared(t)
		stranger, err := w.provider.Issue(t.Context(), rotation.IssueRequest{Name: "somebody-else"})
		require.NoError(t, err)
		lost, err := w.provider.Issue(t.Context(), rotation.IssueRequest{Name: name + "-v9-abcdef"})
		require.NoError(t, err)
		lists, loads, changes := w.provider.Calls("List"), w.store.Calls("Load"), w.changes()
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, w.provider.Calls("List")-lists, "one account, one question")
		require.Equal(t, 2, w.store.Calls("Load")-loads, "one for each credential")
		require.Equal(t, changes, w.changes(), "it looks, and changes nothing")
		require.Len(t, c.Accounts, 1)
		a := c.Accounts[0]
		require.Equal(t, []string{name, "search-api"}, a.Credentials)
		require.True(t, a.Listed)
		require.Equal(t, 1, a.Strangers)
		require.Equal(t, []int{8, 4, 4}, []int{a.Slots, a.Used, a.Free})
		require.Len(t, a.Keys, 3)
		current := a.Keys[0]
		require.Equal(t, w.current().ID, current.Key.ID)
		require.Equal(t, rotation.KeyAlive, current.Standing)
		require.Equal(t, rotation.RoleCurrent, current.Role)
		require.True(t, current.Recorded && current.Listed)
		require.False(t, current.Usage.AsOf.IsZero())
		require.Equal(t, rotation.KeyUnrecorded, standings(c)[lost.ID])
		require.Equal(t, "search-api", a.Keys[2].Credential)
		require.Equal(t, rotation.KeyAlive, a.Keys[2].Standing)
		require.Equal(t, []string{"unknown-key"}, findings(c.Findings()))

		data, err := json.Marshal(c)
		require.NoError(t, err)
		require.NotContains(t, string(data), stranger.ID, "what is not ours is counted, and not named")
		require.NotContains(t, string(data), w.current().Secret.Reveal())

		c, err = r.Census(t.Context(), "search-api")
		require.NoError(t, err)
		require.Len(t, c.Accounts[0].Keys, 1)
		require.Equal(t, 1, c.Accounts[0].Strangers, "the keys of the other credential are none")
		require.Empty(t, c.Stores)
	})
}

// What the record and the list do not agree on.
func TestCensusStandings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := shared(t)
		require.NoError(t, w.provider.Revoke(t.Context(), w.current()))
		time.Sleep(time.Second)
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyMissing, standings(c)[w.current().ID])
		require.Equal(t, []string{"current-key-rejected"}, findings(c.Findings()))
	})
	synctest.Test(t, func(t *testing.T) { // a key that was revoked is listed all the same
		w := newBrief(t, 1)
		w.cred.Issuer = undying{w.provider, &w.seeded.ID}
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyUndead, standings(c)[w.seeded.ID])
		require.Equal(t, []string{"revocation-not-effective"}, findings(c.Findings()))
	})
	synctest.Test(t, func(t *testing.T) { // one that was proven dead, of which only the record of the rotation knows, comes back
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		require.Empty(t, w.ends(r).Debts)
		w.cred.Issuer = undying{w.provider, &w.seeded.ID}
		w.again(r)
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyUndead, standings(c)[w.seeded.ID])
		require.Zero(t, c.Accounts[0].Strangers)
	})
	synctest.Test(t, func(t *testing.T) { // and one that is disabled takes a slot
		w, r := shared(t)
		w.provider.Traits.MaxKeys = 2
		require.NoError(t, r.Register(w.cred))
		require.NoError(t, w.provider.Disable(t.Context(), w.current()))
		c, err := r.Census(t.Context(), name)
		require.NoError(t, err)
		require.True(t, c.Accounts[0].Keys[0].Disabled)
		require.Equal(t, []int{2, 2, 0}, []int{c.Accounts[0].Slots, c.Accounts[0].Used, c.Accounts[0].Free})
		require.Equal(t, []string{"no-slot"}, findings(c.Findings()))
	})
	synctest.Test(t, func(t *testing.T) { // under an open rotation both keys live
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Len(t, c.Accounts[0].Keys, 2)
		for _, k := range c.Accounts[0].Keys {
			require.Equal(t, rotation.KeyAlive, k.Standing)
		}
		require.Empty(t, c.Findings())
	})
	synctest.Test(t, func(t *testing.T) { // a seeded key is met by the first Advance
		w := newBrief(t, 1)
		c, err := w.rotator().Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyAlive, standings(c)[w.seeded.ID])
		require.Equal(t, rotation.RoleCurrent, c.Accounts[0].Keys[0].Role)
		require.False(t, c.Accounts[0].Keys[0].Recorded)
		require.Empty(t, c.Findings())
	})
	synctest.Test(t, func(t *testing.T) { // one that somebody put into the store later may be in use
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		hand := w.provider.Mint()
		w.byHand(hand, true, false)
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyUnrecorded, standings(c)[hand.ID])
		require.Equal(t, []string{"unknown-key"}, findings(c.Findings()))
		require.Contains(t, c.Findings()[0].Action, "somebody may be using it")
	})
}

// undying is an issuer that lists a key although it is revoked.
type undying struct {
	*rotationtest.Provider
	id *string
}

func (u undying) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	keys, err := u.Provider.List(ctx)
	for _, k := range keys {
		if k.Key.ID == *u.id {
			return keys, err
		}
	}
	return append(keys, rotation.KeyInfo{Key: rotation.Key{ID: *u.id}}), err
}

// nameless is an issuer of which nothing says what account it talks to.
type nameless struct {
	rotation.Issuer
	rotation.Verifier
	lister rotation.Lister
}

func (n nameless) List(ctx context.Context) ([]rotation.KeyInfo, error) { return n.lister.List(ctx) }

// Two issuers of one type are two accounts where neither says that they are one.
func TestCensusOfUnnamedAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		other := rotationtest.NewProvider()
		w.cred.Issuer = nameless{w.provider, w.provider, w.provider}
		second := w.cred
		second.Name, second.Issuer, second.Consumers = "search-api", nameless{other, other, other}, nil
		require.NoError(t, store.Seed(t.Context(), w.store, second.Name, other.Mint()))
		r := w.rotator()
		require.NoError(t, r.Register(second))
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Len(t, c.Accounts, 2)
		require.Equal(t, 1, w.provider.Calls("List"))
		require.Equal(t, 1, other.Calls("List"))
		require.Len(t, c.Accounts[1].Keys, 1)
		require.True(t, c.Accounts[1].Keys[0].Listed)
	})
}

// The names in a store are compared with the inventory, and users with bindings.
func TestCensusOfStoresAndBindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := shared(t)
		for _, n := range []string{"forgotten", "handover/installation", "team/db/handover"} {
			require.NoError(t, w.store.Save(t.Context(), n, rotation.Versions{Keys: []rotation.StoredKey{{Key: rotation.Key{Secret: secret.New("value")}}}}))
		}
		w.cfg.Discoverers = []rotation.Discoverer{users{name: {"c0", "cron"}, "new-api": {}}, users{name: {"c0"}, "new-api": {}}}
		r := w.rotator()
		empty := w.cred
		empty.Name = "new-api"
		require.NoError(t, r.Register(empty))
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, []rotation.StoreCensus{{Store: w.store.Identity(), Credentials: 1, Absent: []string{"new-api"}, Unlisted: []string{"forgotten", "search-api"}}}, c.Stores)
		require.Equal(t, []rotation.BindingsCensus{{Credential: name, Bound: []string{"c0"}, Unknown: []string{"cron"}, Stale: []string{"c1"}}}, c.Bindings, "nobody reports new-api, which says nothing of its bindings")
		require.Equal(t, []string{"stale-binding c1", "unknown-consumer cron", "unknown-key", "unlisted-secret", "unlisted-secret"}, findings(c.Findings()))
		for _, e := range c.Findings() {
			require.NotEmpty(t, e.Evidence)
			require.NotEmpty(t, e.Action)
		}

		found, err := r.Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, []string{"stale-binding c1", "unknown-consumer cron"}, findings(found), "Inspect finds the same")

		w.cfg.Discoverers = append(w.cfg.Discoverers, users{})
		found, err = w.rotator().Inspect(t.Context(), name)
		require.ErrorContains(t, err, "a discoverer does not answer")
		require.Equal(t, []string{"unknown-consumer cron"}, findings(found), "the one that is silent may know it")
	})
}

// From what could not be looked at nothing is concluded.
func TestCensusInTheDark(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(*world)
		want  string
		check func(*testing.T, rotation.Census, *world)
	}{
		"the provider": {
			func(w *world) { w.provider.Inject(rotationtest.Fault{Op: "List", Err: errors.New("hunter2")}) }, "the issuer does not list its keys",
			func(t *testing.T, c rotation.Census, w *world) {
				require.False(t, c.Accounts[0].Listed)
				require.Equal(t, rotation.KeyAlive, standings(c)[w.seeded.ID])
			},
		},
		"a record": {
			func(w *world) { w.journal.Inject(rotationtest.Fault{Op: "Load"}) }, "the journal does not answer",
			func(t *testing.T, c rotation.Census, w *world) {
				require.Equal(t, rotation.KeyUnclear, standings(c)[w.seeded.ID])
			},
		},
		"the store": {
			func(w *world) { w.store.Inject(rotationtest.Fault{Op: "Load"}) }, "the store does not answer",
			func(t *testing.T, c rotation.Census, w *world) {
				require.Equal(t, rotation.KeyAlive, standings(c)[w.seeded.ID])
			},
		},
		"the store's list": {
			func(w *world) { w.store.Inject(rotationtest.Fault{Op: "Names"}) }, "the store does not list its names",
			func(t *testing.T, c rotation.Census, _ *world) { require.Empty(t, c.Stores) },
		},
		"nobody": {
			func(*world) {}, "",
			func(t *testing.T, c rotation.Census, _ *world) { require.Len(t, c.Stores, 1) },
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 1)
				r := w.rotator()
				_, err := r.Advance(t.Context(), name)
				require.NoError(t, err)
				c.spoil(w)
				census, err := r.Census(t.Context())
				if c.want == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, c.want)
					require.NotContains(t, err.Error(), "hunter2")
				}
				c.check(t, census, w)
				require.Empty(t, census.Findings())
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, err := newBrief(t, 1).rotator().Census(t.Context(), "nobody")
		require.ErrorIs(t, err, rotation.ErrNotFound)
	})
}

// The secrets of a webhook have no list; what the record and the store have is told.
func TestCensusOfAWebhook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		r := p.rotator()
		p.rotate(r)
		p.ends(r)
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.False(t, c.Accounts[0].Listed)
		require.Len(t, c.Accounts[0].Keys, 1)
		require.Equal(t, rotation.KeyAlive, c.Accounts[0].Keys[0].Standing)
		require.Equal(t, rotation.RoleCurrent, c.Accounts[0].Keys[0].Role)
		require.Empty(t, c.Findings())
	})
}

// laggard is a provider whose list shows a revoked key for as long as Traits.Propagation allows.
type laggard struct {
	*rotationtest.Provider
	gone map[string]time.Time
}

func (l laggard) Revoke(ctx context.Context, key rotation.Key) error {
	l.gone[key.ID] = time.Now()
	return l.Provider.Revoke(ctx, key)
}

func (l laggard) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	keys, err := l.Provider.List(ctx)
	for id, at := range l.gone {
		if time.Since(at) < 10*time.Minute {
			keys = append(keys, rotation.KeyInfo{Key: rotation.Key{ID: id}})
		}
	}
	return keys, err
}

// A revocation that the provider has its time for is no finding.
func TestACensusGivesARevocationItsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.provider.Traits.Propagation = 15 * time.Minute
		w.cred.Issuer = laggard{w.provider, map[string]time.Time{}}
		r := w.rotator()
		w.rotate(r)
		st := w.status()
		for st.Open != nil && st.Open.RevokedAt.IsZero() {
			st = w.paces(r, time.Minute)
		}
		require.NotNil(t, st.Open)
		sent := st.Open.RevokedAt
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyDying, standings(c)[w.seeded.ID])
		require.Empty(t, c.Findings(), "%v after it was sent", time.Since(sent))
	})
	bubble(t, func(t *testing.T) { // one that is not sent yet is another matter
		w := newWorld(t, 1)
		w.cred.Issuer = sorry{w.provider}
		r := w.rotator()
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		c, err := r.Census(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.KeyCondemned, standings(c)[w.seeded.ID])
		require.Len(t, c.Findings(), 1)
		require.Empty(t, c.Findings()[0].Diagnosis)
		require.Contains(t, c.Findings()[0].Evidence, "not sent yet")
	})
}
