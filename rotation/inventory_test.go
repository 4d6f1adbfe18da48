// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// nightly is a consumer that says how it takes up a key.
type nightly struct{ rotation.Consumer }

func (nightly) Reloads() rotation.Reload { return rotation.ReloadNextRun }

// The inventory has what is registered and what the journal knows, and asks nobody but the journal.
func TestInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 2)
		w.cred.Risk, w.cred.Scope, w.cred.Contact = rotation.HighRisk, rotation.ScopeReadOnly, "payments@example.org"
		w.cred.Consumers[1] = rotation.Binding{Name: "batch", Consumer: nightly{w.consumers[1]}, Lag: time.Minute}
		r := w.rotator()
		items, err := r.Inventory(t.Context())
		require.NoError(t, err)
		require.Len(t, items, 1)
		require.Equal(t, name, items[0].Credential)
		require.Equal(t, w.provider.Identity(), items[0].Issuer)
		require.Equal(t, w.store.Identity(), items[0].Store)
		require.Equal(t, w.provider.Identity(), items[0].Verifier)
		require.Equal(t, 30*24*time.Hour, items[0].MaxAge)
		require.Zero(t, items[0].Generation, "nobody has looked at the store yet")
		require.False(t, items[0].Overdue)

		_, err = r.Rotate(rotation.WithActor(t.Context(), "ann"), name, rotation.Trigger{ID: "ci-7", Reason: "policy"})
		require.NoError(t, err)
		items, err = r.Inventory(t.Context())
		require.NoError(t, err)
		require.NotNil(t, items[0].Open)
		require.Equal(t, rotation.Unfinished, items[0].Open.Outcome)
		require.Nil(t, items[0].Last)

		w.ends(r)
		require.NoError(t, r.Hold(t.Context(), name, time.Now().Add(365*24*time.Hour), "frozen"))
		time.Sleep(31 * 24 * time.Hour)
		calls := w.calls()
		items, err = r.Inventory(t.Context())
		require.NoError(t, err)
		require.Equal(t, calls, w.calls(), "it asks the journal and nobody else")
		it := items[0]
		require.Equal(t, 2, it.Generation)
		require.Equal(t, w.current().ID, it.KeyID)
		require.Equal(t, w.current().Name, it.KeyName)
		require.True(t, it.IssuedAt.Equal(w.current().IssuedAt))
		require.Equal(t, time.Since(it.IssuedAt).Round(time.Second), it.Age)
		require.True(t, it.Overdue)
		require.False(t, it.HeldUntil.IsZero())
		require.Nil(t, it.Open)
		require.Equal(t, it.Last, it.Rotated)
		require.Equal(t, rotation.Rotated, it.Last.Outcome)
		require.Equal(t, "ann", it.Last.Actor)
		require.Equal(t, "ci-7", it.Last.Trigger)
		require.Equal(t, w.seeded.ID, it.Last.OldID)
		require.False(t, it.Last.DeadAt.IsZero())
		require.Equal(t, []rotation.Reload{rotation.ReloadUnknown, rotation.ReloadNextRun}, []rotation.Reload{it.Bindings[0].Reload, it.Bindings[1].Reload})
		require.Equal(t, time.Minute, it.Bindings[1].Lag)
		require.True(t, it.Bindings[0].Verifiable && it.Bindings[0].Observable)
		require.False(t, it.Bindings[1].Verifiable || it.Bindings[1].Observable, "the wrapper hides both")
		require.False(t, it.Bindings[0].VerifiedAt.IsZero())
		require.Equal(t, it.Bindings[0].VerifiedAt, it.VerifiedAt, "of those that can say so")

		data, err := json.Marshal(items)
		require.NoError(t, err)
		require.NotContains(t, string(data), w.current().Secret.Reveal())
		var again []rotation.Item
		require.NoError(t, json.Unmarshal(data, &again))
		require.Len(t, again, 1)
	})
}

// calls counts every call of every fake but the journal's.
func (w *world) calls() int {
	n := 0
	for _, op := range []string{"Issue", "Revoke", "Verify", "List", "Disable", "Enable", "RoundTrip"} {
		n += w.provider.Calls(op)
	}
	for _, op := range []string{"Load", "Save", "Names"} {
		n += w.store.Calls(op)
	}
	for _, c := range w.consumers {
		n += c.Calls("Deploy") + c.Calls("Verify") + c.Calls("Observe")
	}
	return n
}

