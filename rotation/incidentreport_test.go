// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// threeFold is an incident over three credentials: one is done, one waits for a person, and one nobody knows.
func threeFold() rotation.IncidentReport {
	done := emergencyRecord(20 * time.Minute)
	done.DeployedAt = after(21 * time.Minute)
	done.Compromised = []rotation.DoomedKey{
		{Key: "key-006", Generation: 5, RevokedAt: done.RevokedAt, DeadAt: done.DeadAt},
		{Key: "key-007", Generation: 6, RevokedAt: done.RevokedAt, DeadAt: done.DeadAt.Add(-time.Second)},
	}
	done.NewID = "key-008"
	done.Usage = []rotation.KeyUsage{{Key: "key-006", LastUsed: after(-time.Hour), AsOf: after(time.Second), Source: "203.0.113.7 | `curl`"}}
	done.Timeline = []rotation.Moment{{At: day1, Phase: rotation.PhaseIssue, Actor: "ann", Text: "emergency rotation to generation 6 began: in a public repository"}, {At: after(20 * time.Minute), Phase: rotation.PhaseIssue, Text: "key-006 (generation 5) was revoked"}}
	open := emergencyRecord(0)
	open.Credential, open.ID, open.OldID, open.NewID, open.Outage = "reporting-db", "F1Q6W2E7R3T5Y8U1", "reporting_b", "", 0
	open.Deadline, open.Problem = after(4*time.Hour), &rotation.Error{Credential: "reporting-db", Evidence: "reporting_b was not revoked", Action: "end it at its provider", Err: rotation.ErrDenied}
	open.Consumers = []rotation.ConsumerRecord{{Name: "reports"}, {Name: "web|two", DeployedAt: after(time.Minute), Problem: &rotation.Error{Evidence: "it does not work\nwith the key"}}}
	report := incident(done, open)
	report.Incident.Credentials = []string{"payment-gateway-api", "reporting-db", "old-crm"}
	report.Incident.Keys = nil
	report.Incident.Reason = "in a public repository:\n\n# owned\n| [x](http://evil.example) | <script>alert(1)</script> `code` *bold* ![i](y)"
	report.Needs = []rotation.IncidentNeed{
		{Credential: "reporting-db", Contact: "dba@example.org", Need: rotation.Need{ID: "F1Q6W2.0/revoke/4", Kind: rotation.NeedPerson, Text: "DROP USER reporting_b", Verbs: []rotation.Verb{rotation.VerbDone}}},
		{Credential: "reporting-db", Need: rotation.Need{ID: "F1Q6W2.0/retry", Kind: rotation.NeedRetry, Until: after(time.Hour), Text: "permission denied"}},
	}
	report.Unknown = []string{"old-crm"}
	report.Incident.Credentials = append(report.Incident.Credentials, "crm-export", "ledger")
	report.Missing = []rotation.IncidentGap{
		{Credential: "crm-export", Contact: "crm@example.org", CoveredBy: []string{"INC-2026-0041"}},
		{Credential: "ledger", Problem: &rotation.Error{Credential: "ledger", Evidence: "the journal does not answer"}},
	}
	return report
}

func TestIncidentReportForms(t *testing.T) {
	report := threeFold()
	golden(t, "incident-three", report.String())
	golden(t, "incident-three-json", indented(t, report))
	golden(t, "incident-three-md", report.Markdown())
	var again rotation.IncidentReport
	require.NoError(t, json.Unmarshal([]byte(indented(t, report)), &again))
	require.Equal(t, report.Markdown(), again.Markdown(), "what was read says the same")
	require.Equal(t, indented(t, report), indented(t, again))
	require.False(t, report.Done())

	var plain struct {
		FollowUps []string `json:"follow_ups"`
	}
	require.NoError(t, json.Unmarshal([]byte(indented(t, report)), &plain))
	require.Equal(t, report.FollowUps(), plain.FollowUps)
	require.Empty(t, rotation.IncidentReport{}.FollowUps())
	require.Contains(t, rotation.IncidentReport{Unknown: []string{"old-crm"}}.Markdown(), "NOT KILLED")
	require.Contains(t, incident(emergencyRecord(time.Minute)).Markdown(), "met with 14m0s to spare")
	require.NotContains(t, strings.Join(incident(emergencyRecord(time.Minute)).FollowUps(), "\n"), "deadline")
}

