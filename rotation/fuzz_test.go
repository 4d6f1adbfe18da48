// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

var sentinels = []error{
	rotation.ErrRejected, rotation.ErrNotYet, rotation.ErrManual, rotation.ErrConflict,
	rotation.ErrNotFound, rotation.ErrDenied, rotation.ErrNoSlot, rotation.ErrNotIssued,
}

// FuzzJSON: what others keep as JSON and give back means the same when it is written again. The value of a key is read, and
// never written or shown.
func FuzzJSON(f *testing.F) {
	kinds := []func(*testing.T, []byte){
		sameError, sameKey, sameIncident, twice[rotation.Record], twice[rotation.Status], twice[rotation.Event],
		twice[rotation.IncidentReport], twice[rotation.Answer], twice[rotation.Trigger],
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) { kinds[int(kind)%len(kinds)](t, data) })
}

// reread writes v and reads it again. Nothing but a time that JSON cannot hold, or a secret, may keep it from that.
func reread[T any](t *testing.T, v T) (again T, ok bool) {
	once, err := json.Marshal(v)
	if err != nil {
		require.True(t, errors.Is(err, secret.ErrMarshal) || strings.Contains(err.Error(), "Time.MarshalJSON"), "%v", err)
		return again, false
	}
	require.NoError(t, json.Unmarshal(once, &again), "%s", once)
	twice, err := json.Marshal(again)
	require.NoError(t, err)
	require.Equal(t, string(once), string(twice))
	return again, true
}

func twice[T any](t *testing.T, data []byte) {
	var v T
	if json.Unmarshal(data, &v) == nil {
		reread(t, v)
	}
}

func sameError(t *testing.T, data []byte) {
	var e rotation.Error
	if json.Unmarshal(data, &e) != nil {
		return
	}
	again, ok := reread(t, &e)
	require.True(t, ok)
	require.Equal(t, e.Error(), again.Error())
	require.Equal(t, fmt.Sprintf("%#v", &e), fmt.Sprintf("%#v", again))
	if e.Diagnosis != "" {
		require.ErrorIs(t, again, e.Diagnosis)
	}
	var text struct{ Error string }
	require.NoError(t, json.Unmarshal(data, &text))
	said := map[error]bool{} // the sentinels come first
	for part := range strings.SplitSeq(text.Error, ": ") {
		i := slices.IndexFunc(sentinels, func(s error) bool { return s.Error() == part })
		if i < 0 {
			break
		}
		said[sentinels[i]] = true
	}
	for _, s := range sentinels {
		require.Equal(t, said[s], errors.Is(&e, s), "%v in %q", s, text.Error)
		require.Equal(t, said[s], errors.Is(again, s), "%v in %q", s, text.Error)
	}
}

func sameKey(t *testing.T, data []byte) {
	var k rotation.Key
	if json.Unmarshal(data, &k) != nil {
		return
	}
	if value := k.Secret.Reveal(); len(value) > 8 && !strings.Contains(k.ID+k.Name+fmt.Sprint(k.Attributes), value) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, k), value)
		}
	}
	var plain struct {
		ID, Name            string
		Serial              int64
		Generation          int
		Attributes          map[string]string
		IssuedAt, ExpiresAt time.Time
	}
	require.NoError(t, json.Unmarshal(data, &plain))
	require.True(t, k.Equal(rotation.Key{
		ID: plain.ID, Serial: plain.Serial, Generation: plain.Generation, Name: plain.Name, Secret: k.Secret,
		Attributes: plain.Attributes, IssuedAt: plain.IssuedAt, ExpiresAt: plain.ExpiresAt,
	}), "%s", data)
	again, ok := reread(t, k)
	if !k.Secret.IsZero() {
		require.False(t, ok, "a secret was written")
	}
	if ok {
		require.True(t, k.Equal(again))
		require.Equal(t, k.IsZero(), again.IsZero())
	}
}

func sameIncident(t *testing.T, data []byte) {
	var in rotation.Incident
	if json.Unmarshal(data, &in) != nil {
		return
	}
	for _, k := range in.Keys {
		require.True(t, k.Value.IsZero())
	}
	reread(t, in)
}

// FuzzJournal: whatever lies in the journal in the place of a record, the engine reads it or says that it cannot, without a
// word of it. What it only looks at stays as it is, and what it could read it can read when it has gone on from there.
// "@provider" and "@store" stand for the identities of the parts.
func FuzzJournal(f *testing.F) {
	const reference, canary = "INC-2026-0001", "canary-7f3Kq9ZxW2pL"
	names := []string{name, "handover/installation", "handover/incident/" + reference}
	f.Fuzz(func(t *testing.T, which uint8, data string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.provider.Mint() // the successor in some records
			r := w.rotator()
			parts := strings.NewReplacer("@provider", w.provider.Identity(), "@store", w.store.Identity())
			data := []byte(parts.Replace(data))
			e := rotation.Entry{Credential: names[int(which)%len(names)], Due: time.Now(), Data: data}
			require.NoError(t, w.journal.Save(t.Context(), e))
			before, err := w.journal.Load(t.Context(), e.Credential)
			require.NoError(t, err)
			quiet := func(err error) { // what can be read may be shown
				if err != nil && (strings.Contains(err.Error(), "readable") || strings.Contains(err.Error(), "version")) {
					require.NotContains(t, err.Error(), canary)
				}
			}
			_, unreadable := r.Status(t.Context(), name)
			quiet(unreadable)
			_, err = r.List(t.Context())
			quiet(err)
			_, err = r.Incident(t.Context(), reference)
			quiet(err)
			_, err = r.Inspect(t.Context(), name)
			quiet(err)
			after, err := w.journal.Load(t.Context(), e.Credential)
			require.NoError(t, err)
			require.Equal(t, before, after, "looked at and changed")

			for range 3 {
				_, err = r.Advance(t.Context(), name)
				quiet(err)
				time.Sleep(time.Hour)
			}
			_, err = r.Status(t.Context(), name)
			require.Equal(t, unreadable, err)
		})
	})
}
