// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// gradual is a provider whose revocations take a moment: what is asked beside one is answered before.
type gradual struct{ *rotationtest.Provider }

func (u gradual) Revoke(ctx context.Context, key rotation.Key) error {
	time.Sleep(time.Millisecond)
	return u.Provider.Revoke(ctx, key)
}

// What the issuer knows of a compromised key's use is in the record, once.
func TestUsageBeforeTheRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cred.Policy.Proofs, w.cred.Issuer = 1, gradual{w.provider}
		require.NoError(t, w.provider.Verify(t.Context(), w.seeded))
		used := time.Now()
		time.Sleep(time.Hour)
		r := w.rotator()
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		st := w.ends(r)
		require.Len(t, st.Last.Usage, 1)
		u := st.Last.Usage[0]
		require.Equal(t, w.seeded.ID, u.Key)
		require.True(t, u.LastUsed.Equal(used), "%v", u)
		require.False(t, u.AsOf.After(st.Last.RevokedAt))
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.Contains(t, report.Markdown(), w.seeded.ID+": last used")
		require.Contains(t, report.String(), w.seeded.ID+": last used")
	})
}

// Asking for it holds no revocation up, whether the list hangs, fails or panics.
func TestUsageNeverDelaysARevocation(t *testing.T) {
	for what, list := range map[string]func(context.Context) ([]rotation.KeyInfo, error){
		"hangs":  func(ctx context.Context) ([]rotation.KeyInfo, error) { <-ctx.Done(); return nil, ctx.Err() },
		"fails":  func(context.Context) ([]rotation.KeyInfo, error) { return nil, rotation.ErrDenied },
		"panics": func(context.Context) ([]rotation.KeyInfo, error) { panic("hunter2") },
		"no use": func(context.Context) ([]rotation.KeyInfo, error) { return nil, nil },
	} {
		for _, first := range []bool{false, true} {
			t.Run(what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newBrief(t, 1)
					w.provider.Traits.Independent = true
					w.cred.Issuer = listing{w.provider, list}
					r := w.rotator()
					begun := time.Now()
					report, _ := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}, RevokeFirst: first})
					require.NotContains(t, w.provider.Live(), w.seeded.ID)
					require.True(t, report.Records[0].RevokedAt.Equal(begun), "%s", report)
					require.Empty(t, report.Records[0].Usage)
				})
			})
		}
	}
}

// listing is an issuer with a list of its own.
type listing struct {
	*rotationtest.Provider
	list func(context.Context) ([]rotation.KeyInfo, error)
}

func (l listing) List(ctx context.Context) ([]rotation.KeyInfo, error) { return l.list(ctx) }

type gradualListing struct{ listing }

func (u gradualListing) Revoke(ctx context.Context, key rotation.Key) error {
	return gradual{u.Provider}.Revoke(ctx, key)
}

// Where a successor is tried first, a slow list delays that by what it always took, and the question about use by nothing.
func TestUsageIsAskedBesideTheSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		slowly := func(ctx context.Context) ([]rotation.KeyInfo, error) {
			time.Sleep(2 * time.Second)
			return w.provider.List(ctx)
		}
		w.cred.Issuer = gradualListing{listing{w.provider, slowly}}
		r := w.rotator()
		begun := time.Now()
		report, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		require.True(t, report.Records[0].RevokedAt.Equal(begun.Add(2*time.Second)), "%s", report)
		require.Len(t, report.Records[0].Usage, 1)
	})
}

// What a provider knows of a key is in the record of its incident, also where a revoked key is gone from the list at once.
func TestUsageIsKnownThoughTheRevocationWasFaster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 0)
		w.provider.Traits.Independent = true
		r := w.rotator()
		w.runs(r, 3*24*time.Hour)
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.NotEmpty(t, report.Records[0].Usage, "it was looked at every day")
	})
}

// What others have used a key for is known though this library looks at it every day, and with every look it is known better.
func TestUsageByOthersOutlastsOurOwnLooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 0)
		w.cred.Issuer = gradual{w.provider}
		r := w.rotator()
		w.runs(r, 3*24*time.Hour)
		time.Sleep(2 * time.Hour)
		require.NoError(t, w.provider.Verify(t.Context(), w.seeded))
		used := time.Now()
		w.runs(r, 5*24*time.Hour)
		looked := w.status().CheckedAt
		require.Greater(t, looked.Sub(used), 3*24*time.Hour)
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		u := report.Records[0].Usage
		require.Len(t, u, 1)
		require.WithinDuration(t, used, u[0].LastUsed, 0)
		require.WithinDuration(t, looked, u[0].Probed, time.Minute)
		require.Contains(t, report.String(), "looked at by this library")
	})
}
