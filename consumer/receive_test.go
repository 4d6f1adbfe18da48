// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// hookID is the id of every secret of the webhook: it is the webhook's.
const hookID = "hook-12345"

// hook is generation n of a webhook's secret; its serial is n+10.
func hook(n int) rotation.Key {
	return rotation.Key{
		ID: hookID, Serial: int64(n + 10), Generation: n, Name: "hook-v" + strconv.Itoa(n),
		Secret: secret.New("hush, a webhook's secret number " + strconv.Itoa(n)),
	}
}

func hooks(ns ...int) []rotation.Key {
	keys := make([]rotation.Key, len(ns))
	for i, n := range ns {
		keys[i] = hook(n)
	}
	return keys
}

func as(role rotation.Role, n int) rotation.StoredKey {
	return rotation.StoredKey{Key: hook(n), Role: role}
}

func leaked(role rotation.Role, n int) rotation.StoredKey {
	return rotation.StoredKey{Key: hook(n), Role: role, Compromised: true}
}

const (
	pending  = rotation.RolePending
	current  = rotation.RoleCurrent
	previous = rotation.RolePrevious
	retiring = rotation.RoleRetiring
)

func newVerifier(t *testing.T) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub})
	require.NoError(t, err)
	return v
}

func receive(t *testing.T, s rotation.SecretStore, v *webhook.Verifier) *consumer.Receiver {
	t.Helper()
	r, err := consumer.Receive(t.Context(), consumer.Source{Store: s, Credential: credential, Instance: "me"}, v)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// signed is a delivery that the sender has signed with key.
func signed(t *testing.T, key rotation.Key, body string) http.Header {
	t.Helper()
	signer, err := webhook.NewSigner(webhook.GitHub, webhook.Secret{ID: "x", Value: key.Secret})
	require.NoError(t, err)
	h := http.Header{}
	require.NoError(t, signer.Sign(h, "", time.Now(), []byte(body)))
	return h
}

// requireAccepts makes deliveries of the first generations and compares.
func requireAccepts(t *testing.T, v *webhook.Verifier, want ...int) {
	t.Helper()
	accepted := []int{}
	for n := range 8 {
		m, err := v.Verify(t.Context(), signed(t, hook(n), "body"), []byte("body"))
		if err == nil {
			accepted = append(accepted, n)
			require.Equal(t, strconv.Itoa(n)+"-"+strconv.Itoa(n+10), m.SecretID)
		} else if len(want) == 0 {
			require.ErrorIs(t, err, webhook.ErrNoSecret)
		}
	}
	require.ElementsMatch(t, want, accepted)
	ids := []string{}
	for _, u := range v.Usage() {
		ids = append(ids, u.SecretID)
	}
	require.True(t, slices.IsSortedFunc(ids, func(a, b string) int { return bytes.Compare([]byte(b), []byte(a)) }), "newest first: %v", ids)
}

// A minute and a tenth is the longest wait between two looks.
func nextLook() {
	time.Sleep(66 * time.Second)
	synctest.Wait()
}

func TestReceiveNamesWhatIsMissing(t *testing.T) {
	_, err := consumer.Receive(t.Context(), consumer.Source{Every: -1}, nil)
	for _, field := range []string{"Source.Store", "Source.Credential", "Source.Every", "verifier"} {
		require.ErrorContains(t, err, field)
	}
}

func TestReceiveAcceptsWhatTheStoreAccepts(t *testing.T) {
	for name, s := range map[string]struct {
		keys []rotation.StoredKey
		want []int
	}{
		"nothing":        {nil, nil},
		"first, pending": {[]rotation.StoredKey{as(pending, 1)}, []int{1}},
		"one":            {[]rotation.StoredKey{as(current, 1)}, []int{1}},
		"all roles": {
			[]rotation.StoredKey{as(previous, 2), as(retiring, 1), as(current, 3), as(pending, 4)}, []int{2, 3, 4},
		},
		"compromised": {
			[]rotation.StoredKey{leaked(previous, 2), leaked(retiring, 1), leaked(current, 3), as(pending, 4)}, []int{4},
		},
		"nothing good": {[]rotation.StoredKey{leaked(current, 1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVerifier(t)
				receive(t, newStore(s.keys...), v)
				requireAccepts(t, v, s.want...)

				v = newVerifier(t)
				f := newStore(as(current, 0))
				receive(t, f, v)
				requireAccepts(t, v, 0)
				f.set(s.keys...)
				nextLook()
				requireAccepts(t, v, s.want...)
			})
		})
	}
}

