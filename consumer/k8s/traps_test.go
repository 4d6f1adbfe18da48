// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/consumer/k8s"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const credential = "database"

func key(serial int64) rotation.Key {
	return rotation.Key{ID: fmt.Sprintf("key-%d", serial), Serial: serial, Generation: int(serial), Secret: secret.New(fmt.Sprintf("canary-value-%d", serial))}
}

func request(serial int64) rotation.DeployRequest {
	return rotation.DeployRequest{ID: fmt.Sprintf("rotation/api/%d", serial), Credential: credential, Consumer: "api", Key: key(serial), Role: rotation.RoleCurrent}
}

// writes is how often promote has written.
var writes atomic.Int64

// promote makes a key the store's current one, and what was, the previous one.
func promote(t *testing.T, s rotation.SecretStore, name string, serial int64) {
	t.Helper()
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	old := v.Key(rotation.RoleCurrent)
	v.Keys = []rotation.StoredKey{{Role: rotation.RoleCurrent, Key: key(serial)}}
	if !old.IsZero() && old.Serial != serial {
		v.Keys = append(v.Keys, rotation.StoredKey{Role: rotation.RolePrevious, Key: old})
	}
	v.Stamp = fmt.Sprintf("write %d", writes.Add(1)) // the engine's is another one too
	require.NoError(t, s.Save(t.Context(), name, v))
}

// deployed asks until the request is done.
func deployed(t *testing.T, c rotation.Consumer, req rotation.DeployRequest) {
	t.Helper()
	waiting(t, c, req, nil, "")
}

// waiting asks until the answer is an error that matches is and has the text; nil: until it is none.
func waiting(t *testing.T, c rotation.Consumer, req rotation.DeployRequest, is error, text string) {
	t.Helper()
	var err error
	require.Eventuallyf(t, func() bool {
		err = c.Deploy(t.Context(), req)
		return is == nil && text == "" && err == nil || err != nil && errors.Is(err, is) && is != nil && strings.Contains(err.Error(), text) ||
			err != nil && is == nil && text != "" && strings.Contains(err.Error(), text)
	}, patience, 30*time.Millisecond, "last answer: %v", errText{&err})
	if err != nil {
		assert.NotContains(t, err.Error(), "canary")
		assert.Equal(t, 1, strings.Count(err.Error(), "k8s: "), err.Error())
	}
}

type errText struct{ err *error }

func (e errText) String() string { return fmt.Sprint(*e.err) }

// serials counts the instances on each key; zero: without one.
func serials(t *testing.T, o rotation.Observer) map[int64]int {
	t.Helper()
	instances, err := o.Observe(t.Context())
	require.NoError(t, err)
	out := map[int64]int{}
	for _, i := range instances {
		out[i.Key.Serial]++
	}
	return out
}

// api is a Deployment that uses key 1.
func api(t *testing.T, replicas int32) (place, *k8s.Rollout) {
	t.Helper()
	p := newPlace(t)
	promote(t, p.store(t), credential, 1)
	p.deployment(t, "api", credential, replicas)
	r := p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: credential})
	deployed(t, r, request(1))
	return p, r
}

func (p place) change(t *testing.T, patch string) {
	t.Helper()
	_, err := p.client.AppsV1().Deployments(p.namespace).Patch(t.Context(), "api", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
}

func TestPausedDeployment(t *testing.T) {
	p, r := api(t, 1)
	p.change(t, `{"spec":{"paused":true}}`)
	promote(t, p.store(t), credential, 2)
	require.ErrorContains(t, r.Deploy(t.Context(), request(2)), "is paused")
	require.ErrorContains(t, r.Check(t.Context()), "is paused")
	assert.Equal(t, map[int64]int{1: 1}, serials(t, r))
	d, err := p.client.AppsV1().Deployments(p.namespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, fmt.Sprint(d.Spec.Template.Annotations), "key-2", "what is paused was changed, and would begin by surprise")
	p.change(t, `{"spec":{"paused":false}}`)
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 1}, serials(t, r))
}

// New pods do not get ready: the old ones go on, and the controller gives up.
func TestPodsThatDoNotGetReady(t *testing.T) {
	p, r := api(t, 2)
	p.change(t, `{"spec":{"progressDeadlineSeconds":3}}`)
	p.node.set(func(n *node) { n.broken = true })
	promote(t, p.store(t), credential, 2)
	waiting(t, r, request(2), rotation.ErrNotYet, "pods are updated")
	waiting(t, r, request(2), nil, "ProgressDeadlineExceeded")
	assert.Equal(t, 2, serials(t, r)[1], "the old pods have to go on")
	promote(t, p.store(t), credential, 1) // back
	p.node.set(func(n *node) { n.broken = false })
	deployed(t, r, request(1))
	assert.Equal(t, map[int64]int{1: 2}, serials(t, r))
}

