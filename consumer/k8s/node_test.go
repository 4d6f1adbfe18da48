// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/k8ssecret"
)

func TestMain(m *testing.M) { servers.Main(m) }

// cluster is the API server and the controllers that the tests of this package share, as their administrator sees them.
func cluster(t *testing.T) (*servers.KubernetesServer, *rest.Config) {
	t.Helper()
	s := servers.Shared(t, servers.Kubernetes)
	return s, &rest.Config{
		Host: s.URL, BearerToken: s.Token, TLSClientConfig: rest.TLSClientConfig{CAFile: s.CAFile},
		QPS: 1000, Burst: 1000, Timeout: 30 * time.Second,
	}
}

// place is a namespace of a test's own, with what a node would do for its pods.
type place struct {
	client    kubernetes.Interface
	config    *rest.Config
	namespace string
	node      *node
}

func newPlace(t *testing.T) place {
	t.Helper()
	_, config := cluster(t)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return place{client, config, ns.Name, startNode(t, client, ns.Name)}
}

func (p place) store(t *testing.T) *k8ssecret.Store {
	t.Helper()
	s, err := k8ssecret.New(k8ssecret.Config{Client: p.client, Namespace: p.namespace})
	require.NoError(t, err)
	return s
}

// node stands for the scheduler and a kubelet: it binds pods, reads the Secret of their environment when they start, says that they
// are ready, and lets them terminate. No container runs.
type node struct {
	client    kubernetes.Interface
	namespace string

	mu     sync.Mutex
	broken bool                       // guarded by mu: what starts does not get ready
	linger time.Duration              // guarded by mu: what ends takes that long
	values map[types.UID]rotation.Key // guarded by mu: what each pod read
}

func startNode(t *testing.T, client kubernetes.Interface, namespace string) *node {
	t.Helper()
	n := &node{client: client, namespace: namespace, values: map[types.UID]rotation.Key{}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(25 * time.Millisecond)
		defer every.Stop()
		for ctx.Err() == nil {
			n.look(ctx)
			select {
			case <-every.C:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return n
}

func (n *node) set(f func(*node)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n)
}

// look does what is to be done now. What fails is done at the next look.
func (n *node) look(ctx context.Context) {
	pods, err := n.client.CoreV1().Pods(n.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	n.mu.Lock()
	broken, linger := n.broken, n.linger
	n.mu.Unlock()
	for _, pod := range pods.Items {
		switch {
		case pod.DeletionTimestamp != nil:
			if time.Since(pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds)*time.Second)) >= linger {
				none := int64(0)
				_ = n.client.CoreV1().Pods(n.namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &none})
			}
		case pod.Spec.NodeName == "":
			_ = n.client.CoreV1().Pods(n.namespace).Bind(ctx, &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"},
			}, metav1.CreateOptions{})
		case pod.Status.Phase == corev1.PodPending && !broken:
			n.start(ctx, pod)
		}
	}
}

// start starts a pod as a kubelet does: the environment is read once.
func (n *node) start(ctx context.Context, pod corev1.Pod) {
	for _, e := range pod.Spec.Containers[0].Env {
		ref := e.ValueFrom.SecretKeyRef
		found, err := n.client.CoreV1().Secrets(n.namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil || len(found.Data[ref.Key]) == 0 {
			return // CreateContainerConfigError: tried again
		}
		n.mu.Lock()
		n.values[pod.UID] = rotation.Key{Secret: secret.New(string(found.Data[ref.Key]))}
		n.mu.Unlock()
	}
	n.status(ctx, pod.Name, corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()},
	}})
}

func (n *node) status(ctx context.Context, pod string, status corev1.PodStatus) {
	patch, err := json.Marshal(map[string]any{"status": status})
	if err == nil {
		_, _ = n.client.CoreV1().Pods(n.namespace).Patch(ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	}
}

// uses is the key of any of the pods that run, of those with a label app.
func (n *node) uses(app string) func(context.Context) (rotation.Key, error) {
	return func(ctx context.Context) (rotation.Key, error) {
		pods, err := n.client.CoreV1().Pods(n.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil {
			return rotation.Key{}, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		var keys []rotation.Key
		for _, pod := range pods.Items {
			if key, ok := n.values[pod.UID]; ok && pod.Status.Phase == corev1.PodRunning {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return rotation.Key{}, errors.New("no pod runs")
		}
		return keys[rand.IntN(len(keys))], nil
	}
}
