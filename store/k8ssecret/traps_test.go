// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/store/k8ssecret"
)

const name = "database"

func key(serial int64) rotation.Key {
	return rotation.Key{
		ID: fmt.Sprintf("key-%d", serial), Serial: serial, Generation: int(serial), Secret: secret.New(value(serial)),
		Attributes: map[string]string{"user": fmt.Sprintf("app-%d", serial)},
	}
}

func value(serial int64) string { return fmt.Sprintf("canary-value-%d", serial) }

func stored(role rotation.Role, serial int64) rotation.StoredKey {
	return rotation.StoredKey{Role: role, Key: key(serial)}
}

// save brings the store to keys, whatever is there.
func save(t *testing.T, s rotation.SecretStore, keys ...rotation.StoredKey) {
	t.Helper()
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, s.Save(t.Context(), name, rotation.Versions{Keys: keys, Revision: v.Revision}))
}

func load(t *testing.T, s rotation.SecretStore) rotation.Versions {
	t.Helper()
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	return v
}

// roles is what is stored, in short.
func roles(v rotation.Versions) map[int64]rotation.Role {
	out := map[int64]rotation.Role{}
	for _, k := range v.Keys {
		out[k.Key.Serial] = k.Role
	}
	return out
}

// wire is a transport with a seam before and after each request that writes.
type wire struct {
	next   http.RoundTripper
	mu     sync.Mutex
	writes int
	before func(n int, r *http.Request) error
	after  func(n int) error
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return w.next.RoundTrip(r)
	}
	w.mu.Lock()
	w.writes++
	n := w.writes
	w.mu.Unlock()
	if w.before != nil {
		if err := w.before(n, r); err != nil {
			return nil, err
		}
	}
	resp, err := w.next.RoundTrip(r)
	if err == nil && w.after != nil {
		if lost := w.after(n); lost != nil {
			_ = resp.Body.Close()
			return nil, lost
		}
	}
	return resp, err
}

func (p place) wired(t *testing.T, w *wire) kubernetes.Interface {
	return p.through(t, func(next http.RoundTripper) http.RoundTripper { w.next = next; return w })
}

var errCut = errors.New("cut")

// Save writes twice or three times. Whichever write does not come, or is not answered, no key is lost, Load says which one readers
// have, and the next Save gets on.
func TestInterruptedSave(t *testing.T) {
	fields := k8ssecret.Config{Field: "password", Fields: map[string]string{"user": "username"}}
	for _, answered := range []bool{false, true} {
		for cut := 1; cut <= 4; cut++ {
			t.Run(fmt.Sprintf("write %d, done %v", cut, answered), func(t *testing.T) {
				p := newPlace(t)
				whole := p.store(t, fields)
				save(t, whole, stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1))
				before := load(t, whole)

				fail := func(n int) error {
					if n == cut {
						return errCut
					}
					return nil
				}
				w := &wire{}
				if answered {
					w.after = fail
				} else {
					w.before = func(n int, _ *http.Request) error { return fail(n) }
				}
				cfg := fields
				cfg.Client = p.wired(t, w)
				want := rotation.Versions{Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 3), stored(rotation.RolePending, 4), stored(rotation.RolePrevious, 2)}, Revision: before.Revision}
				err := p.store(t, cfg).Save(t.Context(), name, want)
				if cut > 3 {
					require.NoError(t, err)
					require.Equal(t, 3, w.writes)
				} else {
					require.Error(t, err)
				}

				seen := load(t, whole)
				got := roles(seen)
				_, three := got[3]
				_, one := got[1]
				assert.True(t, one || three && got[3] == rotation.RoleCurrent, "key 1 left before readers had key 3: %v", got)
				assert.Contains(t, got, int64(2))
				if three {
					assert.Contains(t, got, int64(4))
				}
				readers, err := p.current("password")(t.Context(), name)
				require.NoError(t, err)
				assert.True(t, readers.Equal(seen.Key(rotation.RoleCurrent).Secret), "Load calls another key current than readers have")

				want.Revision = seen.Revision
				require.NoError(t, whole.Save(t.Context(), name, want))
				assert.Equal(t, map[int64]rotation.Role{2: rotation.RolePrevious, 3: rotation.RoleCurrent, 4: rotation.RolePending}, roles(load(t, whole)))
				main := p.get(t, name)
				assert.Equal(t, value(3), string(main.Data["password"]))
				assert.Equal(t, "app-3", string(main.Data["username"]))
				for _, s := range []string{name, name + "-handover"} {
					assert.NotContains(t, everything(t, p.get(t, s)), value(1), "the key that left is still in Secret %s", s)
				}
			})
		}
	}
}

