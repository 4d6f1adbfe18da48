// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

// gateway is a provider with keys that live and die: POST, GET /keys, DELETE /keys/id, POST /keys/id/rotate, GET /whoami.
type gateway struct {
	most     int  // live keys; zero: any number
	noCreate bool // a key is made by rotating another one, and in no other way
	kills    bool // a key ends when it is rotated
	inherits bool // a key that is made by rotating has the name of the old one
	noList   bool

	mu   sync.Mutex
	made int
	keys map[string]map[string]any // by id
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, rotate := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/keys/"), "/rotate")
	switch {
	case r.URL.Path == "/whoami":
		for id := range g.keys {
			if r.Header.Get("Authorization") == "Bearer secret-of-"+id {
				return
			}
		}
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPost && g.noCreate && !rotate, r.Method == http.MethodGet && g.noList:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodPost && g.most > 0 && len(g.keys) >= g.most:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case rotate && g.keys[id] == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPost:
		var in struct{ Name, Label string }
		json.NewDecoder(r.Body).Decode(&in)
		if rotate && g.inherits {
			in.Name = fmt.Sprint(g.keys[id]["name"])
		}
		if rotate && g.kills {
			delete(g.keys, id)
		}
		json.NewEncoder(w).Encode(g.mint(in.Name + in.Label))
	case r.Method == http.MethodGet:
		list := []any{}
		for _, k := range g.keys {
			list = append(list, k)
		}
		json.NewEncoder(w).Encode(list)
	case g.keys[id] == nil:
		w.WriteHeader(http.StatusNotFound)
	default:
		delete(g.keys, id)
	}
}

// mint makes a key and returns what the provider says of it. The caller holds the lock.
func (g *gateway) mint(name string) map[string]string {
	g.made++
	id := fmt.Sprintf("k%d", g.made)
	g.keys[id] = map[string]any{"id": id, "name": name, "last_used_at": nil}
	return map[string]string{"id": id, "token": "secret-of-" + id, "created": time.Now().UTC().Format(time.RFC3339)}
}

// byHand is a live key that somebody made on the provider's pages.
func (g *gateway) byHand(context.Context) (rotation.Key, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	made := g.mint("")
	return rotation.Key{ID: made["id"], Secret: secret.New(made["token"])}, nil
}

func TestIssuerSuite(t *testing.T) {
	for name, c := range map[string]struct {
		provider *gateway
		issuer   func(url string) rotation.Issuer
		byHand   bool
	}{
		"REST":      {&gateway{}, func(url string) rotation.Issuer { return issuer.REST{URL: url} }, false},
		"one's own": {&gateway{}, func(url string) rotation.Issuer { return Gateway{URL: url} }, false},
		"REST without a list": {&gateway{noList: true}, func(url string) rotation.Issuer {
			return issuer.REST{URL: url, NoList: true}
		}, false},
		"REST with a limit": {&gateway{most: 2}, func(url string) rotation.Issuer {
			return issuer.REST{URL: url, NoSlot: []int{http.StatusUnprocessableEntity}, Traits: rotation.Traits{MaxKeys: 2}}
		}, false},
		"REST that rotates": {&gateway{}, func(url string) rotation.Issuer {
			return issuer.REST{URL: url, Rotate: url + "/{id}/rotate", Traits: rotation.Traits{Grace: time.Hour}}
		}, false},
		"REST that rotates and keeps the name": {&gateway{inherits: true}, func(url string) rotation.Issuer {
			return issuer.REST{URL: url, Rotate: url + "/{id}/rotate", Traits: rotation.Traits{Grace: time.Hour}, Name: "none"}
		}, false},
		"REST that can only rotate": {&gateway{noCreate: true, most: 2}, func(url string) rotation.Issuer {
			return issuer.REST{
				URL: url, Rotate: url + "/{id}/rotate",
				NoSlot: []int{http.StatusUnprocessableEntity}, Traits: rotation.Traits{MaxKeys: 2, Grace: time.Hour},
			}
		}, true},
		"REST that can only rotate and kills the old key": {&gateway{noCreate: true, kills: true}, func(url string) rotation.Issuer {
			return issuer.REST{URL: url, Rotate: url + "/{id}/rotate", Traits: rotation.Traits{KillsOld: true}}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := c.provider
			g.keys = map[string]map[string]any{}
			url := serve(t, g.ServeHTTP)
			suite := rotationtest.IssuerSuite{Issuer: c.issuer(url + "/keys"), Verifier: verify.Probe{URL: url + "/whoami"}}
			if c.byHand {
				require.ErrorContains(t, suite.Check(t.Context()), "405") // it cannot make the first one
				suite.Current = g.byHand
			}
			suite.Run(t)
			require.Empty(t, g.keys, "everything was cleaned up")
			require.Positive(t, g.made)
		})
	}
}

