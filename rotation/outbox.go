// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// outbox holds events until every sink that is known has taken them. It travels with the record, so that what happened and
// the news of it cannot get apart.
type outbox struct {
	Sinks    map[string]time.Time `json:"sinks,omitzero"`  // identity -> when a rotator last had it
	Events   []parcel             `json:"events,omitzero"` // oldest first
	First    int64                `json:"first,omitzero"`  // overflow entries First to Next-1 are full of older events
	Next     int64                `json:"next,omitzero"`
	Sequence int64                `json:"sequence,omitzero"`
	Retry    retry                `json:"retry,omitzero"`
}

// parcel is an event and the sinks that have not taken it.
type parcel struct {
	Event Event    `json:"event"`
	Owed  []string `json:"owed"`
}

const (
	outboxRoom   = 128 // events that a record may hold; more go to entries of their own
	sinkGone     = 30 * 24 * time.Hour
	sinkNews     = 24 * time.Hour // how exactly the last sight of a sink is kept
	timelineRoom = 100
)

// know remembers the sinks of this process. A sink that no process has had for a month is owed nothing any more.
func (o *outbox) know(sinks []Sink, now time.Time) {
	for _, id := range sinkIDs(sinks) {
		if now.Sub(o.Sinks[id]) > sinkNews {
			if o.Sinks == nil {
				o.Sinks = map[string]time.Time{}
			}
			o.Sinks[id] = now
		}
	}
	for id, seen := range o.Sinks {
		if now.Sub(seen) > sinkGone {
			delete(o.Sinks, id)
		}
	}
}

// sinkIDs are the identities of sinks; those that have the same are told apart by their order.
func sinkIDs(sinks []Sink) []string {
	var ids []string
	for _, s := range sinks {
		id := identity(s)
		for n := 2; slices.Contains(ids, id); n++ {
			id = fmt.Sprintf("%s#%d", identity(s), n)
		}
		ids = append(ids, id)
	}
	return ids
}

func (o *outbox) retryAt(now time.Time) time.Time {
	if len(o.Events) == 0 && o.First == o.Next {
		return time.Time{}
	}
	return latest(o.Retry.At, now)
}

// emit records what happened: in the timeline of the open rotation, and for every sink.
func (d *drive) emit(e Event) {
	st := d.st
	st.Outbox.Sequence++
	e.ID = fmt.Sprintf("%s/%s/%d/%d", d.reg.Name, st.WriteID, st.Epoch, st.Outbox.Sequence) // another journal, or one that was restored, counts the same numbers
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At, e.Credential, e.Contact, e.Actor = e.At.Round(0), d.reg.Name, d.reg.Contact, d.r.actor(d.ctx)
	if run := st.Run; run != nil {
		e.Rotation, e.Strategy, e.Phase, e.Generation = run.ID, run.Strategy, run.Phase, run.Generation
		if len(run.Incidents) > 0 {
			e.Incident = run.Incidents[len(run.Incidents)-1]
		}
		run.mark(e)
	}
	if e.Problem != nil {
		p := *e.Problem
		e.Problem = &p
	}
	if len(st.Outbox.Sinks) == 0 {
		return
	}
	owed := make([]string, 0, len(st.Outbox.Sinks))
	for id := range st.Outbox.Sinks {
		owed = append(owed, id)
	}
	slices.Sort(owed)
	st.Outbox.Events = append(st.Outbox.Events, parcel{e, owed})
}

// account adds the record of the rotation that has just ended to the event that says so.
func (o *outbox) account(rec *Record) {
	if n := len(o.Events); n > 0 && o.Events[n-1].Event.Kind == EventEnded && o.Events[n-1].Event.Rotation == rec.ID {
		o.Events[n-1].Event.Record = rec
	}
}

// errBehind is why a sink gets nothing while an older event of it cannot be read.
var errBehind = recorded("an older event cannot be read")

// mark adds a line to the timeline, at its time: what is learned late may have been done early. A long one keeps its beginning
// and its end.
func (r *run) mark(e Event) {
	line := Moment{At: e.At, Phase: e.Phase, Text: e.Text}
	if e.Kind == EventBegan || e.Kind == EventAnswered {
		line.Actor = e.Actor
	}
	if len(r.Timeline) >= timelineRoom {
		r.Timeline = slices.Delete(r.Timeline, timelineRoom/2, timelineRoom/2+1)
	}
	at := len(r.Timeline)
	for at > 0 && r.Timeline[at-1].At.After(line.At) {
		at--
	}
	r.Timeline = slices.Insert(r.Timeline, at, line)
}

// note adds what a reader of the record wants to know, and tells people of it if they should look.
func (d *drive) note(level slog.Level, text string) {
	d.r.cfg.Logger.LogAttrs(d.ctx, level, text, slog.String("credential", d.reg.Name))
	if level >= slog.LevelWarn {
		d.emit(Event{Kind: EventWarning, Level: level, Text: text})
	} else if d.st.Run != nil {
		d.st.Run.mark(Event{At: time.Now().Round(0), Phase: d.st.Run.Phase, Text: text})
	}
}

