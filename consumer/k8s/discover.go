// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"context"
	"errors"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/handover-go/handover/rotation"
)

// Secret is where a credential's key is.
type Secret struct{ Namespace, Name string }

// DiscovererConfig says where the keys of credentials are, and how those who use them are called.
type DiscovererConfig struct {
	Client  kubernetes.Interface // required
	Secrets map[string][]Secret  // required: of each credential

	// Binding returns the name that a workload has as Binding.Name; nil: its String, "Deployment payments/api".
	Binding func(Workload) string
}

// Discoverer names the workloads that refer to the Secrets of a credential: for rotation.Config.Discoverers, which compares
// them with the bindings. It comes from NewDiscoverer, and is safe for concurrent use as far as Binding is.
type Discoverer struct{ cfg DiscovererConfig }

var (
	_ rotation.Discoverer = (*Discoverer)(nil)
	_ rotation.Checker    = (*Discoverer)(nil)
)

// NewDiscoverer returns a Discoverer, or an error that names every field that is missing or wrong. It does no I/O.
func NewDiscoverer(cfg DiscovererConfig) (*Discoverer, error) {
	cfg.Secrets = maps.Clone(cfg.Secrets)
	var errs []error
	if cfg.Client == nil {
		errs = append(errs, failf(nil, "DiscovererConfig.Client is required"))
	}
	if len(cfg.Secrets) == 0 {
		errs = append(errs, failf(nil, "DiscovererConfig.Secrets is required"))
	}
	for _, credential := range slices.Sorted(maps.Keys(cfg.Secrets)) {
		for _, s := range cfg.Secrets[credential] {
			if s.Namespace == "" || s.Name == "" {
				errs = append(errs, failf(nil, "DiscovererConfig.Secrets[%q]: a Secret needs a Namespace and a Name", credential))
			}
		}
	}
	if cfg.Binding == nil {
		cfg.Binding = Workload.String
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Discoverer{cfg}, nil
}

// Discover returns the names of all workloads whose pods need a Secret of the credential to start: Deployments, StatefulSets,
// DaemonSets, CronJobs, Jobs and ReplicaSets of nobody, bare pods, and whatever else controls pods that are there, such as the
// Rollout of another controller. A credential that Secrets does not have has none.
func (d *Discoverer) Discover(ctx context.Context, credential string) ([]string, error) {
	names := map[string]bool{}
	for _, s := range d.cfg.Secrets[credential] {
		found := finder{client: d.cfg.Client, secret: s, found: map[Workload]bool{}}
		if err := found.find(ctx); err != nil {
			return nil, err
		}
		for w := range found.found {
			names[d.cfg.Binding(w)] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Check names each verb that is not granted, in an error that matches rotation.ErrDenied.
func (d *Discoverer) Check(ctx context.Context) error {
	namespaces := map[string]bool{}
	for _, secrets := range d.cfg.Secrets {
		for _, s := range secrets {
			namespaces[s.Namespace] = true
		}
	}
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(namespaces)) {
		errs = append(errs, granted(ctx, d.cfg.Client, n,
			right{"list", "apps", "deployments", ""}, right{"list", "apps", "statefulsets", ""}, right{"list", "apps", "daemonsets", ""},
			right{"list", "apps", "replicasets", ""}, right{"list", "batch", "cronjobs", ""}, right{"list", "batch", "jobs", ""},
			right{"list", "", "pods", ""}, right{"list", "", "serviceaccounts", ""}))
	}
	return errors.Join(errs...)
}

// finder finds the users of one Secret. Secrets are read in their own namespace only.
type finder struct {
	client   kubernetes.Interface
	secret   Secret
	accounts map[string]bool // ServiceAccounts that give their pods the Secret to pull images with
	found    map[Workload]bool
}

// see takes a look at what has pods of spec. What a known kind controls is found there.
func (f *finder) see(kind string, m metav1.ObjectMeta, spec *corev1.PodSpec) {
	if !refersTo(spec, f.secret.Name, f.accounts) {
		return
	}
	w := Workload{kind, f.secret.Namespace, m.Name}
	if owner := metav1.GetControllerOf(&m); owner != nil {
		switch owner.Kind {
		case "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob":
			return
		}
		w.Kind, w.Name = owner.Kind, owner.Name
	}
	f.found[w] = true
}

// find lists everything. A list that is begun anew only finds the same again.
func (f *finder) find(ctx context.Context) error {
	ns := f.secret.Namespace
	apps, batch, core := f.client.AppsV1(), f.client.BatchV1(), f.client.CoreV1()
	f.accounts = map[string]bool{}
	lists := []struct {
		what string
		list func(metav1.ListOptions) (string, error)
	}{
		{"ServiceAccounts", listed(ctx, core.ServiceAccounts(ns).List, func(l *corev1.ServiceAccountList) {
			for _, a := range l.Items {
				f.accounts[a.Name] = slices.ContainsFunc(a.ImagePullSecrets, func(r corev1.LocalObjectReference) bool { return r.Name == f.secret.Name })
			}
		})},
		{"Deployments", listed(ctx, apps.Deployments(ns).List, func(l *appsv1.DeploymentList) {
			for _, d := range l.Items {
				f.see("Deployment", d.ObjectMeta, &d.Spec.Template.Spec)
			}
		})},
		{"StatefulSets", listed(ctx, apps.StatefulSets(ns).List, func(l *appsv1.StatefulSetList) {
			for _, s := range l.Items {
				f.see("StatefulSet", s.ObjectMeta, &s.Spec.Template.Spec)
			}
		})},
		{"DaemonSets", listed(ctx, apps.DaemonSets(ns).List, func(l *appsv1.DaemonSetList) {
			for _, d := range l.Items {
				f.see("DaemonSet", d.ObjectMeta, &d.Spec.Template.Spec)
			}
		})},
		{"ReplicaSets", listed(ctx, apps.ReplicaSets(ns).List, func(l *appsv1.ReplicaSetList) {
			for _, s := range l.Items {
				f.see("ReplicaSet", s.ObjectMeta, &s.Spec.Template.Spec)
			}
		})},
		{"CronJobs", listed(ctx, batch.CronJobs(ns).List, func(l *batchv1.CronJobList) {
			for _, c := range l.Items {
				f.see("CronJob", c.ObjectMeta, &c.Spec.JobTemplate.Spec.Template.Spec)
			}
		})},
		{"Jobs", listed(ctx, batch.Jobs(ns).List, func(l *batchv1.JobList) {
			for _, j := range l.Items {
				if runs(j) {
					f.see("Job", j.ObjectMeta, &j.Spec.Template.Spec)
				}
			}
		})},
		{"Pods", listed(ctx, core.Pods(ns).List, func(l *corev1.PodList) {
			for _, p := range l.Items {
				if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
					f.see("Pod", p.ObjectMeta, &p.Spec)
				}
			}
		})},
	}
	for _, l := range lists {
		if err := pages(ctx, l.what+" of namespace "+ns, "", l.list); err != nil {
			return err
		}
	}
	return nil
}

// listed is one page of a list, which see gets.
func listed[L metav1.ListInterface](ctx context.Context, list func(context.Context, metav1.ListOptions) (L, error), see func(L)) func(metav1.ListOptions) (string, error) {
	return func(o metav1.ListOptions) (string, error) {
		l, err := list(ctx, o)
		if err != nil {
			return "", err
		}
		see(l)
		return l.GetContinue(), nil
	}
}
