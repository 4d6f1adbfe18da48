// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/handover-go/handover/rotation"
)

const (
	lawOutcome = "Every rotation ends as it should, without a person"
	lawOne     = "At the end exactly the current key is alive"
	lawHeld    = "At the end the store holds the current key and no other"
	lawUsed    = "At the end every consumer uses the current key"
	lawSecrets = "No secret is in a status, an event, a log line, an error or a record of the journal"
)

// ending looks at what is left when everything has ended.
func (u *universe) ending(ctx context.Context, p *process) {
	if wait(ctx, max(u.traits.Propagation, 0)) != nil {
		return
	}
	u.look(ctx, "at the end")
	st, err := p.rotator.Status(ctx, u.Credential)
	u.hear(err)
	u.hear(st)
	if err != nil || st.Last == nil {
		u.violate(lawOutcome, "the journal does not say how it ended")
		return
	}
	u.hear(*st.Last)
	generation := 2
	if u.plot.outcome == rotation.RolledBack {
		generation = 1
	}
	if u.plot.begins && u.plot.ends && st.Generation == 3 {
		generation = 3 // the standard rotation had come to its end, or to its new key
	}
	if st.Last.Outcome != u.plot.outcome || st.Generation != generation {
		u.violate(lawOutcome, "it ended %q at generation %d, not %q at generation %d", st.Last.Outcome, st.Generation, u.plot.outcome, generation)
	}
	current := u.holds(ctx)
	if current.IsZero() {
		return
	}
	u.alone(ctx, current)
	for _, pr := range u.presenters {
		moved := within(ctx, u.pace.lag+u.pace.call, func() error {
			if u.holdsOnly(ctx, pr, current) {
				return nil
			}
			return errors.New("another one")
		})
		if moved != nil {
			u.violate(lawUsed, "%s does not use %s", pr.Name, nameOf(current))
		}
	}
	for _, k := range u.keys() {
		if u.said.shows(k.Secret) {
			u.violate(lawSecrets, "the value of %s is", nameOf(k))
		}
	}
}

// holds returns the current key of the store, if that is all that it has.
func (u *universe) holds(ctx context.Context) rotation.Key {
	v, err := u.Store.Load(ctx, u.Credential)
	current, known := u.whole(v.Key(rotation.RoleCurrent))
	switch {
	case err != nil:
		u.violate(lawHeld, "the store does not answer: %s", u.safe(err))
	case current.IsZero() || !known:
		u.violate(lawHeld, "the store holds no current key that was made here")
		return rotation.Key{}
	case len(v.Keys) != 1:
		u.violate(lawHeld, "the store holds %d keys", len(v.Keys))
	}
	return current
}

// alone makes sure that the current key is accepted and no other one is, by those who accept and by those who list.
func (u *universe) alone(ctx context.Context, current rotation.Key) {
	if u.isAccused(current) {
		u.violate(lawOne, "the compromised key %s is still current", nameOf(current))
	}
	err := u.settled(func() error { return u.verifier.Verify(ctx, current) })
	if err != nil {
		u.violate(lawOne, "the current key %s is not accepted: %s", nameOf(current), u.safe(err))
	}
	for _, k := range u.keys() {
		if k.Secret.Equal(current.Secret) {
			continue
		}
		err := u.settled(func() error {
			switch err := u.verifier.Verify(ctx, k); {
			case err == nil:
				return errors.New("it is still accepted")
			case errors.Is(err, rotation.ErrRejected):
				return nil
			default:
				return err
			}
		})
		if err != nil {
			u.violate(lawOne, "%s is not refused: %s", nameOf(k), u.safe(err))
		}
	}
	infos, _, err := u.list(ctx)
	if err != nil {
		u.violate(lawOne, "List: %s", u.safe(err))
	}
	for _, i := range infos {
		if !i.Disabled && i.Key.ID != current.ID && !u.strangers[i.Key.ID] {
			u.violate(lawOne, "%s is still listed, and in no record", nameOf(i.Key))
		}
	}
}

// clearUp revokes every key, takes the keys out of the store and has everything end.
func (u *universe) clearUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	u.abandon()
	u.work.Wait()
	if err := within(ctx, cleanupTime, u.idle); err != nil {
		u.violate("Every call ends", "%s", err)
	}
	if u.issuer != nil && u.Provider == nil {
		if err := guard(func() error { return u.revokeAll(ctx) }); err != nil && !u.isBroken() {
			u.violate("Every key that was made here is revoked", "%s", u.safe(err))
		}
	}
	if u.Store != nil && u.sim.Store != nil {
		err := guard(func() error {
			v, err := u.Store.Load(ctx, u.Credential)
			if err == nil && len(v.Keys) > 0 {
				err = u.Store.Save(ctx, u.Credential, rotation.Versions{Revision: v.Revision})
			}
			return err
		})
		if err != nil && !u.isBroken() {
			u.violate(lawHeld, "its keys cannot be taken away: %s", u.safe(err))
		}
	}
	for i := len(u.cleanups) - 1; i >= 0; i-- {
		_ = guard(func() error { u.cleanups[i](); return nil })
	}
}

// abandon lets go of what was held up and never landed: nothing waits for it any more.
func (u *universe) abandon() {
	select {
	case <-u.late:
	default:
		u.dropped.Store(true)
		close(u.late)
	}
	u.landing.Wait()
}

// revokeAll ends every key of the schedule, and those that are listed and were not at its beginning.
func (u *universe) revokeAll(ctx context.Context) error {
	var errs []error
	infos, _, err := u.list(ctx)
	errs = append(errs, err)
	for _, k := range u.keys() {
		if err := u.issuer.Revoke(ctx, k); err != nil {
			errs = append(errs, fmt.Errorf("Revoke of %s: %w", nameOf(k), err))
		}
	}
	for _, i := range infos {
		_, known := u.whole(i.Key)
		if !known && !i.Disabled && !u.strangers[i.Key.ID] {
			errs = append(errs, u.issuer.Revoke(ctx, i.Key))
		}
	}
	return errors.Join(errs...)
}
