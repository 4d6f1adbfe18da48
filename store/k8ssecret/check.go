// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret

import (
	"context"
	"errors"
	"maps"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/handover-go/handover/rotation"
)

// Check asks the API server whether this client may get, create and patch Secrets of the namespace (SelfSubjectAccessReview),
// and names each verb that is missing in an error that matches rotation.ErrDenied. With Config.Names it asks for these Secrets,
// and also fails for one that is immutable. It changes nothing.
func (s *Store) Check(ctx context.Context) error {
	errs := []error{s.may(ctx, "create", "")} // the name of what is created cannot be limited
	if len(s.cfg.Names) == 0 {
		errs = append(errs, s.may(ctx, "get", ""), s.may(ctx, "patch", ""))
	}
	for _, credential := range slices.Sorted(maps.Keys(s.cfg.Names)) {
		name := s.cfg.Names[credential]
		for _, n := range []string{name, name + s.cfg.Suffix} {
			errs = append(errs, s.may(ctx, "get", n), s.may(ctx, "patch", n))
		}
		errs = append(errs, s.changeable(ctx, name))
	}
	return errors.Join(errs...)
}

func (s *Store) may(ctx context.Context, verb, name string) error {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: s.cfg.Namespace, Verb: verb, Resource: "secrets", Name: name},
	}}
	answer, err := s.cfg.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	switch {
	case err != nil:
		return failed("ask", "whether Secrets of namespace "+s.cfg.Namespace+" may be used", err)
	case answer.Status.Allowed:
		return nil
	case name == "":
		return failf([]error{rotation.ErrDenied}, "the verb %q on secrets of namespace %s is not granted (a Role limited by resourceNames needs Config.Names)", verb, s.cfg.Namespace)
	}
	return failf([]error{rotation.ErrDenied}, "the verb %q on Secret %s/%s is not granted", verb, s.cfg.Namespace, name)
}

func (s *Store) changeable(ctx context.Context, name string) error {
	found, err := s.get(ctx, name)
	if err == nil && found != nil && found.Immutable != nil && *found.Immutable {
		err = failf(nil, "Secret %s/%s is immutable: replace it by one that can be changed", s.cfg.Namespace, name)
	}
	return err
}
