// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/rotation"
)

// node stands for the scheduler, a kubelet and the containers of a Deployment, whose pods log in to PostgreSQL with what Vault shows
// as current when they start, and keep that until they end. No container runs.
type node struct {
	t       *testing.T
	client  kubernetes.Interface
	world   platformWorld
	secrets rotation.SecretStore

	busy   atomic.Bool // new pods are not started
	queued atomic.Bool // there is one that was not
	stop   func()

	pods map[types.UID]*pod // only the node's goroutine uses it, and who has stopped it
	old  []*pod             // that have ended
}

// pod is one that runs.
type pod struct {
	db   *sql.DB
	load *load
}

// startNode makes the Deployment and returns when its pods run.
func startNode(t *testing.T, p *platform) *node {
	t.Helper()
	client, err := p.world.cluster()
	require.NoError(t, err)
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	p.world.Namespace = ns.Name
	labels, n := map[string]string{"app": "api"}, int32(podCount)
	_, err = client.AppsV1().Deployments(ns.Name).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "api"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "api"}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	d := &node{t: t, client: client, world: p.world, secrets: p.secrets, pods: map[types.UID]*pod{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			d.look(ctx)
			wait(ctx, 25*time.Millisecond)
		}
	}()
	d.stop = func() { cancel(); <-done }
	t.Cleanup(func() {
		d.stop()
		for _, pod := range d.pods {
			pod.end()
		}
	})
	require.Eventually(t, func() bool {
		found, err := client.AppsV1().Deployments(ns.Name).Get(t.Context(), "api", metav1.GetOptions{})
		return err == nil && found.Status.AvailableReplicas == podCount
	}, patience, 50*time.Millisecond)
	return d
}

// look does what is to be done now. What fails is done at the next look.
func (n *node) look(ctx context.Context) {
	found, err := n.client.CoreV1().Pods(n.world.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, item := range found.Items {
		pods, running := n.client.CoreV1().Pods(n.world.Namespace), n.pods[item.UID]
		switch {
		case item.DeletionTimestamp != nil:
			if running != nil {
				running.end()
				n.old = append(n.old, running)
				delete(n.pods, item.UID)
			}
			now := int64(0)
			_ = pods.Delete(ctx, item.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		case item.Spec.NodeName == "":
			_ = pods.Bind(ctx, &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: item.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"},
			}, metav1.CreateOptions{})
		case running == nil && n.busy.Load():
			n.queued.Store(true)
		case running == nil:
			n.start(ctx, item)
		case item.Status.Phase == corev1.PodPending:
			n.ready(ctx, item.Name)
		}
	}
}

// start starts a pod: it reads its password once.
func (n *node) start(ctx context.Context, item corev1.Pod) {
	v, err := n.secrets.Load(ctx, "orders-db")
	if err != nil {
		return // an init container that fails is started again
	}
	base, err := n.world.base("api")
	if err != nil {
		return
	}
	connector, err := pgusers.Connect(base)(v.Key(rotation.RoleCurrent))
	if err != nil {
		return
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	n.pods[item.UID] = &pod{db, startLoad(n.t, item.Name, 20, pgusers.Rejected, query(db))}
	n.ready(ctx, item.Name)
}

// ready is what a kubelet says when the readiness probe has passed.
func (n *node) ready(ctx context.Context, name string) {
	patch, err := json.Marshal(map[string]any{"status": corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()},
	}}})
	if err == nil {
		_, _ = n.client.CoreV1().Pods(n.world.Namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	}
}

func (p *pod) end() {
	p.load.stop()
	_ = p.db.Close()
}

// all stops the node and returns the loads of all the pods there ever were, of which as many as there are replicas run.
func (n *node) all() []*load {
	n.stop()
	require.Len(n.t, n.pods, podCount)
	var loads []*load
	for _, p := range n.old {
		loads = append(loads, p.load)
	}
	for _, p := range n.pods {
		loads = append(loads, p.load)
	}
	return loads
}
