// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// longKey is key n with a value that is long enough for the suites to look for.
func longKey(n int) rotation.Key {
	k := key(n)
	k.Secret = secret.New("a long value of " + k.ID)
	return k
}

func usesLongKey() *faultyStore {
	return newStore(rotation.StoredKey{Key: longKey(2), Role: rotation.RoleCurrent}, rotation.StoredKey{Key: longKey(1), Role: rotation.RolePrevious})
}

// TestHandleVerifierSuite asks a process that follows the store, and one that could not build what it derives.
func TestHandleVerifierSuite(t *testing.T) {
	s := newStore(rotation.StoredKey{Key: longKey(1), Role: rotation.RoleCurrent})
	behind := follow(t, s)
	_, err := consumer.Derive(behind, func(k rotation.Key) (string, error) {
		if k.Generation == 2 {
			return "", errors.New("cannot log in with " + k.Secret.Reveal())
		}
		return "pool", nil
	})
	require.NoError(t, err)
	s.set(usesLongKey().keys...)
	err = behind.Deploy(t.Context(), rotation.DeployRequest{Credential: credential, Key: longKey(2), Role: rotation.RoleCurrent})
	require.Error(t, err)
	rotationtest.VerifierSuite{
		Verifier: follow(t, usesLongKey()), Live: longKey(2), Other: longKey(1), Down: []rotation.Verifier{behind},
	}.Run(t)
}

func TestReplicasVerifierSuite(t *testing.T) {
	f, _ := fleet(t, replica(t, "a", usesLongKey()), replica(t, "b", usesLongKey()))
	mixed, _ := fleet(t, replica(t, "a", usesLongKey()), replica(t, "b", newStore(stored(rotation.RoleCurrent, 3))))
	few := f
	few.Least = 3
	silent, servers := fleet(t, replica(t, "a", usesLongKey()), replica(t, "b", usesLongKey()))
	servers[1].Close()
	refusing, _ := fleet(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	refusing.Client = &http.Client{Timeout: time.Minute}
	rotationtest.VerifierSuite{
		Verifier: f, Live: longKey(2), Other: longKey(1), Down: []rotation.Verifier{mixed, few, silent, refusing},
	}.Run(t)
}