// Nothing that somebody wrote becomes markup: no line, cell, link, image or tag that the report did not make.
func TestMarkdownIsInert(t *testing.T) {
	hostile := "- 1. a | b \\| c\n\n# head\r\n```\n<b>x</b> [l](u) ![i](u) ~~s~~ *e* __u__ &lt;\u2028x http://evil.example"
	plain := threeFold().Markdown()
	report := threeFold()
	report.Incident.Reason, report.Actor = hostile, hostile
	for i := range report.Records {
		rec := &report.Records[i]
		rec.Actor, rec.OldID, rec.NewID, rec.Credential = hostile, hostile, hostile, hostile
		rec.Consumers = []rotation.ConsumerRecord{{Name: hostile, Proof: hostile}}
		rec.Usage = []rotation.KeyUsage{{Key: hostile, Source: hostile, AsOf: day1}}
		rec.Timeline = []rotation.Moment{{At: day1, Text: hostile, Actor: hostile}}
		rec.Problem = &rotation.Error{Evidence: hostile, Action: hostile}
	}
	report.Needs[0].Need.Text, report.Needs[0].Contact = hostile, hostile
	report.Unknown = []string{hostile}
	report.Records[0].Compromised[0].Key = hostile
	report.Missing = []rotation.IncidentGap{{Credential: hostile, Contact: hostile, CoveredBy: []string{hostile}}, {Credential: hostile, Problem: &rotation.Error{Evidence: hostile}}}
	text := report.Markdown()
	require.Equal(t, strings.Count(plain, "\n## "), strings.Count(text, "\n## "))
	require.Equal(t, strings.Count(plain, "\n# "), strings.Count(text, "\n# "))
	for line := range strings.SplitSeq(text, "\n") {
		unescaped := escapes.ReplaceAllString(line, "")
		for _, bad := range []string{"`", "<", "\r", "\u2028", "](", "~", "_", "*", "#", "!", "://"} {
			require.NotContains(t, strings.TrimLeft(unescaped, "# "), bad)
		}
		if !strings.HasPrefix(line, "|") {
			continue
		}
		require.Contains(t, []int{3, 4, 5, 7, 12}, strings.Count(unescaped, "|"), "%s", line)
	}
}

// escapes are characters that Markdown takes for themselves.
var escapes = regexp.MustCompile(`\\[[:punct:]]`)

// sorry is an issuer that only a person can revoke at.
type sorry struct{ *rotationtest.Provider }

func (sorry) Revoke(context.Context, rotation.Key) error {
	return rotation.Manual("end it in the console")
}

// The report of a real incident: what is done, what waits for whom, and what nobody knows.
func TestIncidentOverThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		second := w.cred
		second.Name, second.Consumers, second.Contact, second.Issuer = "reporting-db", nil, "dba@example.org", sorry{w.provider}
		require.NoError(t, store.Seed(t.Context(), w.store, second.Name, w.provider.Mint()))
		r := w.rotator()
		require.NoError(t, r.Register(second))
		report, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name, second.Name, "old-crm"}, ExposedAt: time.Now().Add(-time.Hour)})
		require.ErrorIs(t, err, rotation.ErrNotFound)
		require.Equal(t, []string{"old-crm"}, report.Unknown)
		require.Len(t, report.Records, 2)
		require.Equal(t, rotation.Rotated, report.Records[0].Outcome)
		require.Equal(t, rotation.Unfinished, report.Records[1].Outcome)
		require.NotEmpty(t, report.Needs)
		for _, n := range report.Needs {
			require.Equal(t, second.Name, n.Credential)
			require.Equal(t, "dba@example.org", n.Contact)
		}
		text := report.Markdown()
		require.Contains(t, text, "end it in the console")
		require.Contains(t, text, "a person, dba@example.org")
		require.Contains(t, text, "1 of 2 rotations have ended, and 1 credentials are not known here")
		require.Contains(t, text, "NOT KILLED")
		for _, k := range w.versions().Keys {
			require.NotContains(t, text, k.Key.Secret.Reveal())
		}
	})
}
