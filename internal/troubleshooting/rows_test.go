// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

// onStage runs a test in a bubble, where hours take no time.
func onStage(t *testing.T, f func(*testing.T, *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newStage(t)) })
}

func readJSON(resp *http.Response, out any) error {
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// The file has the new key, and nobody restarted the service that reads it.
func TestConsumerNotUpdated(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		app := newShop(s)
		s.begin(rotation.Binding{Name: "shop", Consumer: consumer.EnvFile{Path: app.env, Variable: variable}, Verifier: app.page()})
		e := s.until(rotation.ConsumerNotUpdated)
		require.Equal(t, "shop", e.Consumer)
		require.True(t, s.told(rotation.ConsumerNotUpdated))
		shows(t, e)

		require.NoError(t, app.start(0)) // what it says to do
		s.ends(rotation.Rotated)
	})
}

// The process follows the store, and its client was built once, from the key of that day: it is refused when that key has died.
func TestKeyCached(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.provider.silent = true
		key := s.follow(consumer.Source{Instance: "shop-1"})
		pool := &http.Client{Transport: &consumer.Transport{Handle: consumer.Static(key.Key()), Origin: pay, Base: s.network}} // the mistake
		s.network.serve("shop.internal", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {                       // pays, and says what it was told
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, pay+"/whoami", nil)
			require.NoError(t, err)
			resp, err := pool.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
		}))
		unkeyed := func(*http.Request, rotation.Key) {} // the shop is asked, which uses what it has
		s.begin(rotation.Binding{Name: "shop", Consumer: key, Verifier: verify.Probe{URL: "http://shop.internal/payments/check", Auth: unkeyed, Client: s.network.client()}})
		e := s.until(rotation.KeyCached)
		require.Equal(t, "shop", e.Consumer)
		shows(t, e)

		pool.Transport = &consumer.Transport{Handle: key, Origin: pay, Base: s.network}
		s.ends(rotation.Rotated)
	})
}

// One of three processes looks at the store once a day only.
func TestPartialRollout(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		f := s.fleet(consumer.Source{Instance: "shop-3", Every: 24 * time.Hour})
		s.begin(rotation.Binding{Name: "shop", Consumer: consumer.Polling{Every: 2 * time.Minute}, Verifier: f})
		e := s.until(rotation.PartialRollout)
		require.Equal(t, "shop", e.Consumer)
		require.Contains(t, e.Evidence, "shop-3")
		require.True(t, s.told(rotation.PartialRollout))
		shows(t, e)

		s.network.serve("shop-3", s.follow(consumer.Source{Instance: "shop-3"})) // restarted
		s.ends(rotation.Rotated)
	})
}

// Where each process is told, one that reads a store of another region keeps the deployment from coming to an end.
func TestPartialRolloutOfAFleetThatIsTold(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		region := store.NewMemory()
		require.NoError(t, store.Seed(t.Context(), region, credential, s.current()))
		s.begin(rotation.Binding{Name: "shop", Consumer: s.fleet(consumer.Source{Store: region, Instance: "shop-3"})})
		time.Sleep(20 * time.Minute) // until the key is known at the provider
		st, err := s.rotator.Advance(t.Context(), credential)
		require.NoError(t, err)
		require.Len(t, st.Needs, 1)
		require.Contains(t, st.Needs[0].Text, "1 of 3 replicas do not use key-2 (generation 2): shop-3 at shop-3:80 uses key-1 (generation 1)")
		require.Nil(t, st.Open.Problem, "a rollout may take its time")
		s.ends(rotation.RolledBack)
		require.True(t, s.told(rotation.PartialRollout), "why it went back")
	})
}

// fleet is a service of three processes that follow the store, the last one as it says.
func (s *stage) fleet(last consumer.Source) consumer.Replicas {
	addresses := []string{"shop-1", "shop-2", last.Instance}
	for _, src := range []consumer.Source{{Instance: addresses[0]}, {Instance: addresses[1]}, last} {
		s.network.serve(src.Instance, s.follow(src))
	}
	return consumer.Replicas{
		URL: "http://shop.internal/key", Least: len(addresses), Client: s.network.client(),
		Lookup: func(context.Context, string) ([]string, error) { return addresses, nil },
	}
}

