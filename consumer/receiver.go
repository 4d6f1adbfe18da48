// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/webhook"
)

var (
	_ rotation.Consumer      = (*Receiver)(nil)
	_ rotation.Verifier      = (*Receiver)(nil)
	_ rotation.Observer      = (*Receiver)(nil)
	_ rotation.UsageReporter = (*Receiver)(nil)
	_ rotation.Lagger        = (*Receiver)(nil)
	_ rotation.Checker       = (*Receiver)(nil)
	_ rotation.Reloader      = (*Receiver)(nil)
	_ rotation.Identifier    = (*Receiver)(nil)
)

// Deploy makes this process accept req.Accept, and nothing else, before it returns. It asks nobody, so it works while the store
// is down. An empty list means that everything is refused; nil is no list, but a request about a key to present, and gives an error
// that matches errors.ErrUnsupported: the credential is no rotation.WebhookSecret.
//
// The store is followed on, with what Deploy said kept in mind. What Deploy took out, only Deploy brings back: a document that
// accepts it is older, whatever else it says, and nothing is taken from it. What Deploy added stays until a document lists it
// in another role, or lists what is newer without it. What the store has shown as compromised nothing brings back.
//
// A request for what the store shows as compromised or retiring comes too late: it is an error and changes nothing. If some
// secret cannot be taken by the scheme, the others are accepted, and it is an error.
func (r *Receiver) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := r.made(); err != nil {
		return err
	}
	if err := errors.Join(r.open(), r.suits("receiver", req), alive(ctx)); err != nil {
		return err
	}
	if req.Accept == nil {
		return fail(errors.ErrUnsupported, "%v is a key to present, and a Receiver accepts secrets", req.Key)
	}
	err := r.takeDeploy(req.Accept)
	if errors.Is(err, errTakenOut) && r.look(ctx) == nil { // by what is known so far
		err = r.takeDeploy(req.Accept)
	}
	return err
}

func (r *Receiver) takeDeploy(keys []rotation.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.memory.deploy(keys); err != nil {
		return err
	}
	return r.accept(slices.Clone(keys))
}

// Verify signs a delivery of its own with key and has the verifier check it, uncounted (see webhook.Verifier.Probe): nil if that
// is accepted, an error that matches rotation.ErrRejected if it is refused or key is no secret of the scheme. What the scheme
// cannot sign here, with a public key, gives an error that matches errors.ErrUnsupported: Observe tells of it all the same.
func (r *Receiver) Verify(ctx context.Context, key rotation.Key) error {
	if err := errors.Join(r.made(), alive(ctx)); err != nil {
		return err
	}
	if key.Secret.IsZero() {
		return fail(nil, "the value of %v is not known", key)
	}
	s := webhook.Secret{ID: "probe", Value: key.Secret}
	if r.v.CheckSet(s) != nil {
		return fail(rotation.ErrRejected, "%v is no secret of the scheme", key)
	}
	switch err := r.v.Probe(s); {
	case err == nil:
		return nil
	case errors.Is(err, webhook.ErrMismatch), errors.Is(err, webhook.ErrNoSecret):
		return fail(rotation.ErrRejected, "%s refuses what is signed with %v", r.instance, key)
	case errors.Is(err, errors.ErrUnsupported):
		return fail(errors.ErrUnsupported, "nothing can be signed with %v here: it is a public key", key)
	default:
		return fail(nil, "what is signed with %v could not be tried: %s", key, strings.TrimPrefix(err.Error(), "webhook: "))
	}
}

// Observe tells which keys this process accepts, an instance for each, or one without a key. It never fails and asks nobody.
func (r *Receiver) Observe(context.Context) ([]rotation.Instance, error) {
	return instancesOf(r.instance, r.accepts(), time.Now()), nil
}

func instancesOf(name string, accepted []use, asOf time.Time) []rotation.Instance {
	if len(accepted) == 0 {
		return []rotation.Instance{{Name: name, AsOf: asOf}}
	}
	instances := make([]rotation.Instance, len(accepted))
	for i, u := range accepted {
		instances[i] = rotation.Instance{Name: name, Key: identity(u.key).key(), AsOf: asOf}
	}
	return instances
}

// Usage tells, by key.Serial, when a delivery last matched key in this process, since when that is counted, and until now. For a
// key that is not accepted any more, until it was taken out. One that the store has taken out before this process began has
// matched nothing since; of any other key nothing is known, which is an error that matches rotation.ErrNotFound. It asks nobody.
func (r *Receiver) Usage(_ context.Context, key rotation.Key) (rotation.Usage, error) {
	if u, ok := usageOf(key, r.accepts(), r.former()); ok {
		return u, nil
	}
	return rotation.Usage{}, fail(rotation.ErrNotFound, "%s does not know %v, and so not when a delivery matched it", r.instance, key)
}

// usageOf looks for a key by its serial. One that was put into the store by hand had none before its first rotation, and is the only
// one of its generation.
func usageOf(key rotation.Key, uses ...[]use) (rotation.Usage, bool) {
	seeded := func(u use) bool {
		return u.key.Serial == 0 && u.key.ID == key.ID && max(u.key.Generation, 1) == max(key.Generation, 1)
	}
	all := slices.Concat(uses...)
	i := slices.IndexFunc(all, func(u use) bool { return key.Serial != 0 && u.key.Serial == key.Serial })
	if i < 0 {
		i = slices.IndexFunc(all, seeded)
	}
	if i < 0 {
		return rotation.Usage{}, false
	}
	return all[i].Usage, true
}

// Lag is 0: when Deploy has returned, this process takes each delivery by the new secrets.
func (r *Receiver) Lag() time.Duration { return 0 }

// Reloads says live: the process takes new secrets while it runs.
func (r *Receiver) Reloads() rotation.Reload { return rotation.ReloadLive }

// Check fails if the Receiver is closed. A store that holds what cannot be accepted is no reason: the rotation may be the repair.
func (r *Receiver) Check(context.Context) error { return errors.Join(r.made(), r.open()) }

// Identity names the credential, and the store where that can be named. It is the same in each replica.
func (r *Receiver) Identity() string { return r.identity("receiver", "nothing") }

// use is a key and how it was used.
type use struct {
	name string // in matches and metrics
	key  rotation.Key
	rotation.Usage
}

// accepts is what the verifier really has, newest first. A secret that somebody else has set has nothing but its ID.
func (r *Receiver) accepts() []use {
	if r.v == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var uses []use
	for _, u := range r.v.Usage() {
		k, ok := r.held[u.SecretID]
		if !ok {
			k = rotation.Key{ID: u.SecretID}
		}
		last := later(u.LastMatch, r.past[k.Serial].LastUsed) // it may have been taken out in between
		uses = append(uses, use{u.SecretID, k, rotation.Usage{LastUsed: last, Since: u.Since, AsOf: now}})
	}
	return uses
}

// former is what it accepts no more, as far as is known.
func (r *Receiver) former() []use {
	r.mu.Lock()
	defer r.mu.Unlock()
	var uses []use
	held := map[int64]bool{}
	for _, k := range r.held {
		held[k.Serial] = true
	}
	for serial, u := range r.past {
		if !held[serial] {
			uses = append(uses, u)
		}
	}
	now := time.Now()
	for _, k := range r.memory.ended {
		if _, known := r.past[k.Serial]; !known && !held[k.Serial] {
			uses = append(uses, use{secretID(k), identity(k).key(), rotation.Usage{Since: r.began, AsOf: now}})
		}
	}
	return uses
}

func (r *Receiver) made() error {
	if r.v == nil {
		return fail(nil, "a Receiver is made by Receive")
	}
	return nil
}
