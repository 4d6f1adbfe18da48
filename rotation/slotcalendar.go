// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// calendar says when a rotation may begin by itself: in a window, and in no blackout. The zero calendar: at any time.
type calendar struct {
	windows   []*weekly // none: at any time
	blackouts []span    // in their order; they do not touch
}

// newCalendar reads windows and blackouts. The error joins every mistake, each naming its field.
func newCalendar(windows []Window, blackouts []Blackout) (*calendar, error) {
	var c calendar
	var errs []error
	for i, text := range windows {
		w, err := text.parse()
		if err != nil {
			errs = append(errs, fmt.Errorf("Policy.Windows[%d] %w", i, err))
			continue
		}
		c.windows = append(c.windows, w)
	}
	for i, text := range blackouts {
		s, err := text.parse()
		if err != nil {
			errs = append(errs, fmt.Errorf("Policy.Blackouts[%d] %w", i, err))
			continue
		}
		if !s.empty() { // a day that its zone has left out
			c.blackouts = append(c.blackouts, s)
		}
	}
	c.blackouts = joined(c.blackouts)
	return &c, errors.Join(errs...)
}

// calendarReader is newCalendar, or something that remembers what that has read.
type calendarReader func([]Window, []Blackout) (*calendar, error)

// calendar is newCalendar, once for all credentials with the same windows and blackouts: zones come from files, and are large.
func (r *Rotator) calendar(windows []Window, blackouts []Blackout) (*calendar, error) {
	texts := fmt.Sprintf("%q %q", windows, blackouts)
	r.mu.Lock()
	known := r.calendars[texts]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	c, err := newCalendar(windows, blackouts)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calendars[texts] = c
	}
	return c, err
}

// joined puts spans in their order, and those that overlap or touch together.
func joined(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && !s.from.After(out[n-1].to) {
			out[n-1].to = latest(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// next returns the allowed time that is running at t, or else the one after; it is none if nothing comes within the limit
// after t. Its end is zero where nothing ends it, and its beginning is t where there are no windows.
func (c *calendar) next(t time.Time, limit time.Duration) (s span, ok bool) {
	at := t
	for !at.After(t.Add(limit)) {
		s = span{from: at}
		if len(c.windows) > 0 {
			if s, ok = c.window(at); !ok {
				return span{}, false
			}
		}
		cut := false
		for _, b := range c.blackouts {
			switch first := latest(s.from, at); {
			case b.holds(first):
				at, cut = b.to, true
			case !b.to.After(first): // what it left of the window began when it ended
				s.from = latest(s.from, b.to)
			default:
				s.to = earliest(b.from, s.to)
			}
			if cut {
				break
			}
		}
		if !cut {
			return s, !s.from.After(t.Add(limit))
		}
	}
	return span{}, false
}

// window returns the window that is open at t, the one that stays open for the longest if there are several, or else the one
// that comes first.
func (c *calendar) window(t time.Time) (best span, ok bool) {
	for _, w := range c.windows {
		s, found := w.next(t)
		if !found {
			continue
		}
		order := latest(s.from, t).Compare(latest(best.from, t))
		if !ok || order < 0 || order == 0 && s.to.After(best.to) {
			best, ok = s, true
		}
	}
	return best, ok
}

// within returns what is allowed between two times, in its order.
func (c *calendar) within(outer span) []span {
	var open []span
	add := func(s span) {
		s = span{latest(s.from, outer.from), earliest(s.to, outer.to)}
		if !s.empty() {
			open = append(open, s)
		}
	}
	if len(c.windows) == 0 {
		add(outer)
	}
	for _, w := range c.windows {
		for at := outer.from; at.Before(outer.to); {
			s, ok := w.next(at)
			if !ok {
				break
			}
			add(s)
			at = s.to
		}
	}
	return without(joined(open), c.blackouts)
}

// without returns what blackouts leave of spans; both are in their order.
func without(spans, blackouts []span) []span {
	var out []span
	for _, s := range spans {
		for _, b := range blackouts {
			if !b.to.After(s.from) || !b.from.Before(s.to) {
				continue
			}
			if s.from.Before(b.from) {
				out = append(out, span{s.from, b.from})
			}
			s.from = b.to
		}
		if !s.empty() {
			out = append(out, s)
		}
	}
	return out
}

// last returns the last allowed time between two times; false if there is none. It begins where it begins, or a day before its
// end if that is later.
func (c *calendar) last(outer span) (s span, ok bool) {
	const step = 16 * day
	for to := outer.to; to.After(outer.from); to = to.Add(-step) {
		found := c.within(span{latest(outer.from, to.Add(-step)), to})
		if n := len(found); n > 0 {
			end := found[n-1].to
			found = c.within(span{latest(outer.from, end.Add(-day)), end})
			return found[len(found)-1], true
		}
	}
	return span{}, false
}

// impossible says why a key of this maximal age would get too old whatever is done: nothing is allowed for longer than that.
func (c *calendar) impossible(maxAge time.Duration, now time.Time) error {
	const far = 100 * 366 * day
	pauses := []time.Time{now}
	for _, s := range c.within(span{now, now.Add(21 * day)}) {
		pauses = append(pauses, s.to)
	}
	for _, b := range c.blackouts {
		if b.to.After(now) {
			pauses = append(pauses, latest(b.from, now))
		}
	}
	for _, at := range pauses {
		from := at.Add(-maxAge)
		if before, ok := c.last(span{from, at}); ok {
			from = before.to
		}
		s, ok := c.next(at, far)
		switch {
		case !ok:
			return fmt.Errorf("Policy.Windows and Policy.Blackouts allow nothing from %s on", timeText(from))
		case s.from.Sub(from) > maxAge:
			return fmt.Errorf("Policy.Windows and Policy.Blackouts allow nothing from %s to %s: that is longer than the maximal age (%v), and every key would get older", timeText(from), timeText(s.from), maxAge)
		}
	}
	return nil
}
