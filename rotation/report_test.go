// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

var update = flag.Bool("update", false, "write the golden files of this package")

// golden compares with a file of testdata; go test -run ... -update writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func indented(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	return string(data) + "\n"
}

// day1 is noon in a zone that no report shows: they are all in UTC.
var day1 = time.Date(2026, time.March, 4, 14, 0, 0, 0, time.FixedZone("CAT", 2*60*60))

func after(d time.Duration) time.Time { return day1.Add(d) }

func rotatedRecord() rotation.Record {
	return rotation.Record{
		ID: "K4Q6W2E7R3T5Y8U1", Credential: "payment-gateway-api", Strategy: rotation.Standard, Phase: rotation.PhaseFinish,
		Outcome: rotation.Rotated, Generation: 5, OldID: "key-004", NewID: "key-006", Reason: "due since 2026-03-04T09:30:00Z",
		Actor: "deploy@ci-7", Trigger: "ci-1299",
		BeganAt: day1, IssuedAt: after(time.Second), DeployedAt: after(3 * time.Second), RevokedAt: after(25 * time.Hour),
		DeadAt: after(25*time.Hour + 2*time.Second), EndedAt: after(25*time.Hour + 3*time.Second),
		Consumers: []rotation.ConsumerRecord{
			{Name: "web", DeployedAt: after(2 * time.Second), ObservedAt: after(4 * time.Second), VerifiedAt: after(5 * time.Second), Proof: "observed"},
			{Name: "batch", DeployedAt: after(3 * time.Second), Proof: "attested by ann"},
			{Name: "reports", DeployedAt: after(3 * time.Second), ObservedAt: after(4 * time.Second), Proof: "observed"},
		},
		Timeline: []rotation.Moment{
			{At: day1, Phase: rotation.PhasePrepare, Actor: "deploy@ci-7", Text: "standard rotation to generation 5 began"},
			{At: after(1500 * time.Millisecond), Phase: rotation.PhaseIssue, Text: "issued key-006 (generation 5)"},
			{At: after(25 * time.Hour), Phase: rotation.PhaseRetire, Text: "key-004 (generation 4) was revoked"},
		},
	}
}

func openRecord() rotation.Record {
	return rotation.Record{
		ID: "P3Q6W2E7R3T5Y8U1", Credential: "payment-gateway-api", Strategy: rotation.Standard, Phase: rotation.PhaseVerify,
		Generation: 5, OldID: "key-004", Actor: "deploy@ci-7", BeganAt: day1, RollbackUntil: after(25 * time.Hour),
		Problem: &rotation.Error{
			Credential: "payment-gateway-api", Rotation: "P3Q6W2E7R3T5Y8U1", Consumer: "web", Phase: rotation.PhaseVerify,
			Diagnosis: rotation.PartialRollout, Evidence: "2 instances have moved, another key is used by web-3",
			Action: "wait for the rollout, or restart them", Err: rotation.ErrNotYet,
		},
		Consumers: []rotation.ConsumerRecord{
			{Name: "web", DeployedAt: after(2 * time.Second), Problem: &rotation.Error{Consumer: "web", Diagnosis: rotation.PartialRollout, Evidence: "2 instances have moved"}},
			{Name: "batch"},
		},
	}
}

func emergencyRecord(revoked time.Duration) rotation.Record {
	rec := rotation.Record{
		ID: "E1Q6W2E7R3T5Y8U1", Credential: "payment-gateway-api", Strategy: rotation.Emergency, Phase: rotation.PhaseFinish,
		Outcome: rotation.Rotated, Generation: 6, OldID: "key-006", NewID: "key-007", Actor: "ann", Incident: "INC-2026-0042",
		Reason: "in a public repository", BeganAt: day1, Deadline: after(15 * time.Minute), EndedAt: after(3 * time.Hour),
		Consumers: []rotation.ConsumerRecord{
			{Name: "web", DeployedAt: after(2 * time.Second), VerifiedAt: after(revoked + 1500*time.Millisecond), Outage: 1500 * time.Millisecond, Proof: "observed"},
		},
		Outage: 1500 * time.Millisecond,
	}
	if revoked > 0 {
		rec.RevokedAt, rec.DeadAt = after(revoked), after(revoked+time.Second)
		rec.DeadlineMet = revoked <= 15*time.Minute
	} else {
		rec.Outcome, rec.Phase, rec.EndedAt = rotation.Unfinished, rotation.PhaseIssue, time.Time{}
	}
	return rec
}

