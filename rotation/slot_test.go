// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func calendarOf(t testing.TB, windows []Window, blackouts []Blackout) *calendar {
	c, err := newCalendar(windows, blackouts)
	require.NoError(t, err)
	return c
}

func at(t testing.TB, text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04"} {
		if out, err := time.Parse(layout, text); err == nil {
			return out.UTC()
		}
	}
	require.FailNow(t, "no time", text)
	return time.Time{}
}

func TestBlackouts(t *testing.T) {
	for text, want := range map[Blackout][2]string{
		"2026-12-20..2027-01-06 Europe/Berlin": {"2026-12-19T23:00:00Z", "2027-01-06T23:00:00Z"},
		"2026-12-24 UTC":                       {"2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z"},
		"2026-12-24..2026-12-24 UTC":           {"2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z"},
		"2026-03-29 Europe/Berlin":             {"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}, // 23 hours
		"2026-10-25 Europe/Berlin":             {"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}, // 25 hours
		"2018-11-04 America/Sao_Paulo":         {"2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}, // it began at 01:00
		"2018-02-17 America/Sao_Paulo":         {"2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"}, // its last hour came twice
		"2010-11-06 America/St_Johns":          {"2010-11-06T02:30:00Z", "2010-11-07T03:30:00Z"}, // came again when the next day was a minute old
		"2010-11-07 America/St_Johns":          {"2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"}, // and that is the minute
		"2011-12-31 Pacific/Apia":              {"2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"}, // the day before was left out
	} {
		got, err := text.parse()
		require.NoError(t, err, text)
		assert.Equal(t, want, [2]string{timeText(got.from), timeText(got.to)}, text)
	}
	for text, want := range map[Blackout]string{
		"":                           "has to look like",
		"2026-12-24":                 "has to look like",
		"2026-12-24 .. 12-25 UTC":    "has to look like",
		"2026-12-24..2026-12-23 UTC": "ends before it begins",
		"2026-12-24..UTC UTC":        "the days",
		"2026-02-29 UTC":             "the days",
		"24.12.2026 UTC":             "the days",
		"2026-12-24 Local":           "zone Local",
		"2026-12-24 Nowhere":         "unknown",
	} {
		_, err := text.parse()
		assert.ErrorContains(t, err, want, text)
	}
}

func TestCalendarMistakes(t *testing.T) {
	_, err := newCalendar([]Window{"daily 00:00-24:00 UTC", "never"}, []Blackout{"2026-12-24 UTC", "x"})
	require.ErrorContains(t, err, `Policy.Windows[1] "never"`)
	require.ErrorContains(t, err, `Policy.Blackouts[1] "x"`)
	require.NotContains(t, err.Error(), "[0]")
}

func TestCalendarNext(t *testing.T) {
	nights, december := []Window{"Tue-Thu 01:00-05:00 UTC"}, []Blackout{"2026-12-20..2027-01-06 UTC"}
	for what, c := range map[string]struct {
		windows   []Window
		blackouts []Blackout
		at        string
		from, to  string // no to: it has no end
	}{
		"always":                        {nil, nil, "2026-12-01 00:00", "2026-12-01 00:00", ""},
		"until a blackout":              {nil, december, "2026-12-01 00:00", "2026-12-01 00:00", "2026-12-20 00:00"},
		"after a blackout":              {nil, december, "2026-12-20 00:00", "2027-01-07 00:00", ""},
		"between blackouts":             {nil, []Blackout{"2026-12-24 UTC", "2026-12-20 UTC"}, "2026-12-20 01:00", "2026-12-21 00:00", "2026-12-24 00:00"},
		"blackouts that touch":          {nil, []Blackout{"2026-12-21 UTC", "2026-12-20 UTC"}, "2026-12-20 01:00", "2026-12-22 00:00", ""},
		"blackouts that overlap":        {nil, []Blackout{"2026-12-20..2026-12-30 UTC", "2026-12-22 UTC"}, "2026-12-20 01:00", "2026-12-31 00:00", ""},
		"a window":                      {nights, december, "2026-12-02 02:00", "2026-12-02 01:00", "2026-12-02 05:00"},
		"a window after a blackout":     {nights, december, "2026-12-17 05:00", "2027-01-07 01:00", "2027-01-07 05:00"},
		"a window that a blackout cuts": {[]Window{"Sat 22:00-04:00 UTC"}, december, "2026-12-19 22:00", "2026-12-19 22:00", "2026-12-20 00:00"},
		"a window out of a blackout":    {[]Window{"daily 22:00-04:00 UTC"}, december, "2027-01-07 03:00", "2027-01-07 00:00", "2027-01-07 04:00"},
		"the first of two":              {[]Window{"daily 03:00-04:00 UTC", "daily 01:00-02:00 UTC"}, nil, "2026-12-02 00:00", "2026-12-02 01:00", "2026-12-02 02:00"},
		"the longer of two that run":    {[]Window{"daily 01:00-02:00 UTC", "daily 00:00-04:00 UTC"}, nil, "2026-12-02 01:30", "2026-12-02 00:00", "2026-12-02 04:00"},
		"the one that runs":             {[]Window{"daily 02:00-08:00 UTC", "daily 01:00-03:00 UTC"}, nil, "2026-12-02 01:30", "2026-12-02 01:00", "2026-12-02 03:00"},
	} {
		s, ok := calendarOf(t, c.windows, c.blackouts).next(at(t, c.at), slotLimit)
		require.True(t, ok, what)
		assert.Equal(t, at(t, c.from), s.from.UTC(), what)
		if c.to == "" {
			assert.Zero(t, s.to, what)
		} else {
			assert.Equal(t, at(t, c.to), s.to.UTC(), what)
		}
	}
	_, ok := calendarOf(t, nil, []Blackout{"2026-01-01..2029-01-01 UTC"}).next(at(t, "2026-06-01 00:00"), slotLimit)
	require.False(t, ok, "nothing within the limit")
}

func TestNextSlot(t *testing.T) {
	nights, december := []Window{"Tue-Thu 01:00-05:00 UTC"}, []Blackout{"2026-12-20..2027-01-06 UTC"}
	due := "2026-12-11 12:00" // a Friday
	for what, c := range map[string]struct {
		windows   []Window
		blackouts []Blackout
		due, now  string
		from, to  string
	}{
		"at any time":                             {nil, nil, due, "2026-11-01 00:00", due, ""},
		"at any time, overdue":                    {nil, nil, due, "2026-12-13 00:00", due, ""},
		"at once":                                 {nil, nil, "", "2026-12-13 00:00", "2026-12-13 00:00", ""},
		"at once, in a window":                    {nights, nil, "", "2026-12-13 00:00", "2026-12-15 01:00", "2026-12-15 05:00"},
		"the last window before":                  {nights, nil, due, "2026-11-01 00:00", "2026-12-10 01:00", "2026-12-10 05:00"},
		"while that runs":                         {nights, nil, due, "2026-12-10 04:59", "2026-12-10 01:00", "2026-12-10 05:00"},
		"that was missed":                         {nights, nil, due, "2026-12-10 05:00", "2026-12-15 01:00", "2026-12-15 05:00"},
		"long overdue":                            {nights, nil, due, "2027-02-03 02:00", "2027-02-03 01:00", "2027-02-03 05:00"},
		"due in a window":                         {nights, nil, "2026-12-10 02:00", "2026-11-01 00:00", "2026-12-10 02:00", "2026-12-10 05:00"},
		"due at the end of a window":              {nights, nil, "2026-12-10 04:59", "2026-11-01 00:00", "2026-12-10 04:00", "2026-12-10 05:00"},
		"due when a window ends":                  {nights, nil, "2026-12-10 05:00", "2026-11-01 00:00", "2026-12-10 01:00", "2026-12-10 05:00"},
		"due when a window begins":                {nights, nil, "2026-12-10 01:00", "2026-11-01 00:00", "2026-12-10 01:00", "2026-12-10 05:00"},
		"due in a short window":                   {[]Window{"daily 01:00-01:20 UTC"}, nil, "2026-12-10 01:15", "2026-11-01 00:00", "2026-12-10 01:10", "2026-12-10 01:20"},
		"due in a blackout":                       {nil, december, "2027-01-03 00:00", "2026-11-01 00:00", "2026-12-19 00:00", "2026-12-20 00:00"},
		"due in a blackout, with windows":         {nights, december, "2027-01-03 00:00", "2026-11-01 00:00", "2026-12-17 01:00", "2026-12-17 05:00"},
		"due in a blackout, missed":               {nil, december, "2027-01-03 00:00", "2026-12-20 00:00", "2027-01-07 00:00", ""},
		"a window of long ago":                    {nil, []Blackout{"2026-10-10..2026-12-31 UTC"}, due, "2026-10-01 00:00", "2026-10-09 00:00", "2026-10-10 00:00"},
		"in the first quarter of its life is not": {nil, []Blackout{"2026-10-03..2026-12-31 UTC"}, due, "2026-09-30 00:00", "2027-01-01 00:00", ""},
	} {
		var d, issued time.Time
		if c.due != "" {
			d = at(t, c.due)
			issued = d.Add(-90 * day)
		}
		from, to, err := nextSlot(calendarOf(t, c.windows, c.blackouts), 0, issued, d, "api", at(t, c.now))
		require.NoError(t, err, what)
		assert.Equal(t, at(t, c.from), from.UTC(), what)
		if c.to == "" {
			assert.Zero(t, to, what)
		} else {
			assert.Equal(t, at(t, c.to), to.UTC(), what)
		}
	}
	_, _, err := nextSlot(calendarOf(t, nil, []Blackout{"2026-01-01..2029-01-01 UTC"}), 0, time.Time{}, time.Time{}, "api", at(t, "2026-06-01 00:00"))
	require.ErrorContains(t, err, "within 400 days")
}

// Many keys that are due together are spread over what is allowed before, the same way by everybody.
func TestJitterSpreads(t *testing.T) {
	for what, c := range map[string]struct {
		windows   []Window
		blackouts []Blackout
		jitter    time.Duration
		life      time.Duration
		due       string
	}{
		"at any time":               {nil, nil, 7 * day, 90 * day, "2026-12-11 12:00"},
		"a day":                     {nil, nil, day, 90 * day, "2026-12-11 12:00"},
		"in the second half only":   {nil, nil, 80 * day, 20 * day, "2026-12-11 12:00"},
		"nights":                    {[]Window{"Tue-Thu 01:00-05:00 Europe/Berlin"}, nil, 14 * day, 90 * day, "2026-12-11 12:00"},
		"long and short nights":     {[]Window{"Sat 22:00-06:00 UTC", "Mon-Fri 02:00-04:00 UTC"}, nil, 7 * day, 90 * day, "2026-12-11 12:00"},
		"windows that overlap":      {[]Window{"daily 00:00-04:00 UTC", "daily 02:00-06:00 UTC"}, nil, 7 * day, 90 * day, "2026-12-11 12:00"},
		"a blackout in it":          {nil, []Blackout{"2026-12-05..2026-12-08 UTC"}, 7 * day, 90 * day, "2026-12-11 12:00"},
		"a blackout over all of it": {nil, []Blackout{"2026-11-25..2026-12-31 UTC"}, 7 * day, 90 * day, "2026-12-11 12:00"},
		"no window in it":           {[]Window{"Mon 00:00-08:00 UTC"}, nil, day, 90 * day, "2026-12-11 12:00"},
		"the clocks are put back":   {[]Window{"Sat 22:00-06:00 Europe/Berlin"}, nil, 3 * day, 90 * day, "2026-10-26 12:00"},
	} {
		cal, due := calendarOf(t, c.windows, c.blackouts), at(t, c.due)
		issued := due.Add(-c.life)
		hours := map[int64]int{}
		begin, end := due, issued
		for i := range 2000 {
			name := fmt.Sprintf("team-%d/service-%04d", i%7, i)
			from, to, err := nextSlot(cal, c.jitter, issued, due, name, issued)
			require.NoError(t, err)
			require.True(t, allowed(t, from, c.windows, c.blackouts), "%s: %v", what, from)
			require.False(t, from.After(due), "%s: %v", what, from)
			require.False(t, from.Before(due.Add(-c.life/2)), "%s: %v", what, from)
			if !to.IsZero() {
				require.True(t, allowed(t, to.Add(-time.Minute), c.windows, c.blackouts), "%s: %v", what, to)
				require.True(t, to.After(from))
			}
			again, _, err := nextSlot(cal, c.jitter, issued, due, name, from.Add(time.Second)) // another replica, later
			require.NoError(t, err)
			require.Equal(t, from, again, what)
			hours[from.Unix()/3600]++
			begin, end = earliest(begin, from), latest(end, from)
		}
		open, busiest := 0, 0
		for h := begin.Unix() / 3600; h <= end.Unix()/3600; h++ {
			if allowed(t, time.Unix(h*3600, 0), c.windows, c.blackouts) {
				open++
			}
			busiest = max(busiest, hours[h])
		}
		assert.LessOrEqual(t, busiest*open, 3*2000, "%s: %d of 2000 in one hour of %d", what, busiest, open)
		assert.LessOrEqual(t, end.Sub(begin), c.jitter, what)
		assert.GreaterOrEqual(t, len(hours)*10, open*4, "%s: %d hours of %d are used", what, len(hours), open)
	}
}

// A key is not rotated on the same day of the week for ever, and no day gets more than its share of many keys.
func TestJitterChangesTheDay(t *testing.T) {
	const names, rotations, life = 200, 20, 30 * day
	for jitter, most := range map[time.Duration]int{20 * day: rotations * 3 / 4, 10 * day: rotations * 9 / 10} {
		cal := calendarOf(t, []Window{"Mon-Thu 01:00-05:00 Europe/Berlin"}, nil)
		var all [7]int
		for i := range names {
			var mine [7]int
			issued := at(t, "2026-11-02 02:00").Add(time.Duration(i%20) * day)
			for range rotations {
				due := issued.Add(life)
				from, _, err := nextSlot(cal, jitter, issued, due, fmt.Sprint("service-", i), issued)
				require.NoError(t, err)
				issued = from
				all[from.Weekday()]++
				mine[from.Weekday()]++
			}
			require.LessOrEqual(t, slices.Max(mine[:]), most, "jitter %v, service-%d: %v", jitter, i, mine)
		}
		require.LessOrEqual(t, slices.Max(all[:])*10, names*rotations/4*13, "jitter %v: %v", jitter, all)
	}
}

// A long window gets more keys than a short one.
func TestJitterFollowsTheLength(t *testing.T) {
	cal, due := calendarOf(t, []Window{"Mon 00:00-09:00 UTC", "Tue 00:00-03:00 UTC"}, nil), at(t, "2026-12-10 00:00")
	days := map[time.Weekday]int{}
	for i := range 2000 {
		from, _, err := nextSlot(cal, 6*day, due.Add(-90*day), due, fmt.Sprint("service-", i), due.Add(-90*day))
		require.NoError(t, err)
		days[from.UTC().Weekday()]++
	}
	require.Equal(t, 2000, days[time.Monday]+days[time.Tuesday])
	require.InDelta(t, 1600, days[time.Monday], 100, "without the margin they have eight hours and two")
}

// Keys that share a consumer, and are due some days apart, are mostly rotated together.
func TestJitterBringsTogether(t *testing.T) {
	const names, jitter = 500, 14 * day
	for what, windows := range map[string][]Window{"nights": {"Mon-Thu 01:00-05:00 Europe/Berlin"}, "at any time": nil} {
		cal, due := calendarOf(t, windows, nil), at(t, "2026-12-11 12:00")
		together := 0
		for i := range names {
			var slots [2]time.Time
			for k := range slots {
				due := due.Add(time.Duration(k) * 2 * day)
				issued, err := due.Add(-90*day), error(nil)
				slots[k], _, err = nextSlot(cal, jitter, issued, due, fmt.Sprint("group ", i), issued)
				require.NoError(t, err)
			}
			if slots[0].Equal(slots[1]) {
				together++
			}
		}
		require.Greater(t, together, names*3/5, what) // 12 days of 16 are common to both
	}
}

// allowed is an independent look at the clocks: in a window, if there are any, and in no blackout.
func allowed(t testing.TB, at time.Time, windows []Window, blackouts []Blackout) bool {
	for _, b := range blackouts {
		var first, last, zone string
		_, err := fmt.Sscanf(string(b[:10])+" "+string(b[len(b)-14:len(b)-4])+" "+string(b[len(b)-3:]), "%s %s %s", &first, &last, &zone)
		require.NoError(t, err)
		require.Equal(t, "UTC", zone, "this test reads no other blackout")
		if date := at.UTC().Format(time.DateOnly); first <= date && date <= last {
			return false
		}
	}
	return len(windows) == 0 || slices.ContainsFunc(windows, func(w Window) bool {
		from, _, err := w.Next(at) // proven by the tests of windows
		require.NoError(t, err)
		return !from.After(at)
	})
}

// A random calendar: a key gets too old only if nothing was allowed in the last three quarters of its life, and what it is given
// is what somebody finds who tries every quarter of an hour.
func TestSlotsOfAnyCalendar(t *testing.T) {
	for _, seed := range []uint64{1795393345318053576, uint64(time.Now().UnixNano())} { // the first one found a slot after the due date
		slotsOfAnyCalendar(t, seed)
	}
}

func slotsOfAnyCalendar(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	early, over := 0, 0
	for range 150 {
		var windows []Window
		for range rnd.IntN(3) {
			from := rnd.IntN(23 * 4)
			windows = append(windows, Window(fmt.Sprintf("%s %02d:%02d-%02d:%02d UTC", weekdays[rnd.IntN(7)], from/4, from%4*15, rnd.IntN(24), []int{5, 20, 35, 50}[rnd.IntN(4)])))
		}
		first := at(t, "2026-11-01 00:00")
		var blackouts []Blackout
		for range rnd.IntN(3) {
			b := first.Add(time.Duration(rnd.IntN(40)) * day)
			blackouts = append(blackouts, Blackout(b.Format(time.DateOnly)+".."+b.Add(time.Duration(rnd.IntN(30))*day).Format(time.DateOnly)+" UTC"))
		}
		cal := calendarOf(t, windows, blackouts)
		life := time.Duration(1+rnd.IntN(30)) * day
		due := first.Add(time.Duration(rnd.IntN(60*24*4)) * 15 * time.Minute)
		issued := due.Add(-life)
		jitter := time.Duration(rnd.IntN(3)) * 3 * day
		now := issued.Add(time.Duration(rnd.Int64N(int64(2 * life))))

		planned, _, err := nextSlot(cal, jitter, issued, due, "api", issued)
		require.NoError(t, err)
		from, to, err := nextSlot(cal, jitter, issued, due, "api", now)
		require.NoError(t, err)
		what := fmt.Sprintf("%v %v life %v due %v jitter %v now %v: planned %v, %v to %v", windows, blackouts, life, due, jitter, now, planned, from, to)
		require.True(t, allowed(t, planned, windows, blackouts), what)
		require.True(t, allowed(t, from, windows, blackouts), what)
		require.True(t, to.IsZero() || to.After(now) && to.After(from), what)

		search := func(a, b time.Time) (found time.Time) {
			for x := a; x.Before(b) && found.IsZero(); x = x.Add(5 * time.Minute) {
				if allowed(t, x, windows, blackouts) {
					found = x
				}
			}
			return found
		}
		quarter := due.Add(-life / 4 * 3)
		if search(quarter, due).IsZero() {
			over++
			next := search(due, due.Add(90*day))
			require.False(t, planned.Before(due), what)
			require.False(t, planned.After(next.Add(day)), what)
			continue
		}
		early++
		require.False(t, planned.After(due), what)
		require.False(t, planned.Before(quarter), what)
		if from.After(due) && now.Before(due) { // the slot was missed: nothing was left then
			require.True(t, search(now.Truncate(5*time.Minute).Add(5*time.Minute), due).IsZero(), what)
		}
	}
	require.Greater(t, min(early, over), 5, "both happen")
}

func TestImpossibleCalendars(t *testing.T) {
	now := at(t, "2026-12-01 00:00")
	for what, c := range map[string]struct {
		windows   []Window
		blackouts []Blackout
		age       time.Duration
		want      string // nothing: it is possible
	}{
		"at any time":                           {nil, nil, time.Hour, ""},
		"a day":                                 {nil, []Blackout{"2026-12-24 UTC"}, day, ""},
		"two days":                              {nil, []Blackout{"2026-12-24..2026-12-25 UTC"}, day, "from 2026-12-24T00:00:00Z to 2026-12-26T00:00:00Z"},
		"two that touch":                        {nil, []Blackout{"2026-12-25 UTC", "2026-12-24 UTC"}, day, "from 2026-12-24T00:00:00Z to 2026-12-26T00:00:00Z"},
		"gone by":                               {nil, []Blackout{"2026-11-01..2026-11-30 UTC"}, day, ""},
		"still going on":                        {nil, []Blackout{"2026-11-01..2027-11-30 UTC"}, 90 * day, "to 2027-12-01T00:00:00Z"},
		"of years, later":                       {nil, []Blackout{"2030-01-01..2033-12-31 UTC"}, 365 * day, "from 2030-01-01T00:00:00Z to 2034-01-01T00:00:00Z"},
		"for ever":                              {nil, []Blackout{"2027-01-01..9999-12-31 UTC"}, 365 * day, "allow nothing from 2027-01-01T00:00:00Z on"},
		"every week":                            {[]Window{"Mon 01:00-02:00 UTC"}, nil, 7 * day, ""},
		"every week, and an age of days":        {[]Window{"Mon 01:00-02:00 UTC"}, nil, 5 * day, "longer than the maximal age (120h0m0s)"},
		"windows and blackouts":                 {[]Window{"Mon 01:00-02:00 UTC"}, []Blackout{"2026-12-07..2026-12-27 UTC"}, 20 * day, "from 2026-11-30T02:00:00Z to 2026-12-28T01:00:00Z"},
		"windows and blackouts, and it is fine": {[]Window{"Mon 01:00-02:00 UTC"}, []Blackout{"2026-12-07..2026-12-27 UTC"}, 28 * day, ""},
	} {
		err := calendarOf(t, c.windows, c.blackouts).impossible(c.age, now)
		if c.want == "" {
			assert.NoError(t, err, what)
		} else {
			assert.ErrorContains(t, err, c.want, what)
		}
	}
}
