// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSightJudge(t *testing.T) {
	key := Key{Serial: newSerial, ID: "k5", Generation: 2}
	now := time.Now()
	on, off := Key{Serial: newSerial}, Key{Serial: oldSerial}
	old := now.Add(-time.Hour)
	for what, c := range map[string]struct {
		seen             []Instance
		err              error
		onTarget, stale  bool
		moved, elsewhere int
	}{
		"no instance is no evidence":    {},
		"an error is none either":       {seen: []Instance{{Key: on, AsOf: now}}, err: errNoAnswer},
		"one that moved":                {seen: []Instance{{Key: on, AsOf: now}}, onTarget: true, moved: 1},
		"without a time, it is now":     {seen: []Instance{{Key: on}}, onTarget: true, moved: 1},
		"one elsewhere":                 {seen: []Instance{{Key: off, AsOf: now}}, elsewhere: 1},
		"a clock that may be ahead":     {seen: []Instance{{Key: on, AsOf: now.Add(-56 * time.Second)}}, stale: true},
		"a clock that is not so wrong":  {seen: []Instance{{Key: on, AsOf: now.Add(-54 * time.Second)}}, onTarget: true, moved: 1},
		"seen before it was told":       {seen: []Instance{{Key: on, AsOf: old}}, stale: true},
		"half of them":                  {seen: []Instance{{Key: on, AsOf: now}, {Key: off, AsOf: now}}, moved: 1, elsewhere: 1},
		"one of three is stale":         {seen: []Instance{{Key: on, AsOf: now}, {Key: on, AsOf: old}, {Key: on, AsOf: now}}, stale: true, moved: 2},
		"nothing is known of its key":   {seen: []Instance{{AsOf: now}}, elsewhere: 1},
		"a key that agrees by its id":   {seen: []Instance{{Key: Key{ID: "k5"}, AsOf: now}}, onTarget: true, moved: 1},
		"a key that disagrees somehow":  {seen: []Instance{{Key: Key{ID: "k5", Generation: 1}, AsOf: now}}, elsewhere: 1},
		"stale and on another key":      {seen: []Instance{{Key: off, AsOf: old}}, stale: true},
		"all of them, at several times": {seen: []Instance{{Key: on, AsOf: now}, {Key: on, AsOf: now.Add(time.Second)}}, onTarget: true, moved: 2},
	} {
		s := sight{ObserveErr: c.err}
		s.judge(c.seen, key, window{now.Add(-time.Minute), now, 5 * time.Second}, false)
		require.Equal(t, c.onTarget, s.OnTarget, what)
		require.Equal(t, c.stale, s.Stale, what)
		require.Equal(t, c.moved, s.Moved, what)
		require.Len(t, s.Elsewhere, c.elsewhere, what)
	}
	w := window{now, now, 5 * time.Second}
	require.True(t, w.fresh(now, now), "seen at our question, right after the deployment")
	require.False(t, w.fresh(now.Add(time.Second), now), "a clock that is ahead shows what it saw before as later")
	require.True(t, w.fresh(now.Add(6*time.Second), now.Add(7*time.Second)))
	s := sight{}
	s.judge([]Instance{{Key: on, AsOf: now}, {Key: on, AsOf: old}}, key, window{}, false)
	require.Equal(t, old, s.AsOf, "the oldest counts")
}

// uses says that two keys are the same only if something agrees and nothing disagrees; a serial decides alone, and a shared
// id says nothing.
func TestUses(t *testing.T) {
	key := Key{ID: "slot", Serial: 7, Generation: 3}
	for _, serial := range []int64{0, 7, 8} {
		for _, generation := range []int{0, 3, 4} {
			for _, id := range []string{"", "slot", "other"} {
				for _, shared := range []bool{false, true} {
					idSays := id
					if shared {
						idSays = ""
					}
					agree := generation == 3 || idSays == "slot"
					disagree := generation == 4 || idSays == "other"
					want := agree && !disagree
					if serial != 0 {
						want = serial == 7
					}
					got := uses(Key{Serial: serial, Generation: generation, ID: id}, key, shared)
					require.Equal(t, want, got, "serial %d, generation %d, id %q, shared %v", serial, generation, id, shared)
				}
			}
		}
	}
}

func TestEarliestAndLatest(t *testing.T) {
	early, late := noon, noon.Add(1)
	require.Equal(t, early, earliest(early, late))
	require.Equal(t, early, earliest(late, early))
	require.Equal(t, late, earliest(time.Time{}, late), "zero is no time")
	require.Equal(t, late, earliest(late, time.Time{}))
	require.Equal(t, late, latest(early, late))
	require.Equal(t, late, latest(late, time.Time{}))
}
