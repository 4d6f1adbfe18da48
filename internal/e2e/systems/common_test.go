// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// patience is how long anything may take that has to happen: the machine may be busy.
const patience = 2 * time.Minute

// load uses a credential as a service does, and counts.
type load struct {
	name string
	stop func()

	accepted, rejected, lost atomic.Int64 // lost: neither accepted nor refused, such as a connection that broke
	refused                  atomic.Int64 // logins, which consumer.Connector makes good with a newer key, so that no request shows them

	mu    sync.Mutex
	first error // guarded by mu: what went wrong first
}

// startLoad calls use perSecond times a second on average, at irregular moments: what is in step with a rotation sees nothing. It does
// not wait for one call before the next. rejected says whether an error of use is a refusal of the credential. Calls that have
// begun are carried through when the load is stopped, which it is at the end of the test at the latest.
func startLoad(t *testing.T, name string, perSecond float64, rejected func(error) bool, use func(context.Context) error) *load {
	t.Helper()
	l := &load{name: name}
	l.start(t, perSecond, rejected, use)
	return l
}

func (l *load) start(t *testing.T, perSecond float64, rejected func(error) bool, use func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		next := time.Now()
		for ctx.Err() == nil {
			next = next.Add(time.Duration(rand.ExpFloat64() / perSecond * float64(time.Second)))
			if wait(ctx, time.Until(next)) {
				running.Go(func() { l.call(rejected, use) })
			}
		}
	})
	l.stop = func() { cancel(); running.Wait() }
	t.Cleanup(l.stop)
}

func (l *load) call(rejected func(error) bool, use func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := use(ctx)
	if err == nil {
		l.accepted.Add(1)
		return
	}
	if rejected(err) {
		l.rejected.Add(1)
	} else {
		l.lost.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

// worked stops the load, tells what it counted, and fails the test if one request was rejected, or lost, or if there were
// fewer than least.
func (l *load) worked(t *testing.T, least int64) {
	t.Helper()
	l.counted(t, least)
	assert.Zero(t, l.lost.Load(), "%s: the first error: %v", l.name, l.first)
}

// counted is worked for where requests may be lost, because the server was away. None may be rejected.
func (l *load) counted(t *testing.T, least int64) {
	t.Helper()
	l.stop()
	t.Logf("%s: %d accepted, %d rejected, %d lost; %d logins refused", l.name, l.accepted.Load(), l.rejected.Load(), l.lost.Load(), l.refused.Load())
	assert.Zero(t, l.refused.Load(), "%s: logins refused", l.name)
	assert.Zero(t, l.rejected.Load(), "%s: the first error: %v", l.name, l.first)
	assert.GreaterOrEqual(t, l.accepted.Load(), least, l.name)
}

// logins makes what opens connections with a key count those that the server refuses.
func (l *load) logins(open func(rotation.Key) (driver.Connector, error), rejected func(error) bool) func(rotation.Key) (driver.Connector, error) {
	return func(key rotation.Key) (driver.Connector, error) {
		inner, err := open(key)
		if err != nil {
			return nil, err
		}
		return &login{inner, rejected, &l.refused}, nil
	}
}

type login struct {
	driver.Connector
	rejected func(error) bool
	refused  *atomic.Int64
}

func (l *login) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := l.Connector.Connect(ctx)
	if err != nil && l.rejected(err) {
		l.refused.Add(1)
	}
	return conn, err
}

// wait returns after d, and says whether ctx goes on.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// service is a process of a service that follows the store, and serves its Handle for consumer.Replicas.
type service struct {
	handle *consumer.Handle
	url    string
	deaf   atomic.Bool // whoever tells it of a key gets no answer
}

func startService(t *testing.T, secrets rotation.SecretStore, credential, name string) *service {
	t.Helper()
	s := &service{}
	var err error
	s.handle, err = consumer.Follow(t.Context(), consumer.Source{Store: secrets, Credential: credential, Every: time.Minute, Instance: name})
	require.NoError(t, err)
	t.Cleanup(func() { s.handle.Close() })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.deaf.Load() && r.Method == http.MethodPost {
			panic(http.ErrAbortHandler)
		}
		s.handle.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// bound bounds the life of a pool's connections, so that it has left an old user, or password, after poolLag at most. In production
// this is a matter of minutes.
func bound(db *sql.DB) {
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	db.SetConnMaxLifetime(500 * time.Millisecond)
}

// query is what everybody does with the databases.
func query(db *sql.DB) func(context.Context) error {
	return func(ctx context.Context) error {
		var n int
		return db.QueryRowContext(ctx, "SELECT count(*) FROM orders").Scan(&n)
	}
}

// poolLag is the life of a connection, one query, and a second or two: so often database/sql looks for connections that are too old.
const poolLag = 3 * time.Second

// values collects every secret of a credential that a store holds while the test runs, as often as it is asked.
type values struct {
	store      rotation.SecretStore
	credential string
	all        map[string]bool
}

// collect looks at the store now. While the store fails there is nothing to see.
func (v *values) collect(ctx context.Context) {
	found, err := v.store.Load(ctx, v.credential)
	if err != nil {
		return
	}
	if v.all == nil {
		v.all = map[string]bool{}
	}
	for _, k := range found.Keys {
		v.all[k.Key.Secret.Reveal()] = true
	}
}

// silent fails the test if one of the values, or of the others, is in text.
func (v *values) silent(t *testing.T, what, text string, others ...string) {
	t.Helper()
	require.NotEmpty(t, text, what)
	for value := range v.all {
		others = append(others, value)
	}
	for _, value := range others {
		assert.NotEmpty(t, value)
		if len(value) > 0 && strings.Contains(text, value) {
			t.Errorf("%s holds a secret", what) // and the failure does not show it
		}
	}
}

// rotated fails the test unless the rotation has ended with a new key and has left nothing behind: no open rotation, no debt, and
// in the store nothing but the current key, which it returns.
func rotated(t *testing.T, st rotation.Status, secrets rotation.SecretStore) rotation.Key {
	t.Helper()
	require.NotNil(t, st.Last)
	require.Nil(t, st.Open)
	text, err := json.MarshalIndent(st.Last, "", "  ")
	require.NoError(t, err)
	require.Equalf(t, rotation.Rotated, st.Last.Outcome, "%s", text)
	require.Empty(t, st.Debts)
	require.NotEqual(t, st.Last.OldID, st.Last.NewID)
	v, err := secrets.Load(t.Context(), st.Credential)
	require.NoError(t, err)
	require.Len(t, v.Keys, 1)
	key := v.Key(rotation.RoleCurrent)
	require.Equal(t, st.Last.NewID, key.ID)
	require.Equal(t, st.Generation, key.Generation)
	return key
}