func rolledBackRecord() rotation.Record {
	return rotation.Record{
		ID: "B1Q6W2E7R3T5Y8U1", Credential: "reporting-db", Strategy: rotation.RollBack, Phase: rotation.PhaseFinish,
		Outcome: rotation.RolledBack, Generation: 2, OldID: "", NewID: "reporting_b", Actor: "deploy@ci-7", BeganAt: day1,
		EndedAt: after(time.Hour), RollbackTakes: 1234567 * time.Microsecond,
	}
}

func TestRecordText(t *testing.T) {
	for file, rec := range map[string]rotation.Record{
		"record-rotated": rotatedRecord(), "record-open": openRecord(), "record-rolled-back": rolledBackRecord(),
		"record-deadline-met": emergencyRecord(time.Minute), "record-deadline-missed": emergencyRecord(time.Hour),
		"record-deadline-open": emergencyRecord(0),
	} {
		golden(t, file, rec.String())
		golden(t, file+"-json", indented(t, rec))
		var again rotation.Record
		require.NoError(t, json.Unmarshal([]byte(indented(t, rec)), &again))
		require.Equal(t, indented(t, rec), indented(t, again), "%s: what was read says the same", file)
		require.Equal(t, rec.String(), again.String(), file)
	}
}

func incident(records ...rotation.Record) rotation.IncidentReport {
	return rotation.IncidentReport{
		Incident: rotation.Incident{
			Reference: "INC-2026-0042", Credentials: []string{"payment-gateway-api"}, Reason: "in a public repository",
			Keys:        []rotation.Leak{{Credential: "reporting-db", KeyID: "reporting_b"}},
			ConfirmedAt: day1, ExposedAt: after(-72 * time.Hour), RevokeFirst: true,
		},
		Actor: "ann", Records: records,
	}
}

func TestIncidentText(t *testing.T) {
	report := incident(emergencyRecord(time.Minute), emergencyRecord(0))
	golden(t, "incident", report.String())
	golden(t, "incident-json", indented(t, report))
	var again rotation.IncidentReport
	require.NoError(t, json.Unmarshal([]byte(indented(t, report)), &again))
	require.Equal(t, indented(t, report), indented(t, again))
	require.Equal(t, "Incident INC-1\nby          ann\n", rotation.IncidentReport{Incident: rotation.Incident{Reference: "INC-1"}, Actor: "ann"}.String())
}

func TestIncidentDone(t *testing.T) {
	require.False(t, incident().Done(), "nothing is known to have ended")
	require.True(t, incident(emergencyRecord(time.Minute)).Done())
	require.False(t, incident(emergencyRecord(time.Minute), emergencyRecord(0)).Done())
}

func TestStatusJSON(t *testing.T) {
	open, last := openRecord(), rotatedRecord()
	st := rotation.Status{
		Credential: "payment-gateway-api", Generation: 4, IssuedAt: after(-90 * 24 * time.Hour), Due: day1, Open: &open, Last: &last,
		Needs: []rotation.Need{
			{ID: "P3Q6W2/observe/web", Kind: rotation.NeedConsumer, Name: "web", Text: "web: it is not seen on the new key yet", Verbs: []rotation.Verb{rotation.VerbRollBack}},
			{ID: "P3Q6W2/overlap", Kind: rotation.NeedTime, Until: after(time.Hour), Text: "both keys live"},
		},
		Debts:     []rotation.Debt{{ID: "debt/2", Key: rotation.Key{ID: "key-002", Serial: 2, Generation: 3}, Since: after(-time.Hour), Problem: &rotation.Error{Diagnosis: rotation.UnknownKey, Evidence: "no record names it"}}},
		HeldUntil: after(time.Hour), Next: after(time.Minute),
	}
	golden(t, "status-json", indented(t, st))
	golden(t, "status", st.String())
	golden(t, "status-empty", rotation.Status{Credential: "a", Next: day1}.String())
	var again rotation.Status
	require.NoError(t, json.Unmarshal([]byte(indented(t, st)), &again))
	require.Equal(t, indented(t, st), indented(t, again))
	require.ErrorIs(t, again.Open.Problem, rotation.PartialRollout)
	require.ErrorIs(t, again.Open.Problem, rotation.ErrNotYet)
	require.ErrorIs(t, again.Debts[0].Problem, rotation.UnknownKey)

	empty, err := json.Marshal(rotation.Status{Credential: "a"})
	require.NoError(t, err)
	require.JSONEq(t, `{"credential":"a","next":"0001-01-01T00:00:00Z"}`, string(empty), "what is not there is not written")
}