// What could not be read is an error, and its line says what is registered.
func TestInventoryInTheDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		other := w.cred
		other.Name = "another-api"
		require.NoError(t, r.Register(other))
		w.rotate(r)
		w.ends(r)
		e, err := w.journal.Load(t.Context(), name)
		require.NoError(t, err)
		e.Data = []byte("{")
		require.NoError(t, w.journal.Save(t.Context(), e))
		items, err := r.Inventory(t.Context())
		require.ErrorContains(t, err, "not readable")
		require.Len(t, items, 2)
		require.Equal(t, []string{"another-api", name}, []string{items[0].Credential, items[1].Credential})
		require.Nil(t, items[0].Problem)
		require.NotNil(t, items[1].Problem)
		require.Equal(t, "c0", items[1].Bindings[0].Name)
		require.False(t, rotation.RotatedWithin(items, 24*time.Hour, time.Now()).Met())

		w.journal.Inject(rotationtest.Fault{Op: "Load", Err: errors.New("hunter2")})
		items, err = r.Inventory(t.Context())
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		require.Len(t, items, 2)
	})
}

// unhurried is a journal that takes its time.
type unhurried struct {
	rotation.Journal
	took time.Duration
}

func (c unhurried) Load(ctx context.Context, name string) (rotation.Entry, error) {
	time.Sleep(c.took)
	return c.Journal.Load(ctx, name)
}

// A large inventory is read at the same time: in virtual time, 2,000 records of 10 ms each are there in a second.
func TestALargeInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cfg.Journal = unhurried{w.journal, 10 * time.Millisecond}
		r := w.rotator()
		for i := range 1999 {
			c := w.cred
			c.Name = fmt.Sprint("api-", i)
			require.NoError(t, r.Register(c))
		}
		begun := time.Now()
		items, err := r.Inventory(t.Context())
		require.NoError(t, err)
		require.Len(t, items, 2000)
		require.LessOrEqual(t, time.Since(begun), time.Second)
	})
}

// BenchmarkInventory is the inventory of 2,000 credentials that have rotated once, from a journal in memory.
func BenchmarkInventory(b *testing.B) {
	ctx := context.Background()
	records := journal.NewMemory()
	r := benchRotator(b, records)
	if _, err := r.Rotate(ctx, name, rotation.Trigger{}); err != nil {
		b.Fatal(err)
	}
	cred := r.Credentials()[0]
	e, err := records.Load(ctx, name)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1999 {
		cred.Name = fmt.Sprint("api-", i)
		if err := r.Register(cred); err != nil {
			b.Fatal(err)
		}
		if err := records.Save(ctx, rotation.Entry{Credential: cred.Name, Due: e.Due, Data: e.Data}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		items, err := r.Inventory(ctx)
		if err != nil || len(items) != 2000 || items[0].Last == nil {
			b.Fatal(err, len(items))
		}
	}
}

func items() []rotation.Item {
	rotated := &rotation.Summary{
		ID: "K4Q6W2E7R3T5Y8U1", Strategy: rotation.Standard, Phase: rotation.PhaseFinish, Outcome: rotation.Rotated, Generation: 5,
		OldID: "key-004", NewID: "key-006", Actor: "deploy@ci-7", Reason: "due", BeganAt: day1, IssuedAt: after(time.Second),
		EndedAt: after(25 * time.Hour), DeadAt: after(24 * time.Hour),
	}
	back := &rotation.Summary{ID: "B1Q6W2E7R3T5Y8U1", Strategy: rotation.RollBack, Phase: rotation.PhaseFinish, Outcome: rotation.RolledBack, Generation: 3, Actor: "ann", BeganAt: day1, EndedAt: after(time.Hour)}
	const days = 24 * time.Hour
	full := rotation.Item{
		Credential: "payment-gateway-api", Type: rotation.APIKey, Risk: rotation.HighRisk, Contact: "payments@example.org",
		Issuer: "https://api.example.org", Store: "vault kv/prod", Verifier: "https://api.example.org",
		Bindings: []rotation.ItemBinding{
			{Name: "web", Consumer: "http://web:9090", Reload: rotation.ReloadLive, Verifiable: true, Observable: true, VerifiedAt: after(time.Minute), ObservedAt: after(time.Minute)},
			{Name: "batch", Consumer: "cron", Reload: rotation.ReloadNextRun, Lag: time.Hour},
			{Name: "legacy", Consumer: "rotation_test.legacy"},
		},
		Generation: 5, KeyID: "key-006", KeyName: "payment-gateway-api-v5-k7q2m9", IssuedAt: after(time.Second), Age: 10*days + 12*time.Hour,
		MaxAge: 30 * days, Due: after(30 * days), Last: rotated, Rotated: rotated, VerifiedAt: after(time.Minute),
	}
	hostile := rotation.Item{
		Credential: "crm", Type: rotation.OAuthClient, Scope: rotation.ScopeBroad, Contact: "=HYPERLINK(\"http://evil.example\")",
		Issuer: "@SUM(1)", Store: "-2+3", Verifier: "a;=cmd|' /C calc'!A0", Bindings: []rotation.ItemBinding{{Name: "+web, \"two\""}},
		Generation: 3, KeyID: "\t=1+1", KeyName: " =1+1", IssuedAt: after(-200 * days), Age: 210 * days, MaxAge: 91 * days, Due: after(-109 * days),
		Overdue: true, Last: back, HeldUntil: after(time.Hour),
		Debts: []rotation.Debt{{ID: "debt/2", Key: rotation.Key{ID: "\uff1d1+1"}, Since: day1}},
	}
	open := full
	open.Credential, open.Risk, open.Rotated, open.Last, open.Age, open.IssuedAt = "reporting-db", rotation.StandardRisk, nil, nil, 0, time.Time{}
	open.Type, open.Open, open.Bindings = rotation.Database, &rotation.Summary{ID: "P3Q6W2E7R3T5Y8U1", Strategy: rotation.Standard, Phase: rotation.PhaseSoak, Generation: 6, Actor: "tester", BeganAt: day1}, nil
	dark := rotation.Item{Credential: "unreadable", Type: rotation.APIKey, Issuer: "i", Store: "s", Verifier: "v", MaxAge: 90 * days, Problem: &rotation.Error{Credential: "unreadable", Evidence: "the journal does not answer"}}
	indebted := full
	indebted.Credential, indebted.Debts = "search-api", []rotation.Debt{{ID: "debt/4", Key: rotation.Key{ID: "key-004", Serial: 4, Generation: 4}, Since: day1}}
	byHand := full
	byHand.Credential, byHand.Generation = "by-hand", 6
	fresh := rotation.Item{Credential: "fresh", Type: rotation.APIKey, Issuer: "i", Store: "s", Verifier: "v", MaxAge: 90 * days}
	return []rotation.Item{full, hostile, open, dark, indebted, byHand, fresh}
}

func TestInventoryText(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, rotation.WriteCSV(&b, items()))
	golden(t, "inventory-csv", b.String())
	golden(t, "inventory-json", indented(t, items()))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+len(items()))
	for _, row := range rows {
		for _, cell := range row {
			for _, part := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
				part = strings.TrimSpace(part)
				require.False(t, part != "" && strings.ContainsAny(part[:1], "=+-@"), "%q is a formula to a spreadsheet", cell)
			}
			require.False(t, strings.HasPrefix(cell, "\uff1d"), "%q", cell)
		}
	}
	require.Equal(t, "credential", rows[0][0])
	require.Error(t, rotation.WriteCSV(full{}, items()))
}

