// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func pagerDuty(api string) issuer.Subscriptions {
	hooks := api + "/webhook_subscriptions"
	return issuer.Subscriptions{
		REST: issuer.REST{
			URL: hooks,
			Body: func(req rotation.IssueRequest) any {
				return map[string]any{"webhook_subscription": map[string]any{
					"active": false, "description": req.Name, "events": []string{"a", "b"},
					"delivery_method": map[string]string{"type": "http_delivery_method", "url": receiver},
				}}
			},
			ID: "webhook_subscription.id,id", Secret: "webhook_subscription.delivery_method.secret",
			Items: "webhook_subscriptions", Name: "description",
		},
		Address: receiver, Method: http.MethodPut,
		Switch: func(on bool) any { return map[string]any{"webhook_subscription": map[string]bool{"active": on}} },
		Test:   hooks + "/{id}/ping",
	}
}

func gitea(api string) issuer.Subscriptions {
	hooks, events := api+"/repos/acme/web/hooks", []string{"a", "b"}
	return issuer.Subscriptions{
		REST: issuer.REST{
			URL: hooks,
			Body: func(req rotation.IssueRequest) any {
				config := map[string]string{"url": receiver, "content_type": "json", "secret": req.Chosen.Secret.Reveal()}
				return map[string]any{"type": "gitea", "config": config, "events": events, "active": false}
			},
			Traits: rotation.Traits{Exclusive: true},
		},
		Address: receiver,
		Make:    func() secret.Value { return secret.Random(32) },
		Switch:  func(on bool) any { return map[string]any{"active": on, "events": events} },
		Test:    hooks + "/{id}/tests",
	}
}

// senders runs a test with both kinds. old is the subscription in use.
func senders(t *testing.T, test func(t *testing.T, b *switchboard, wire *lossy, s issuer.Subscriptions, old rotation.Key)) {
	for name, make := range map[string]func(string) issuer.Subscriptions{"PagerDuty": pagerDuty, "Gitea": gitea} {
		t.Run(name, func(t *testing.T) {
			b := newSwitchboard(name == "Gitea")
			wire := &lossy{Handler: b}
			s := make(serve(t, wire.ServeHTTP))
			old := b.seed("the old secret")
			test(t, b, wire, s, rotation.Key{ID: old.id, Secret: secret.New(old.secret)})
		})
	}
}

func TestSubscriptions(t *testing.T) {
	senders(t, func(t *testing.T, b *switchboard, _ *lossy, s issuer.Subscriptions, old rotation.Key) {
		ctx := t.Context()
		b.subs["99"] = &subscription{id: "99", address: "https://elsewhere.example.com", active: true}
		require.NoError(t, s.Check(ctx))
		key, err := s.Issue(ctx, rotation.IssueRequest{Name: "c-v2-abcdef", Current: old})
		require.NoError(t, err)
		assert.Equal(t, b.subs[key.ID].secret, key.Secret.Reveal())
		assert.Equal(t, []string{old.ID}, b.on(), "it is made switched off")

		infos, err := s.List(ctx)
		require.NoError(t, err)
		var ids []string
		for _, i := range infos {
			ids = append(ids, i.Key.ID)
			assert.False(t, i.Disabled)
			assert.True(t, i.Key.Secret.IsZero())
		}
		assert.ElementsMatch(t, []string{old.ID, key.ID}, ids, "what delivers elsewhere is somebody else's")

		require.NoError(t, s.Activate(ctx, key))
		require.NoError(t, s.Activate(ctx, key))
		require.NoError(t, s.Verify(ctx, key))
		assert.Equal(t, []string{key.Secret.Reveal()}, b.tests)
		require.NoError(t, s.Activate(ctx, old)) // the roll-back
		require.NoError(t, s.Activate(ctx, key))
		require.NoError(t, s.Revoke(ctx, old))
		require.NoError(t, s.Revoke(ctx, old))
		want := []string{"on 2", "off 1", "on 1", "off 2", "on 2", "off 1", "delete 1"}
		assert.Equal(t, want, b.log, "on before off")
		assert.Equal(t, 6, b.edits, "what is as it should be is left alone")
		assert.Equal(t, 1, b.least, "the receiver is never without deliveries")
		assert.Equal(t, []string{"a", "b"}, b.subs[key.ID].events, "switching changes nothing else")
		assert.True(t, b.subs["99"].active)
		assert.NoError(t, s.Check(ctx))
	})
}

