// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stamp is how this library marks what it wrote to a store: who, for what, and when in the order of leases.
type stamp struct {
	Installation string
	Rotation     string
	Attempt      int
	Epoch        int64
}

func (s stamp) String() string {
	return fmt.Sprintf("handover1:%s:%s:%d:%d", s.Installation, s.Rotation, s.Attempt, s.Epoch)
}

// parseStamp reads a stamp; a text that is none gives false.
func parseStamp(text string) (stamp, bool) {
	f := strings.Split(text, ":")
	if len(f) != 5 || f[0] != "handover1" || f[1] == "" {
		return stamp{}, false
	}
	attempt, err1 := strconv.Atoi(f[3])
	epoch, err2 := strconv.ParseInt(f[4], 10, 64)
	if err1 != nil || err2 != nil || attempt < 0 || epoch < 0 {
		return stamp{}, false
	}
	return stamp{f[1], f[2], attempt, epoch}, true
}

// roles is the store's labels as the journal wants them. It is a target, never a move: whatever happened to the last
// write, the next one ends in the same state.
func (st *state) roles() map[int64]StoredKey {
	want := map[int64]StoredKey{}
	for _, k := range st.Keys {
		if !k.DeadAt.IsZero() {
			continue // proven, and in the record with this write at the latest
		}
		role := RoleRetiring
		switch serial := k.Key.Serial; {
		case !k.live():
		case serial == st.Current:
			role = RoleCurrent
		case st.Run != nil && serial == st.Run.Target:
			role = RolePending
		case k.DebtSince.IsZero() && (k.Presented || st.Run != nil && slices.Contains(st.Run.Victims, serial)):
			role = RolePrevious
		}
		want[k.Key.Serial] = StoredKey{Key: k.Key, Role: role, Compromised: k.compromised()}
	}
	return want
}

// value is the stored key of a serial, with its secret; zero if the store has none.
func (d *drive) value(serial int64) Key {
	for _, k := range d.doc.Keys {
		if k.Key.Serial == serial && serial != 0 {
			return k.Key
		}
	}
	return Key{}
}

// target is what the store should hold: the journal's roles over the values that the store has, and the one that was just
// issued.
func (d *drive) target(issued ...Key) Versions {
	want := d.st.roles()
	out := Versions{Metadata: maps.Clone(d.doc.Metadata), Revision: d.doc.Revision, Stamp: d.stamp().String()}
	for _, k := range d.doc.Keys {
		w, known := want[k.Key.Serial]
		switch {
		case known:
			w.Key.Secret = k.Key.Secret
			out.Keys = append(out.Keys, w)
		case d.st.key(k.Key.Serial) == nil: // somebody's value: kept, and served to nobody until it is looked at
			k.Role, k.Key.Serial = RoleRetiring, 0 // a number of another journal is none
			out.Keys = append(out.Keys, k)
		}
	}
	for _, k := range issued {
		if w, ok := want[k.Serial]; ok && d.value(k.Serial).IsZero() {
			w.Key.Secret = k.Secret
			out.Keys = append(out.Keys, w)
		}
	}
	d.keepServing(out.Keys)
	slices.SortFunc(out.Keys, func(a, b StoredKey) int { return int(b.Key.Serial - a.Key.Serial) })
	return out
}

// keepServing leaves readers what they have while the value that they should have is lost.
func (d *drive) keepServing(keys []StoredKey) {
	if slices.ContainsFunc(keys, func(k StoredKey) bool { return k.Role == RoleCurrent }) {
		return
	}
	served := d.st.key(d.doc.currentKey().Serial)
	if served == nil || served.compromised() || !served.DeadAt.IsZero() {
		return
	}
	for i, k := range keys {
		if k.Key.Serial == served.Key.Serial {
			keys[i].Role = RoleCurrent
		}
	}
}

// strangeCurrent reports whether the store serves a key that no record names.
func (d *drive) strangeCurrent() bool {
	current := d.doc.currentKey()
	return !current.IsZero() && d.st.key(current.Serial) == nil
}

// beside is what the store holds and a new key, without a change of anything else.
func (d *drive) beside(issued Key) Versions {
	out := d.doc
	k := d.st.roles()[issued.Serial]
	k.Key.Secret = issued.Secret
	out.Keys = slices.Clone(d.doc.Keys)
	if d.value(issued.Serial).IsZero() { // a chosen value may be there already
		out.Keys = append(out.Keys, k)
	}
	for i := range out.Keys {
		if d.st.key(out.Keys[i].Key.Serial) == nil {
			out.Keys[i].Key.Serial = 0
		}
	}
	out.Stamp = d.stamp().String()
	return out
}

// stamp is ours for a write to the store now.
func (d *drive) stamp() stamp {
	s := stamp{Installation: d.home, Epoch: d.st.Epoch}
	if run := d.st.Run; run != nil {
		s.Rotation = run.ID
		if a := run.attempt(); a != nil {
			s.Attempt = a.N
		}
	}
	return s
}

