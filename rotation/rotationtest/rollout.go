// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// rollout is the proof of one clause of a ConsumerSuite, or of a ReceiverSuite. It remembers what no error may show.
type rollout struct {
	ConsumerSuite
	of         string // the suite whose clause it is
	rotation   string // the first part of DeployRequest.ID
	serial     int64
	generation int
	secrets    []secret.Value
}

// begin makes a rollout. Where its numbers begin is random, so that nothing of an earlier one is taken for its own.
func (s ConsumerSuite) begin() *rollout {
	s.Credential = cmp.Or(s.Credential, "handover-suite")
	return &rollout{ConsumerSuite: s, of: "ConsumerSuite", rotation: newUUID(), serial: rand.Int64N(1 << 40), generation: rand.IntN(1 << 20)}
}

// key makes one that succeeds the last one.
func (r *rollout) key(ctx context.Context) (rotation.Key, error) {
	r.serial++
	r.generation++
	key := rotation.Key{
		ID:       fmt.Sprintf("suite-key-%d", r.serial),
		Secret:   secret.New("hs/" + secret.Random(16).Reveal() + "+=="), // signs that files and URLs treat in their own ways
		IssuedAt: now(),
	}
	if r.Mint != nil {
		var err error
		if key, err = r.Mint(ctx); err != nil {
			return key, r.failed(r.of+".Mint", err)
		}
		if key.Secret.IsZero() {
			return key, errors.New(r.of + ".Mint returned a key without a value")
		}
	}
	key.Serial, key.Generation = r.serial, r.generation // as the engine does
	key.Name = fmt.Sprintf("%s-v%d-suite", r.Credential, r.generation)
	if key.IssuedAt.IsZero() {
		key.IssuedAt = now()
	}
	r.secrets = append(r.secrets, key.Secret)
	return key, nil
}

// request asks for key. The ID is that of this key in this rotation, as the engine's.
func (r *rollout) request(key rotation.Key, role rotation.Role) rotation.DeployRequest {
	return rotation.DeployRequest{
		ID:         fmt.Sprintf("%s/suite/%d", r.rotation, key.Serial),
		Credential: r.Credential, Consumer: "suite", Key: key, Role: role,
	}
}

func as(role rotation.Role, key rotation.Key) rotation.StoredKey {
	return rotation.StoredKey{Key: key, Role: role}
}

func leaked(role rotation.Role, key rotation.Key) rotation.StoredKey {
	return rotation.StoredKey{Key: key, Role: role, Compromised: true}
}

// store replaces what the consumer can read.
func (r *rollout) store(ctx context.Context, keys ...rotation.StoredKey) error {
	if r.Store == nil {
		return nil
	}
	v, err := r.Store.Load(ctx, r.Credential)
	if err == nil {
		err = r.Store.Save(ctx, r.Credential, rotation.Versions{Keys: keys, Stamp: r.rotation, Revision: v.Revision})
	}
	if err != nil {
		return r.failed(r.of+".Store", err)
	}
	return nil
}

