// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"context"
	"errors"

	"github.com/handover-go/handover/rotation"
)

// arrival is how a key gets to where pods read it when they start.
type arrival struct {
	credential string
	shared     []string
	store      rotation.SecretStore
	before     []rotation.Consumer
}

// mistakes names what is wrong with an arrival.
func (a arrival) mistakes(config string) error {
	var errs []error
	mistake := func(text string) { errs = append(errs, failf(nil, "%s.%s", config, text)) }
	if a.credential == "" {
		mistake("Credential is required")
	}
	if a.store == nil && len(a.before) == 0 {
		mistake("Store or Before is required: without one nothing brings the key to the pods, or says that it is there")
	}
	for _, b := range a.before {
		if b == nil {
			mistake("Before holds nil")
		}
	}
	if len(a.shared) > 0 && (a.store == nil || len(a.before) > 0) {
		mistake("Shared needs a Store that the pods read themselves: nothing says that what is behind Before has come")
	}
	return errors.Join(errs...)
}

// refuse names why a request cannot be served by pods that read the current key when they start.
func (a arrival) refuse(ctx context.Context, what string, req rotation.DeployRequest) error {
	switch {
	case ctx.Err() != nil:
		return failf([]error{ctx.Err()}, "%s: the time was up before anything was begun", what)
	case req.Credential != a.credential:
		return failf(nil, "%s stands for the credential %q and was given a key of %q: give each credential a consumer of its own", what, a.credential, req.Credential)
	case req.Accept != nil:
		return failf([]error{errors.ErrUnsupported}, "%s brings one key to pods, and no set of secrets to accept", what)
	case req.Role == rotation.RolePending:
		return failf([]error{errors.ErrUnsupported}, "%s: its pods read the current key and cannot be a canary", what)
	case req.Key.Secret.IsZero():
		return failf(nil, "%s: the key has no value", what)
	}
	return nil
}

// arrive returns nil when a pod that starts now gets the key, and the stamps that it may bear then.
func (a arrival) arrive(ctx context.Context, what string, req rotation.DeployRequest) (map[string]stamp, error) {
	if err := a.refuse(ctx, what, req); err != nil {
		return nil, err
	}
	now := map[string]stamp{a.credential: stampOf(req.Key, rotation.Versions{})}
	if a.store != nil {
		v, err := a.store.Load(ctx, a.credential)
		if err != nil {
			return nil, err
		}
		now[a.credential] = stampOf(req.Key, v)
		if current := v.Key(rotation.RoleCurrent); !same(current, req.Key) {
			return nil, failf([]error{rotation.ErrNotYet}, "%s: the store shows %v as current, not %v", what, current, req.Key)
		}
	}
	for _, b := range a.before {
		if err := b.Deploy(ctx, req); err != nil {
			return nil, err
		}
	}
	for _, credential := range a.shared {
		v, err := a.store.Load(ctx, credential)
		if err != nil {
			return nil, err
		}
		if current := v.Key(rotation.RoleCurrent); !current.IsZero() {
			now[credential] = stampOf(current, v)
		}
	}
	return now, nil
}
