// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// disable switches the old key off where that can be undone, and watches before it is revoked for good.
func (d *drive) disable() error {
	dis, ok := As[Disabler](d.reg.Issuer)
	run := d.st.Run
	if !ok || run.NoOverlap {
		return nil
	}
	for _, victim := range d.st.victims() {
		if !victim.Presented || victim.Key.ID == "" || d.shared(victim.Key) || victim.Issuer != d.reg.parts.Issuer {
			continue
		}
		if victim.DisabledAt.IsZero() {
			if err := d.inWindow(); err != nil {
				return err
			}
			if err := d.passGate(); err != nil {
				return inSoak(err)
			}
			if replaced, err := d.replaced(victim); err != nil {
				return err
			} else if replaced {
				continue
			}
			victim.DisableSent = time.Now()
			d.fresh = nil
			if err := d.save(); err != nil {
				return err
			}
			key := d.whole(victim)
			err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return dis.Disable(ctx, key) })
			if unsupported(err) {
				victim.DisableSent = time.Time{}
				return nil
			}
			if err != nil && !errors.Is(err, ErrNotFound) { // one that is gone needs no trial
				return &Error{Evidence: victim.Key.String() + " was not disabled", Err: hide(err)}
			}
			victim.DisabledAt = time.Now()
			d.emit(Event{Kind: EventDisabled, Key: victim.Key.named(), Text: victim.Key.String() + " is disabled; that can be undone"})
		}
		if err := d.watchDisabled(victim); err != nil {
			return err
		}
	}
	return nil
}

// watchDisabled waits until the disabling is seen everywhere. If something breaks the key is enabled again.
func (d *drive) watchDisabled(victim *keyState) error {
	run := d.st.Run
	broken := d.broken()
	if broken == "" {
		end := victim.DisabledAt.Add(d.reg.Traits.Propagation)
		if !end.After(time.Now()) {
			return nil
		}
		until := earliest(end, time.Now().Add(d.reg.Traits.Propagation/watches))
		return &waiting{needs: []Need{{ID: d.needID("disable"), Kind: NeedTime, Until: until, Text: victim.Key.String() + " is disabled; watching until " + timeText(end), Verbs: []Verb{VerbRollBack}}}}
	}
	if err := d.enable(victim); err != nil {
		return err
	}
	run.Extend = time.Now().Add(max(d.reg.Policy.Quiet, d.reg.Policy.Patience))
	d.st.Problem = &Error{Diagnosis: OldKeyInUse, Consumer: broken, Evidence: "it broke when " + victim.Key.String() + " was disabled; the key is enabled again", Action: "find out what still uses it"}
	d.emit(Event{Kind: EventFailed, Level: slog.LevelWarn, Key: victim.Key.named(), Consumer: broken, Problem: d.st.Problem, Text: victim.Key.String() + " is enabled again: " + broken + " broke without it"})
	return to(PhaseSoak, "something broke without the old key")
}

// watches is how often a disabled key is looked after within its propagation time.
const watches = 5

// broken names a consumer that worked and does not.
func (d *drive) broken() string {
	d.fresh = nil
	f, err := d.observe()
	if err != nil {
		return ""
	}
	for _, c := range d.st.Run.Consumers {
		if s := f.Consumers[c.Name]; s.Verifiable && s.VerifyErr != nil && c.Verified == d.st.Run.Target {
			return c.Name
		}
	}
	return ""
}

// revived enables a key that a late call of ours may have disabled, a few times. It reports whether that is worth waiting for.
func (d *drive) revived(k *keyState) bool {
	if k.DisableSent.IsZero() || k.Revived >= saveTries {
		return false
	}
	k.Revived++
	return d.enable(k) == nil
}

// keepTarget looks after the key that stays. An emergency asks whether it still lives, since it has nothing to soak; and a
// late call of a former owner may switch off again what this rotation once disabled.
func (d *drive) keepTarget() error {
	k := d.st.key(d.st.Run.Target)
	if k == nil {
		return nil
	}
	if d.emergency() || !k.DisableSent.IsZero() {
		switch rejected := errors.Is(d.verify(d.value(k.Key.Serial)), ErrRejected); {
		case rejected && d.revived(k):
			return d.again(Need{ID: d.needID("enable"), Kind: NeedTime, Text: "the key that stays is enabled once more"})
		case rejected && d.emergency():
			if err := d.targetDied(); err != nil {
				return err
			}
		}
	}
	if k.DisableSent.IsZero() {
		return nil
	}
	until := latest(k.DisableSent.Add(d.r.settle(d.reg)), d.st.Settle)
	if d.st.Run.Phase == PhaseFinish && until.After(time.Now()) {
		return &waiting{needs: []Need{{ID: d.needID("settle"), Kind: NeedTime, Until: until, Text: "a call that disables the key that stays can still land"}}}
	}
	return nil
}

func (d *drive) enable(k *keyState) error {
	dis, ok := As[Disabler](d.reg.Issuer)
	if !ok {
		return nil
	}
	if err := d.save(); err != nil {
		return err
	}
	key := d.whole(k)
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return dis.Enable(ctx, key) })
	// What cannot be switched was never switched off: the intent was all there was. What is gone shows in the next question.
	if err != nil && !unsupported(err) && !errors.Is(err, ErrNotFound) {
		return &Error{Evidence: k.Key.String() + " was not enabled again", Err: hide(err)}
	}
	k.DisabledAt, k.EnabledAt = time.Time{}, time.Now()
	d.fresh = nil
	return nil
}
