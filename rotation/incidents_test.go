// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// The record of an incident says what somebody has to know who reads nothing else.
func TestTheIncidentRecordTellsTheTruth(t *testing.T) {
	t.Run("a deadline that passed without a revocation is missed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1, func(w *world) { w.cred.Issuer = sorry{w.provider} })
			r := w.rotator()
			_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
			w.paces(r, 5*time.Hour)
			report, err := r.Incident(t.Context(), "INC-1")
			require.NoError(t, err)
			require.Contains(t, strings.ToLower(report.Markdown()), "missed", "%s", report.Markdown())
			require.Contains(t, strings.ToLower(report.String()), "missed", "%s", report)
		})
	})
	t.Run("the log is read until the key was dead", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			broken(w, 4*time.Hour)
			r := w.rotator()
			_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}, ExposedAt: time.Now().Add(-time.Hour)})
			w.within(r, 12*time.Hour)
			report, err := r.Incident(t.Context(), "INC-1")
			require.NoError(t, err)
			dead := report.Records[0].DeadAt
			require.Greater(t, dead.Sub(report.Records[0].RevokedAt), 3*time.Hour)
			require.Contains(t, strings.Join(report.FollowUps(), "\n"), dead.UTC().Format("2006-01-02 15:04"), "it could be used until then")
		})
	})
	t.Run("what is learned later belongs to it", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			r := w.rotator()
			in := rotation.Incident{Reference: "INC-1", Credentials: []string{name}}
			_, err := r.Emergency(t.Context(), in)
			require.NoError(t, err)
			in.ExposedAt, in.Reason = time.Now().Add(-90*time.Hour), "in the artifacts of a build"
			report, err := r.Emergency(t.Context(), in)
			require.NoError(t, err)
			require.WithinDuration(t, in.ExposedAt, report.Incident.ExposedAt, 0)
			require.Equal(t, in.Reason, report.Incident.Reason)
		})
	})
	t.Run("a reader that has not registered the credential knows which one it was", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1, func(w *world) { w.cred.Issuer = sorry{w.provider} })
			_, _ = w.rotator().Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
			reader, err := rotation.New(w.cfg)
			require.NoError(t, err)
			report, err := reader.Incident(t.Context(), "INC-1")
			require.NoError(t, err)
			require.Len(t, report.Records, 1)
			require.Equal(t, name, report.Records[0].Credential, "%s", report.Markdown())
			require.False(t, report.Records[0].Deadline.IsZero())
		})
	})
	t.Run("our own look at a key is no use of it by others", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 0)
			r := w.rotator()
			w.runs(r, 10*24*time.Hour)
			looked := w.status().CheckedAt
			_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
			require.NoError(t, err)
			report, err := r.Incident(t.Context(), "INC-1")
			require.NoError(t, err)
			require.Len(t, report.Records[0].Usage, 1)
			used := report.Records[0].Usage[0]
			require.False(t, used.LastUsed.Sub(looked).Abs() < time.Minute, "nobody has ever used it, and the record says: %s by %q", used.LastUsed, used.Source)
		})
	})
}

// broken is an issuer that revokes nothing for a while.
func broken(w *world, d time.Duration) {
	w.provider.Inject(rotationtest.Fault{Op: "Revoke", Until: time.Now().Add(d), Err: errors.New("503")})
}

// An incident is done when every credential that it names is, whatever kept one of them from being taken up.
func TestAnIncidentIsNotDoneWhileACredentialIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		second := w.cred
		second.Name, second.Consumers, second.Issuer = "reporting-db", nil, sorry{w.provider}
		require.NoError(t, store.Seed(t.Context(), w.store, second.Name, w.provider.Mint()))
		r := w.rotator()
		require.NoError(t, r.Register(second))
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{second.Name}})
		require.NoError(t, err)
		_, err = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-2", Credentials: []string{name, second.Name}})
		require.Error(t, err, "it may be the same leak: a person is asked")
		w.within(r, time.Hour)
		report, err := r.Incident(t.Context(), "INC-2")
		require.NoError(t, err)
		require.False(t, report.Done(), "nothing under INC-2 has killed a key of reporting-db:\n%s", report.Markdown())
		require.Contains(t, report.Markdown(), second.Name)
		require.Contains(t, report.String(), second.Name)
	})
}

// A record that cannot be read says nothing, least of all that everything is done; and hides nothing of the others.
func TestAnIncidentIsNotDoneWhileARecordCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 0)
		second := w.cred
		second.Name = "reporting-db"
		require.NoError(t, store.Seed(t.Context(), w.store, second.Name, w.provider.Mint()))
		r := w.rotator()
		require.NoError(t, r.Register(second))
		in := rotation.Incident{Reference: "INC-1", Credentials: []string{name, second.Name}}
		_, err := r.Emergency(t.Context(), in)
		require.NoError(t, err)
		w.runs(r, time.Hour)
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.True(t, report.Done())
		e, err := w.journal.Load(t.Context(), second.Name)
		require.NoError(t, err)
		e.Data = []byte("hunter2")
		require.NoError(t, w.journal.Save(t.Context(), e))
		for what, read := range map[string]func() (rotation.IncidentReport, error){
			"Incident":  func() (rotation.IncidentReport, error) { return r.Incident(t.Context(), "INC-1") },
			"Emergency": func() (rotation.IncidentReport, error) { return r.Emergency(t.Context(), in) },
		} {
			report, err := read()
			require.ErrorContains(t, err, "not readable", what)
			require.False(t, report.Done(), what)
			require.Len(t, report.Records, 1, what)
			require.Len(t, report.Missing, 1, what)
			require.NotNil(t, report.Missing[0].Problem, what)
			require.Contains(t, report.Markdown(), "NOT KNOWN: its record cannot be read", what)
			require.NotContains(t, report.Markdown(), "hunter2", what)
		}
	})
}

// The row of a credential names the keys that were compromised, each.
func TestTheIncidentRowNamesTheCompromisedKeys(t *testing.T) {
	row := func(t *testing.T, of func(*world) rotation.Incident) (string, rotation.Key) {
		w := newWorld(t, 1)
		r := w.rotator()
		w.rotate(r)
		require.Equal(t, rotation.PhaseSoak, w.paces(r, 2*time.Hour).Open.Phase)
		second := w.current()
		report, err := r.Emergency(t.Context(), of(w))
		require.NoError(t, err)
		w.within(r, time.Hour)
		report, err = r.Incident(t.Context(), report.Incident.Reference)
		require.NoError(t, err)
		for line := range strings.SplitSeq(report.Markdown(), "\n") {
			if strings.HasPrefix(line, "| "+name) {
				return line, second
			}
		}
		t.Fatal(report.Markdown())
		return "", second
	}
	t.Run("both keys of a rotation", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			line, second := row(t, func(*world) rotation.Incident {
				return rotation.Incident{Reference: "INC-1", Credentials: []string{name}}
			})
			require.Contains(t, line, second.ID, "it was compromised, and was killed")
		})
	})
	t.Run("the new key of a rotation", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			line, second := row(t, func(w *world) rotation.Incident {
				return rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: w.current().ID}}}
			})
			require.NotContains(t, line, "to "+second.ID, "nobody moved to the key that was compromised")
		})
	})
}
