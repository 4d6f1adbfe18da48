// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Bindings of one Group are the same consumer, which several credentials share: to tell it of one key is to start it anew, and then it
// reads all of them. A rotation that is ready says so in the group's entry; the one that tells the consumer tells it for every
// rotation that had said so by then, and they count as covered when the consumer has answered: until then nobody knows whether it was
// told. No clock decides who was covered: the entry's revisions do.

// groupEntry is in the journal, under a reserved name.
type groupEntry struct {
	Schema  int       `json:"schema"`
	At      time.Time `json:"at,omitzero"`      // the consumer was last told, or may have been
	By      string    `json:"by,omitzero"`      // of which credential
	Teller  string    `json:"teller,omitzero"`  // the rotation that tells it, until it has answered
	Telling []string  `json:"telling,omitzero"` // the rotations whose keys it has read then
	Covered []string  `json:"covered,omitzero"` // those whose keys it has read
	Ready   []string  `json:"ready,omitzero"`   // rotations whose keys are in the store since
}

func groupName(group string) string { return "handover/group/" + group }

func (r *Rotator) loadGroup(ctx context.Context, group string) (Entry, groupEntry, error) {
	e, err := r.entry(ctx, groupName(group))
	rec := groupEntry{Schema: schema}
	if err == nil && e.Revision != 0 {
		err = read(e, &rec)
	}
	return e, rec, err
}

func (r *Rotator) saveGroup(ctx context.Context, group string, rec groupEntry, revision int64) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error {
		return r.cfg.Journal.Save(ctx, Entry{Credential: groupName(group), Revision: revision, Data: data})
	})
}

// gather decides which of the consumers that are to be told can be told now, and what the others wait for. Those that have read the
// key when another credential had them started are told already.
func (d *drive) gather(todo []*consumerState) (ready []*consumerState, needs []Need, err error) {
	for _, c := range todo {
		n, told, err := d.gatherOne(c)
		switch {
		case err != nil:
			return nil, nil, err
		case n != nil:
			needs = append(needs, *n)
		case !told:
			ready = append(ready, c)
		}
	}
	return ready, needs, nil
}

func (d *drive) gatherOne(c *consumerState) (n *Need, told bool, err error) {
	run, b, now := d.st.Run, d.reg.binding(c.Name), time.Now()
	if b.Group == "" || run.Strategy != Standard || run.NoOverlap || c.Moves > 0 || d.deadlineNear() {
		return nil, false, nil
	}
	wait := func(until time.Time, format string, args ...any) (*Need, bool, error) {
		return &Need{ID: d.needID("group/" + c.Name), Kind: NeedTime, Name: c.Name, Until: until, Text: c.Name + fmt.Sprintf(format, args...)}, false, nil
	}
	failed := func(err error) (*Need, bool, error) {
		if errors.Is(err, ErrConflict) { // another rotation of the group is at it
			return wait(now.Add(d.r.cfg.CallTimeout/floor), ": another rotation is about to tell it")
		}
		return nil, false, &Error{Consumer: c.Name, Evidence: "the journal does not take that it is to be told", Err: hide(err)}
	}
	e, rec, err := d.r.loadGroup(d.ctx, b.Group)
	if err != nil {
		return nil, false, err
	}
	if slices.Contains(rec.Covered, run.ID) {
		c.Sent, c.Acked, c.AckedAt, c.Role, c.Problem = run.Target, run.Target, rec.At, RoleCurrent, nil
		run.DeployedAt = latest(run.DeployedAt, rec.At)
		d.emit(Event{Kind: EventDeployed, Consumer: c.Name, Text: c.Name + " was told for " + rec.By + ", and reads " + d.st.key(run.Target).Key.String() + " as well"})
		return nil, true, nil
	}
	theirs := rec.Teller != "" && rec.Teller != run.ID && slices.Contains(rec.Telling, run.ID)
	if c.Sent == run.Target && !theirs {
		return nil, false, nil
	}
	if !slices.Contains(rec.Ready, run.ID) && !slices.Contains(rec.Telling, run.ID) {
		rec.Ready = append(rec.Ready, run.ID)
		if err := d.r.saveGroup(d.ctx, b.Group, rec, e.Revision); err != nil {
			return failed(err)
		}
		e.Revision++
	}
	since := latest(run.PromotedAt, run.IssuedAt)
	all := slices.Concat(rec.Telling, rec.Ready)
	others := d.r.gathering(d.ctx, d.reg, b.Group, all)
	switch next, patience := rec.At.Add(d.reg.Policy.MinInterval), d.reg.Policy.Patience; {
	case rec.Teller == run.ID: // that one has died before it told anybody
	case theirs && now.Sub(rec.At) < patience:
		return wait(earliest(now.Add(d.r.cfg.CallTimeout), rec.At.Add(patience)), ": it is being told for %s", rec.By)
	case theirs && next.After(now):
		return wait(earliest(next, now.Add(patience)), ": it may have been told for %s at %s, and is not to be told again so soon", rec.By, timeText(rec.At))
	case next.After(now) && !rec.At.IsZero():
		return wait(next, ": it was told for %s at %s, and is not to be told again so soon", rec.By, timeText(rec.At))
	case len(others) > 0 && now.Sub(since) < patience:
		return wait(earliest(now.Add(d.r.cfg.CallTimeout), since.Add(patience)), ": it is told once, with %s", some(others))
	}
	rec.At, rec.By, rec.Teller, rec.Telling, rec.Ready = now.Round(0), d.reg.Name, run.ID, all, nil
	if err := d.r.saveGroup(d.ctx, b.Group, rec, e.Revision); err != nil {
		return failed(err)
	}
	return nil, false, nil
}