// everything that is in a Secret, its values as text.
func everything(t *testing.T, s *corev1.Secret) string {
	t.Helper()
	var b strings.Builder
	for field, data := range s.Data {
		fmt.Fprintf(&b, "%s=%s\n", field, data)
	}
	s.Data, s.ManagedFields = nil, nil
	text, err := json.Marshal([]any{s})
	require.NoError(t, err)
	return b.String() + string(text)
}

// A writer is held up between its two writes, another one takes over and goes back: the first one's second write must not come through.
func TestLateSecondWrite(t *testing.T) {
	p := newPlace(t)
	whole := p.store(t, k8ssecret.Config{})
	save(t, whole, stored(rotation.RoleCurrent, 1))
	var other error
	w := &wire{before: func(n int, _ *http.Request) error {
		if n != 2 {
			return nil
		}
		v, err := whole.Load(context.Background(), name)
		if err == nil {
			v.Keys = []rotation.StoredKey{stored(rotation.RoleCurrent, 1), stored(rotation.RoleRetiring, 2)}
			err = whole.Save(context.Background(), name, v)
		}
		other = err
		return nil
	}}
	late := p.store(t, k8ssecret.Config{Client: p.wired(t, w)})
	err := late.Save(t.Context(), name, rotation.Versions{
		Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1)}, Revision: load(t, whole).Revision,
	})
	require.NoError(t, other)
	require.ErrorIs(t, err, rotation.ErrConflict)
	assert.Equal(t, value(1), string(p.get(t, name).Data["value"]), "readers have the key that was taken back")
	assert.Equal(t, map[int64]rotation.Role{1: rotation.RoleCurrent, 2: rotation.RoleRetiring}, roles(load(t, whole)))
}

// While Save is between its writes somebody labels the Secret, or sets another value.
func TestForeignChangeDuringSave(t *testing.T) {
	for what, patch := range map[string]string{
		"label": `{"metadata":{"labels":{"team":"payments"}}}`,
		"value": `{"data":{"value":"` + base64.StdEncoding.EncodeToString([]byte("by hand")) + `"}}`,
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			whole := p.store(t, k8ssecret.Config{})
			save(t, whole, stored(rotation.RoleCurrent, 1))
			w := &wire{before: func(n int, _ *http.Request) error {
				if n != 2 {
					return nil
				}
				_, err := p.client.CoreV1().Secrets(p.namespace).Patch(context.Background(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				return err
			}}
			err := p.store(t, k8ssecret.Config{Client: p.wired(t, w)}).Save(t.Context(), name, rotation.Versions{
				Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1)}, Revision: load(t, whole).Revision,
			})
			if what == "label" {
				require.NoError(t, err)
				assert.Equal(t, value(2), string(p.get(t, name).Data["value"]))
				assert.Equal(t, "payments", p.get(t, name).Labels["team"])
				return
			}
			require.ErrorIs(t, err, rotation.ErrConflict)
			v := load(t, whole)
			assert.Equal(t, "by hand", v.Key(rotation.RoleCurrent).Secret.Reveal())
			assert.Len(t, v.Keys, 3, "a key was lost")
		})
	}
}

