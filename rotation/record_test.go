// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// A record that this code cannot read is an error that says so, and nothing is changed: neither the journal, nor the store,
// nor the provider.
func TestARecordThatCannotBeRead(t *testing.T) {
	for what, c := range map[string]struct{ data, want string }{
		"a newer version":      {`{"schema":2,"keys":"of another shape"}`, "version 2, this code reads up to version 1"},
		"no version":           {`{"epoch":7}`, "no version"},
		"a version below zero": {`{"schema":-1}`, "no version"},
		"no JSON":              {"\x00\x01", "not readable"},
		"JSON of another kind": {`[1,2]`, "not readable"},
		"a wrong field":        {`{"schema":1,"keys":{"a":"hunter2"}}`, "not readable"},
		"nothing":              {"", "not readable"},
		"cut off":              {`{"schema":1,"epoch":`, "not readable"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				require.NoError(t, w.journal.Save(t.Context(), rotation.Entry{Credential: name, Due: time.Now(), Data: []byte(c.data)}))
				before, err := w.journal.Load(t.Context(), name)
				require.NoError(t, err)
				r := w.rotator()
				calls := map[string]func() error{
					"Status":  func() error { _, err := r.Status(t.Context(), name); return err },
					"Advance": func() error { _, err := r.Advance(t.Context(), name); return err },
					"Rotate":  func() error { _, err := r.Rotate(t.Context(), name, rotation.Trigger{}); return err },
					"Sweep":   func() error { _, err := r.Sweep(t.Context()); return err },
					"Abort":   func() error { _, err := r.Abort(t.Context(), name, ""); return err },
					"Hold":    func() error { return r.Hold(t.Context(), name, time.Now().Add(time.Hour), "") },
					"Supply":  func() error { _, err := r.Supply(t.Context(), name, w.seeded); return err },
					"Resolve": func() error { _, err := r.Resolve(t.Context(), name, rotation.Answer{}); return err },
					"Inspect": func() error { _, err := r.Inspect(t.Context(), name); return err },
					"List":    func() error { _, err := r.List(t.Context()); return err },
				}
				for call, do := range calls {
					err := do()
					require.ErrorContains(t, err, c.want, call)
					require.ErrorContains(t, err, name, call)
					require.NotContains(t, err.Error(), "hunter2", call)
				}
				after, err := w.journal.Load(t.Context(), name)
				require.NoError(t, err)
				require.Equal(t, before, after)
				require.Zero(t, w.provider.Calls("Issue"))
				require.Zero(t, w.provider.Calls("Revoke"))
				require.Equal(t, 1, w.store.Calls("Save"), "only the seed")
			})
		})
	}
}

// A null where a key should be does not come from this library; whoever wrote it does not bring the service down.
func TestARecordWithNullsIsRefused(t *testing.T) {
	for _, data := range []string{
		`{"schema":1,"keys":[null],"current":1}`,
		`{"schema":1,"run":{"id":"ABCDEFGH","strategy":"standard","phase":"issue","attempts":[null]}}`,
		`{"schema":1,"run":{"id":"ABCDEFGH","strategy":"standard","phase":"soak","consumers":[null]}}`,
		`{"schema":1,"run":{"id":"A","strategy":"standard","phase":"prepare"}}`,
		`{"schema":1,"run":{"id":"ABCDEFGH","strategy":"emergency","phase":"prove"}}`,
		`{"schema":1,"keys":[{"key":{"Serial":1}}],"run":{"id":"ABCDEFGH","strategy":"emergency","phase":"deploy","target":2}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			require.NoError(t, w.journal.Save(t.Context(), rotation.Entry{Credential: name, Data: []byte(data)}))
			_, err := w.rotator().Status(context.Background(), name)
			require.ErrorContains(t, err, "not readable", data)
		})
	}
}

// The other entries of the journal have versions too: what a newer program wrote is neither misread nor passed over.
func TestEntriesOfANewerVersion(t *testing.T) {
	newer := []byte(`{"schema":2,"id":"X","events":{},"incident":{}}`)
	for what, entry := range map[string]string{"the installation": "handover/installation", "an incident": "handover/incident/INC-1"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				require.NoError(t, w.journal.Save(t.Context(), rotation.Entry{Credential: entry, Data: newer}))
				r := w.rotator()
				_, advance := r.Advance(t.Context(), name)
				_, report := r.Incident(t.Context(), "INC-1")
				require.ErrorContains(t, errors.Join(advance, report), "newer version")
				e, err := w.journal.Load(t.Context(), entry)
				require.NoError(t, err)
				require.Equal(t, newer, e.Data)
			})
		})
	}
}