// Somebody rolls out another image while the rollout of a key goes on, or replaces the template and with it the stamp.
func TestRolloutOfSomebodyElse(t *testing.T) {
	p, r := api(t, 2)
	p.node.set(func(n *node) { n.broken = true })
	promote(t, p.store(t), credential, 2)
	waiting(t, r, request(2), rotation.ErrNotYet, "")
	p.change(t, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"example.com/app:2","env":[{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"database","key":"value"}}}]}]}}}}`)
	p.node.set(func(n *node) { n.broken = false })
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 2}, serials(t, r))
	used, err := p.node.uses("api")(t.Context())
	require.NoError(t, err)
	assert.True(t, used.Secret.Equal(key(2).Secret))

	p.change(t, `{"spec":{"template":{"metadata":{"annotations":null}}}}`)
	require.Eventually(t, func() bool { return serials(t, r)[0] == 2 && serials(t, r)[2] == 0 }, patience, 50*time.Millisecond, "pods without a stamp count as pods without a key")
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 2}, serials(t, r))
}

// An autoscaler scales in the middle.
func TestScaledInTheMiddle(t *testing.T) {
	p, r := api(t, 2)
	p.node.set(func(n *node) { n.broken = true })
	promote(t, p.store(t), credential, 2)
	waiting(t, r, request(2), rotation.ErrNotYet, "")
	_, err := p.client.AppsV1().Deployments(p.namespace).Patch(t.Context(), "api", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{}, "scale")
	require.NoError(t, err)
	p.node.set(func(n *node) { n.broken = false })
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 5}, serials(t, r))
}

// Scaled to nothing: nobody uses the old key, and what starts uses the new one.
func TestNoReplicas(t *testing.T) {
	p, r := api(t, 0)
	assert.Equal(t, map[int64]int{1: 1}, serials(t, r), "the template")
	promote(t, p.store(t), credential, 2)
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 1}, serials(t, r))
	p.change(t, `{"spec":{"replicas":2}}`)
	require.Eventually(t, func() bool { return serials(t, r)[2] == 2 }, patience, 50*time.Millisecond)
}

// What terminates uses its key until it is gone, and stands in no status.
func TestTerminatingPods(t *testing.T) {
	p, r := api(t, 2)
	p.node.set(func(n *node) { n.linger = 2 * time.Second })
	promote(t, p.store(t), credential, 2)
	waiting(t, r, request(2), rotation.ErrNotYet, "have not terminated yet")
	assert.NotZero(t, serials(t, r)[1])
	slow := p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: credential, Lag: time.Minute})
	require.NoError(t, slow.Deploy(t.Context(), request(2)), "the binding's lag covers what terminates")
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 2}, serials(t, r))
}

func TestOnDelete(t *testing.T) {
	p := newPlace(t)
	promote(t, p.store(t), credential, 1)
	p.statefulSet(t, "api", credential, 2, appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType})
	r := p.rollout(t, k8s.RolloutConfig{Kind: k8s.StatefulSet, Name: "api", Credential: credential})
	require.Eventually(t, func() bool { return serials(t, r)[0] == 2 }, patience, 50*time.Millisecond)
	waiting(t, r, request(1), rotation.ErrManual, "delete its 2 old pods")
	for _, pod := range []string{"api-0", "api-1"} {
		require.NoError(t, p.client.CoreV1().Pods(p.namespace).Delete(t.Context(), pod, metav1.DeleteOptions{}))
	}
	deployed(t, r, request(1))
	assert.Equal(t, map[int64]int{1: 2}, serials(t, r))
}

func TestPartition(t *testing.T) {
	p := newPlace(t)
	promote(t, p.store(t), credential, 1)
	one := int32(1)
	p.statefulSet(t, "api", credential, 2, appsv1.StatefulSetUpdateStrategy{
		Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &one},
	})
	r := p.rollout(t, k8s.RolloutConfig{Kind: k8s.StatefulSet, Name: "api", Credential: credential})
	require.ErrorContains(t, r.Deploy(t.Context(), request(1)), "partition is 1")
	require.ErrorContains(t, r.Check(t.Context()), "partition is 1")
}

// Whose credential a consumer is, it says.
func TestAnotherCredential(t *testing.T) {
	_, r := api(t, 1)
	req := request(1)
	req.Credential = "other"
	err := r.Deploy(t.Context(), req)
	require.ErrorContains(t, err, `stands for the credential "database" and was given a key of "other"`)
	assert.NotErrorIs(t, err, rotation.ErrNotYet)
}

// The store goes back and forth again while a deployment stands still: a pod that started in between has the other key, whatever
// it bears.
func TestBackAndForth(t *testing.T) {
	p, r := api(t, 1)
	promote(t, p.store(t), credential, 2)
	deployed(t, r, request(2))
	promote(t, p.store(t), credential, 1)
	require.NoError(t, p.client.CoreV1().Pods(p.namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	require.Eventually(t, func() bool {
		used, err := p.node.uses("api")(t.Context())
		return err == nil && used.Secret.Equal(key(1).Secret)
	}, patience, 50*time.Millisecond)
	assert.Equal(t, map[int64]int{2: 1}, serials(t, r), "the stamp cannot know")
	promote(t, p.store(t), credential, 2)
	deployed(t, r, request(2))
	used, err := p.node.uses("api")(t.Context())
	require.NoError(t, err)
	assert.True(t, used.Secret.Equal(key(2).Secret), "a pod with the old key is left, and bears the new one's stamp")
}

// A restart for one credential counts for those that the same pods read.
func TestSharedPods(t *testing.T) {
	p, _ := api(t, 1)
	s := p.store(t)
	promote(t, s, "token", 7)
	token := p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: "token"})
	both := p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: credential, Shared: []string{"token", "none"}})
	assert.Equal(t, map[int64]int{0: 1}, serials(t, token))
	promote(t, s, credential, 2)
	deployed(t, both, request(2))
	assert.Equal(t, map[int64]int{7: 1}, serials(t, token))
	assert.Equal(t, map[int64]int{2: 1}, serials(t, both))
}

// Nothing is restarted before those that bring the key have done so.
func TestBefore(t *testing.T) {
	p, plain := api(t, 1)
	answer := fmt.Errorf("under way: %w", rotation.ErrNotYet)
	r := p.rollout(t, k8s.RolloutConfig{Name: "api", Credential: credential, Before: []rotation.Consumer{
		rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return answer }),
	}})
	promote(t, p.store(t), credential, 2)
	assert.Equal(t, answer, r.Deploy(t.Context(), request(2)))
	assert.Equal(t, map[int64]int{1: 1}, serials(t, r))
	answer = nil
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 1}, serials(t, plain))
}

// What is not the workload's is not shown: a bare pod and another Deployment's with the same labels.
func TestPodsOfOthers(t *testing.T) {
	p, r := api(t, 1)
	_, err := p.client.CoreV1().Pods(p.namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "bare", Labels: map[string]string{"app": "api"}}, Spec: pods("api", credential).Spec,
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	replicas, template := int32(1), pods("api", credential)
	template.Labels["track"] = "canary"
	_, err = p.client.AppsV1().Deployments(p.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "canary"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		list, err := p.client.CoreV1().Pods(p.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "track=canary"})
		return err == nil && len(list.Items) == 1
	}, patience, 50*time.Millisecond)
	assert.Equal(t, map[int64]int{1: 1}, serials(t, r))
}

// The API server stands still in the middle of a rollout: the call ends with its context, and the same request goes on later.
func TestPausedServer(t *testing.T) {
	server, _ := cluster(t)
	p, r := api(t, 2)
	p.node.set(func(n *node) { n.broken = true })
	promote(t, p.store(t), credential, 2)
	waiting(t, r, request(2), rotation.ErrNotYet, "")
	func() {
		server.Pause()
		defer server.Resume()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			require.ErrorIs(t, r.Deploy(ctx, request(2)), context.DeadlineExceeded)
			_, err := r.Observe(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
	}()
	p.node.set(func(n *node) { n.broken = false })
	deployed(t, r, request(2))
	assert.Equal(t, map[int64]int{2: 2}, serials(t, r))
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (p place) through(t *testing.T, f func(next http.RoundTripper, r *http.Request) (*http.Response, error)) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(p.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) { return f(next, r) })
	})
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

func status(r *http.Request, code int, reason string) *http.Response {
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"canary","details":{"retryAfterSeconds":7}}`, reason, code)
	return &http.Response{
		StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// No watch is held, which could break off with an error or a resource version that is too old; and a list that expires before its
// end is begun anew.
func TestListsNotWatches(t *testing.T) {
	p, _ := api(t, 1)
	var watches, expired atomic.Int32
	client := p.through(t, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("watch") || strings.Contains(r.URL.Path, "/watch/") {
			watches.Add(1)
		}
		if strings.HasSuffix(r.URL.Path, "/pods") && expired.Add(1) == 1 {
			return status(r, http.StatusGone, "Expired"), nil
		}
		return next.RoundTrip(r)
	})
	r := p.rollout(t, k8s.RolloutConfig{Client: client, Name: "api", Credential: credential})
	assert.Equal(t, map[int64]int{1: 1}, serials(t, r))
	assert.EqualValues(t, 2, expired.Load())
	promote(t, p.store(t), credential, 2)
	deployed(t, r, request(2))
	assert.Zero(t, watches.Load())
}

