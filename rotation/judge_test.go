// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
)

const home = "HOME"

func ours(epoch int64) string {
	return stamp{Installation: home, Rotation: "ROTATION", Attempt: 1, Epoch: epoch}.String()
}

func storedAs(r Role, serial int64) StoredKey {
	return StoredKey{Key: Key{Serial: serial, Secret: secret.New("value")}, Role: r}
}

// midway is the record of a standard rotation after the promotion: 4 was replaced by 5. Its last lease had epoch 20, its
// last write to the store epoch 18.
func midway() *state {
	return &state{
		Schema: schema, Epoch: 20, StoreEpoch: 18, Claimed: true, LastSerial: newSerial, Current: newSerial,
		Keys: []*keyState{{Key: Key{Serial: oldSerial}, Stored: true}, {Key: Key{Serial: newSerial}, Stored: true}},
		Run:  &run{Strategy: Standard, Phase: PhaseSoak, Old: oldSerial, New: newSerial, Target: newSerial, Victims: []int64{oldSerial}},
	}
}

func TestJudge(t *testing.T) {
	right := []StoredKey{storedAs(RoleCurrent, newSerial), storedAs(RolePrevious, oldSerial)}
	compromised := storedAs(RolePrevious, oldSerial)
	compromised.Compromised = true
	for what, c := range map[string]struct {
		doc    Versions
		change func(*state)
		want   drift
	}{
		"as it should be":                      {Versions{Stamp: ours(18), Keys: right}, nil, driftNone},
		"written under the lease of now":       {Versions{Stamp: ours(20), Keys: right}, nil, driftNone},
		"labels as before the promotion":       {Versions{Stamp: ours(18), Keys: []StoredKey{storedAs(RolePending, newSerial), storedAs(RoleRetiring, oldSerial)}}, nil, driftLabels},
		"the promotion was interrupted":        {Versions{Stamp: ours(18), Keys: []StoredKey{storedAs(RoleCurrent, oldSerial), storedAs(RolePending, newSerial)}}, func(st *state) { st.Writing = true }, driftLabels},
		"labels of a write that nobody meant":  {Versions{Stamp: ours(19), Keys: []StoredKey{storedAs(RoleCurrent, oldSerial), storedAs(RolePending, newSerial)}}, nil, driftBehind},
		"a mark is missing":                    {Versions{Stamp: ours(18), Keys: []StoredKey{storedAs(RoleCurrent, newSerial), compromised}}, nil, driftLabels},
		"the same keys without our stamp":      {Versions{Keys: right}, nil, driftLabels},
		"put back by hand":                     {Versions{Stamp: ours(18), Keys: []StoredKey{storedAs(RoleCurrent, oldSerial), storedAs(RolePending, newSerial)}}, nil, driftPutBack},
		"put back by hand, without our stamp":  {Versions{Keys: []StoredKey{storedAs(RoleCurrent, oldSerial), storedAs(RolePrevious, newSerial)}}, nil, driftPutBack},
		"nothing left but the replaced key":    {Versions{Keys: []StoredKey{storedAs(RoleCurrent, oldSerial)}}, nil, driftLabels}, // missingValues has the rule
		"replaced by hand, without our stamp":  {Versions{Keys: []StoredKey{storedAs(RoleCurrent, 0)}}, nil, driftUnknown},
		"replaced by hand under our stamp":     {Versions{Stamp: ours(18), Keys: []StoredKey{storedAs(RoleCurrent, 2)}}, nil, driftUnknown},
		"a stranger that is not current":       {Versions{Stamp: ours(18), Keys: append([]StoredKey{storedAs(RolePending, 2)}, right...)}, nil, driftNone},
		"an older write of ours":               {Versions{Stamp: ours(17), Keys: right}, nil, driftRestored},
		"an older write, current is unknown":   {Versions{Stamp: ours(17), Keys: []StoredKey{storedAs(RoleCurrent, 2)}}, nil, driftUnknown},
		"a newer write than the journal knows": {Versions{Stamp: ours(21), Keys: right}, nil, driftBehind},
		"a key that the journal will give out": {Versions{Stamp: ours(18), Keys: append([]StoredKey{storedAs(RolePending, newSerial+1)}, right...)}, nil, driftBehind},
		"the journal lost this credential":     {Versions{Stamp: ours(1), Keys: right}, func(st *state) { *st = state{} }, driftBehind},
		"another installation":                 {Versions{Stamp: stamp{Installation: "OTHER", Epoch: 3}.String(), Keys: right}, nil, driftForeign},
		"another installation, first contact":  {Versions{Stamp: stamp{Installation: "OTHER", Epoch: 3}.String(), Keys: right}, func(st *state) { *st = state{} }, driftForeign},
		"a stamp of something else":            {Versions{Stamp: "terraform", Keys: right}, nil, driftForeign},
		"a seeded key, first contact":          {Versions{Keys: []StoredKey{storedAs(RoleCurrent, 0)}}, func(st *state) { *st = state{} }, driftNone},
		"nothing there, first contact":         {Versions{}, func(st *state) { *st = state{} }, driftNone},
		"nothing there any more":               {Versions{}, nil, driftLabels},
		"no current key":                       {Versions{Stamp: ours(18), Keys: right[1:]}, nil, driftNone}, // missingValues has the rule
	} {
		st := midway()
		if c.change != nil {
			c.change(st)
		}
		require.Equal(t, c.want, judge(st, c.doc, home), what)
	}
}