func TestReceiveFollowsRealStores(t *testing.T) {
	stores := map[string]rotation.SecretStore{"memory": store.NewMemory()}
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "secrets"), secret.Random(32))
	if !isError(err, errors.ErrUnsupported) { // a system without flock
		require.NoError(t, err)
		stores["file"] = file
	}
	for name, s := range stores {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t)
			r, err := consumer.Receive(t.Context(), consumer.Source{Store: s, Credential: credential, Every: time.Hour}, v)
			require.NoError(t, err)
			defer r.Close()
			requireAccepts(t, v)
			save := func(keys ...rotation.StoredKey) {
				doc, err := s.Load(t.Context(), credential)
				require.NoError(t, err)
				doc.Keys = keys
				require.NoError(t, s.Save(t.Context(), credential, doc))
				status, _, _ := ask(r, http.MethodPost, "") // have it look
				require.Equal(t, http.StatusOK, status)
			}
			save(as(current, 1))
			requireAccepts(t, v, 1)
			save(as(current, 1), as(pending, 2))
			requireAccepts(t, v, 1, 2)
			save(as(previous, 1), as(current, 2))
			requireAccepts(t, v, 1, 2)
			save(as(retiring, 1), as(current, 2))
			requireAccepts(t, v, 2)
			save(as(current, 2))
			requireAccepts(t, v, 2)
		})
	}
}

// What the verifier had before is not the store's, and goes.
func TestReceiveTakesTheVerifierOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t)
		require.NoError(t, v.Set(webhook.Secret{ID: "7-17", Value: hook(7).Secret}))
		s := newStore()
		s.fail(errSealed)
		time.AfterFunc(time.Minute, func() { s.fail(nil) })
		go func() {
			time.Sleep(30 * time.Second)
			requireAccepts(t, v, 7) // nothing is known yet
		}()
		receive(t, s, v)
		requireAccepts(t, v)
	})
}

func TestReceiveEndsWithItsContextOrADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		s.fail(errSealed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		src := consumer.Source{Store: s, Credential: credential}
		_, err := consumer.Receive(ctx, src, v)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errSealed)
		s.fail(rotation.ErrDenied)
		_, err = consumer.Receive(t.Context(), src, v)
		require.ErrorIs(t, err, rotation.ErrDenied)
		requireAccepts(t, v)
	})
}

func TestReceiveKeepsTheSecretsWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, v := newStore(as(current, 2), as(previous, 1)), newVerifier(t)
		r, err := consumer.Receive(t.Context(), consumer.Source{
			Store: s, Credential: credential, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}, v)
		require.NoError(t, err)
		s.fail(errSealed)
		s.set()
		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		requireAccepts(t, v, 1, 2)
		_, report, _ := ask(r, http.MethodGet, "")
		require.Equal(t, true, report["problem"])

		s.fail(nil)
		s.set(as(current, 2))
		nextLook()
		requireAccepts(t, v, 2)
		require.NoError(t, r.Close())
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=WARN")), "%s", &log)
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=INFO")), "%s", &log)
		require.NotContains(t, log.String(), "hush")
	})
}

// A store that answers is obeyed, also when it has nothing any more.
func TestReceiveRefusesEverythingWhenTheStoreHasNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		receive(t, s, v)
		s.set()
		nextLook()
		requireAccepts(t, v)
		s.set(as(current, 1))
		nextLook()
		requireAccepts(t, v, 1)
	})
}