// Somebody changes the Deployment between the look at it and the patch: the patch does not come through.
func TestPatchThatIsLate(t *testing.T) {
	p, plain := api(t, 1)
	promote(t, p.store(t), credential, 2)
	var patches atomic.Int32
	client := p.through(t, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && patches.Add(1) == 1 {
			promote(t, p.store(t), credential, 1)
			p.change(t, `{"metadata":{"labels":{"changed":"yes"}}}`)
		}
		return next.RoundTrip(r)
	})
	late := p.rollout(t, k8s.RolloutConfig{Client: client, Name: "api", Credential: credential})
	require.ErrorIs(t, late.Deploy(t.Context(), request(2)), rotation.ErrNotYet)
	require.ErrorContains(t, late.Deploy(t.Context(), request(2)), "the store shows")
	assert.EqualValues(t, 1, patches.Load())
	d, err := p.client.AppsV1().Deployments(p.namespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, fmt.Sprint(d.Spec.Template.Annotations), "key-2", "the patch came through")
	assert.Equal(t, map[int64]int{1: 1}, serials(t, plain))
}

// Jobs that began before go on with the old key, and count until they end.
func TestRunningJobs(t *testing.T) {
	p := newPlace(t)
	promote(t, p.store(t), credential, 1)
	cron := p.cronJob(t, "report", credential)
	c, err := k8s.NewCronJob(k8s.CronJobConfig{
		Client: p.client, Namespace: p.namespace, Name: "report", Credential: credential, Store: p.store(t), Longest: time.Hour,
	})
	require.NoError(t, err)
	assert.Equal(t, time.Hour, c.Lag())
	deployed(t, c, request(1))
	begin := func(name string) { // as kubectl create job --from
		now, err := p.client.BatchV1().CronJobs(p.namespace).Get(t.Context(), "report", metav1.GetOptions{})
		require.NoError(t, err)
		_, err = p.client.BatchV1().Jobs(p.namespace).Create(t.Context(), &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))}},
			Spec:       now.Spec.JobTemplate.Spec,
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	begin("first")
	promote(t, p.store(t), credential, 2)
	deployed(t, c, request(2))
	assert.Equal(t, map[int64]int{1: 1, 2: 1}, serials(t, c), "the job that runs, and the next one")
	begin("second")
	assert.Equal(t, map[int64]int{1: 1, 2: 2}, serials(t, c))
	end := func(job string) {
		list, err := p.client.CoreV1().Pods(p.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + job})
		require.NoError(t, err)
		for _, pod := range list.Items {
			p.node.status(t.Context(), pod.Name, corev1.PodStatus{Phase: corev1.PodSucceeded})
		}
	}
	require.Eventually(t, func() bool {
		end("first")
		return serials(t, c)[1] == 0
	}, patience, 50*time.Millisecond)
	assert.Equal(t, map[int64]int{2: 2}, serials(t, c))
}

