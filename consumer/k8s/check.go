// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"context"
	"errors"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/handover-go/handover/rotation"
)

// right is one that a Role grants.
type right struct{ verb, group, resource, name string }

// granted names every right that this client does not have, as a SelfSubjectAccessReview tells. No namespace: in all of them.
func granted(ctx context.Context, c kubernetes.Interface, namespace string, rights ...right) error {
	var errs []error
	for _, r := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: r.verb, Group: r.group, Resource: r.resource, Name: r.name},
		}}
		answer, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return failed("ask", "what is granted in namespace "+namespace, err)
		}
		if !answer.Status.Allowed {
			where := "in all namespaces"
			if namespace != "" {
				where = "in namespace " + namespace
			}
			what := r.resource
			if r.name != "" {
				what += " " + r.name
			}
			errs = append(errs, failf([]error{rotation.ErrDenied}, "the verb %q on %s %s is not granted", r.verb, what, where))
		}
	}
	return errors.Join(errs...)
}

var resources = map[Kind]string{Deployment: "deployments", StatefulSet: "statefulsets", DaemonSet: "daemonsets"}

// Check fails if the workload is not there, cannot be rolled out as it is, or a verb is not granted, which it names in an error
// that matches rotation.ErrDenied; and with what Before's checks say. It changes nothing.
func (r *Rollout) Check(ctx context.Context) error {
	rights := []right{
		{"get", "apps", resources[r.cfg.Kind], r.cfg.Name}, {"patch", "apps", resources[r.cfg.Kind], r.cfg.Name}, {"list", "", "pods", ""},
	}
	if r.cfg.Kind == Deployment {
		rights = append(rights, right{"list", "apps", "replicasets", ""})
	}
	if err := granted(ctx, r.cfg.Client, r.cfg.Namespace, rights...); err != nil {
		return err
	}
	p, err := r.get(ctx)
	if err == nil && p.stuck != "" {
		err = r.failf(nil, "%s", p.stuck)
	}
	return errors.Join(err, r.from.check(ctx))
}

// Check is as Rollout.Check.
func (c *CronJob) Check(ctx context.Context) error {
	err := granted(ctx, c.cfg.Client, c.cfg.Namespace,
		right{"get", "batch", "cronjobs", c.cfg.Name}, right{"patch", "batch", "cronjobs", c.cfg.Name}, right{"list", "batch", "jobs", ""})
	if err != nil {
		return err
	}
	_, err = c.get(ctx)
	return errors.Join(err, c.from.check(ctx))
}

// check asks those that are told before. The engine asks the store itself.
func (a arrival) check(ctx context.Context) error {
	var errs []error
	for _, b := range a.before {
		if c, ok := rotation.As[rotation.Checker](b); ok {
			errs = append(errs, c.Check(ctx))
		}
	}
	return errors.Join(errs...)
}