// The provider makes keys and accepts none of them; and one that may do less than the old one.
func TestNewKeyRejected(t *testing.T) {
	var seen []*rotation.Error
	onStage(t, func(t *testing.T, s *stage) {
		s.provider.inactive = true
		s.begin()
		first := s.untilSeen("that the first one is refused", func(e *rotation.Error) bool { return e.Diagnosis == rotation.NewKeyRejected })
		third := s.untilSeen("that none was of use", func(e *rotation.Error) bool { return strings.Contains(e.Evidence, "in a row") })
		seen = append(seen, first, third)
		require.True(t, s.told(rotation.NewKeyRejected))

		s.provider.change(func(p *provider) { p.inactive = false })
		s.answer(rotation.VerbDone)
		s.ends(rotation.Rotated)
	})
	onStage(t, func(t *testing.T, s *stage) {
		s.provider.scopes = s.provider.scopes[:1]
		s.begin()
		seen = append(seen, s.until(rotation.NewKeyRejected))

		s.provider.change(func(p *provider) { p.keys[1].Scopes = p.keys[0].Scopes })
		s.answer(rotation.VerbDone)
		s.ends(rotation.Rotated)
	})
	for _, e := range seen {
		require.ErrorIs(t, e, rotation.NewKeyRejected)
		require.Empty(t, e.Consumer, "it is about the key")
	}
	shows(t, seen...)
}

// Somebody whom nobody bound goes on with the old key.
func TestOldKeyInUse(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		old := s.current()
		stop := time.Now().Add(3 * 24 * time.Hour)
		every(t, time.Hour, func(ctx context.Context) {
			if time.Now().Before(stop) {
				s.charge(ctx, old, "report/2")
			}
		})
		s.begin(rotation.Binding{Name: "shop", Consumer: s.follow(consumer.Source{Instance: "shop-1"})})
		e := s.until(rotation.OldKeyInUse)
		require.Contains(t, e.Evidence, old.ID)
		shows(t, e)

		s.ends(rotation.Rotated)
		require.False(t, time.Now().Before(stop.Add(24*time.Hour-time.Hour)), "the old key lived until it was quiet for a day")
	})
}

// A monitor probes the provider with the old key, every minute. The issuer tells who used a key last.
func TestMonitoringOnOldKey(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		old := s.current()
		stop := time.Now().Add(2 * 24 * time.Hour)
		every(t, time.Minute, func(ctx context.Context) {
			if time.Now().Before(stop) {
				s.charge(ctx, old, "uptime-monitor")
			}
		})
		s.cred.Issuer = telling{s.provider.issuer()}
		s.begin(rotation.Binding{Name: "shop", Consumer: s.follow(consumer.Source{Instance: "shop-1"})})
		e := s.until(rotation.OldKeyInUse)
		require.Contains(t, e.Evidence, "uptime-monitor")
		shows(t, e)
		s.ends(rotation.Rotated)
	})
}

// telling is an issuer whose list says who used a key last.
type telling struct{ issuer.REST }

func (i telling) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	infos, err := i.REST.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []struct {
		ID     string
		UsedBy string `json:"last_used_by"`
	}
	err = issuer.Call(ctx, i.Client, http.MethodGet, i.URL, nil, &out)
	for _, k := range out {
		for n := range infos {
			if infos[n].Key.ID == k.ID {
				infos[n].Usage.Source = k.UsedBy
			}
		}
	}
	return infos, err
}

// The store lets this process read and not write.
func TestStoreDenied(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		v := newVault(s)
		s.cred.Store = v.client("the rotator's token")
		s.begin()
		e := s.until(rotation.StoreDenied)
		require.ErrorIs(t, e, rotation.ErrDenied)
		require.Empty(t, e.Consumer)
		require.Len(t, s.provider.keys, 1, "nothing was made")
		shows(t, e)

		v.allow("the rotator's token")
		s.ends(rotation.Rotated)
	})
}

// The service is configured for another environment of the provider than the one where keys are made.
func TestEnvironmentMismatch(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		live := &provider{network: s.network, keys: s.provider.keys[:1:1]} // it knows the old key
		s.network.serve("live.pay.example.com", live.routes())
		s.begin(rotation.Binding{
			Name: "shop", Consumer: s.follow(consumer.Source{Instance: "shop-1"}),
			Verifier: verify.Probe{URL: "http://live.pay.example.com/whoami", Client: s.network.client()},
		})
		e := s.until(rotation.EnvironmentMismatch)
		require.Equal(t, "shop", e.Consumer)
		shows(t, e)
		s.ends(rotation.RolledBack)
	})
}

// The service is restarted, and takes its time.
func TestVerificationTimeout(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		app := newShop(s)
		slow := restarted{consumer.EnvFile{Path: app.env, Variable: variable}, func() error { return app.start(10 * time.Minute) }}
		s.begin(rotation.Binding{Name: "shop", Consumer: slow, Verifier: app.page()})
		e := s.until(rotation.VerificationTimeout)
		require.Equal(t, "shop", e.Consumer)
		shows(t, e)
		s.ends(rotation.Rotated)
	})
}