// Somebody rotates by hand, puts the old value back, or takes the value away: Load says what readers have, and loses nothing.
func TestChangedByHand(t *testing.T) {
	for what, c := range map[string]struct {
		data string
		want map[int64]rotation.Role
	}{
		"another value": {`"by hand"`, map[int64]rotation.Role{0: rotation.RoleCurrent, 1: rotation.RolePrevious, 2: rotation.RolePending}},
		"the old value": {`"` + value(1) + `"`, map[int64]rotation.Role{1: rotation.RoleCurrent, 2: rotation.RolePending}},
		"no value":      {`null`, map[int64]rotation.Role{1: rotation.RolePrevious, 2: rotation.RolePending}},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			s := p.store(t, k8ssecret.Config{})
			save(t, s, stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1))
			member := "stringData"
			if c.data == "null" {
				member = "data"
			}
			patch := fmt.Sprintf(`{%q:{"value":%s}}`, member, c.data)
			_, err := p.client.CoreV1().Secrets(p.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			require.NoError(t, err)
			v := load(t, s)
			assert.Equal(t, c.want, roles(v))
			v.Keys = []rotation.StoredKey{stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1)}
			require.NoError(t, s.Save(t.Context(), name, v), "what is stored is asserted again")
			assert.Equal(t, value(2), string(p.get(t, name).Data["value"]))
		})
	}
}