// cover records that a consumer has answered: whoever was ready when this rotation took it on itself to tell it is covered now. It
// comes before the rotation's own record, without which it tells the consumer the same again. An emergency does not fail for it.
func (d *drive) cover(c *consumerState) error {
	run, b := d.st.Run, d.reg.binding(c.Name)
	if b == nil || b.Group == "" {
		return nil
	}
	err := d.covered(b.Group, run.ID)
	if d.emergency() {
		return nil
	}
	return err
}

func (d *drive) covered(group, by string) error {
	var err error
	for range 3 { // others may be saying that they are ready
		var e Entry
		var rec groupEntry
		e, rec, err = d.r.loadGroup(d.ctx, group)
		switch {
		case err != nil:
			return err
		case rec.Teller == by:
			rec.Teller, rec.Telling, rec.Covered = "", nil, rec.Telling
		case rec.Teller != "":
			return nil // it has taken too long, and another one does it
		default: // it did not wait for others, or has gone back
			rec.Covered = slices.DeleteFunc(rec.Covered, func(id string) bool { return id == by })
		}
		rec.At, rec.By = time.Now().Round(0), d.reg.Name
		if err = d.r.saveGroup(d.ctx, group, rec, e.Revision); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}

// gathering are the other credentials, of those registered here, whose rotations are about to be ready to tell the consumer of a group
// as well.
func (r *Rotator) gathering(ctx context.Context, reg *registration, group string, ready []string) []string {
	r.mu.Lock()
	names := r.ordered().groups[group]
	others := make(map[string]*registration, len(names))
	for _, name := range names {
		others[name] = r.registered[name]
	}
	r.mu.Unlock()
	delete(others, reg.Name)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(others)), func(name string) bool {
		_, st, err := r.load(ctx, name)
		return err != nil || !st.gathers(others[name], group, ready, time.Now())
	})
}

// gathers reports whether a credential is about to be ready. Whoever is stuck, held, or waits for a person or a window, is not.
func (st *state) gathers(reg *registration, group string, ready []string, now time.Time) bool {
	switch run := st.Run; {
	case st.Problem != nil || st.Hold != nil && st.Hold.Until.After(now):
		return false
	case run == nil:
		return !st.opening(reg, now).After(now)
	case run.Strategy != Standard || slices.Contains(ready, run.ID):
		return false
	case slices.ContainsFunc(st.Needs, func(n Need) bool { return n.Kind == NeedPerson || n.Kind == NeedWindow }):
		return false
	}
	i := slices.IndexFunc(reg.Bindings, func(b binding) bool { return b.Group == group })
	c := st.Run.consumer(reg.Bindings[i].Name)
	return c != nil && c.Sent != st.Run.Target || st.Run.Target == 0
}
