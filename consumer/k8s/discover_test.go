// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/handover-go/handover/consumer/k8s"
)

// Everything that refers to a Secret is found, once, by its topmost name, and nothing else is.
func TestDiscover(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	env := func(secret string) corev1.PodSpec { return pods("x", secret).Spec }
	plain := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}}
	with := func(f func(*corev1.PodSpec)) corev1.PodSpec {
		spec := *plain.DeepCopy()
		f(&spec)
		return spec
	}
	local := corev1.LocalObjectReference{Name: credential}
	deployments := map[string]corev1.PodSpec{
		"env": env(credential),
		"env-from": with(func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local}}}
		}),
		"init": with(func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Name: "migrate", Image: "example.com/app", Env: env(credential).Containers[0].Env}}
		}),
		"volume": with(func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: credential}}}}
		}),
		"projected": with(func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: local}}},
			}}}}
		}),
		"csi": with(func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "example.com", NodePublishSecretRef: &local}}}}
		}),
		"pull":         with(func(s *corev1.PodSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{local} }),
		"account":      with(func(s *corev1.PodSpec) { s.ServiceAccountName = "puller" }),
		"other-secret": env("database-handover"),
		"other-account": with(func(s *corev1.PodSpec) {
			s.ServiceAccountName = "puller"
			s.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "other"}}
		}),
		"nothing": plain,
	}
	_, err := p.client.CoreV1().ServiceAccounts(p.namespace).Create(ctx, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "puller"}, ImagePullSecrets: []corev1.LocalObjectReference{local},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	var want []string
	zero := int32(0)
	for name, spec := range deployments {
		_, err := p.client.AppsV1().Deployments(p.namespace).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: appsv1.DeploymentSpec{Replicas: &zero, Selector: selects(name), Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: spec,
			}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		if name != "nothing" && name != "other-secret" && name != "other-account" {
			want = append(want, "Deployment "+p.namespace+"/"+name)
		}
	}
	promote(t, p.store(t), credential, 1)
	p.deployment(t, "runs", credential, 1)
	p.statefulSet(t, "set", credential, 1, appsv1.StatefulSetUpdateStrategy{})
	p.daemonSet(t, "agent", credential)
	p.cronJob(t, "report", credential)
	_, err = p.client.BatchV1().Jobs(p.namespace).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "once"}, Spec: batchv1.JobSpec{
		Template: corev1.PodTemplateSpec{Spec: func() corev1.PodSpec {
			s := env(credential)
			s.RestartPolicy = corev1.RestartPolicyNever
			return s
		}()},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	bare := func(name string, owner ...metav1.OwnerReference) {
		_, err := p.client.CoreV1().Pods(p.namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner}, Spec: env(credential)}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	bare("bare")
	yes := true
	bare("of-another-controller", metav1.OwnerReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "web", UID: "x", Controller: &yes})
	for kind, name := range map[string]string{
		"Deployment": "runs", "StatefulSet": "set", "DaemonSet": "agent", "CronJob": "report", "Job": "once", "Pod": "bare", "Rollout": "web",
	} {
		want = append(want, k8s.Workload{Kind: kind, Namespace: p.namespace, Name: name}.String())
	}
	slices.Sort(want)

	d, err := k8s.NewDiscoverer(k8s.DiscovererConfig{Client: p.client, Secrets: map[string][]k8s.Secret{credential: {{Namespace: p.namespace, Name: credential}}}})
	require.NoError(t, err)
	require.NoError(t, d.Check(ctx))
	require.EventuallyWithT(t, func(c *assert.CollectT) { // the pod of another controller is collected in time: its owner is not there
		found, err := d.Discover(context.WithoutCancel(ctx), credential)
		assert.NoError(c, err)
		assert.Subset(c, append(found, "Rollout "+p.namespace+"/web"), want)
		assert.Subset(c, want, found)
	}, patience, 100*time.Millisecond)
	none, err := d.Discover(ctx, "another")
	require.NoError(t, err)
	assert.Empty(t, none)
	named, err := k8s.NewDiscoverer(k8s.DiscovererConfig{
		Client: p.client, Secrets: map[string][]k8s.Secret{credential: {{Namespace: p.namespace, Name: credential}}},
		Binding: func(w k8s.Workload) string { return w.Name },
	})
	require.NoError(t, err)
	found, err := named.Discover(ctx, credential)
	require.NoError(t, err)
	assert.Contains(t, found, "env-from")
}
