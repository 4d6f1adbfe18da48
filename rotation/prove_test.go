// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// garbling is a provider whose first key comes with a value that it does not accept.
type garbling struct{ *rotationtest.Provider }

func (g garbling) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	k, err := g.Provider.Issue(ctx, req)
	if g.Calls("Issue") == 1 {
		k.Secret = secret.Random(20)
	}
	return k, err
}

// The accepting side refuses everything for a second, and half an hour later again. Naive: it has refused for half an hour, and
// the new key is given up.
func TestShortRefusalsDoNotAddUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1, unseen)
		r := w.rotator()
		began := w.rotate(r).Open
		w.paces(r, 5*time.Minute)
		for range 3 {
			w.provider.Inject(rotationtest.Fault{Op: "Verify", Err: rotation.ErrRejected, Until: time.Now().Add(time.Second)})
			_ = r.Hold(t.Context(), name, time.Time{}, "look")
			time.Sleep(2 * time.Second)
			w.paces(r, 30*time.Minute)
		}
		st := w.paces(r, 0)
		require.Equal(t, began.ID, st.Open.ID)
		require.Equal(t, rotation.Standard, st.Open.Strategy, "%s", st.Open)
		require.Equal(t, 1, w.provider.Calls("Issue"))
		require.Len(t, w.provider.Live(), 2)
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbAttest).ID, Verb: rotation.VerbAttest})
		require.Equal(t, rotation.Rotated, w.ends(r).Last.Outcome)
	})
}

// Somebody overwrites the value of the current key in the store; its id stays, and the provider lists it. Naive: it is refused
// and listed, so that the accepting side must be at fault, and the one rotation that could repair it waits for ever.
func TestWrongValueOfAListedKeyIsRepaired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		v := w.versions()
		v.Keys[0].Key.Secret = secret.Random(20)
		require.NoError(t, w.store.Save(t.Context(), name, v))
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		st := w.paces(r, 12*time.Hour)
		require.Nil(t, st.Open, "%s", st.Open)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, 2, w.provider.Calls("Issue"))
		require.NoError(t, w.provider.Verify(t.Context(), w.current()))
		require.True(t, w.consumers[0].Key().Equal(w.current()))
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
	})
}

// The only key there is comes with a wrong value. Naive: it is listed and refused, which is retried for ever and said to nobody;
// or it is given up, and when the accepting side is at fault every key after it too.
func TestRefusedKeyThatIsListedIsAskedAbout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cred.Issuer, w.cred.Policy.Patience = garbling{w.provider}, 5*time.Minute
		r := w.rotator()
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}, RevokeFirst: true})
		st := w.paces(r, 4*time.Minute)
		require.Empty(t, verbs(st), "it is waited first")
		st = w.paces(r, 30*time.Minute)
		require.Equal(t, 1, w.provider.Calls("Issue"))
		n := asked(t, st, rotation.VerbDone)
		require.True(t, strings.HasSuffix(n.ID, "/refused"), n.ID)
		_, _ = w.says(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbDone})
		st = w.paces(r, time.Hour)
		require.Nil(t, st.Open, "%s", st.Open)
		require.Equal(t, 2, w.provider.Calls("Issue"))
		require.NoError(t, w.provider.Verify(t.Context(), w.current()))
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
	})
}

// verbs are all that a status asks for.
func verbs(st rotation.Status) []rotation.Verb {
	var all []rotation.Verb
	for _, n := range st.Needs {
		all = append(all, n.Verbs...)
	}
	return all
}