// Each answer may be lost after the request had its effect; to be told again repairs it, and deliveries go on all the time.
func TestSubscriptionsLostAnswers(t *testing.T) {
	senders(t, func(t *testing.T, b *switchboard, wire *lossy, s issuer.Subscriptions, old rotation.Key) {
		ctx := t.Context()
		key, err := s.Issue(ctx, rotation.IssueRequest{Name: "c-v2-abcdef", Current: old})
		require.NoError(t, err)
		method := http.MethodPatch
		if s.Method != "" {
			method = s.Method
		}
		u, err := url.Parse(s.URL)
		require.NoError(t, err)
		path := u.Path
		wire.lose(method+" "+path+"/"+key.ID, method+" "+path+"/"+old.ID)

		require.Error(t, s.Activate(ctx, key))
		assert.Equal(t, []string{old.ID, key.ID}, b.on(), "the new one is on, and nothing was switched off unseen")
		require.Error(t, s.Activate(ctx, key))
		require.NoError(t, s.Activate(ctx, key))
		assert.Equal(t, []string{key.ID}, b.on())
		assert.Equal(t, []string{"on 2", "off 1"}, b.log)

		wire.lose("POST " + path) // a third one is made, and nobody hears of it
		_, err = s.Issue(ctx, rotation.IssueRequest{Name: "c-v3-ghijkl", Current: key})
		clean(t, err)
		matches(t, err)
		infos, err := s.List(ctx)
		require.NoError(t, err)
		require.Len(t, infos, 3)
		for _, i := range infos {
			if i.Key.ID == "3" && !b.gitea {
				assert.Equal(t, "c-v3-ghijkl", i.Key.Name)
			}
			if i.Key.ID == "3" && b.gitea {
				assert.Empty(t, i.Key.Name)
				assert.WithinRange(t, i.Key.IssuedAt, time.Now().Add(-time.Minute), time.Now(), "Exclusive needs the time")
			}
		}
		assert.Equal(t, []string{key.ID}, b.on(), "and it delivers nothing")
	})
}

// A sender that takes the edit and does nothing must not lose its only subscription.
func TestSubscriptionsMuteSender(t *testing.T) {
	senders(t, func(t *testing.T, b *switchboard, _ *lossy, s issuer.Subscriptions, old rotation.Key) {
		key, err := s.Issue(t.Context(), rotation.IssueRequest{Name: "c-v2-abcdef"})
		require.NoError(t, err)
		b.mute = true
		require.ErrorContains(t, s.Activate(t.Context(), key), "no other one was switched off")
		assert.Equal(t, []string{old.ID}, b.on())
	})
}

func TestSubscriptionsActivateUnknown(t *testing.T) {
	senders(t, func(t *testing.T, b *switchboard, _ *lossy, s issuer.Subscriptions, old rotation.Key) {
		b.subs["99"] = &subscription{id: "99", address: "https://elsewhere.example.com"}
		require.ErrorIs(t, s.Activate(t.Context(), rotation.Key{ID: "gone"}), rotation.ErrNotFound)
		require.ErrorContains(t, s.Activate(t.Context(), rotation.Key{Name: "c-v1"}), "no id")
		require.ErrorContains(t, s.Activate(t.Context(), rotation.Key{ID: "99"}), "at Address")
		require.ErrorContains(t, s.Verify(t.Context(), rotation.Key{}), "no id")
		assert.Equal(t, []string{old.ID}, b.on())
	})
}

// Two subscriptions that somebody needs at one address: nothing is begun.
func TestSubscriptionsSharedAddress(t *testing.T) {
	senders(t, func(t *testing.T, b *switchboard, _ *lossy, s issuer.Subscriptions, _ rotation.Key) {
		b.seed("another team's")
		require.ErrorContains(t, s.Check(t.Context()), "more than one subscription")
	})
}

// What was deleted meanwhile needs no switching off; what cannot be switched off is told, and does not keep the others on.
func TestSubscriptionsSwitchOff(t *testing.T) {
	b := newSwitchboard(false)
	status := http.StatusNotFound
	s := pagerDuty(serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/webhook_subscriptions/1" {
			w.WriteHeader(status)
			return
		}
		b.ServeHTTP(w, r)
	}))
	for range 3 {
		b.seed("in use")
	}
	require.NoError(t, s.Activate(t.Context(), rotation.Key{ID: "3"}))
	assert.Equal(t, []string{"1", "3"}, b.on())
	status = http.StatusForbidden
	b.subs["2"].active = true
	require.ErrorIs(t, s.Activate(t.Context(), rotation.Key{ID: "3"}), rotation.ErrDenied)
	assert.Equal(t, []string{"1", "3"}, b.on())
}

func TestSubscriptionsErrors(t *testing.T) {
	for status, want := range map[int][]error{
		http.StatusForbidden: {rotation.ErrDenied}, http.StatusUnprocessableEntity: {}, http.StatusBadGateway: {}, http.StatusConflict: {rotation.ErrConflict},
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			b := newSwitchboard(false)
			s := pagerDuty(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut || r.Method == http.MethodPost {
					answer(status, canary)(w, r)
					return
				}
				b.ServeHTTP(w, r)
			}))
			s.URL += "?key=" + canary
			b.seed(canary)
			off := b.seed(canary)
			off.active = false
			for _, err := range []error{
				s.Activate(t.Context(), rotation.Key{ID: off.id, Secret: secret.New(canary)}),
				s.Verify(t.Context(), rotation.Key{ID: off.id, Secret: secret.New(canary)}),
			} {
				clean(t, err)
				matches(t, err, want...)
			}
			assert.Equal(t, []string{"1"}, b.on())
		})
	}
}