// sameDocument compares what readers and the engine see of two documents; who wrote it does not count.
func sameDocument(a, b Versions) bool {
	same := func(x, y StoredKey) bool {
		return x.Role == y.Role && x.Compromised == y.Compromised && x.Key.Equal(y.Key)
	}
	return slices.EqualFunc(a.Keys, b.Keys, same) && maps.Equal(a.Metadata, b.Metadata)
}

// read makes sure that doc is what the store holds now.
func (d *drive) read() error {
	if d.loaded {
		return nil
	}
	doc, err := guarded(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) {
		return d.reg.Store.Load(ctx, d.reg.Name)
	})
	if err != nil {
		return d.storeTrouble("does not answer", err)
	}
	d.doc, d.loaded = d.st.number(doc), true
	if found := judge(d.st, d.doc, d.home); d.recognised && (found == driftForeign || found == driftBehind) {
		d.loaded = false
		return d.applyDrift(found) // in the middle of an Advance
	}
	return nil
}

// number gives a key without a serial the one of the record that it is: one that was in the store before this library, or that
// came back from a backup. The store learns it at the next write. A serial that means another key in this record was given by
// another journal, and is none.
func (st *state) number(doc Versions) Versions {
	keys := slices.Clone(doc.Keys)
	for i := range keys {
		k := &keys[i]
		if known := st.key(k.Key.Serial); known != nil && known.Key.ID != k.Key.ID && known.Key.ID != "" && k.Key.ID != "" {
			k.Key.Serial = 0
		}
		if k.Key.Serial == 0 {
			if known := st.recordOf(*k); known != nil {
				k.Key.Serial, k.Key.Generation = known.Key.Serial, known.Key.Generation
			}
		}
	}
	doc.Keys = keys
	return doc
}

// recordOf returns the record of a stored key without a serial. Where an id is a slot, everything else tells what it held.
func (st *state) recordOf(stored StoredKey) *keyState {
	var found *keyState
	for _, k := range st.Keys {
		a, b := stored.Key, k.Key
		same := a.ID == b.ID && a.IssuedAt.Equal(b.IssuedAt) && maps.Equal(a.Attributes, b.Attributes)
		if a.ID == "" { // then only its place tells
			same = same && !st.Claimed && stored.Role == RoleCurrent && b.Serial == st.Current
		}
		if same && k.DeadAt.IsZero() {
			if found != nil {
				return nil
			}
			found = k
		}
	}
	return found
}

// put brings the store to want: intent, write, and a look whether a write that failed was done after all.
func (d *drive) put(want Versions) error {
	d.st.Writing = true
	if err := d.save(); err != nil {
		return err
	}
	return d.store(want)
}

// store writes want; the intent is journaled already.
func (d *drive) store(want Versions) error {
	d.loaded = false
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error {
		return d.reg.Store.Save(ctx, d.reg.Name, want)
	})
	if err != nil {
		if readErr := d.read(); readErr != nil {
			return errors.Join(d.storeTrouble("does not take the keys", err), readErr)
		}
		written := sameDocument(d.doc, want) && (d.doc.Stamp == want.Stamp || d.emergency() && d.doc.Stamp == "")
		if !written { // in an emergency a copy that is down holds nobody up
			return d.storeTrouble("does not take the keys", err)
		}
	} else {
		d.doc = want
	}
	d.st.Claimed, d.st.Writing, d.st.StoreEpoch, d.unwritten = true, false, d.st.Epoch, false
	return nil
}

// project brings the store to the journal's roles, and does nothing where it is there already.
func (d *drive) project(meta map[string]string) error {
	if err := d.read(); err != nil {
		return err
	}
	if d.strangeCurrent() {
		if err := d.disown(); err != nil {
			return err
		}
	}
	want := d.target()
	if want.Metadata == nil {
		want.Metadata = map[string]string{}
	}
	maps.Copy(want.Metadata, meta)
	if d.st.Claimed && !d.unwritten && d.doc.Stamp != "" && sameDocument(d.doc, want) {
		if s, ours := parseStamp(d.doc.Stamp); ours && d.st.Writing { // the write that was intended has happened, and its author died
			d.st.StoreEpoch = max(d.st.StoreEpoch, s.Epoch)
		}
		return nil
	}
	return d.put(want)
}

func (d *drive) storeTrouble(what string, err error) error {
	e := &Error{Evidence: "the store " + what, Err: hide(err)}
	if errors.Is(err, ErrDenied) {
		e.Diagnosis, e.Action = StoreDenied, "give this process the right to read and write "+d.reg.Name+" in "+d.reg.parts.Store
	}
	return e
}

// timeText is how times stand in a store's metadata.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