// A part of a key that was changed by hand makes it another key: user and password belong together.
func TestTornKey(t *testing.T) {
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{Field: "password", Fields: map[string]string{"user": "username"}})
	save(t, s, stored(rotation.RoleCurrent, 1))
	_, err := p.client.CoreV1().Secrets(p.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(`{"stringData":{"username":"root"}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	current := load(t, s).Key(rotation.RoleCurrent)
	assert.Zero(t, current.Serial)
	assert.Equal(t, "root", current.Attributes["user"])
}

// An attribute that is empty is none: what readers have of it stays, and belongs to the key.
func TestEmptyAttribute(t *testing.T) {
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{Fields: map[string]string{"user": "username"}})
	save(t, s, stored(rotation.RoleCurrent, 1))
	second := stored(rotation.RoleCurrent, 2)
	second.Key.Attributes = map[string]string{"user": ""}
	save(t, s, second, stored(rotation.RolePrevious, 1))
	assert.Equal(t, map[int64]rotation.Role{1: rotation.RolePrevious, 2: rotation.RoleCurrent}, roles(load(t, s)))
	assert.Equal(t, map[string][]byte{"value": []byte(value(2)), "username": []byte("app-1")}, p.get(t, name).Data)
}

// A compromised key is served to nobody, whatever its role. Where somebody puts it back, or the Save was interrupted, Load tells that so
// that the engine writes again.
func TestCompromised(t *testing.T) {
	for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RoleRetiring} {
		t.Run(string(role), func(t *testing.T) {
			p := newPlace(t)
			s := p.store(t, k8ssecret.Config{Fields: map[string]string{"user": "username"}})
			save(t, s, stored(rotation.RoleCurrent, 1))
			bad := stored(role, 1)
			bad.Compromised = true
			write := func() rotation.Versions {
				v := load(t, s)
				v.Keys, v.Stamp = []rotation.StoredKey{bad}, "stamp"
				require.NoError(t, s.Save(t.Context(), name, v))
				v = load(t, s)
				assert.Equal(t, map[int64]rotation.Role{1: role}, roles(v))
				assert.Equal(t, "stamp", v.Stamp)
				assert.NotContains(t, p.get(t, name).Data, "value")
				return v
			}
			write()
			_, err := p.client.CoreV1().Secrets(p.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(`{"stringData":{"value":"`+value(1)+`"}}`), metav1.PatchOptions{})
			require.NoError(t, err)
			v := load(t, s)
			assert.Equal(t, map[int64]rotation.Role{1: rotation.RoleCurrent}, roles(v))
			assert.True(t, v.Keys[0].Compromised)
			assert.Empty(t, v.Stamp)
			write()
		})
	}
}

// The API server takes no Secret of some types without the data key that they are there for.
func TestTypesThatWantAValue(t *testing.T) {
	p := newPlace(t)
	for kind, field := range map[corev1.SecretType]string{
		corev1.SecretTypeTLS: corev1.TLSPrivateKeyKey, corev1.SecretTypeSSHAuth: corev1.SSHAuthPrivateKey,
		corev1.SecretTypeBasicAuth: corev1.BasicAuthPasswordKey, corev1.SecretTypeDockerConfigJson: corev1.DockerConfigJsonKey,
		corev1.SecretTypeOpaque: "value",
	} {
		t.Run(string(kind), func(t *testing.T) {
			credential := strings.ToLower(strings.ReplaceAll(string(kind), "/", "."))
			one, two := stored(rotation.RoleCurrent, 1), stored(rotation.RoleCurrent, 2)
			one.Key.Secret, two.Key.Secret = secret.New(`{"auths":{"one":{}}}`), secret.New(`{"auths":{"two":{}}}`)
			data := map[string][]byte{field: []byte(one.Key.Secret.Reveal())}
			if kind == corev1.SecretTypeTLS {
				data[corev1.TLSCertKey] = []byte("certificate")
			}
			_, err := p.client.CoreV1().Secrets(p.namespace).Create(t.Context(), &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: credential}, Type: kind, Data: data,
			}, metav1.CreateOptions{})
			require.NoError(t, err)
			s := p.store(t, k8ssecret.Config{Field: field})
			write := func(keys ...rotation.StoredKey) rotation.Versions {
				v, err := s.Load(t.Context(), credential)
				require.NoError(t, err)
				v.Keys = keys
				require.NoError(t, s.Save(t.Context(), credential, v))
				v, err = s.Load(t.Context(), credential)
				require.NoError(t, err)
				return v
			}
			one.Role, one.Compromised = rotation.RoleRetiring, true
			v := write(one)
			assert.Equal(t, map[int64]rotation.Role{1: rotation.RoleRetiring}, roles(v))
			assert.NotContains(t, everything(t, p.get(t, credential)), "auths")
			v = write(two, one)
			assert.Equal(t, map[int64]rotation.Role{1: rotation.RoleRetiring, 2: rotation.RoleCurrent}, roles(v))
			assert.Equal(t, two.Key.Secret.Reveal(), string(p.get(t, credential).Data[field]))
		})
	}
}

// A Secret that was there before, from kubectl apply, with more in it than ours.
func TestSecretOfSomebodyElse(t *testing.T) {
	p := newPlace(t)
	applied := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"database"},"data":{"password":"` +
		base64.StdEncoding.EncodeToString([]byte(value(1))) + `","host":"ZGI="},"stringData":{"password":"` + value(1) + `"},"type":"example.com/database"}`
	owner, err := p.client.CoreV1().ConfigMaps(p.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = p.client.CoreV1().Secrets(p.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"team": "payments"},
			Annotations:     map[string]string{corev1.LastAppliedConfigAnnotation: applied, "note": "kept"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID}},
		},
		Type: "example.com/database",
		Data: map[string][]byte{"password": []byte(value(1)), "username": []byte("app"), "host": []byte("db"), "port": []byte("5432")},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	s := p.store(t, k8ssecret.Config{Field: "password", Fields: map[string]string{"user": "username", "shard": "host"}})
	v := load(t, s)
	bare := v.Key(rotation.RoleCurrent)
	assert.Equal(t, value(1), bare.Secret.Reveal())
	assert.Equal(t, "app", bare.Attributes["user"])
	assert.Empty(t, bare.ID)
	v.Keys = []rotation.StoredKey{stored(rotation.RoleCurrent, 2), {Role: rotation.RolePrevious, Key: bare}}
	require.NoError(t, s.Save(t.Context(), name, v))

	got := p.get(t, name)
	assert.Equal(t, map[string]string{"team": "payments"}, got.Labels)
	assert.Equal(t, "kept", got.Annotations["note"])
	assert.Equal(t, owner.UID, got.OwnerReferences[0].UID)
	assert.Equal(t, corev1.SecretType("example.com/database"), got.Type)
	assert.Equal(t, map[string][]byte{"password": []byte(value(2)), "username": []byte("app-2"), "host": []byte("db"), "port": []byte("5432")}, got.Data,
		"host is left alone: the key has no attribute shard")
	left := got.Annotations[corev1.LastAppliedConfigAnnotation]
	assert.NotContains(t, left, value(1))
	assert.NotContains(t, left, base64.StdEncoding.EncodeToString([]byte(value(1))))
	assert.NotContains(t, left, "password", "apply would delete the data key when the manifest does not have it any more")
	assert.Contains(t, left, `"host":"ZGI="`)
	assert.Contains(t, left, `"name":"database"`)
	for _, k := range []string{value(1), value(2)} { // with envFrom every data key is in the environment
		assert.NotContains(t, slices.Collect(func(yield func(string) bool) {
			for field, data := range got.Data {
				if field != "password" && !yield(string(data)) {
					return
				}
			}
		}), k)
	}
}

