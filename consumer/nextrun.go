// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// NextRun is a scheduled job that takes the store's current key when a run begins: it has adopted a key when its next run
// began after the deployment. It is a rotation.Consumer, Observer, Lagger, Checker and Identifier, and safe for concurrent use.
//
// It remembers nothing, so that any process can carry a rotation on: Observe says which key the last run can have taken, and
// since when. That is old news until a run has begun after the deployment; the instance's AsOf tells.
type NextRun struct {
	Store      rotation.SecretStore // required: where the job takes its key
	Credential string               // required: its name there

	// LastRun is required. It tells when the last run that began did so, and when it ended: zero if it goes on. A zero began
	// means that there was none yet. An error is no evidence: return one, too, for a run that failed because of its key.
	LastRun func(ctx context.Context) (began, ended time.Time, err error)

	Longest time.Duration // required: no run takes longer. One that began before the deployment may use the old key that long
}

var (
	_ rotation.Consumer   = NextRun{}
	_ rotation.Observer   = NextRun{}
	_ rotation.Lagger     = NextRun{}
	_ rotation.Checker    = NextRun{}
	_ rotation.Reloader   = NextRun{}
	_ rotation.Validator  = NextRun{}
	_ rotation.Identifier = NextRun{}
)

const clockSkew = time.Minute // between this machine and what tells when a run began; more is a mistake

// Validate reports every mistake in the fields. Every other method with an error returns the same one before it asks anybody.
func (n NextRun) Validate() error {
	var errs []error
	if n.Store == nil {
		errs = append(errs, required("NextRun.Store"))
	}
	if n.Credential == "" {
		errs = append(errs, required("NextRun.Credential"))
	}
	if n.LastRun == nil {
		errs = append(errs, required("NextRun.LastRun"))
	}
	if n.Longest <= 0 {
		errs = append(errs, required("NextRun.Longest"))
	}
	return errors.Join(errs...)
}

// Check fails if the last run cannot be asked for.
func (n NextRun) Check(ctx context.Context) error {
	_, _, err := n.lastRun(ctx)
	return err
}

// Reloads says next-run.
func (n NextRun) Reloads() rotation.Reload { return rotation.ReloadNextRun }

// Identity names the credential, and the store where that can be named.
func (n NextRun) Identity() string {
	text := "job that uses " + n.Credential
	if id, ok := rotation.As[rotation.Identifier](n.Store); ok {
		text += " in " + id.Identity()
	}
	return text
}

// Deploy returns nil when the store shows req.Key as current, so that the next run takes it; until then an error that matches
// rotation.ErrNotYet. A pending key no run would take, which is an error that matches errors.ErrUnsupported: this cannot be a
// canary. So is a set of secrets to accept.
func (n NextRun) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := errors.Join(n.Validate(), oneKey("NextRun", req), onlyCurrent("NextRun", req), alive(ctx)); err != nil {
		return err
	}
	v, err := n.load(ctx)
	if err != nil {
		return err
	}
	if now := v.Key(rotation.RoleCurrent); !same(now, req.Key) {
		return fail(rotation.ErrNotYet, "the store shows %v as current, not %v", now, req.Key)
	}
	return nil
}

// Observe returns one instance, the last run, with the moment when it began as AsOf. Its key is the newest one that was
// current or pending at that moment for all that the store tells: the current one, if it had been issued, else the previous
// one. Without any run, or any such key, there is no instance.
//
// A run that began between the issue of the key and its promotion counts as one with the new key here. It began before the
// deployment, and that is what its AsOf says.
func (n NextRun) Observe(ctx context.Context) ([]rotation.Instance, error) {
	began, _, err := n.lastRun(ctx)
	if err != nil || began.IsZero() {
		return nil, err
	}
	v, err := n.load(ctx)
	if err != nil {
		return nil, err
	}
	for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RolePrevious} {
		if key := v.Key(role); !key.IsZero() && !began.Before(key.IssuedAt) {
			return []rotation.Instance{{Name: "last run", Key: identity(key).key(), AsOf: began}}, nil
		}
	}
	return nil, nil
}

// Lag is Longest.
func (n NextRun) Lag() time.Duration { return n.Longest }

func (n NextRun) lastRun(ctx context.Context) (began, ended time.Time, err error) {
	if err := n.Validate(); err != nil {
		return began, ended, err
	}
	err = guard("NextRun.LastRun", func() (err error) {
		began, ended, err = n.LastRun(ctx)
		return err
	})
	switch {
	case err != nil:
		return began, ended, fmt.Errorf("consumer: ask for the last run: %w", err)
	case began.After(time.Now().Add(clockSkew)), !ended.IsZero() && ended.Before(began):
		return began, ended, fail(nil, "NextRun.LastRun: a run from %s to %s is impossible",
			began.Format(time.RFC3339), ended.Format(time.RFC3339))
	}
	return began, ended, nil
}

func (n NextRun) load(ctx context.Context) (v rotation.Versions, err error) {
	err = guard("NextRun.Store", func() (err error) {
		v, err = n.Store.Load(ctx, n.Credential)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("consumer: look at the store: %w", err)
	}
	return v, nil
}
