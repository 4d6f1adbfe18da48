// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const credential = "payments"

// key is generation n, with a value that tests look for where it must not be.
func key(n int) rotation.Key {
	id := string(rune('a' + n))
	return rotation.Key{
		ID: "id-" + id, Serial: int64(n), Generation: n, Name: "payments-v" + id,
		Secret: secret.New("hush-" + id), IssuedAt: time.Date(2000, 1, 1, n, 0, 0, 0, time.UTC),
	}
}

func identityOf(k rotation.Key) rotation.Key {
	return rotation.Key{ID: k.ID, Serial: k.Serial, Generation: k.Generation, Name: k.Name}
}

func stored(role rotation.Role, n int) rotation.StoredKey {
	return rotation.StoredKey{Key: key(n), Role: role}
}

func compromised(role rotation.Role, n int) rotation.StoredKey {
	return rotation.StoredKey{Key: key(n), Role: role, Compromised: true}
}

// faultyStore is a store that tests write into, and break.
type faultyStore struct {
	mu    sync.Mutex
	keys  []rotation.StoredKey
	err   error
	loads []time.Time
	hook  func() // called during Load, after the keys were read
}

func newStore(keys ...rotation.StoredKey) *faultyStore { return &faultyStore{keys: keys} }

func (s *faultyStore) set(keys ...rotation.StoredKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

func (s *faultyStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *faultyStore) onLoad(hook func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *faultyStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.loads)
}

func (s *faultyStore) Load(ctx context.Context, name string) (rotation.Versions, error) {
	s.mu.Lock()
	s.loads = append(s.loads, time.Now())
	v, err, hook := rotation.Versions{Keys: s.keys}, s.err, s.hook
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	if ctx.Err() != nil {
		return rotation.Versions{}, ctx.Err()
	}
	if name != credential {
		return rotation.Versions{}, nil
	}
	return v, err
}

func (s *faultyStore) Save(context.Context, string, rotation.Versions) error {
	panic("readers do not save")
}

func follow(t *testing.T, s rotation.SecretStore) *consumer.Handle {
	t.Helper()
	h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential, Instance: "me"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func deploy(role rotation.Role, n int) rotation.DeployRequest {
	return rotation.DeployRequest{ID: "d-1", Credential: credential, Consumer: "app", Key: key(n), Role: role}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func requireKey(t *testing.T, n int, h *consumer.Handle) {
	t.Helper()
	require.True(t, h.Key().Equal(key(n)), "want %v, got %v", key(n), h.Key())
}

func isError(err, target error) bool { return errors.Is(err, target) }