// Whether a deadline was missed is told by the time that the record knows.
func TestDeadlineText(t *testing.T) {
	open := emergencyRecord(0)
	soon, later := after(time.Minute), after(5*time.Hour)
	for what, c := range map[string]struct {
		change func(*rotation.Record)
		want   string
	}{
		"before it":                      {func(r *rotation.Record) { r.AsOf = soon }, "open"},
		"an old record without a time":   {func(*rotation.Record) {}, "open"},
		"nothing is revoked":             {func(r *rotation.Record) { r.AsOf = later }, "MISSED: by 4h45m0s so far, nothing is revoked"},
		"one of two, before it":          {func(r *rotation.Record) { r.AsOf, r.RevokedAt = soon, soon }, "open"},
		"one of two, after it":           {func(r *rotation.Record) { r.AsOf, r.RevokedAt = later, soon }, "MISSED: the first revocation was in time, and not every one"},
		"late":                           {func(r *rotation.Record) { r.AsOf, r.RevokedAt = later, after(time.Hour) }, "MISSED: by 45m0s"},
		"somebody else ended it in time": {func(r *rotation.Record) { r.EndedAt, r.DeadAt = later, soon }, "met"},
		"somebody else ended it, late":   {func(r *rotation.Record) { r.EndedAt, r.DeadAt = later, after(time.Hour) }, "MISSED: by 45m0s"},
		"met":                            {func(r *rotation.Record) { r.AsOf, r.RevokedAt, r.DeadlineMet = later, soon, true }, "met"},
	} {
		rec := open
		c.change(&rec)
		require.Regexp(t, `deadline    2026-03-04 12:15:00 UTC, `+c.want+"\n", rec.String(), what)
		word, _, _ := strings.Cut(strings.ToLower(c.want), ":")
		require.Contains(t, incident(rec).Markdown(), "2026-03-04 12:15:00 UTC, "+word, what)
	}
}

// The deadline counts from the confirmation, and is met when the revocation was sent in time.
func TestDeadline(t *testing.T) {
	for _, c := range []struct {
		kind  rotation.Type
		since time.Duration // the confirmation
		after time.Duration
		met   bool
	}{
		{rotation.APIKey, 0, 15 * time.Minute, true},
		{rotation.APIKey, 14 * time.Minute, 15 * time.Minute, true},
		{rotation.APIKey, 16 * time.Minute, 15 * time.Minute, false},
		{rotation.Database, 3 * time.Hour, 4 * time.Hour, true},
		{rotation.Database, 5 * time.Hour, 4 * time.Hour, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newBrief(t, 1)
			w.cred.Type = c.kind
			r := w.rotator()
			confirmed := time.Now().Add(-c.since)
			_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}, ConfirmedAt: confirmed})
			require.NoError(t, err)
			w.ends(r)
			report, err := r.Incident(t.Context(), "INC-1")
			require.NoError(t, err)
			require.True(t, report.Done())
			rec := report.Records[0]
			require.True(t, rec.Deadline.Equal(confirmed.Add(c.after)))
			require.Equal(t, c.met, rec.DeadlineMet, "%s, confirmed %v ago", c.kind, c.since)
		})
	}
}

// A time that has not come yet, which a forgotten time zone makes, moves no deadline.
func TestIncidentTimesToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		now := time.Now()
		_, err := w.rotator().Emergency(t.Context(), rotation.Incident{
			Reference: "INC-1", Credentials: []string{name}, ConfirmedAt: now.Add(24 * time.Hour), ExposedAt: now.Add(72 * time.Hour),
		})
		require.NoError(t, err)
		report, err := w.rotator().Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.True(t, report.Incident.ConfirmedAt.Equal(now))
		require.True(t, report.Incident.ExposedAt.Equal(now))
		require.True(t, report.Records[0].Deadline.Equal(now.Add(15*time.Minute)))
	})
}
