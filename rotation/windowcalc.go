// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"iter"
	"math"
	"time"
)

// What the clocks on the walls of a zone show is counted in seconds since they showed 1970-01-01 00:00. As long as the zone keeps
// its offset, that is Unix time plus the offset: no date has to be taken apart, and no rule guesses at an hour that comes twice.

const daySeconds = int64(day / time.Second)

// windowLimit is how far ahead a Window is looked for. A zone leaves out an hour, and Samoa has left out a day: the next week
// has it again.
const windowLimit = 60 * day

// span is the time from its first moment to the first one after it.
type span struct{ from, to time.Time }

func (s span) empty() bool            { return !s.from.Before(s.to) }
func (s span) length() time.Duration  { return s.to.Sub(s.from) }
func (s span) holds(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// stretch is a time in which a zone keeps its offset, in Unix seconds.
type stretch struct{ from, to, offset int64 }

// stretches are those of a zone, beginning with the one that holds a Unix time. They touch, and have no end.
func stretches(zone *time.Location, unix int64) iter.Seq[stretch] {
	return func(yield func(stretch) bool) {
		for {
			t := time.Unix(unix, 0).In(zone)
			_, offset := t.Zone()
			s := stretch{math.MinInt64, math.MaxInt64, int64(offset)}
			begin, end := t.ZoneBounds()
			if !begin.IsZero() {
				s.from = begin.Unix()
			}
			if !end.IsZero() {
				s.to = end.Unix()
			}
			if !yield(s) || end.IsZero() {
				return
			}
			unix = s.to
		}
	}
}

// piece is a piece of a window, within one stretch, in Unix seconds. A date is a number of days since 1970-01-01.
type piece struct{ date, from, to int64 }

// parts are the pieces of w from about a Unix time on, in their order, without end.
func (w *weekly) parts(unix int64) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for s := range stretches(w.zone, unix) {
			wall := max(unix, s.from) + s.offset
			for date := floorDiv(wall, daySeconds) - 1; ; date++ { // one that began on the day before can be open
				p := piece{date, date*daySeconds + w.from - s.offset, date*daySeconds + w.to - s.offset}
				if p.from >= s.to {
					break
				}
				p.from, p.to = max(p.from, s.from), min(p.to, s.to)
				if w.days[floorMod(date+int64(time.Thursday), 7)] && p.from < p.to && !yield(p) { // 1970-01-01 was a Thursday
					return
				}
			}
		}
	}
}

// next returns the window that holds t, or else the one after.
func (w *weekly) next(t time.Time) (s span, ok bool) {
	at := t.Unix()
	var open piece
	for p := range w.parts(at - 3*daySeconds) {
		if ok && p.date == open.date && p.from == open.to { // the zone's offset changed within
			open.to = p.to
			continue
		}
		if ok && open.to > at || p.from > at+int64(windowLimit/time.Second) {
			break
		}
		open, ok = p, true
	}
	return span{time.Unix(open.from, 0), time.Unix(open.to, 0)}, ok && open.to > at
}

// firstAt is the first moment at which the wall shows a time or a later one.
func firstAt(zone *time.Location, wall int64) time.Time {
	for s := range stretches(zone, wall-2*daySeconds) {
		if at := max(s.from, wall-s.offset); at < s.to {
			return time.Unix(at, 0)
		}
	}
	return time.Time{} // the last stretch has no end
}

// pastAt is the first moment from which on the wall never shows a time before.
func pastAt(zone *time.Location, wall int64) (at time.Time) {
	for s := range stretches(zone, wall-2*daySeconds) {
		if s.from > wall+2*daySeconds {
			break
		}
		if end := min(s.to, wall-s.offset); end > s.from {
			at = time.Unix(end, 0)
		}
	}
	return at
}

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }
func floorMod(a, b int64) int64 { return (a%b + b) % b }