// The order of the keys in a document says nothing.
func TestJudgePutBackInAnyOrder(t *testing.T) {
	doc := Versions{Stamp: ours(18), Keys: []StoredKey{storedAs(RolePending, newSerial), storedAs(RoleCurrent, oldSerial)}}
	require.Equal(t, driftPutBack, judge(midway(), doc, home))
	doc.Keys[0], doc.Keys[1] = doc.Keys[1], doc.Keys[0]
	require.Equal(t, driftPutBack, judge(midway(), doc, home))
}

// The order of epochs decides between our own late write, a restored store and a restored journal.
func TestJudgeEpochs(t *testing.T) {
	doc := Versions{Keys: []StoredKey{storedAs(RoleCurrent, newSerial), storedAs(RolePrevious, oldSerial)}}
	for epoch := int64(0); epoch < 5; epoch++ {
		for journal := int64(0); journal < 5; journal++ {
			for store := int64(0); store <= journal; store++ {
				st := midway()
				st.Epoch, st.StoreEpoch = journal, store
				doc.Stamp = ours(epoch)
				want := driftNone
				switch {
				case epoch > journal:
					want = driftBehind
				case epoch < store:
					want = driftRestored
				}
				require.Equal(t, want, judge(st, doc, home), "store %d, journal %d, last write %d", epoch, journal, store)
			}
		}
	}
}

func TestStampRoundTrip(t *testing.T) {
	for _, s := range []stamp{
		{"INSTALLATION", "ROTATION", 2, 17},
		{"A", "", 0, 0},
		{"A", "", 0, 1 << 62},
	} {
		got, ok := parseStamp(s.String())
		require.True(t, ok)
		require.Equal(t, s, got)
	}
	for _, text := range []string{
		"", "handover1", "handover1:::0:0", "handover2:A:B:0:0", "handover1:A:B:x:0", "handover1:A:B:0:x", "handover1:A:B:-1:0",
		"handover1:A:B:0:-1", "handover1:A:B:0", "handover1:A:B:0:0:0", "handover1:A:B:0:9223372036854775808", "Handover1:A:B:0:0", "::::",
	} {
		_, ok := parseStamp(text)
		require.False(t, ok, text)
	}
}

// Roles follow from the record alone.
func TestRoles(t *testing.T) {
	const serial = newSerial
	choices(7, func(yes []bool) {
		dead, condemned, compromised, current, target, victim, debt := yes[0], yes[1], yes[2], yes[3], yes[4], yes[5], yes[6]
		k := &keyState{Key: Key{Serial: serial, ID: "k5"}, Condemned: condemned}
		st := &state{Keys: []*keyState{k}, Run: &run{}}
		if dead {
			k.DeadAt = noon
		}
		if compromised {
			k.Incidents = []string{"INC-1"}
		}
		if current {
			st.Current = serial
		}
		if target {
			st.Run.Target = serial
		}
		if victim {
			st.Run.Victims = []int64{serial}
		}
		if debt {
			k.DebtSince = noon
		}
		got, stored := st.roles()[serial]
		require.Equal(t, !dead, stored, "%v", yes)
		if dead {
			return
		}
		want := RoleRetiring
		if !condemned && !compromised {
			switch {
			case current:
				want = RoleCurrent
			case target:
				want = RolePending
			case victim && !debt:
				want = RolePrevious
			}
		}
		require.Equal(t, want, got.Role, "%v", yes)
		require.Equal(t, compromised, got.Compromised, "%v", yes)
		require.True(t, got.Key.Secret.IsZero(), "the journal has no values")
		if condemned || compromised { // a reader never gets it, whatever else the record says
			served := Versions{Keys: []StoredKey{got}}
			require.Empty(t, served.Accepted())
			require.True(t, served.Key(got.Role).IsZero())
		}
	})
	st := midway()
	st.Run = nil
	require.Equal(t, RoleRetiring, st.roles()[oldSerial].Role, "without a rotation nothing but the current key is served")
	require.Equal(t, RoleCurrent, st.roles()[newSerial].Role)
}

func TestSameDocument(t *testing.T) {
	a := Versions{Stamp: ours(1), Revision: "1", Keys: []StoredKey{storedAs(RoleCurrent, 1)}}
	require.True(t, sameDocument(a, Versions{Stamp: ours(9), Revision: "2", Keys: a.Keys}), "who wrote it does not count")
	require.True(t, sameDocument(a, Versions{Keys: a.Keys, Metadata: map[string]string{}}))
	require.False(t, sameDocument(a, Versions{}))
	require.False(t, sameDocument(a, Versions{Keys: a.Keys, Metadata: map[string]string{"a": "b"}}))
	for _, change := range []func(*StoredKey){
		func(k *StoredKey) { k.Role = RolePrevious },
		func(k *StoredKey) { k.Compromised = true },
		func(k *StoredKey) { k.Key.Serial++ },
		func(k *StoredKey) { k.Key.Secret = secret.New("another") },
	} {
		k := a.Keys[0]
		change(&k)
		require.False(t, sameDocument(a, Versions{Keys: []StoredKey{k}}))
	}
}
