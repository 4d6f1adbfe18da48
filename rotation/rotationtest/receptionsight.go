// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// processes asks the Observer which keys each process shows; false where there is none. Evidence from before since is none.
func (r *reception) processes(ctx context.Context, since time.Time) (map[string][]rotation.Key, bool, error) {
	if r.observer == nil {
		return nil, false, nil
	}
	instances, err := r.observer.Observe(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		r.observer = nil
		return nil, false, nil
	}
	r.told = true
	if err != nil {
		return nil, true, r.failed("Observe", err)
	}
	if len(instances) == 0 {
		return nil, true, errors.New("Observe shows no instance, which is no evidence")
	}
	shown := map[string][]rotation.Key{}
	for _, i := range instances {
		if !i.AsOf.IsZero() && i.AsOf.Before(since) {
			return nil, true, fmt.Errorf("Observe tells of instance %q what was before the deployment", i.Name)
		}
		shown[i.Name] = append(shown[i.Name], i.Key)
	}
	return shown, true, nil
}

// observed says how the Observer shows something else than exactly this set; nil if it does not, or there is none.
func (r *reception) observed(ctx context.Context, set []rotation.Key, since time.Time) error {
	shown, ok, err := r.processes(ctx, since)
	if !ok || err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if err := r.exactly(shown[name], set); err != nil {
			return fmt.Errorf("Observe shows of instance %q %w", name, err)
		}
	}
	return nil
}

// exactly says how the keys that a process shows are not those of set.
func (r *reception) exactly(shown, set []rotation.Key) error {
	if len(set) == 0 && len(shown) == 1 && shown[0].IsZero() {
		return nil
	}
	found := map[int64]bool{}
	for _, seen := range shown {
		key, err := r.recognized(seen)
		switch {
		case err != nil:
			return err
		case !slices.ContainsFunc(set, key.Equal):
			return fmt.Errorf("%s, which it must not accept", r.called(key))
		case found[key.Serial]:
			return fmt.Errorf("%s twice", r.called(key))
		}
		found[key.Serial] = true
	}
	for _, key := range set {
		if !found[key.Serial] {
			return fmt.Errorf("nothing of %s, which it has to accept", r.called(key))
		}
	}
	return nil
}

// recognized is the key that was shown. Secrets of one webhook may have one ID, which is then no identity.
func (r *reception) recognized(seen rotation.Key) (rotation.Key, error) {
	if !identified(seen) {
		if seen.IsZero() {
			return seen, errors.New("no key, which means that it accepts none")
		}
		return seen, errors.New("a key without Serial, Generation or ID")
	}
	var fits []rotation.Key
	for _, key := range r.keys {
		if shows(seen, key) {
			fits = append(fits, key)
		}
	}
	switch len(fits) {
	case 0:
		return seen, fmt.Errorf("%s, which it was never told", named(seen))
	case 1:
		return fits[0], nil
	default:
		return seen, fmt.Errorf("%s, which may be any of %d secrets: its Serial or its Generation is needed", named(seen), len(fits))
	}
}

// includes says which process does not show key.
func (r *reception) includes(ctx context.Context, key rotation.Key) error {
	shown, ok, err := r.processes(ctx, time.Time{})
	if !ok || err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if !slices.ContainsFunc(shown[name], func(seen rotation.Key) bool { return shows(seen, key) }) {
			return fmt.Errorf("Observe shows of instance %q nothing of %s, which it has to accept", name, r.called(key))
		}
	}
	return nil
}

// evidence waits until what tells says that a set is accepted and others are refused, and looks at once whether deliveries meet the
// same: nothing may be told too early.
func (r *reception) evidence(ctx context.Context, set, not []rotation.Key, tells string, told func() error) error {
	var wrong error
	limit := r.lag() + r.Patience
	err := within(ctx, limit, func() error {
		err := told()
		if err == nil {
			wrong = r.delivered(ctx, set, not)
		}
		return err
	})
	switch {
	case wrong != nil:
		return fmt.Errorf("%s says that it is so, and %w", tells, wrong)
	case err != nil:
		return fmt.Errorf("%v after Deploy returned nil, %w", limit, err)
	}
	return nil
}

// figures asks for the usage of a key as the engine does, by its identity, and looks at what is wrong at any time.
func (r *reception) figures(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	asked := key
	asked.Secret = secret.Value{}
	u, err := r.usage.Usage(ctx, asked)
	now := time.Now()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return u, skip("not a UsageReporter: ErrUnsupported")
	case err != nil:
		return u, r.failed("Usage of "+r.called(key)+", which it accepts", err)
	case u.AsOf.IsZero():
		return u, fmt.Errorf("Usage of %s has no AsOf: that is no evidence", r.called(key))
	case u.AsOf.After(now.Add(clocks)) || u.LastUsed.After(now.Add(clocks)):
		return u, fmt.Errorf("Usage of %s tells what is in the future", r.called(key))
	case u.Since.After(u.AsOf):
		return u, fmt.Errorf("Usage of %s begins to count after AsOf", r.called(key))
	}
	return u, nil
}