// ring is an accepting side that is told which values to accept: what Local is embedded for.
type ring struct {
	issuer.Local
	*rotationtest.Store // of what is accepted: any place will do
}

func (r ring) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key, err := r.Local.Issue(ctx, req)
	if err != nil {
		return key, err
	}
	return key, r.change(ctx, key, rotation.StoredKey{Key: key, Role: rotation.RoleCurrent})
}

func (r ring) Revoke(ctx context.Context, key rotation.Key) error { return r.change(ctx, key) }

func (r ring) change(ctx context.Context, key rotation.Key, to ...rotation.StoredKey) error {
	v, err := r.Load(ctx, key.ID)
	if err != nil {
		return err
	}
	v.Keys = to
	return r.Save(ctx, key.ID, v)
}

func (r ring) Verify(ctx context.Context, key rotation.Key) error {
	v, err := r.Load(ctx, key.ID)
	if err == nil && !v.Key(rotation.RoleCurrent).Secret.Equal(key.Secret) {
		err = rotation.ErrRejected
	}
	return err
}

func TestIssuerSuiteLocal(t *testing.T) {
	r := ring{Store: rotationtest.NewStore()}
	rotationtest.IssuerSuite{Issuer: r, Verifier: r}.Run(t)
	require.Positive(t, r.Calls("Save"))
}

// A person makes the keys: what is left to prove is that nothing leaks on the way to them.
func TestIssuerSuiteManual(t *testing.T) {
	m := issuer.Manual{
		Create: "Make a key {name} beside {current}.", End: "End {id}, which is {name}.",
		Traits: rotation.Traits{MaxKeys: 2, Propagation: time.Minute},
	}
	nobody := rotation.VerifierFunc(func(context.Context, rotation.Key) error { return rotation.ErrRejected })
	require.NoError(t, rotationtest.IssuerSuite{Issuer: m, Verifier: nobody}.Check(t.Context()))
}

// RoundTrip answers without a network: in a synctest bubble there is none.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if r.Body != nil {
		r.Body.Close()
	}
	return w.Result(), nil
}

func TestSimulate(t *testing.T) {
	const url = "https://gateway.example.com"
	for name, make := range map[string]func(*http.Client) rotation.Issuer{
		"REST":      func(c *http.Client) rotation.Issuer { return issuer.REST{URL: url + "/keys", Client: c, Traits: quick} },
		"one's own": func(c *http.Client) rotation.Issuer { return Gateway{URL: url + "/keys", Admin: c} },
	} {
		t.Run(name, func(t *testing.T) {
			rotationtest.Simulate(t, rotationtest.Simulation{
				Issuer: func(context.Context, *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
					c := &http.Client{Transport: &gateway{keys: map[string]map[string]any{}}}
					return make(c), verify.Probe{URL: url + "/whoami", Client: c}, nil
				},
				Sample: 16,
			})
		})
	}
}

// quick is a provider that agrees with itself at once.
var quick = rotation.Traits{Propagation: -1, ListLag: -1}