// deliver hands the events to the sinks, in order for each. A sink that fails keeps its events for the next time and holds
// nothing up.
func (d *drive) deliver() {
	o := &d.st.Outbox
	d.spill()
	if o.Retry.At.After(time.Now()) {
		return
	}
	if len(o.Events) == 0 && o.First == o.Next {
		return
	}
	if err := d.save(); err != nil { // what was done is recorded before a slow sink is asked
		return
	}
	failed := map[string]error{}
	d.deliverOverflow(failed)
	d.offer(o.Events, failed)
	o.Events = slices.DeleteFunc(o.Events, func(p parcel) bool { return len(p.Owed) == 0 })
	if len(o.Events) == 0 && o.First == o.Next {
		o.Retry = retry{}
	} else {
		o.Retry = d.backoff(o.Retry, errors.Join(slices.Collect(maps.Values(failed))...))
	}
}

// offer delivers events to those of their sinks that this process has.
func (d *drive) offer(events []parcel, failed map[string]error) {
	ids := sinkIDs(d.r.cfg.Sinks)
	for n, s := range d.r.cfg.Sinks {
		id := ids[n]
		for i := range events {
			p := &events[i]
			if failed[id] != nil || !slices.Contains(p.Owed, id) {
				continue
			}
			event := p.Event // a delivery that is given up may go on when the outbox has moved
			err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return s.Deliver(ctx, event) })
			if err != nil {
				failed[id] = err
				d.r.cfg.Logger.LogAttrs(d.ctx, slog.LevelWarn, "a sink did not take an event", slog.String("sink", id), slog.String("problem", publicText(err)))
				continue
			}
			p.Owed = slices.DeleteFunc(p.Owed, func(o string) bool { return o == id })
		}
	}
}

func (d *drive) overflowName(n int64) string {
	return fmt.Sprintf("handover/events/%s/%d", d.reg.Name, n)
}

// overflowEntry is a batch of events outside the record.
type overflowEntry struct {
	Schema int      `json:"schema"`
	Events []parcel `json:"events"`
}

// spill moves the oldest events out of a record that grows because a sink is dead. If even that fails the record keeps them.
func (d *drive) spill() {
	o := &d.st.Outbox
	for len(o.Events) > outboxRoom {
		err := d.saveOverflow(o.Next, 0, o.Events[:outboxRoom])
		if errors.Is(err, ErrConflict) { // left by an Advance that lost its lease: its events are ours too
			e, loadErr := d.r.entry(d.ctx, d.overflowName(o.Next))
			if err = loadErr; err == nil {
				err = d.saveOverflow(o.Next, e.Revision, o.Events[:outboxRoom])
			}
		}
		if err != nil {
			return
		}
		o.Events = slices.Clone(o.Events[outboxRoom:])
		o.Next++
	}
}

func (d *drive) saveOverflow(n, revision int64, events []parcel) error {
	data, err := json.Marshal(overflowEntry{Schema: schema, Events: events})
	if err != nil {
		return err
	}
	e := Entry{Credential: d.overflowName(n), Revision: revision, Data: data}
	return guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.r.cfg.Journal.Save(ctx, e) })
}

// deliverOverflow delivers older events first: a sink that fails on one gets no younger one before it.
func (d *drive) deliverOverflow(failed map[string]error) {
	o, passed := &d.st.Outbox, 0
	for n := o.First; n < o.Next; n++ {
		e, err := guarded(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) (Entry, error) {
			return d.r.cfg.Journal.Load(ctx, d.overflowName(n))
		})
		var batch overflowEntry
		damaged := false
		if err == nil {
			err = read(e, &batch)
			damaged = err != nil && !errors.Is(err, errNewer)
		}
		if damaged {
			err = nil
			passed++
		}
		if err != nil || passed > saveTries {
			for id := range o.Sinks {
				failed[id] = cmp.Or[error](err, errBehind) // nothing younger before it
			}
			return
		}
		if damaged {
			if n == o.First { // no time will make it readable: it is passed over, once
				o.First++
				lost := &Error{Credential: d.reg.Name, Evidence: "the journal's entry " + d.overflowName(n) + " is not readable", Action: "restore it from a backup: it held events that a sink has not got"}
				d.emit(Event{Kind: EventFailed, Level: slog.LevelError, Problem: lost, Text: "events are lost: " + lost.Evidence})
			}
			continue
		}
		d.offer(batch.Events, failed)
		batch.Events = slices.DeleteFunc(batch.Events, func(p parcel) bool { return len(p.Owed) == 0 })
		if err := d.saveOverflow(n, e.Revision, batch.Events); err != nil {
			return
		}
		if len(batch.Events) == 0 && n == o.First {
			o.First++
		}
	}
}

// deliverUnrecorded tells the sinks of an emergency that no journal took, directly.
func (r *Rotator) deliverUnrecorded(ctx context.Context, reg *registration, in Incident, keys int) {
	e := Event{
		ID: reg.Name + "/" + in.Reference + "/unrecorded", At: time.Now().Round(0), Kind: EventRevoked, Level: slog.LevelError,
		Credential: reg.Name, Contact: reg.Contact, Strategy: Emergency, Actor: r.actor(ctx), Incident: in.Reference,
		Text: fmt.Sprintf("the journal does not answer: %d keys were revoked without a record, which follows", keys),
	}
	for _, s := range r.cfg.Sinks {
		if err := guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error { return s.Deliver(ctx, e) }); err != nil {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a sink did not take an event", slog.String("sink", identity(s)), slog.String("problem", publicText(err)))
		}
	}
}
