// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
)

func v1(t testing.TB) []byte {
	data, err := os.ReadFile("testdata/record-v1.json")
	require.NoError(t, err)
	return data
}

// The record of version 1, as a file: it decodes for ever, whatever the code becomes. Never change the file; a new version
// gets one of its own.
func TestRecordOfVersion1(t *testing.T) {
	st, err := decode(Entry{Credential: "payment-gateway-api", Revision: 41, Data: v1(t)})
	require.NoError(t, err)
	at := func(text string) time.Time {
		tm, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		return tm
	}
	require.EqualValues(t, 17, st.Epoch)
	require.EqualValues(t, 16, st.StoreEpoch)
	require.EqualValues(t, 7, st.LastSerial)
	require.EqualValues(t, 6, st.Current)
	require.Equal(t, 5, st.LastGeneration)
	require.True(t, st.Claimed)
	require.Equal(t, &lease{"3BQ5SMDZFJBPUXGZ", "deploy@ci-7", 30 * time.Second, 75 * time.Second}, st.Lease)
	require.Equal(t, &hold{at("2026-03-05T08:00:00Z"), "release freeze", "ann"}, st.Hold)

	require.Len(t, st.Keys, 3)
	old := st.key(4)
	require.Equal(t, "key-004", old.Key.ID)
	require.Equal(t, "eu", old.Key.Attributes["region"])
	require.Equal(t, at("2025-12-04T09:30:00Z"), old.Key.IssuedAt)
	require.True(t, old.Presented && old.Stored && !old.Condemned)
	debts := st.debts()
	require.Len(t, debts, 1)
	require.EqualValues(t, 2, debts[0].Key.Serial)
	require.Equal(t, []string{"INC-2025-0031"}, debts[0].Incidents)
	require.ErrorIs(t, debts[0].Problem, RevocationNotEffective)
	require.ErrorIs(t, debts[0].Problem, ErrDenied)
	require.Equal(t, 4, debts[0].Retry.Failures)

	run := st.Run
	require.Equal(t, Standard, run.Strategy)
	require.Equal(t, PhaseSoak, run.Phase)
	require.EqualValues(t, 4, run.Old)
	require.EqualValues(t, 6, run.Target)
	require.Equal(t, []int64{4}, run.Victims)
	require.Equal(t, fateCondemned, run.Attempts[0].Fate)
	require.Equal(t, fateStored, run.attempt().Fate)
	require.Equal(t, "payment-gateway-api-v5-k7q2m9", run.attempt().Name)
	require.Equal(t, parts{"https://pay.example/keys", "vault at https://vault.example", "https://pay.example/me"}, run.Parts)
	require.EqualValues(t, 6, run.consumer("batch").Attested)
	require.Equal(t, "bob", run.consumer("batch").AttestedBy)
	require.ErrorIs(t, run.consumer("web").Problem, PartialRollout)
	require.Len(t, run.Timeline, 2)
	require.Equal(t, at("2026-03-05T12:00:00Z"), run.Extend)

	require.Len(t, st.Needs, 2)
	require.Equal(t, NeedTime, st.Needs[0].Kind)
	require.Equal(t, []Verb{VerbExtend, VerbRollBack}, st.Needs[0].Verbs)
	require.Equal(t, []string{"*audit.File"}, st.Outbox.Events[0].Owed)
	require.Equal(t, EventPromoted, st.Outbox.Events[0].Event.Kind)
	require.EqualValues(t, 3, st.Outbox.Next)

	require.Len(t, st.Ended, 2)
	rec := st.Ended[0].record()
	require.Equal(t, TakenOver, rec.Outcome)
	require.Equal(t, []string{"ci-1234"}, st.Triggers)
	rec = st.Ended[1].record()
	require.Equal(t, Rotated, rec.Outcome)
	require.Equal(t, Emergency, rec.Strategy)
	require.True(t, rec.DeadlineMet)
	require.Equal(t, 1500*time.Millisecond, rec.Outage)
	require.True(t, st.attached("INC-2025-0031") && st.triggered("ci-1234"))

	// It stays usable: a status can be told, and the gate and the store's roles follow from it.
	reg := consumersOf("web", "batch")
	reg.Name, reg.Type, reg.Policy.Overlap, reg.Policy.Quiet = "payment-gateway-api", APIKey, 24*time.Hour, 24*time.Hour
	status := st.status(reg)
	require.Equal(t, 5, status.Generation)
	require.Equal(t, "key-004", status.Open.OldID)
	require.Equal(t, "key-006", status.Open.NewID)
	require.Equal(t, RolePrevious, st.roles()[4].Role)
	require.Equal(t, RoleRetiring, st.roles()[2].Role)
	require.True(t, st.roles()[2].Compromised)
}