// short is a secret that the scheme does not take.
func short(role rotation.Role, n int) rotation.StoredKey {
	k := as(role, n)
	k.Key.Secret = secret.New("hush")
	return k
}

func TestReceiveSpoilsNothingForAnUnusableSecret(t *testing.T) {
	noValue, oldest, twice := as(pending, 3), as(previous, 0), as(pending, 3)
	noValue.Key.Secret, oldest.Key.Secret = secret.Value{}, secret.Value{}
	twice.Key.Secret = hook(2).Secret
	for name, bad := range map[string]rotation.StoredKey{
		"short": short(pending, 3), "no value": noValue, "no value, the oldest": oldest, "twice": twice,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s, v := newStore(bad, as(current, 2), as(previous, 1)), newVerifier(t)
				src := consumer.Source{Store: s, Credential: credential, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				r, err := consumer.Receive(t.Context(), src, v) // a restart in a rotation must not be an outage
				require.NoError(t, err)
				defer r.Close()
				used := 0
				for _, u := range v.Usage() {
					used += len(u.SecretID)
				}
				require.NotZero(t, used)
				_, err = v.Verify(t.Context(), signed(t, hook(1), "b"), []byte("b"))
				require.NoError(t, err)
				_, err = v.Verify(t.Context(), signed(t, hook(2), "b"), []byte("b"))
				require.NoError(t, err)
				require.Contains(t, log.String(), "cannot be accepted")
				require.Contains(t, log.String(), "generation")
				require.NotContains(t, log.String(), "hush")
				_, report, _ := ask(r, http.MethodGet, "")
				require.Equal(t, true, report["problem"])
				status, _, _ := ask(r, http.MethodPost, fmt.Sprintf(`{"accept":[{"serial":%d},{"serial":12},{"serial":11}]}`, bad.Key.Serial))
				require.Equal(t, http.StatusConflict, status)

				s.set(as(current, 2), as(previous, 1))
				nextLook()
				_, report, _ = ask(r, http.MethodGet, "")
				require.NotContains(t, report, "problem")
			})
		})
	}
}

func TestReceiveFailsWithNothingButUnusableSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(short(current, 2), short(previous, 1)), newVerifier(t)
		_, err := consumer.Receive(t.Context(), consumer.Source{Store: s, Credential: credential}, v)
		require.ErrorContains(t, err, "16 are required")
		require.NotContains(t, err.Error(), "hush")
		require.Equal(t, 1, s.count())
		requireAccepts(t, v)
	})
}

func TestReceiveOutlivesAPanicOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		r := receive(t, s, v)
		s.onLoad(func() { panic("hush") })
		nextLook()
		requireAccepts(t, v, 1)
		require.NoError(t, r.Deploy(t.Context(), accept(2, 1)))
	})
}

func TestReceiverCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		s, v := newStore(as(current, 1)), newVerifier(t)
		r, err := consumer.Receive(t.Context(), consumer.Source{Store: s, Credential: credential}, v)
		require.NoError(t, err)
		require.NoError(t, r.Check(t.Context()))
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
		loads := s.count()
		s.set(as(current, 2))
		time.Sleep(time.Hour)
		require.Equal(t, loads, s.count())
		require.Error(t, r.Check(t.Context()))
		require.Error(t, r.Deploy(t.Context(), accept(2)))
		requireAccepts(t, v, 1)
	})
}

func TestZeroReceiverDoesNothing(t *testing.T) {
	var r consumer.Receiver
	require.Error(t, r.Check(t.Context()))
	require.Error(t, r.Deploy(t.Context(), accept(1)))
	require.Error(t, r.Verify(t.Context(), hook(1)))
	_, err := r.Usage(t.Context(), hook(1))
	require.Error(t, err)
	status, _, _ := ask(&r, http.MethodGet, "")
	require.Equal(t, http.StatusInternalServerError, status)
	require.NoError(t, r.Close())
}
