// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"time"
)

// restore makes sure that the old key can be gone back to: enabled, settled, proven.
func (d *drive) restore() error {
	run := d.st.Run
	old := d.st.key(run.Old)
	if d.st.key(run.New) == nil {
		return nil // there is no key to kill, and nobody left the old one
	}
	if old.disabled() {
		if err := d.enable(old); err != nil {
			return err
		}
	}
	if !old.DisableSent.IsZero() {
		settled := latest(old.DisableSent.Add(d.r.settle(d.reg)), d.st.Settle)
		if known := old.EnabledAt.Add(d.reg.Traits.Propagation); known.After(settled) && d.verify(d.value(run.New)) == nil {
			settled = known // an edge may learn of both so late, and until then everybody has a key that works
		}
		if settled.After(time.Now()) {
			return &waiting{needs: []Need{{ID: d.needID("settle"), Kind: NeedTime, Until: settled, Text: "a call that disables " + old.Key.String() + " can still land, or be learnt of"}}}
		}
	}
	err := d.proof(d.value(run.Old), d.reg.Policy.Proofs)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrRejected) && d.revived(old):
		return d.again(Need{ID: d.needID("enable"), Kind: NeedTime, Text: old.Key.String() + " is enabled once more"})
	case errors.Is(err, ErrRejected):
		if err := d.refusedAlone(old); err != nil {
			return err
		}
		return &turn{why: "the old key is dead", take: func(d *drive) error {
			d.st.Run.NoOverlap = true
			return d.forward(old.Key.String() + " is not accepted any more")
		}}
	default:
		return &Error{Evidence: "it is not known whether " + old.Key.String() + " is accepted", Err: hide(err)}
	}
}