func TestSubscriptionsValidate(t *testing.T) {
	require.NoError(t, pagerDuty("https://example.com").Validate())
	assert.Equal(t, "https://example.com/webhook_subscriptions to "+receiver, pagerDuty("https://example.com").Identity())
	for field, spoil := range map[string]func(*issuer.Subscriptions){
		"REST.URL":              func(s *issuer.Subscriptions) { s.URL = "" },
		"Subscriptions.Body":    func(s *issuer.Subscriptions) { s.Body = nil },
		"Subscriptions.NoList":  func(s *issuer.Subscriptions) { s.NoList = true },
		"Subscriptions.Rotate":  func(s *issuer.Subscriptions) { s.Rotate, s.Traits.Grace = s.URL+"/{id}/rotate", time.Hour },
		"Subscriptions.Address": func(s *issuer.Subscriptions) { s.Address = "" },
		"Subscriptions.Method":  func(s *issuer.Subscriptions) { s.Method = http.MethodGet },
		"Subscriptions.Test":    func(s *issuer.Subscriptions) { s.Test = s.URL + "/ping" },
		"Grace":                 func(s *issuer.Subscriptions) { s.Traits.Grace = time.Hour },
		"KillsOld":              func(s *issuer.Subscriptions) { s.Traits.KillsOld = true },
	} {
		t.Run(field, func(t *testing.T) {
			s := pagerDuty("https://example.com")
			s.Client = &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
				t.Error("a request before the configuration was checked")
				return nil, errors.New("no network")
			})}
			spoil(&s)
			_, issueErr := s.Issue(t.Context(), rotation.IssueRequest{})
			require.ErrorIs(t, issueErr, rotation.ErrNotIssued)
			_, listErr := s.List(t.Context())
			for _, err := range []error{
				s.Validate(), s.Check(t.Context()), s.Activate(t.Context(), sign), s.Verify(t.Context(), sign), s.Revoke(t.Context(), sign), issueErr, listErr,
			} {
				require.ErrorContains(t, err, field)
			}
		})
	}
	t.Run("no Test", func(t *testing.T) {
		s := pagerDuty("https://example.com")
		s.Test = ""
		require.ErrorIs(t, s.Verify(t.Context(), sign), errors.ErrUnsupported)
	})
	t.Run("Make makes nothing", func(t *testing.T) {
		s := gitea("https://example.com")
		s.Make = func() secret.Value { return secret.Value{} }
		_, err := s.Issue(t.Context(), rotation.IssueRequest{})
		require.ErrorIs(t, err, rotation.ErrNotIssued)
		require.ErrorContains(t, err, "Make")
	})
}

// The suite asks who accepts a key; of a sender that is whether it has a subscription with it.
func TestIssuerSuiteSubscriptions(t *testing.T) {
	senders(t, func(t *testing.T, b *switchboard, _ *lossy, s issuer.Subscriptions, old rotation.Key) {
		has := rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if sub := b.subs[key.ID]; sub == nil || sub.secret != key.Secret.Reveal() {
				return fmt.Errorf("no such subscription: %w", rotation.ErrRejected)
			}
			return nil
		})
		signs := func(context.Context) (rotation.Key, error) {
			on := b.on()
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(on) != 1 {
				return rotation.Key{}, fmt.Errorf("%d subscriptions are on", len(on))
			}
			return rotation.Key{ID: on[0], Secret: secret.New(b.subs[on[0]].secret)}, nil
		}
		rotationtest.IssuerSuite{Issuer: s, Verifier: has, Signs: signs}.Run(t)
		assert.Len(t, b.subs, 1, "everything was cleaned up")
		assert.Equal(t, []string{old.ID}, b.on(), "it is left as it was")
	})
}

// Lists that are not all: what is not listed would not be switched off, and would count as gone.
func TestListPart(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		header string
		part   bool
	}{
		"more":           {`{"keys":[{"id":"1"}],"more":true}`, "", true},
		"no more":        {`{"keys":[{"id":"1"}],"more":false}`, "", false},
		"total":          {`[{"id":"1"}]`, "2", true},
		"total of all":   {`[{"id":"1"}]`, "1", false},
		"no total":       {`[{"id":"1"}]`, "many", false},
		"fewer in total": {`[{"id":"1"}]`, "0", false},
	} {
		t.Run(name, func(t *testing.T) {
			i := issuer.REST{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set("X-Total-Count", c.header)
				}
				fmt.Fprint(w, c.body)
			})}
			_, err := i.List(t.Context())
			if c.part {
				require.ErrorContains(t, err, "goes on")
				return
			}
			require.NoError(t, err)
		})
	}
	t.Run("total over pages", func(t *testing.T) {
		i := issuer.REST{URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Total", "2")
			if r.URL.Query().Get("page") == "" {
				w.Header().Set("Link", `<?page=2>; rel="next"`)
			}
			fmt.Fprintf(w, `[{"id":"k%s"}]`, r.URL.Query().Get("page"))
		})}
		infos, err := i.List(t.Context())
		require.NoError(t, err)
		assert.Len(t, infos, 2)
	})
}
