// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window is a time of the week, in a time zone: "Tue-Thu 01:00-05:00 Europe/Berlin", "Mon,Wed 12:00-13:00 UTC",
// "daily 01:00-03:00 UTC" or, the same, "01:00-03:00 UTC". It ends before its second time. "Sat 22:00-04:00 UTC" ends on
// Sunday, and a whole day is 00:00-24:00. The zero Window is none, and an error wherever one is asked for.
//
// A moment lies in a window if the clocks on the walls of its zone show a time in it. When they are put back, the repeated hour
// counts both times; a window that begins or ends within that hour then comes in two parts. When they are put forward, the
// hour that does not exist counts for nothing; a window that lies in it as a whole is left out on that day.
//
// Zones are those of time.LoadLocation, which needs the system's time zone database or the package time/tzdata. "Local" is
// refused: it is another zone on another machine; and so are EST, MST and HST, which have no summer time.
type Window string

// Next returns the window that is open at t, or else the one after: from is the first moment in it and to the first one after
// it, in its zone. Windows that touch are not joined: of "daily 00:00-24:00" each day is one. The error says what is wrong
// with the text.
func (w Window) Next(t time.Time) (from, to time.Time, err error) {
	parsed, err := w.parse()
	if err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("rotation: Window %w", err)
	}
	s, ok := parsed.next(t)
	if !ok {
		return time.Time{}, time.Time{}, fmt.Errorf("rotation: Window %q does not come within %d days", string(w), windowLimit/day)
	}
	return s.from.In(parsed.zone), s.to.In(parsed.zone), nil
}

// weekly is a Window that was understood.
type weekly struct {
	days     [7]bool // on which it begins, by time.Weekday
	from, to int64   // seconds after the day's 00:00 on the wall; to is more than a day if it ends on the next one
	zone     *time.Location
}

var weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

const windowForm = `"Tue-Thu 01:00-05:00 Europe/Berlin", "Mon,Wed 12:00-13:00 UTC" or "daily 22:00-04:00 UTC"`

func (w Window) parse() (*weekly, error) {
	fail := func(format string, args ...any) (*weekly, error) {
		return nil, fmt.Errorf("%q: "+format, append([]any{string(w)}, args...)...)
	}
	words := strings.Fields(string(w))
	if len(words) == 2 {
		words = slices.Insert(words, 0, "daily")
	}
	if len(words) != 3 {
		return fail("it has to look like %s", windowForm)
	}
	var out weekly
	if err := out.parseDays(words[0]); err != nil {
		return fail("%w", err)
	}
	begin, end, _ := strings.Cut(words[1], "-")
	var ok1, ok2 bool
	out.from, ok1 = parseClock(begin)
	out.to, ok2 = parseClock(end)
	switch {
	case !ok1 || !ok2 || out.from == daySeconds:
		return fail("the times %q have to look like 01:00-05:00, from 00:00 to 24:00", words[1])
	case out.from == out.to:
		return fail("it is empty; a whole day is 00:00-24:00")
	case out.to < out.from:
		out.to += daySeconds
	}
	var err error
	if out.zone, err = parseZone(words[2]); err != nil {
		return fail("%w", err)
	}
	return &out, nil
}

func (w *weekly) parseDays(text string) error {
	if text == "daily" {
		w.days = [7]bool{true, true, true, true, true, true, true}
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(item, "-")
		if !ranged {
			last = first
		}
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || to < 0 {
			return fmt.Errorf("the days %q have to be some of %v, a range like Tue-Thu, several with commas between them, or daily", text, weekdays)
		}
		for d := from; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == to {
				break
			}
		}
	}
	return nil
}

// parseClock reads a time of the day, 00:00 to 24:00, as seconds.
func parseClock(text string) (seconds int64, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	hour, err1 := strconv.ParseUint(text[:2], 10, 8)
	minute, err2 := strconv.ParseUint(text[3:], 10, 8)
	seconds = int64(hour*3600 + minute*60)
	return seconds, err1 == nil && err2 == nil && minute < 60 && seconds <= daySeconds
}

func parseZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("the zone Local is another one on another machine: name it, like Europe/Berlin, or take UTC")
	}
	if slices.Contains([]string{"EST", "MST", "HST"}, name) { // known to every database, and wrong in summer
		return nil, fmt.Errorf("the zone %s has no summer time: name a place, like America/New_York", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("the time zone %q is unknown here; without a database of the system a program imports time/tzdata", name)
	}
	return zone, nil
}

// Blackout is a number of days, in a time zone, on which nothing is begun: "2026-12-20..2027-01-06 Europe/Berlin", both days
// included, or one day, "2026-12-24 Europe/Berlin". It begins when the clocks on the walls of the zone first show its first day,
// and ends when they have shown the last of its last one. Zones are those of Window.
type Blackout string

// parse returns the time from its first moment to the first one after it.
func (b Blackout) parse() (span, error) {
	fail := func(format string, args ...any) (span, error) {
		return span{}, fmt.Errorf("%q: "+format, append([]any{string(b)}, args...)...)
	}
	words := strings.Fields(string(b))
	if len(words) != 2 {
		return fail(`it has to look like "2026-12-20..2027-01-06 Europe/Berlin" or "2026-12-24 Europe/Berlin"`)
	}
	begin, end, ranged := strings.Cut(words[0], "..")
	if !ranged {
		end = begin
	}
	first, err1 := time.Parse(time.DateOnly, begin)
	last, err2 := time.Parse(time.DateOnly, end)
	if err1 != nil || err2 != nil {
		return fail("the days %q have to look like 2026-12-20..2027-01-06", words[0])
	}
	if last.Before(first) {
		return fail("it ends before it begins")
	}
	zone, err := parseZone(words[1])
	if err != nil {
		return fail("%w", err)
	}
	return span{firstAt(zone, first.Unix()), pastAt(zone, last.Unix()+daySeconds)}, nil
}