func TestImmutable(t *testing.T) {
	p := newPlace(t)
	yes := true
	_, err := p.client.CoreV1().Secrets(p.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Immutable: &yes, Data: map[string][]byte{"value": []byte(value(1))},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	s := p.store(t, k8ssecret.Config{Names: map[string]string{name: name}})
	assert.ErrorContains(t, s.Check(t.Context()), "immutable")
	v := load(t, s)
	revision := v.Revision
	v.Keys = []rotation.StoredKey{stored(rotation.RoleCurrent, 2)}
	assert.ErrorContains(t, s.Save(t.Context(), name, v), "immutable")
	assert.Equal(t, revision, load(t, s).Revision, "something was written")
}

// Check names what a Role does not grant.
func TestPermissions(t *testing.T) {
	p := newPlace(t)
	as := func(user string, rules ...rbacv1.PolicyRule) *k8ssecret.Store {
		role := metav1.ObjectMeta{Name: user}
		_, err := p.client.RbacV1().Roles(p.namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: role, Rules: rules}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = p.client.RbacV1().RoleBindings(p.namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: role, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		config := rest.CopyConfig(p.config)
		config.Impersonate.UserName = user
		client, err := kubernetes.NewForConfig(config)
		require.NoError(t, err)
		cfg := k8ssecret.Config{Client: client}
		if strings.HasSuffix(user, "-named") {
			cfg.Names = map[string]string{name: name}
		}
		return p.store(t, cfg)
	}
	secrets := func(names []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: names, Verbs: verbs}
	}
	ours := []string{name, name + "-handover"}
	for _, c := range []struct {
		user    string
		rules   []rbacv1.PolicyRule
		missing []string
	}{
		{"all", []rbacv1.PolicyRule{secrets(nil, "get", "create", "patch", "list")}, nil},
		{"all-named", []rbacv1.PolicyRule{secrets(nil, "create"), secrets(ours, "get", "patch")}, nil},
		{"reader", []rbacv1.PolicyRule{secrets(nil, "get", "create", "list")}, []string{`the verb "patch"`}},
		{"nobody", nil, []string{`the verb "get"`, `the verb "create"`, `the verb "patch"`}},
		{"half-named", []rbacv1.PolicyRule{secrets(nil, "create"), secrets(ours[:1], "get", "patch")}, []string{`the verb "get" on Secret ` + p.namespace + "/database-handover", `the verb "patch"`}},
	} {
		t.Run(c.user, func(t *testing.T) {
			s := as(c.user, c.rules...)
			var err error
			assert.Eventually(t, func() bool { // the authorizer learns of a Role a moment later
				err = s.Check(t.Context())
				return (err == nil) == (c.missing == nil)
			}, time.Minute, 50*time.Millisecond)
			if c.missing == nil {
				require.NoError(t, err)
				save(t, s, stored(rotation.RoleCurrent, 1))
				save(t, s, stored(rotation.RoleCurrent, 2))
				names, err := s.Names(t.Context())
				require.NoError(t, err)
				assert.Equal(t, []string{name}, names)
				return
			}
			require.ErrorIs(t, err, rotation.ErrDenied)
			for _, m := range c.missing {
				assert.ErrorContains(t, err, m)
			}
			if c.user == "nobody" {
				_, err := s.Load(t.Context(), name)
				assert.ErrorIs(t, err, rotation.ErrDenied)
			}
		})
	}
}

// Two credentials cannot share a Secret without knowing, and two stores can share one knowingly.
func TestSharedSecrets(t *testing.T) {
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{})
	ctx := t.Context()
	one := rotation.Versions{Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 1)}}
	require.NoError(t, s.Save(ctx, "a/b", one))
	_, err := s.Load(ctx, "a.b")
	assert.ErrorContains(t, err, `of "a/b"`)
	_, err = s.Load(ctx, "a.b-handover")
	assert.ErrorContains(t, err, "second Secret")
	_, err = s.Load(ctx, "Upper_Case")
	assert.ErrorContains(t, err, "Config.Names")

	token := p.store(t, k8ssecret.Config{Field: "token", Suffix: "-token", Names: map[string]string{"api-token": "app"}})
	password := p.store(t, k8ssecret.Config{Field: "password", Suffix: "-password", Names: map[string]string{"db-password": "app"}})
	for serial := int64(1); serial <= 3; serial++ {
		for credential, s := range map[string]*k8ssecret.Store{"api-token": token, "db-password": password} {
			v, err := s.Load(ctx, credential)
			require.NoError(t, err)
			v.Keys = []rotation.StoredKey{stored(rotation.RoleCurrent, serial)}
			require.NoError(t, s.Save(ctx, credential, v))
		}
	}
	assert.Equal(t, map[string][]byte{"token": []byte(value(3)), "password": []byte(value(3))}, p.get(t, "app").Data)
	names, err := password.Names(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"db-password"}, names)
}

