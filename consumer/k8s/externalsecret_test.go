// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/handover-go/handover/consumer/k8s"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/k8ssecret"
)

var externalSecrets = schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: "externalsecrets"}

// operator does over the wire what the External Secrets Operator does with an ExternalSecret: none runs here, and the definition
// of the resource is this test's own. It synchronises when the generation, the labels or the annotations are other ones than at
// the last time, and tells so in the status.
type operator struct {
	client    kubernetes.Interface
	dynamic   dynamic.Interface
	namespace string
	source    rotation.SecretStore // what it copies from

	mu      sync.Mutex
	asleep  bool   // guarded by mu
	trouble string // guarded by mu: what it cannot do
	half    bool   // guarded by mu: of the fields it copies only the value
	syncs   int    // guarded by mu
}

func startOperator(t *testing.T, p place, source rotation.SecretStore) *operator {
	t.Helper()
	d, err := dynamic.NewForConfig(p.config)
	require.NoError(t, err)
	define(t, d)
	o := &operator{client: p.client, dynamic: d, namespace: p.namespace, source: source}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(25 * time.Millisecond)
		defer every.Stop()
		for ctx.Err() == nil {
			o.look(ctx)
			select {
			case <-every.C:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return o
}

// define makes the resource, once.
func define(t *testing.T, d dynamic.Interface) {
	t.Helper()
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "externalsecrets.external-secrets.io"},
		"spec": map[string]any{
			"group": "external-secrets.io", "scope": "Namespaced",
			"names": map[string]any{"kind": "ExternalSecret", "plural": "externalsecrets", "singular": "externalsecret", "listKind": "ExternalSecretList"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if _, err := d.Resource(crds).Create(t.Context(), crd, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		_, err := d.Resource(externalSecrets).Namespace("default").List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, patience, 50*time.Millisecond)
}

func (o *operator) set(f func(*operator)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

func (o *operator) look(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asleep {
		return
	}
	list, err := o.dynamic.Resource(externalSecrets).Namespace(o.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, es := range list.Items {
		h := fnv.New64a()
		fmt.Fprint(h, es.GetAnnotations(), es.GetLabels()) // maps print in order
		version := fmt.Sprintf("%d-%x", es.GetGeneration(), h.Sum64())
		synced, _, _ := unstructured.NestedString(es.Object, "status", "syncedResourceVersion")
		if version != synced {
			o.sync(ctx, es, version)
		}
	}
}

func (o *operator) sync(ctx context.Context, es unstructured.Unstructured, version string) {
	ready := map[string]any{"type": "Ready", "status": "True", "reason": "SecretSynced"}
	body := map[string]any{"status": map[string]any{
		"syncedResourceVersion": version, "refreshTime": time.Now().UTC().Format(time.RFC3339), "conditions": []any{ready},
	}}
	if o.trouble != "" {
		ready["status"], ready["reason"], ready["message"] = "False", o.trouble, "canary"
		body = map[string]any{"status": map[string]any{"conditions": []any{ready}}}
	} else if o.copy(ctx, es) != nil {
		return
	}
	o.syncs++
	_, _ = o.dynamic.Resource(externalSecrets).Namespace(o.namespace).Patch(ctx, es.GetName(), types.MergePatchType, mustJSON(body), metav1.PatchOptions{}, "status")
}

func (o *operator) copy(ctx context.Context, es unstructured.Unstructured) error {
	v, err := o.source.Load(ctx, credential)
	if err != nil {
		return err
	}
	k := v.Key(rotation.RoleCurrent)
	data := map[string]string{"value": k.Secret.Reveal()}
	if user, ok := k.Attributes["user"]; ok && !o.half {
		data["username"] = user
	}
	target, _, _ := unstructured.NestedString(es.Object, "spec", "target", "name")
	_, err = o.client.CoreV1().Secrets(o.namespace).Patch(ctx, target, types.MergePatchType, mustJSON(map[string]any{"stringData": data}), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = o.client.CoreV1().Secrets(o.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: target}, StringData: data}, metav1.CreateOptions{})
	}
	return err
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// external is an ExternalSecret "database" that is copied into the Secret "copy", from a store that no pod reads.
func external(t *testing.T, spec map[string]any) (place, *operator, rotation.SecretStore, *k8s.ExternalSecret) {
	t.Helper()
	p := newPlace(t)
	source := rotationtest.NewStore()
	o := startOperator(t, p, source)
	all := map[string]any{"target": map[string]any{"name": "copy"}, "refreshInterval": "1h0m0s"}
	for k, v := range spec {
		all[k] = v
	}
	_, err := o.dynamic.Resource(externalSecrets).Namespace(p.namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": map[string]any{"name": credential}, "spec": all,
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	e, err := k8s.NewExternalSecret(k8s.ExternalSecretConfig{
		Client: p.client, Dynamic: o.dynamic, Namespace: p.namespace, Name: credential, Field: "value",
		Fields: map[string]string{"user": "username"}, Again: time.Second,
	})
	require.NoError(t, err)
	return p, o, source, e
}

// copied is the key whose value the Secret holds.
func copied(client kubernetes.Interface, namespace, name string) func(context.Context) (rotation.Key, error) {
	return func(ctx context.Context) (rotation.Key, error) {
		s, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return rotation.Key{}, err
		}
		return rotation.Key{Secret: secret.New(string(s.Data["value"]))}, nil
	}
}

func TestExternalSecretSuite(t *testing.T) {
	p, _, source, e := external(t, nil)
	rotationtest.ConsumerSuite{
		Consumer: e, Store: source, Credential: credential, Uses: copied(p.client, p.namespace, "copy"), Patience: patience,
	}.Run(t)
}

// The same with a real operator: KUBECONFIG-like variables name a cluster with an ExternalSecret of a SecretStore of the provider
// kubernetes, which copies the data key "value" of one Secret into "value" of another one of the same namespace.
func TestExternalSecretsOperator(t *testing.T) {
	kubeconfig, namespace := os.Getenv("HANDOVER_EXTERNAL_SECRETS_KUBECONFIG"), os.Getenv("HANDOVER_EXTERNAL_SECRETS_NAMESPACE")
	name, from, to := os.Getenv("HANDOVER_EXTERNAL_SECRETS_NAME"), os.Getenv("HANDOVER_EXTERNAL_SECRETS_FROM"), os.Getenv("HANDOVER_EXTERNAL_SECRETS_TO")
	if kubeconfig == "" || namespace == "" || name == "" || from == "" || to == "" {
		t.Skip("skipped: HANDOVER_EXTERNAL_SECRETS_KUBECONFIG, _NAMESPACE, _NAME, _FROM and _TO name no cluster with the operator")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	d, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	source, err := k8ssecret.New(k8ssecret.Config{Client: client, Namespace: namespace, Names: map[string]string{credential: from}})
	require.NoError(t, err)
	e, err := k8s.NewExternalSecret(k8s.ExternalSecretConfig{Client: client, Dynamic: d, Namespace: namespace, Name: name, Field: "value"})
	require.NoError(t, err)
	rotationtest.ConsumerSuite{
		Consumer: e, Store: source, Credential: credential, Uses: copied(client, namespace, to), Patience: patience,
	}.Run(t)
}

// A Deployment whose Secret the operator brings: it is restarted when the Secret has the key, and not before.
func TestRolloutBehindExternalSecret(t *testing.T) {
	p, o, source, e := external(t, nil)
	promote(t, source, credential, 1)
	p.deployment(t, "api", "copy", 2)
	r := p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: credential, Store: source, Before: []rotation.Consumer{e}})
	require.NoError(t, r.Check(t.Context()))
	deployed(t, r, request(1))
	o.set(func(o *operator) { o.asleep = true })
	promote(t, source, credential, 2)
	for range 3 {
		waiting(t, r, request(2), rotation.ErrNotYet, "it is to be synchronised")
	}
	assert.Equal(t, map[int64]int{1: 2}, serials(t, r), "restarted for a key that is not there")
	o.set(func(o *operator) { o.asleep = false })
	deployed(t, r, request(2))
	used, err := p.node.uses("api")(t.Context())
	require.NoError(t, err)
	assert.True(t, used.Secret.Equal(key(2).Secret))
}

// The operator brings the password and not the user: the key is not there. It is asked again.
func TestHalfSynchronised(t *testing.T) {
	_, o, source, e := external(t, nil)
	req := request(1)
	req.Key.Attributes = map[string]string{"user": "app"}
	v := rotation.Versions{Keys: []rotation.StoredKey{{Role: rotation.RoleCurrent, Key: req.Key}}}
	o.set(func(o *operator) { o.half = true })
	require.NoError(t, source.Save(t.Context(), credential, v))
	waiting(t, e, req, rotation.ErrNotYet, "its Secret does not hold")
	o.set(func(o *operator) { o.half = false })
	deployed(t, e, req)
	o.set(func(o *operator) { assert.Less(t, o.syncs, 10, "asked all the time") })
}

func TestOperatorInTrouble(t *testing.T) {
	_, o, source, e := external(t, nil)
	o.set(func(o *operator) { o.trouble = "SecretSyncedError" })
	promote(t, source, credential, 1)
	waiting(t, e, request(1), nil, "SecretSyncedError")
	o.set(func(o *operator) { o.trouble = "" })
	deployed(t, e, request(1))
}

// What never synchronises again is refused before anything is minted.
func TestNeverSynchronised(t *testing.T) {
	for text, spec := range map[string]map[string]any{
		"refreshPolicy is CreatedOnce": {"refreshPolicy": "CreatedOnce"},
		"refreshInterval is 0":         {"refreshInterval": "0"},
	} {
		_, _, source, e := external(t, spec)
		require.ErrorContains(t, e.Check(t.Context()), text)
		promote(t, source, credential, 1)
		require.ErrorContains(t, e.Deploy(t.Context(), request(1)), text)
	}
	_, _, source, e := external(t, map[string]any{"refreshInterval": "0", "refreshPolicy": "OnChange"})
	require.NoError(t, e.Check(t.Context()))
	promote(t, source, credential, 1)
	deployed(t, e, request(1))
}

// A spec that was changed and not yet synchronised may bring another key in a moment.
func TestSpecNotSynchronised(t *testing.T) {
	p, o, source, e := external(t, nil)
	promote(t, source, credential, 1)
	deployed(t, e, request(1))
	o.set(func(o *operator) { o.asleep = true })
	_, err := o.dynamic.Resource(externalSecrets).Namespace(p.namespace).Patch(t.Context(), credential, types.MergePatchType,
		[]byte(`{"spec":{"data":[]}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	waiting(t, e, request(1), rotation.ErrNotYet, "has not synchronised its spec")
	o.set(func(o *operator) { o.asleep = false })
	deployed(t, e, request(1))
}