// The provider has had too many requests, and says until when.
func TestIssuerRateLimited(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.provider.busy = time.Now().Add(40 * time.Minute)
		s.begin()
		e := s.until(rotation.IssuerRateLimited)
		shows(t, e)
		st, err := s.rotator.Status(t.Context(), credential)
		require.NoError(t, err)
		require.False(t, st.Next.Before(s.provider.busy), "nothing is asked before")
		s.ends(rotation.Rotated)
	})
}

// The nightly job began before the deployment, and hangs.
func TestJobHoldsOldKey(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		began, ended := time.Now(), time.Time{}
		time.Sleep(10 * time.Minute)
		s.begin(rotation.Binding{Name: "nightly-export", Consumer: consumer.NextRun{
			Store: s.secrets, Credential: credential, Longest: 2 * time.Hour,
			LastRun: func(context.Context) (time.Time, time.Time, error) { return began, ended, nil },
		}})
		e := s.until(rotation.JobHoldsOldKey)
		require.Equal(t, "nightly-export", e.Consumer)
		shows(t, e)

		began = time.Now()
		time.Sleep(time.Hour)
		ended = time.Now()
		s.ends(rotation.Rotated)
	})
}

// The provider says that the key is revoked, and goes on accepting it: for longer than revocations take.
func TestRevocationNotEffective(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.provider.late = 3 * time.Hour
		s.begin(rotation.Binding{Name: "shop", Consumer: s.follow(consumer.Source{Instance: "shop-1"})})
		soon := s.until(rotation.RevocationPropagating)
		later := s.until(rotation.RevocationNotEffective)
		require.Contains(t, soon.Evidence, "key-1")
		require.Contains(t, later.Evidence, "key-1")
		st, err := s.rotator.Status(t.Context(), credential)
		require.NoError(t, err)
		require.Len(t, st.Debts, 1)
		shows(t, soon, later)
		s.ends(rotation.Rotated)
	})
}

// The provider gives the key in another form than before, and the program that reads it does not start.
func TestFormatChanged(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a program cannot be given another name here")
	}
	onStage(t, func(t *testing.T, s *stage) {
		app := newShop(s)
		here, err := os.Executable()
		require.NoError(t, err)
		shopd := filepath.Join(t.TempDir(), program)
		require.NoError(t, os.Symlink(here, shopd))
		s.provider.form = func(key string) string {
			return base64.StdEncoding.EncodeToString([]byte(`{"key":"` + key + `"}`))
		}
		s.begin(rotation.Binding{Name: "shop", Consumer: consumer.EnvFile{Path: app.env, Variable: variable, Then: []string{shopd, app.env}}})
		require.True(t, s.warned("the new value is base64 of a text, and the one before was plain text"), "before anybody has it")
		e := s.until(rotation.FormatChanged)
		require.Equal(t, "shop", e.Consumer)
		shows(t, e)
		s.ends(rotation.RolledBack)
		require.NoError(t, app.start(0), "it has the old key again")
	})
}

// The same where its restart succeeds and it crashes a moment later: its page does not answer.
func TestFormatChangedAndItsPageIsDown(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		app := newShop(s)
		s.provider.form = func(key string) string { return `{"api_key":"` + key + `"}` }
		crashing := restarted{consumer.EnvFile{Path: app.env, Variable: variable}, func() error {
			if app.start(0) != nil {
				app.stop()
			} else {
				app.serve()
			}
			return nil
		}}
		s.begin(rotation.Binding{Name: "shop", Consumer: crashing, Verifier: app.page()})
		e := s.until(rotation.FormatChanged)
		require.Equal(t, "shop", e.Consumer)
		require.Contains(t, e.Evidence, "JSON")
		s.ends(rotation.RolledBack)
	})
}

// And where it goes on with the client that it had, because none can be built from the new value.
func TestFormatChangedAndNoClientCanBeBuilt(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		key := s.follow(consumer.Source{Instance: "shop-1"})
		_, err := consumer.Derive(key, func(k rotation.Key) (string, error) {
			if !strings.HasPrefix(k.Secret.Reveal(), "sk_") {
				return "", errors.New("no client takes such a key")
			}
			return k.Secret.Reveal(), nil
		})
		require.NoError(t, err)
		s.provider.form = func(key string) string { return " " + key }
		s.begin(rotation.Binding{Name: "shop", Consumer: consumer.Polling{Every: 2 * time.Minute}, Verifier: key})
		e := s.until(rotation.FormatChanged)
		require.Equal(t, "shop", e.Consumer)
		require.Contains(t, e.Evidence, "text with space around it")
		s.ends(rotation.RolledBack)
	})
}
