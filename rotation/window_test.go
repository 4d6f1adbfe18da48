// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

func TestWindowNext(t *testing.T) {
	for _, c := range []struct{ window, at, from, to string }{
		// Before, at the beginning, within, at the end.
		{"Tue-Thu 01:00-05:00 Europe/Berlin", "2026-03-03T00:59:59+01:00", "2026-03-03T01:00:00+01:00", "2026-03-03T05:00:00+01:00"},
		{"Tue-Thu 01:00-05:00 Europe/Berlin", "2026-03-03T01:00:00+01:00", "2026-03-03T01:00:00+01:00", "2026-03-03T05:00:00+01:00"},
		{"Tue-Thu 01:00-05:00 Europe/Berlin", "2026-03-03T04:59:59+01:00", "2026-03-03T01:00:00+01:00", "2026-03-03T05:00:00+01:00"},
		{"Tue-Thu 01:00-05:00 Europe/Berlin", "2026-03-03T05:00:00+01:00", "2026-03-04T01:00:00+01:00", "2026-03-04T05:00:00+01:00"},
		{"Tue-Thu 01:00-05:00 Europe/Berlin", "2026-03-05T05:00:00+01:00", "2026-03-10T01:00:00+01:00", "2026-03-10T05:00:00+01:00"},
		// Single days, lists, ranges over the weekend, every day.
		{"Mon 10:00-11:00 UTC", "2026-03-03T00:00:00Z", "2026-03-09T10:00:00Z", "2026-03-09T11:00:00Z"},
		{"Mon,Wed 10:00-11:00 UTC", "2026-03-03T00:00:00Z", "2026-03-04T10:00:00Z", "2026-03-04T11:00:00Z"},
		{"Fri-Mon 10:00-11:00 UTC", "2026-03-07T12:00:00Z", "2026-03-08T10:00:00Z", "2026-03-08T11:00:00Z"},
		{"Fri-Mon 10:00-11:00 UTC", "2026-03-09T12:00:00Z", "2026-03-13T10:00:00Z", "2026-03-13T11:00:00Z"},
		{"daily 10:00-11:00 UTC", "2026-03-09T12:00:00Z", "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z"},
		{"  10:00-11:00   UTC ", "2026-03-09T12:00:00Z", "2026-03-10T10:00:00Z", "2026-03-10T11:00:00Z"},
		// Over midnight, and whole days.
		{"Sat 22:00-04:00 UTC", "2026-03-08T03:59:59Z", "2026-03-07T22:00:00Z", "2026-03-08T04:00:00Z"},
		{"Sat 22:00-04:00 UTC", "2026-03-08T04:00:00Z", "2026-03-14T22:00:00Z", "2026-03-15T04:00:00Z"},
		{"Sat 22:00-24:00 UTC", "2026-03-07T23:59:59Z", "2026-03-07T22:00:00Z", "2026-03-08T00:00:00Z"},
		{"Sat 22:00-00:00 UTC", "2026-03-07T23:59:59Z", "2026-03-07T22:00:00Z", "2026-03-08T00:00:00Z"},
		{"daily 00:00-24:00 UTC", "2026-03-08T00:00:00Z", "2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z"},
		// Offsets that are no whole hours.
		{"Mon 01:00-02:00 Asia/Kathmandu", "2026-03-08T00:00:00Z", "2026-03-08T19:15:00Z", "2026-03-08T20:15:00Z"},
		// The hour from 02:00 does not exist on 29 March 2026 in Berlin.
		{"Sun 01:30-03:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
		{"Sun 02:30-04:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		{"Sun 01:00-02:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		{"Sun 02:00-03:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-04-05T00:00:00Z", "2026-04-05T01:00:00Z"},
		{"Sat 23:00-02:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-28T22:00:00Z", "2026-03-29T01:00:00Z"},
		// The hour from 02:00 comes twice on 25 October 2026 in Berlin, from 00:00Z and from 01:00Z on.
		{"Sun 01:00-04:00 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"},
		{"Sun 02:00-03:00 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"},
		{"Sun 02:30-04:00 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"},
		{"Sun 02:30-04:00 Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T03:00:00Z"},
		{"Sun 01:00-02:30 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"},
		{"Sun 01:00-02:30 Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"},
		// Friday, 30 December 2011, never was in Samoa.
		{"Fri 10:00-11:00 Pacific/Apia", "2011-12-24T00:00:00Z", "2012-01-05T20:00:00Z", "2012-01-05T21:00:00Z"},
		// The turn of a year, and a leap day.
		{"Thu 22:00-04:00 America/New_York", "2026-12-31T12:00:00Z", "2027-01-01T03:00:00Z", "2027-01-01T09:00:00Z"},
		{"Tue 22:00-04:00 UTC", "2028-02-29T23:00:00Z", "2028-02-29T22:00:00Z", "2028-03-01T04:00:00Z"},
		// Before 1970.
		{"Sun 10:00-11:00 UTC", "1969-07-20T20:17:40Z", "1969-07-27T10:00:00Z", "1969-07-27T11:00:00Z"},
		{"Thu 00:00-01:00 UTC", "1970-01-01T00:30:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"},
	} {
		parse := func(s string) time.Time {
			at, err := time.Parse(time.RFC3339, s)
			require.NoError(t, err)
			return at.UTC()
		}
		from, to, err := rotation.Window(c.window).Next(parse(c.at))
		if assert.NoErrorf(t, err, "%+v", c) {
			assert.Equalf(t, parse(c.from), from.UTC(), "%+v", c)
			assert.Equalf(t, parse(c.to), to.UTC(), "%+v", c)
		}
	}
}

func TestWindowNextIsInItsZone(t *testing.T) {
	from, to, err := rotation.Window("Tue 01:00-05:00 Europe/Berlin").Next(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	assert.Equal(t, "2026-03-03T01:00:00+01:00", from.Format(time.RFC3339))
	assert.Equal(t, "2026-03-03T05:00:00+01:00", to.Format(time.RFC3339))
}

func TestWindowMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "has to look like",
		"UTC":                               "has to look like",
		"Tue 01:00-05:00":                   "times",
		"Tue 01:00 - 05:00 UTC":             "has to look like",
		"Tue 01:00-05:00 Europe/Berlin now": "has to look like",
		"Tuesday 01:00-05:00 UTC":           "the days",
		"tue 01:00-05:00 UTC":               "the days",
		"Tue, 01:00-05:00 UTC":              "the days",
		"Tue--Thu 01:00-05:00 UTC":          "the days",
		"Tue-Thu-Sat 01:00-05:00 UTC":       "the days",
		"daily,Tue 01:00-05:00 UTC":         "the days",
		"Tue 1:00-05:00 UTC":                "times",
		"Tue 01:60-05:00 UTC":               "times",
		"Tue 01:00-24:01 UTC":               "times",
		"Tue 01:00-25:00 UTC":               "times",
		"Tue 24:00-01:00 UTC":               "times",
		"Tue +1:00-05:00 UTC":               "times",
		"Tue 01:00-05:0０ UTC":               "times",
		"Tue 01:00-05:00-06:00 UTC":         "times",
		"Tue 0100-0500 UTC":                 "times",
		"Tue 01:00-01:00 UTC":               "it is empty",
		"Tue 01:00-05:00 Local":             "zone Local",
		"Tue 01:00-05:00 EST":               "no summer time",
		"Tue 01:00-05:00 Mars/Olympus":      `"Mars/Olympus" is unknown`,
		"Tue 01:00-05:00 ../UTC":            "is unknown",
	} {
		_, _, err := rotation.Window(text).Next(time.Now())
		if assert.Errorf(t, err, "%q", text) {
			assert.Containsf(t, err.Error(), want, "%q", text)
			assert.Containsf(t, err.Error(), fmt.Sprintf("rotation: Window %q", text), "%q", text)
		}
	}
}

// reading is an independent reading of a Window: minutes of the day, and the days as letters, Monday first.
type reading struct {
	days     string
	from, to int
}

func read(t testing.TB, window string) (r reading) {
	words := strings.Fields(window)
	var h1, m1, h2, m2 int
	_, err := fmt.Sscanf(words[len(words)-2], "%d:%d-%d:%d", &h1, &m1, &h2, &m2)
	require.NoError(t, err)
	r.from, r.to = h1*60+m1, h2*60+m2
	if len(words) == 2 || words[0] == "daily" {
		r.days = "MTWtFSs"
		return r
	}
	letters := strings.NewReplacer("Mon", "M", "Tue", "T", "Wed", "W", "Thu", "t", "Fri", "F", "Sat", "S", "Sun", "s")
	for _, item := range strings.Split(letters.Replace(words[0]), ",") {
		week := "MTWtFSsMTWtFSs"
		week = week[strings.Index(week, item[:1]):]
		r.days += week[:strings.Index(week, item[len(item)-1:])+1]
	}
	return r
}

// clock is what the clocks on the wall show: a date, in days, its day of the week, and a minute of the day.
type clock struct {
	date    int64
	weekday time.Weekday
	minute  int
}

func look(t time.Time) clock {
	today := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) // a date, without a zone
	return clock{today.Unix() / 86400, today.Weekday(), t.Hour()*60 + t.Minute()}
}

