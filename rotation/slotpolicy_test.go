// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// What is wrong with a schedule is said when it is registered, by its field.
func TestScheduleMistakes(t *testing.T) {
	for want, p := range map[string]rotation.Policy{
		`Policy.Windows[1] "sometimes"`:             {Windows: []rotation.Window{"daily 01:00-02:00 UTC", "sometimes"}},
		`Policy.Blackouts[0] "2026-02-30 UTC"`:      {Blackouts: []rotation.Blackout{"2026-02-30 UTC"}},
		"Policy.Windows and Policy.Blackouts allow": {Blackouts: []rotation.Blackout{rotation.Blackout(time.Now().UTC().AddDate(1, 0, 0).Format(time.DateOnly) + ".." + "9999-12-31 UTC")}},
	} {
		w := newWorld(t, 1)
		r := w.rotator()
		w.cred.Policy = p
		require.ErrorContains(t, r.Register(w.cred), want)
	}
	w := newWorld(t, 1)
	r := w.rotator()
	w.cred.Consumers[0].Group = "no such/ group"
	require.ErrorContains(t, r.Register(w.cred), "Consumers[0].Group")
	w.cred.Consumers[0].Group = "web"
	w.cred.Policy = rotation.Policy{Windows: []rotation.Window{"daily 01:00-02:00 UTC"}, Blackouts: []rotation.Blackout{}, Jitter: time.Hour}
	require.NoError(t, r.Register(w.cred))
}