// Check names what a Role does not grant.
func TestPermissions(t *testing.T) {
	p, _ := api(t, 1)
	as := func(user string, rules ...rbacv1.PolicyRule) kubernetes.Interface {
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
		return client
	}
	rule := func(group, resource string, names []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names, Verbs: verbs}
	}
	reads := []rbacv1.PolicyRule{rule("", "pods", nil, "list"), rule("apps", "replicasets", nil, "list")}
	all := p.rollout(t, k8s.RolloutConfig{
		Store: p.store(t), Name: "api", Credential: credential,
		Client: as("all", append(reads, rule("apps", "deployments", []string{"api"}, "get", "patch"))...),
	})
	half := p.rollout(t, k8s.RolloutConfig{
		Store: p.store(t), Name: "api", Credential: credential,
		Client: as("half", append(reads[1:], rule("apps", "deployments", []string{"api"}, "get"))...),
	})
	require.Eventually(t, func() bool { return all.Check(t.Context()) == nil }, patience, 50*time.Millisecond)
	promote(t, p.store(t), credential, 2)
	deployed(t, all, request(2))
	err := half.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	assert.ErrorContains(t, err, `the verb "patch" on deployments api`)
	assert.ErrorContains(t, err, `the verb "list" on pods`)
	assert.NotContains(t, err.Error(), "replicasets")
	_, err = half.Observe(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
}

