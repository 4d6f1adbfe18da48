// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// receiverSilent makes calls that cannot succeed, and some that can, with secrets in them.
func receiverSilent(ctx context.Context, r *reception) error {
	one, err := r.first(ctx)
	byHand := isSkip(err)
	if err != nil && !byHand {
		return err
	}
	// What files, environments, headers and URLs do not take as it is makes their writers fail in their own words.
	awkward, unknown := one, one
	awkward.Serial, unknown.Serial = one.Serial+2, one.Serial+3
	awkward.Secret = secret.New("line\nend\x00'\"%zz\\" + secret.Random(16).Reveal())
	unknown.ID, unknown.Secret = "no such key/%zz'\";\x7f", secret.Random(16)
	r.serial = unknown.Serial
	r.secrets = append(r.secrets, awkward.Secret, unknown.Secret)

	var loud []string
	see := func(what string, err error) {
		if leaks(err, r.secrets) && !slices.Contains(loud, what) {
			loud = append(loud, what)
		}
	}
	for _, c := range []struct {
		what string
		ctx  context.Context
		key  rotation.Key
	}{
		{" under an ended context", ended(ctx), one},
		{" of an impossible value", ctx, awkward},
		{" of an impossible key", ctx, unknown},
	} {
		set := []rotation.Key{c.key, one}
		if c.key.Equal(one) {
			set = set[:1]
		}
		for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RolePending} {
			see("the error of Deploy"+c.what, r.Consumer.Deploy(c.ctx, r.accept(role, c.key, set...)))
		}
		r.overhear(c.ctx, c.key, c.what, see)
	}
	r.overhear(ctx, r.stranger, " of a secret that nobody has", see)
	var errs []error
	for _, what := range loud {
		errs = append(errs, fmt.Errorf("%s carries a secret", what))
	}
	if !byHand {
		errs = append(errs, r.insists(ctx, r.accept(rotation.RoleCurrent, one, one), "a good set, after requests that cannot succeed", awkward, unknown))
	}
	return errors.Join(errs...)
}

// overhear shows everything that the receiver tells of itself when it is asked about key.
func (r *reception) overhear(ctx context.Context, key rotation.Key, what string, see func(string, error)) {
	if r.verifier != nil {
		see("the error of Verify"+what, r.verifier.Verify(ctx, key))
	}
	if r.observer != nil {
		instances, err := r.observer.Observe(ctx)
		see("the error of Observe", err)
		see("an instance", shown(instances))
	}
	if r.usage != nil {
		u, err := r.usage.Usage(ctx, key)
		see("the error of Usage"+what, err)
		see("the source of a usage", errors.New(u.Source))
	}
	for _, part := range r.parts() {
		if k, ok := rotation.As[rotation.Checker](part); ok {
			see("the error of Check", k.Check(ctx))
		}
		if id, ok := rotation.As[rotation.Identifier](part); ok {
			see("the identity", errors.New(id.Identity()))
		}
	}
}