// Every field of the record of version 1 is known to the code: one that is renamed would be lost without a word.
func TestRecordOfVersion1LosesNothing(t *testing.T) {
	st, err := decode(Entry{Revision: 1, Data: v1(t)})
	require.NoError(t, err)
	again, err := json.Marshal(st)
	require.NoError(t, err)
	require.JSONEq(t, string(v1(t)), string(again))
}

func TestDecodeOfNothing(t *testing.T) {
	st, err := decode(Entry{Credential: "a"})
	require.NoError(t, err)
	require.Equal(t, &state{Schema: schema}, st)
	_, err = decode(Entry{Credential: "a", Revision: 3})
	require.Error(t, err, "an entry that is there and empty is damage, not a beginning")
}

// The last line of defence: a record that came to hold a secret does not encode.
func TestARecordWithASecretDoesNotEncode(t *testing.T) {
	st := midway()
	st.Keys[0].Key.Secret = secret.New("hunter2")
	_, err := json.Marshal(st)
	require.ErrorIs(t, err, secret.ErrMarshal)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestAddTakesNoSecret(t *testing.T) {
	st := &state{LastSerial: 7}
	ks := st.add(Key{ID: "k", Serial: 3, Secret: secret.New("hunter2")}, 4, "issuer", "seeded")
	require.EqualValues(t, 8, ks.Key.Serial)
	require.Equal(t, 4, ks.Key.Generation)
	require.True(t, ks.Key.Secret.IsZero())
	require.Same(t, ks, st.key(8))
	require.Nil(t, st.key(0), "zero is no serial")
	st.drop(8)
	require.Nil(t, st.key(8))
}

// Records of ended rotations: the newest ones of each sort are kept, emergencies longer, in their order.
func TestPrune(t *testing.T) {
	st := &state{}
	for i := range 60 {
		e := ended{Record: encodeRecord(Record{Generation: i})}
		if i%2 == 1 {
			e.Incidents = []string{"INC"}
		}
		st.Ended = append(st.Ended, e)
		st.prune()
	}
	var standard, emergencies []int
	last := -1
	for _, e := range st.Ended {
		n := e.record().Generation
		require.Greater(t, n, last)
		if last = n; len(e.Incidents) > 0 {
			emergencies = append(emergencies, n)
		} else {
			standard = append(standard, n)
		}
	}
	require.Len(t, standard, keptRecords)
	require.Equal(t, 58, standard[keptRecords-1])
	require.Len(t, emergencies, 30, "all of them: there is room for 32")

	st = &state{} // what brought the current key, and the one before, outlast everything that came to nothing since
	for i := range 60 {
		e := ended{Record: encodeRecord(Record{Generation: i, Outcome: RolledBack})}
		if i < 3 {
			e.Record = encodeRecord(Record{Generation: i, Outcome: Rotated})
		}
		if i == 2 || i > 9 {
			e.Incidents = []string{"INC"}
		}
		st.Ended = append(st.Ended, e)
		st.prune()
	}
	var rotated []int
	for _, e := range st.Ended {
		if rec := e.record(); rec.Outcome == Rotated {
			rotated = append(rotated, rec.Generation)
		}
	}
	require.Equal(t, []int{1, 2}, rotated)
	require.Len(t, st.Ended, keptRecords+keptEmergency+keptEvidence)
}

// FuzzDecode: whatever is read is refused with an error that quotes nothing of it, or keeps its meaning when it is written.
func FuzzDecode(f *testing.F) {
	f.Add(v1(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := decode(Entry{Credential: "a", Revision: 1, Data: data})
		if err != nil {
			require.Nil(t, st)
			require.Less(t, len(err.Error()), 300)
			for _, word := range strings.Fields(string(data)) {
				if len(word) > 40 {
					require.NotContains(t, err.Error(), word)
				}
			}
			return
		}
		once, err := json.Marshal(st)
		if err != nil {
			return // a time beyond the year 9999, a secret: it cannot have been written
		}
		again, err := decode(Entry{Credential: "a", Revision: 2, Data: once})
		require.NoError(t, err, "%s", once)
		twice, err := json.Marshal(again)
		require.NoError(t, err)
		require.JSONEq(t, string(once), string(twice))
	})
}

// A trouble stays in the record for days, and is read and written at each save: its text is the same afterwards.
func TestATextDoesNotGrow(t *testing.T) {
	first := &Error{Evidence: "it was not revoked", Err: Manual("look at the console")}
	data, err := json.Marshal(first)
	require.NoError(t, err)
	for range 5 {
		var e Error
		require.NoError(t, json.Unmarshal(data, &e))
		require.Equal(t, first.Error(), e.Error())
		require.ErrorIs(t, &e, ErrManual)
		again, err := json.Marshal(&e)
		require.NoError(t, err)
		require.JSONEq(t, string(data), string(again))
		data = again
	}
}
