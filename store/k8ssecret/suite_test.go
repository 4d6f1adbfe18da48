// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/k8ssecret"
)

func TestMain(m *testing.M) { servers.Main(m) }

// cluster is the API server that the tests of this package share, as its administrator sees it.
func cluster(t *testing.T) (*servers.KubernetesServer, *rest.Config) {
	t.Helper()
	s := servers.Shared(t, servers.Kubernetes)
	return s, &rest.Config{
		Host: s.URL, BearerToken: s.Token, TLSClientConfig: rest.TLSClientConfig{CAFile: s.CAFile},
		QPS: 1000, Burst: 1000, Timeout: 30 * time.Second,
	}
}

// place is a namespace of a test's own.
type place struct {
	client    kubernetes.Interface
	config    *rest.Config
	namespace string
}

func newPlace(t *testing.T) place {
	t.Helper()
	_, config := cluster(t)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	created, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	require.NoError(t, err)
	return place{client, config, created.Name}
}

func (p place) store(t *testing.T, cfg k8ssecret.Config) *k8ssecret.Store {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client = p.client
	}
	cfg.Namespace = p.namespace
	s, err := k8ssecret.New(cfg)
	require.NoError(t, err)
	return s
}

// through is a client whose requests pass wrap.
func (p place) through(t *testing.T, wrap func(http.RoundTripper) http.RoundTripper) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(p.config)
	config.Wrap(wrap)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// get is the Secret as it is.
func (p place) get(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	s, err := p.client.CoreV1().Secrets(p.namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return s
}

// current reads what a pod would.
func (p place) current(field string) func(context.Context, string) (secret.Value, error) {
	return func(ctx context.Context, name string) (secret.Value, error) {
		s, err := p.client.CoreV1().Secrets(p.namespace).Get(ctx, strings.ReplaceAll(name, "/", "."), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return secret.Value{}, nil
		}
		if err != nil {
			return secret.Value{}, err
		}
		return secret.New(string(s.Data[field])), nil
	}
}

func TestStoreSuite(t *testing.T) {
	p := newPlace(t)
	t.Run("value", func(t *testing.T) {
		s := p.store(t, k8ssecret.Config{})
		rotationtest.StoreSuite{Store: s, Name: "payments/api", Current: p.current("value")}.Run(t)
	})
	t.Run("fields", func(t *testing.T) {
		s := p.store(t, k8ssecret.Config{Field: "password", Fields: map[string]string{"user": "username"}})
		rotationtest.StoreSuite{Store: s, Name: "database", Current: p.current("password")}.Run(t)
	})
}

func TestStoreSimulate(t *testing.T) {
	p := newPlace(t)
	s := p.store(t, k8ssecret.Config{})
	rotationtest.Simulate(t, rotationtest.Simulation{
		Store:       func(context.Context, *rotationtest.World) (rotation.SecretStore, error) { return s, nil },
		RealClock:   true,
		Sample:      4,
		CallTimeout: 500 * time.Millisecond,
	})
}
