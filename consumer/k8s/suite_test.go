// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/handover-go/handover/consumer/k8s"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// pods is a template whose container has the value of a Secret in its environment.
func pods(app, secretName string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", Image: "example.com/app",
			Env: []corev1.EnvVar{{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: secretName}, Key: "value",
			}}}},
		}}},
	}
}

func selects(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func (p place) deployment(t *testing.T, app, secretName string, replicas int32) {
	t.Helper()
	require.NoError(t, p.makeDeployment(t.Context(), app, secretName, replicas))
}

func (p place) makeDeployment(ctx context.Context, app, secretName string, replicas int32) error {
	_, err := p.client.AppsV1().Deployments(p.namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selects(app), Template: pods(app, secretName)},
	}, metav1.CreateOptions{})
	return err
}

func (p place) statefulSet(t *testing.T, app, secretName string, replicas int32, strategy appsv1.StatefulSetUpdateStrategy) {
	t.Helper()
	_, err := p.client.AppsV1().StatefulSets(p.namespace).Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: selects(app), Template: pods(app, secretName),
			UpdateStrategy: strategy, PodManagementPolicy: appsv1.ParallelPodManagement,
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (p place) daemonSet(t *testing.T, app, secretName string) {
	t.Helper()
	_, err := p.client.AppsV1().DaemonSets(p.namespace).Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec:       appsv1.DaemonSetSpec{Selector: selects(app), Template: pods(app, secretName)},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (p place) cronJob(t *testing.T, app, secretName string) *batchv1.CronJob {
	t.Helper()
	template := pods(app, secretName)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	c, err := p.client.BatchV1().CronJobs(p.namespace).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 29 2 *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return c
}

func (p place) rollout(t *testing.T, cfg k8s.RolloutConfig) *k8s.Rollout {
	t.Helper()
	if cfg.Client == nil {
		cfg.Client = p.client
	}
	cfg.Namespace = p.namespace
	if cfg.Store == nil && cfg.Before == nil {
		cfg.Store = p.store(t)
	}
	r, err := k8s.NewRollout(cfg)
	require.NoError(t, err)
	return r
}

const patience = 2 * time.Minute

func TestDeploymentSuite(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.deployment(t, "api", "database", 2)
	rotationtest.ConsumerSuite{
		Consumer: p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: "database"}),
		Store:    p.store(t), Credential: "database", Uses: p.node.uses("api"), Patience: patience / 2,
		Restarts: func(ctx context.Context) (int, error) {
			d, err := p.client.AppsV1().Deployments(p.namespace).Get(ctx, "api", metav1.GetOptions{})
			if err != nil {
				return 0, err
			}
			return int(d.Generation), nil
		},
	}.Run(t)
}

func TestStatefulSetSuite(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.statefulSet(t, "api", "database", 1, appsv1.StatefulSetUpdateStrategy{})
	rotationtest.ConsumerSuite{
		Consumer: p.rollout(t, k8s.RolloutConfig{Kind: k8s.StatefulSet, Name: "api", Credential: "database"}),
		Store:    p.store(t), Credential: "database", Uses: p.node.uses("api"), Patience: patience / 2,
	}.Run(t)
}

func TestDaemonSetSuite(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	_, err := p.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = p.client.CoreV1().Nodes().Patch(t.Context(), "node", types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}) // of being not ready yet
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.client.CoreV1().Nodes().Delete(context.Background(), "node", metav1.DeleteOptions{}) })
	p.daemonSet(t, "api", "database")
	rotationtest.ConsumerSuite{
		Consumer: p.rollout(t, k8s.RolloutConfig{Kind: k8s.DaemonSet, Name: "api", Credential: "database"}),
		Store:    p.store(t), Credential: "database", Uses: p.node.uses("api"), Patience: patience / 2,
	}.Run(t)
}

// No job runs but for those that a test makes: what the next one would read is what counts.
func TestCronJobSuite(t *testing.T) {
	p := newPlace(t)
	p.cronJob(t, "report", "database")
	c, err := k8s.NewCronJob(k8s.CronJobConfig{
		Client: p.client, Namespace: p.namespace, Name: "report", Credential: "database", Store: p.store(t), Longest: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	rotationtest.ConsumerSuite{Consumer: c, Store: p.store(t), Credential: "database"}.Run(t)
}

// Rotations whose keys lie in Secrets and are used by pods.
func TestSimulate(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	rotationtest.Simulate(t, rotationtest.Simulation{
		Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) { return p.store(t), nil },
		Consumer: func(ctx context.Context, w *rotationtest.World) (rotationtest.Presenter, error) {
			if err := p.makeDeployment(ctx, w.Credential, w.Credential, 1); err != nil {
				return rotationtest.Presenter{}, err
			}
			w.Cleanup(func() {
				_ = p.client.AppsV1().Deployments(p.namespace).Delete(context.Background(), w.Credential, metav1.DeleteOptions{})
			})
			r, err := k8s.NewRollout(k8s.RolloutConfig{
				Client: p.client, Namespace: p.namespace, Name: w.Credential, Credential: w.Credential, Store: w.Store,
			})
			return rotationtest.Presenter{Consumer: r, Uses: p.node.uses(w.Credential)}, err
		},
		RealClock: true, Sample: 2, CallTimeout: 500 * time.Millisecond,
	})
}
