// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
)

// listening hands on what it is called with.
type listening struct{ revoked chan Key }

func (l listening) Issue(context.Context, IssueRequest) (Key, error) { return Key{}, ErrNotIssued }

func (l listening) Revoke(_ context.Context, key Key) error {
	l.revoked <- key
	return nil
}

// A call that begins after its time is over, because the machine stood still, is about what it was decided on. Naive: it reads the
// record and the store when it begins, beside whoever is going on.
func TestALateCallIsAboutWhatWasDecided(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // whoever waits goes on before the call begins, nearly always
	decided, other := secret.Random(16), secret.Random(16)
	for range 20 {
		st := standing(Standard, PhaseRetire)
		d := driving(st)
		l := listening{make(chan Key, 1)}
		d.reg.Issuer, d.r.cfg.CallTimeout = l, 1
		d.doc.Keys = []StoredKey{{Key: Key{Serial: oldSerial, Secret: decided}}}
		_ = d.revoke(st.key(oldSerial))
		d.doc.Keys = []StoredKey{{Key: Key{Serial: oldSerial, Secret: other}}}
		require.True(t, (<-l.revoked).Secret.Equal(decided))
	}
}