// begun is the date on which the window began in which the clocks stand; zero if they stand in none.
func (r reading) begun(c clock) int64 {
	on := func(d time.Weekday) bool { return strings.Contains(r.days, "SsMTWtFS"[d+1:][:1]) }
	switch {
	case c.minute >= r.from && (c.minute < r.to || r.from > r.to) && on(c.weekday):
		return c.date
	case c.minute < r.to && r.from > r.to && on(c.weekday-1):
		return c.date - 1
	}
	return 0
}

func zone(t testing.TB, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

// changes are the moments at which the clocks of a zone are put forward or back. Where they never are: one of each year.
func changes(loc *time.Location, first, last int) []time.Time {
	var all []time.Time
	offset := func(t time.Time) int {
		_, off := t.In(loc).Zone()
		return off
	}
	for at := time.Date(first, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() <= last; at = at.Add(time.Hour) {
		if offset(at) != offset(at.Add(time.Hour)) {
			all = append(all, at)
		}
	}
	for year := first; len(all) == 0 || year > first && year <= last; year++ {
		all = append(all, time.Date(year, 3, 29, 1, 0, 0, 0, time.UTC))
	}
	return all
}

// Around every change of the clocks Next agrees with somebody who looks at the wall every minute.
func TestWindowsAgreeWithTheWall(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	fixed := []string{
		"daily 02:00-03:00", "daily 02:30-04:00", "daily 01:00-02:30", "daily 01:15-02:15", "daily 22:00-04:00",
		"daily 02:15-02:14", "daily 00:00-24:00", "daily 23:30-00:30", "Sat-Sun 01:45-03:15", "Sun 00:00-02:00",
	}
	for _, z := range []struct {
		name        string
		first, last int
		least       int // changes that are known
	}{
		{"Europe/Berlin", 2024, 2027, 8},
		{"America/New_York", 2024, 2027, 8},
		{"Australia/Lord_Howe", 2024, 2027, 8}, // half an hour
		{"America/Sao_Paulo", 2024, 2027, 1},   // abolished
		{"America/Sao_Paulo", 2017, 2018, 4},   // at midnight
		{"Pacific/Chatham", 2026, 2026, 2},     // +12:45, at 02:45
		{"America/St_Johns", 2010, 2010, 2},    // -03:30, at 00:01
		{"Pacific/Apia", 2011, 2011, 2},        // a day was left out
		{"UTC", 2024, 2027, 1},
	} {
		loc := zone(t, z.name)
		all := changes(loc, z.first, z.last)
		require.GreaterOrEqual(t, len(all), z.least, z.name)
		for _, change := range all {
			windows := append([]string{}, fixed...)
			for range 2 {
				from := rnd.IntN(300)
				windows = append(windows, fmt.Sprintf("%s 0%d:%02d-0%d:%02d", []string{"daily", "Sun", "Fri-Sat"}[rnd.IntN(3)], from/60, from%60, 5, rnd.IntN(60)))
			}
			begin := change.Add(-30 * time.Hour)
			var clocks []clock
			for i := range 60 * 60 {
				clocks = append(clocks, look(begin.Add(time.Duration(i)*time.Minute).In(loc)))
			}
			for _, w := range windows {
				watch(t, w+" "+z.name, begin, clocks)
			}
		}
	}
}

// watch looks at the wall every minute, and asks Next at the ends of what it sees.
func watch(t *testing.T, text string, begin time.Time, clocks []clock) {
	type seen struct {
		date     int64
		from, to time.Time
	}
	var runs []seen
	window := read(t, text)
	for i, c := range clocks {
		at, date := begin.Add(time.Duration(i)*time.Minute), window.begun(c)
		if n := len(runs); n == 0 || runs[n-1].date != date {
			runs = append(runs, seen{date, at, at})
		}
		runs[len(runs)-1].to = at.Add(time.Minute)
	}
	for i := 1; i < len(runs)-1; i++ { // of the first and the last one an end was not seen
		r := runs[i]
		if r.date == 0 {
			continue
		}
		asked := []time.Time{r.from, r.to.Add(-time.Nanosecond)}
		if i > 1 && runs[i-1].date == 0 {
			asked = append(asked, runs[i-1].from)
		}
		for _, at := range asked {
			from, to, err := rotation.Window(text).Next(at)
			require.NoError(t, err, text)
			require.True(t, from.Equal(r.from) && to.Equal(r.to), "%s: after %v: %v to %v, and the wall shows %v to %v", text, at, from, to, r.from, r.to)
		}
	}
}

// FuzzWindow: no text breaks it, and what it accepts agrees with the wall.
func FuzzWindow(f *testing.F) {
	for _, s := range []string{
		"Tue-Thu 01:00-05:00 Europe/Berlin", "Mon,Wed 12:00-13:00 UTC", "daily 22:00-04:00 America/New_York", "02:00-03:00 Australia/Lord_Howe",
		"Sun 00:00-24:00 America/Sao_Paulo", "Fri-Mon 00:00-00:01 Asia/Kathmandu", "Sun 01:30-02:30 Africa/Casablanca", "", "Sun 24:00-24:00 Local",
	} {
		f.Add(s, int64(1_774_746_000))
		f.Add(s, int64(635_000_000))
	}
	first, last := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		at := time.Unix(first+(seconds%(last-first)+last-first)%(last-first), 0)
		from, to, err := rotation.Window(text).Next(at)
		if err != nil {
			return
		}
		require.True(t, from.Before(to) && at.Before(to), "%q at %v: %v to %v", text, at, from, to)
		require.LessOrEqual(t, to.Sub(from), 49*time.Hour, text)
		r := read(t, text)
		date := r.begun(look(from))
		require.NotZero(t, date, "%q: the wall shows %v", text, from)
		require.Equal(t, date, r.begun(look(to.Add(-time.Minute))), "%q: the wall shows %v", text, to.Add(-time.Minute))
		require.NotEqual(t, date, r.begun(look(from.Add(-time.Minute))), "%q: the wall shows %v", text, from)
		require.NotEqual(t, date, r.begun(look(to)), "%q: the wall shows %v", text, to)
		if from.After(at) {
			require.Zero(t, r.begun(look(at.In(from.Location()))), "%q: at %v the next was %v", text, at, from)
		}
	})
}