// The end of a list expires before it is read (410): the list is begun anew.
func TestListExpires(t *testing.T) {
	p := newPlace(t)
	save(t, p.store(t, k8ssecret.Config{}), stored(rotation.RoleCurrent, 1))
	asked := 0
	client := p.through(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet && r.URL.Query().Get("limit") != "" {
				if asked++; asked == 1 {
					return status(r, http.StatusGone, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old"}`), nil
				}
			}
			return next.RoundTrip(r)
		})
	})
	names, err := p.store(t, k8ssecret.Config{Client: client}).Names(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{name}, names)
	assert.Equal(t, 2, asked)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func status(r *http.Request, code int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}
}

// What an API server answers, and what it means. No answer's message gets into an error: it can quote what was sent.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		code   int
		reason string
		is     error
	}{
		{http.StatusTooManyRequests, "TooManyRequests", nil},
		{http.StatusServiceUnavailable, "ServiceUnavailable", nil},
		{http.StatusGatewayTimeout, "Timeout", nil},
		{http.StatusUnauthorized, "Unauthorized", rotation.ErrDenied},
		{http.StatusForbidden, "Forbidden", rotation.ErrDenied},
		{http.StatusConflict, "Conflict", rotation.ErrConflict},
		{http.StatusConflict, "AlreadyExists", rotation.ErrConflict},
		{http.StatusUnprocessableEntity, "Invalid", nil},
		{http.StatusNotFound, "NotFound", rotation.ErrNotFound},
	} {
		t.Run(c.reason, func(t *testing.T) {
			client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://cluster.invalid", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet {
					return status(r, http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`), nil
				}
				body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"not %s","details":{"retryAfterSeconds":7}}`, c.reason, c.code, value(1))
				return status(r, c.code, body), nil
			})})
			require.NoError(t, err)
			s, err := k8ssecret.New(k8ssecret.Config{Client: client, Namespace: "payments"})
			require.NoError(t, err)
			err = s.Save(t.Context(), name, rotation.Versions{Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 1)}})
			require.Error(t, err)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), value(1))
			assert.Contains(t, err.Error(), c.reason)
			assert.Equal(t, 1, strings.Count(err.Error(), "k8ssecret: "), "%v", err)
			for _, sentinel := range []error{rotation.ErrDenied, rotation.ErrConflict, rotation.ErrNotFound} {
				assert.Equal(t, sentinel == c.is, errors.Is(err, sentinel), "%v", sentinel)
			}
			if c.code == http.StatusTooManyRequests {
				assert.Equal(t, "*rotation.retryAt", fmt.Sprintf("%T", err), "the time that the server named is lost")
			}
		})
	}
}