// full is a writer without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestRotatedWithin(t *testing.T) {
	const days = 24 * time.Hour
	c := rotation.RotatedWithin(items(), 90*days, after(11*days))
	golden(t, "compliance", c.String())
	golden(t, "compliance-json", indented(t, c))
	require.False(t, c.Met())
	require.Len(t, c.Rotated, 1)
	require.Len(t, c.Unrotated, 6)

	one := items()[:1]
	require.True(t, rotation.RotatedWithin(one, 90*days, after(11*days)).Met())
	require.True(t, rotation.RotatedWithin(one, 90*days, after(90*days)).Met(), "its last second")
	c = rotation.RotatedWithin(one, 90*days, after(91*days))
	require.False(t, c.Met())
	require.Contains(t, c.Unrotated[0].Why, "before that time")
	require.True(t, rotation.RotatedWithin(nil, days, day1).Met())
}

// The evidence of a rotation that really happened; a key that was only seeded counts as not rotated.
func TestRotatedWithinOfARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		_, err := r.Advance(t.Context(), name)
		require.NoError(t, err)
		items, err := r.Inventory(t.Context())
		require.NoError(t, err)
		c := rotation.RotatedWithin(items, 90*24*time.Hour, time.Now())
		require.False(t, c.Met())
		require.Contains(t, c.Unrotated[0].Why, "no rotation")

		w.rotate(r)
		st := w.ends(r)
		items, err = r.Inventory(t.Context())
		require.NoError(t, err)
		c = rotation.RotatedWithin(items, 90*24*time.Hour, time.Now())
		require.True(t, c.Met(), "%s", c)
		require.Equal(t, st.Last.ID, c.Rotated[0].Rotation)
		require.Equal(t, "tester", c.Rotated[0].Actor)
		require.True(t, c.Rotated[0].DeadAt.Equal(st.Last.DeadAt))
	})
}

// A rotation that was rolled back is the last one, and none that counts.
func TestInventoryAfterARollBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		_, err := r.Abort(rotation.WithActor(t.Context(), "ann"), name, "changed my mind")
		require.NoError(t, err)
		w.ends(r)
		items, err := r.Inventory(t.Context())
		require.NoError(t, err)
		require.Equal(t, rotation.RolledBack, items[0].Last.Outcome)
		require.Nil(t, items[0].Rotated)
		require.Equal(t, w.seeded.ID, items[0].KeyID)
		c := rotation.RotatedWithin(items, 90*24*time.Hour, time.Now())
		require.Contains(t, c.Unrotated[0].Why, "rolled back")
	})
}