// failed is err with what was tried, or without its text if that would show a secret.
func (r *rollout) failed(what string, err error) error {
	if leaks(err, r.secrets) {
		return fmt.Errorf("%s: the error carries a secret; its text is withheld", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// silent is err, unless something that the consumer told of itself put a secret into it.
func (r *rollout) silent(err error) error {
	if leaks(err, r.secrets) {
		return errors.New("what it tells of itself carries a secret; the text is withheld")
	}
	return err
}

// person is what ends a clause that only a person could go on with.
func (r *rollout) person(err error) error {
	return skip(r.failed("a person has to act", err).Error())
}

func isSkip(err error) bool {
	var reason skip
	return errors.As(err, &reason)
}

// deploy asks until the answer is another one than ErrNotYet, which it returns with its text made safe, and counts the calls.
func (r *rollout) deploy(ctx context.Context, req rotation.DeployRequest) (calls int, err error) {
	return r.ask(ctx, req, func(answer error) bool { return errors.Is(answer, rotation.ErrNotYet) })
}

// insist is deploy for a request that failed before: what it set off may fail late, and is then tried again.
func (r *rollout) insist(ctx context.Context, req rotation.DeployRequest) (calls int, err error) {
	return r.ask(ctx, req, func(answer error) bool { return answer != nil && !errors.Is(answer, rotation.ErrManual) })
}

// ask asks as long as again says so.
func (r *rollout) ask(ctx context.Context, req rotation.DeployRequest, again func(error) bool) (calls int, err error) {
	var answer error
	err = within(ctx, r.Patience, func() error {
		calls++
		if answer = r.Consumer.Deploy(ctx, req); again(answer) {
			return answer
		}
		return nil
	})
	switch {
	case err != nil:
		return calls, r.failed(fmt.Sprintf("Deploy does not get on, after %v and %d calls", r.Patience, calls), err)
	case answer == nil:
		return calls, nil
	case errors.Is(answer, rotation.ErrManual):
		return calls, r.person(answer)
	}
	return calls, r.failed("Deploy", answer)
}

// move brings the consumer to key: it asks for it and sees it in use.
func (r *rollout) move(ctx context.Context, req rotation.DeployRequest, what string) error {
	if _, err := r.deploy(ctx, req); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return r.moved(ctx, req.Key, what)
}

// retry is move for a request that failed before.
func (r *rollout) retry(ctx context.Context, req rotation.DeployRequest, what string) error {
	if _, err := r.insist(ctx, req); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return r.moved(ctx, req.Key, what)
}

// start brings the consumer to a new key and returns it. What follows is another rotation.
func (r *rollout) start(ctx context.Context) (rotation.Key, error) {
	key, err := r.key(ctx)
	if err != nil {
		return key, err
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, key)); err != nil {
		return key, err
	}
	err = r.move(ctx, r.request(key, rotation.RoleCurrent), "the first key")
	r.rotation = newUUID()
	return key, err
}

// next returns a new key that the store holds as pending, beside the current one.
func (r *rollout) next(ctx context.Context, current rotation.Key) (rotation.Key, error) {
	key, err := r.key(ctx)
	if err != nil {
		return key, err
	}
	return key, r.store(ctx, as(rotation.RoleCurrent, current), as(rotation.RolePending, key))
}

// pair is start and next.
func (r *rollout) pair(ctx context.Context) (old, key rotation.Key, err error) {
	if old, err = r.start(ctx); err != nil {
		return old, key, err
	}
	key, err = r.next(ctx, old)
	return old, key, err
}

// promote makes key the current one of the store.
func (r *rollout) promote(ctx context.Context, key, old rotation.Key) error {
	return r.store(ctx, as(rotation.RoleCurrent, key), as(rotation.RolePrevious, old))
}

// lag is how long the old key may be in use after nil.
func (r *rollout) lag() time.Duration {
	if l, ok := rotation.As[rotation.Lagger](r.Consumer); ok && r.Lag == 0 {
		return max(l.Lag(), 0)
	}
	return r.Lag
}

// moved waits until the consumer uses key, for its lag. Where only an Observer tells, that may be late.
func (r *rollout) moved(ctx context.Context, key rotation.Key, what string) error {
	since, limit := time.Now(), r.lag()
	if r.Uses == nil {
		limit += r.Patience
	}
	return within(ctx, limit, func() error {
		if err := r.using(ctx, key, since); err != nil {
			return fmt.Errorf("%s: %v after Deploy returned nil, %w", what, limit, err)
		}
		return nil
	})
}

// stays sees that the consumer uses key, also when whatever was set off has had the time to be seen.
func (r *rollout) stays(ctx context.Context, key rotation.Key, what string) error {
	if err := wait(ctx, r.lag()); err != nil {
		return err
	}
	if err := r.using(ctx, key, time.Time{}); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// using says how the consumer does not use key; nil if it does. Evidence from before since is none.
func (r *rollout) using(ctx context.Context, key rotation.Key, since time.Time) error {
	if r.Uses == nil {
		return r.seen(ctx, key, since)
	}
	switch now, err := r.Uses(ctx); {
	case err != nil:
		return r.failed("ConsumerSuite.Uses", err)
	case now.IsZero():
		return errors.New("it uses no key")
	case !shows(now, key):
		return fmt.Errorf("it does not use %v but %s", key, named(now))
	}
	return nil
}

// seen is using, by what the Observer tells.
func (r *rollout) seen(ctx context.Context, key rotation.Key, since time.Time) error {
	o, ok := rotation.As[rotation.Observer](r.Consumer)
	if !ok {
		return errors.New("nothing tells which key it uses")
	}
	instances, err := o.Observe(ctx)
	if err != nil {
		return r.failed("Observe", err)
	}
	if len(instances) == 0 {
		return errors.New("Observe shows no instance, which is no evidence")
	}
	for _, i := range instances {
		switch {
		case !i.AsOf.IsZero() && i.AsOf.Before(since):
			return fmt.Errorf("Observe tells of instance %q what was before the deployment", i.Name)
		case !identified(i.Key):
			return fmt.Errorf("Observe tells no Serial, Generation or ID of the key of instance %q", i.Name)
		case !shows(i.Key, key):
			return fmt.Errorf("Observe shows that instance %q does not use %v but %s", i.Name, key, named(i.Key))
		}
	}
	return nil
}

// identified reports whether the engine can tell which key it is.
func identified(k rotation.Key) bool { return k.Serial != 0 || k.Generation != 0 || k.ID != "" }

// shows reports whether everything that was seen of a key is so of this one.
func shows(seen, key rotation.Key) bool {
	return (identified(seen) || !seen.Secret.IsZero() || seen.Name != "") &&
		(seen.Secret.IsZero() || seen.Secret.Equal(key.Secret)) &&
		(seen.Serial == 0 || seen.Serial == key.Serial) &&
		(seen.Generation == 0 || seen.Generation == key.Generation) &&
		(seen.ID == "" || seen.ID == key.ID) &&
		(seen.Name == "" || seen.Name == key.Name)
}

// named is how a key that was seen is called. A value is not shown, also where nothing else is known.
func named(k rotation.Key) string {
	if !identified(k) && k.Name == "" {
		return "another one"
	}
	return k.String()
}