// The API server hands on what an admission webhook gives as the reason, which may be anything.
func TestReasonOfAWebhook(t *testing.T) {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://cluster.invalid", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return status(r, http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`), nil
		}
		return status(r, http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"weak password `+value(1)+`","code":403}`), nil
	})})
	require.NoError(t, err)
	s, err := k8ssecret.New(k8ssecret.Config{Client: client, Namespace: "payments"})
	require.NoError(t, err)
	err = s.Save(t.Context(), name, rotation.Versions{Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 1)}})
	require.EqualError(t, err, "k8ssecret: write Secret payments/database-handover: 403 Forbidden")
	require.ErrorIs(t, err, rotation.ErrDenied)
}

// An API server that stands still: Save ends with its context, and when it goes on, what was stored is there.
func TestPausedServer(t *testing.T) {
	server, _ := cluster(t)
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{})
	save(t, s, stored(rotation.RoleCurrent, 1))
	v := load(t, s)
	v.Keys = []rotation.StoredKey{stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1)}
	func() {
		server.Pause()
		defer server.Resume()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, s.Save(ctx, name, v), context.DeadlineExceeded)
	}()
	assert.Eventually(t, func() bool {
		now, err := s.Load(t.Context(), name)
		if err != nil {
			return false
		}
		v.Revision = now.Revision
		return s.Save(t.Context(), name, v) == nil
	}, time.Minute, 100*time.Millisecond)
	assert.Equal(t, value(2), string(p.get(t, name).Data["value"]))
}

// No secret is printed, whichever way.
func TestSilent(t *testing.T) {
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{})
	huge := key(1)
	huge.Secret = secret.New(strings.Repeat(value(1), 200_000))
	err := s.Save(t.Context(), name, rotation.Versions{Keys: []rotation.StoredKey{{Role: rotation.RoleCurrent, Key: huge}}})
	require.Error(t, err, "a Secret holds 1 MiB")
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "canary")
	save(t, s, stored(rotation.RoleCurrent, 2))
	text, err := json.Marshal([]any{s})
	require.NoError(t, err)
	shown := fmt.Sprintf("%v %+v %#v %s %s", s, s, s, text, s.Identity())
	assert.NotContains(t, shown, "canary")
	assert.NotContains(t, shown, p.config.BearerToken)
}

func TestSeed(t *testing.T) {
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{})
	require.NoError(t, store.Seed(t.Context(), s, name, key(0)))
	require.ErrorIs(t, store.Seed(t.Context(), s, name, key(0)), rotation.ErrConflict)
	assert.Equal(t, value(0), string(p.get(t, name).Data["value"]))
}

func TestNewNamesMistakes(t *testing.T) {
	_, err := k8ssecret.New(k8ssecret.Config{Namespace: "No Namespace", Field: "a b", Fields: map[string]string{"x": "y", "z": "y"}, Suffix: "_", Names: map[string]string{"c": "C"}})
	for _, field := range []string{"Client", "Namespace", `"a b"`, "Suffix", `Names["c"]`, "twice"} {
		assert.ErrorContains(t, err, "k8ssecret: Config.")
		assert.ErrorContains(t, err, field)
	}
}
