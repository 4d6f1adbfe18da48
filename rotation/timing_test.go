// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDelay(t *testing.T) {
	const first, limit = time.Second, 5 * time.Minute
	for _, name := range []string{"a", "b", "payment-gateway-api", ""} {
		before := time.Duration(0)
		for n := 1; n < 100; n++ {
			d := delay(n, first, limit, name)
			require.Equal(t, d, delay(n, first, limit, name), "it depends on nothing else")
			require.GreaterOrEqual(t, d, before, "a later failure waits no shorter")
			require.GreaterOrEqual(t, d, first*9/10)
			require.LessOrEqual(t, d, limit*11/10)
			before = d
		}
		require.GreaterOrEqual(t, delay(1000000, first, limit, name), limit*9/10, "it comes to the limit, and stays there")
		require.InDelta(t, 2, float64(delay(3, first, limit, name))/float64(delay(2, first, limit, name)), 0.01, "each is twice the one before")
	}
	require.Zero(t, delay(0, first, limit, "a"))
	spread := map[time.Duration]bool{}
	for n := range 1000 {
		spread[delay(5, first, limit, fmt.Sprint("credential", n))] = true
	}
	require.Len(t, spread, 21, "from a tenth less to a tenth more")
}

// Whatever the record holds, the time of the next look is a real one; while nothing can be done it lies ahead, so that
// nobody asks in a loop.
func TestWake(t *testing.T) {
	reg := consumersOf("web")
	reg.Policy.Patience = 15 * time.Minute
	past, now, later := noon.Add(-time.Minute), noon, noon.Add(time.Hour)
	choices(10, func(yes []bool) {
		held, open, emergency, looked, failing := yes[0], yes[1], yes[2], yes[3], yes[4]
		debt, debtWaits, owed, sinkFails, fresh := yes[5], yes[6], yes[7], yes[8], yes[9]
		st := &state{Current: 1, Reminded: now, Keys: []*keyState{{Key: Key{Serial: 1, IssuedAt: noon.Add(-100 * day)}}}}
		if fresh {
			st.Keys[0].Key.IssuedAt = noon
		}
		if held {
			st.Hold = &hold{Until: later}
		}
		if open {
			st.Run = &run{Strategy: Standard}
			if emergency {
				st.Run.Strategy = Emergency
			}
			if st.Look = past; looked {
				st.Look = later
			}
		}
		if failing {
			st.Retry.At, st.Problem = later, &Error{}
		}
		if debt {
			k := &keyState{Key: Key{Serial: 2}, DebtSince: past}
			if debtWaits {
				k.Retry.At = later
			}
			st.Keys = append(st.Keys, k)
		}
		if owed {
			st.Outbox.Events = []parcel{{}}
			if sinkFails {
				st.Outbox.Retry.At = later
			}
		}
		at := st.wake(reg, now)
		require.False(t, at.IsZero(), "%v", yes)
		ready := open && !looked || !open && !fresh && !failing || debt && !debtWaits && !failing || owed && !sinkFails
		if held && !(open && emergency) {
			ready = owed && !sinkFails // that somebody is told does not wait for a release
		}
		require.Equal(t, ready, !at.After(now), "%v: %v", yes, at)
		require.Equal(t, !ready && (!open || failing || emergency), st.idle(reg, now), "%v", yes)
	})
}

// A debt whose time has come does not make an entry due that can do nothing about it.
func TestADebtDoesNotHurryWhatFails(t *testing.T) {
	reg := consumersOf("web")
	st := &state{Current: 1, Keys: []*keyState{{Key: Key{Serial: 1, IssuedAt: noon}}, {Key: Key{Serial: 2}, DebtSince: noon}}}
	st.Retry, st.Problem = retry{Failures: 3, At: noon.Add(time.Minute)}, &Error{}
	require.Equal(t, noon.Add(time.Minute), st.wake(reg, noon))
}

func TestNextLook(t *testing.T) {
	reg := consumersOf("web")
	reg.Policy.Patience = 15 * time.Minute
	soon, later := noon.Add(time.Minute), noon.Add(time.Hour)
	person, past := Need{Kind: NeedPerson}, Need{Kind: NeedTime, Until: noon}
	for what, c := range map[string]struct {
		needs []Need
		retry time.Time
		want  time.Time
	}{
		"nothing in the way":           {nil, time.Time{}, noon},
		"a failure":                    {nil, soon, soon},
		"a failure that is over":       {nil, noon, noon},
		"a clock":                      {[]Need{{Until: later}}, time.Time{}, later},
		"the sooner of two clocks":     {[]Need{{Until: later}, {Until: soon}}, time.Time{}, soon},
		"a person":                     {[]Need{person}, time.Time{}, noon.Add(15*time.Minute + time.Second)},
		"a person and a clock":         {[]Need{person, {Until: later}}, time.Time{}, later},
		"a clock that has just passed": {[]Need{past}, time.Time{}, noon.Add(50 * time.Millisecond)},
		"a failure and a later clock":  {[]Need{{Until: later}}, soon, soon},
		"a failure and a sooner clock": {[]Need{{Until: soon}}, later, soon},
		"a failure and a person":       {[]Need{person}, later, later},
	} {
		st := &state{Run: &run{Strategy: Standard}, Needs: c.needs, Retry: retry{At: c.retry}}
		got := st.nextLook(reg, noon, time.Second)
		require.Equal(t, c.want, got, what)
		require.True(t, got.After(noon) || len(c.needs) == 0, "%s: a loop", what)
	}
	reg.Policy.Patience = 0
	st := &state{Run: &run{}, Needs: []Need{person}}
	require.Equal(t, noon.Add(time.Second), st.nextLook(reg, noon, time.Second), "without patience, not without a pause")
}

func TestStatusDelay(t *testing.T) {
	require.Equal(t, time.Second, Status{}.Delay(), "a queue forgets what it is to look at after nothing")
	require.Equal(t, time.Second, Status{Next: time.Now().Add(-time.Hour)}.Delay())
	require.InDelta(t, time.Hour, Status{Next: time.Now().Add(time.Hour)}.Delay(), float64(time.Minute))
}

func TestOutboxRetryAt(t *testing.T) {
	full := []parcel{{}}
	for what, c := range map[string]struct {
		o    outbox
		want time.Time
	}{
		"nothing to deliver":       {outbox{Retry: retry{At: noon.Add(time.Hour)}}, time.Time{}},
		"something new":            {outbox{Events: full}, noon},
		"a sink that fails":        {outbox{Events: full, Retry: retry{At: noon.Add(time.Hour)}}, noon.Add(time.Hour)},
		"a sink that failed":       {outbox{Events: full, Retry: retry{At: noon.Add(-time.Hour)}}, noon},
		"only overflow":            {outbox{First: 2, Next: 3}, noon},
		"overflow that is through": {outbox{First: 3, Next: 3}, time.Time{}},
	} {
		require.Equal(t, c.want, c.o.retryAt(noon), what)
	}
}