// What an API server answers, and what it means.
func TestAnswers(t *testing.T) {
	for reason, c := range map[string]struct {
		code int
		is   error
	}{
		"TooManyRequests":     {http.StatusTooManyRequests, nil},
		"ServiceUnavailable":  {http.StatusServiceUnavailable, nil},
		"Forbidden":           {http.StatusForbidden, rotation.ErrDenied},
		"NotFound":            {http.StatusNotFound, rotation.ErrNotFound},
		"canary of a webhook": {http.StatusForbidden, rotation.ErrDenied}, // which may give any text as its reason
	} {
		t.Run(reason, func(t *testing.T) {
			client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://cluster.invalid", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				return status(r, c.code, reason), nil
			})})
			require.NoError(t, err)
			r, err := k8s.NewRollout(k8s.RolloutConfig{Client: client, Namespace: "payments", Name: "api", Credential: credential, Before: []rotation.Consumer{
				rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil }),
			}})
			require.NoError(t, err)
			err = r.Deploy(t.Context(), request(1))
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "canary")
			assert.ErrorContains(t, err, "k8s: get Deployment payments/api: ")
			assert.Equal(t, !strings.Contains(reason, "canary"), strings.Contains(err.Error(), reason))
			for _, sentinel := range []error{rotation.ErrDenied, rotation.ErrConflict, rotation.ErrNotFound, rotation.ErrNotYet} {
				assert.Equal(t, sentinel == c.is, errors.Is(err, sentinel), "%v", sentinel)
			}
			if c.code == http.StatusTooManyRequests {
				assert.Equal(t, "*rotation.retryAt", fmt.Sprintf("%T", err), "the time that the server named is lost")
			}
		})
	}
}

// No secret is printed, and none is in what is written but in Secrets.
func TestSilent(t *testing.T) {
	p, r := api(t, 1)
	text, err := json.Marshal([]any{r})
	require.NoError(t, err)
	d, err := p.client.AppsV1().Deployments(p.namespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	shown := fmt.Sprintf("%v %+v %#v %s %s %+v", r, r, r, text, r.Identity(), d)
	assert.NotContains(t, shown, "canary")
	assert.NotContains(t, shown, p.config.BearerToken)
}

func TestNewNamesMistakes(t *testing.T) {
	nothing := []rotation.Consumer{nil}
	_, err := k8s.NewRollout(k8s.RolloutConfig{Kind: "Pod", Lag: -1})
	for _, field := range []string{"Client", "Namespace", "Name", "Credential", "Store or Before", "Kind", "Lag"} {
		assert.ErrorContains(t, err, "k8s: RolloutConfig."+field)
	}
	_, err = k8s.NewRollout(k8s.RolloutConfig{Before: nothing, Shared: []string{"x"}})
	assert.ErrorContains(t, err, "RolloutConfig.Before holds nil")
	assert.ErrorContains(t, err, "RolloutConfig.Shared")
	_, err = k8s.NewCronJob(k8s.CronJobConfig{})
	for _, field := range []string{"Client", "Namespace", "Name", "Credential", "Store or Before", "Longest"} {
		assert.ErrorContains(t, err, "k8s: CronJobConfig."+field)
	}
	_, err = k8s.NewExternalSecret(k8s.ExternalSecretConfig{Again: -1, Fields: map[string]string{"user": "a b"}})
	for _, field := range []string{"Client", "Dynamic", "Namespace", "Name", "Field", "Again"} {
		assert.ErrorContains(t, err, "k8s: ExternalSecretConfig."+field)
	}
	_, err = k8s.NewDiscoverer(k8s.DiscovererConfig{Secrets: map[string][]k8s.Secret{"x": {{}}}})
	assert.ErrorContains(t, err, "k8s: DiscovererConfig.Client")
	assert.ErrorContains(t, err, `k8s: DiscovererConfig.Secrets["x"]`)
}
