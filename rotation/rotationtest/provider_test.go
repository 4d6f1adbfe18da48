// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

var (
	_ rotation.Issuer     = (*rotationtest.Provider)(nil)
	_ rotation.Verifier   = (*rotationtest.Provider)(nil)
	_ rotation.Lister     = (*rotationtest.Provider)(nil)
	_ rotation.Disabler   = (*rotationtest.Provider)(nil)
	_ rotation.Describer  = (*rotationtest.Provider)(nil)
	_ rotation.Identifier = (*rotationtest.Provider)(nil)
	_ http.RoundTripper   = (*rotationtest.Provider)(nil)
)

// get sends a request with a key and returns the status.
func get(t *testing.T, rt http.RoundTripper, key rotation.Key) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example.com/", strings.NewReader("body"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
	resp, err := (&http.Client{Transport: rt}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(body), key.Secret.Reveal())
	return resp.StatusCode
}

func issue(t *testing.T, p *rotationtest.Provider, name string, current rotation.Key) rotation.Key {
	t.Helper()
	key, err := p.Issue(t.Context(), rotation.IssueRequest{Name: name, Current: current})
	require.NoError(t, err)
	return key
}

func TestProviderLife(t *testing.T) {
	p := rotationtest.NewProvider()
	assert.Equal(t, rotation.Traits{Propagation: -1, ListLag: -1}, p.Describe())
	mine := p.Mint()
	key := issue(t, p, "a", mine)
	for _, k := range []rotation.Key{mine, key} {
		assert.True(t, strings.HasPrefix(k.Secret.Reveal(), "rt_"))
		assert.NotEmpty(t, k.ID)
		assert.Empty(t, k.Name, "the engine sets it")
		assert.WithinDuration(t, time.Now(), k.IssuedAt, time.Minute)
		require.NoError(t, p.Verify(t.Context(), k))
		assert.Equal(t, 200, get(t, p, k))
	}
	assert.Equal(t, []string{mine.ID, key.ID}, p.Live())

	require.NoError(t, p.Revoke(t.Context(), rotation.Key{ID: mine.ID}))
	require.NoError(t, p.Revoke(t.Context(), mine), "again")
	require.NoError(t, p.Revoke(t.Context(), rotation.Key{ID: "never"}))
	require.ErrorIs(t, p.Verify(t.Context(), mine), rotation.ErrRejected)
	assert.Equal(t, 401, get(t, p, mine))
	assert.Equal(t, []string{key.ID}, p.Live())

	require.NoError(t, p.Revoke(t.Context(), rotation.Key{Secret: key.Secret}), "by value")
	assert.Empty(t, p.Live())
	require.Error(t, p.Revoke(t.Context(), rotation.Key{Name: "a"}))
}

func TestProviderSortsWhatItTells(t *testing.T) {
	p := rotationtest.NewProvider()
	var want []string
	for range 20 {
		want = append(want, p.Mint().ID)
	}
	assert.Equal(t, want, p.Live())
	infos, err := p.List(t.Context())
	require.NoError(t, err)
	for i, info := range infos {
		assert.Equal(t, want[i], info.Key.ID)
	}
}

func TestProviderVerifyWithoutAValueIsNoAnswer(t *testing.T) {
	p := rotationtest.NewProvider()
	err := p.Verify(t.Context(), rotation.Key{ID: p.Mint().ID})
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

func TestProviderRoundTrip(t *testing.T) {
	p := rotationtest.NewProvider()
	key := p.Mint().Secret.Reveal()
	for header, want := range map[string]int{
		"Bearer " + key: 200, "bearer " + key: 200, "Basic " + key: 401, key: 401, "": 401, "Bearer ": 401,
		"Bearer " + key + "x": 401,
	} {
		body := &closer{Reader: strings.NewReader("payment")}
		req, err := http.NewRequest(http.MethodPost, "https://api.example.com/v1", body)
		require.NoError(t, err)
		req.Header.Set("Authorization", header)
		resp, err := p.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, want, resp.StatusCode)
		assert.Equal(t, want == 401, resp.Header.Get("WWW-Authenticate") != "")
		left, err := io.ReadAll(body.Reader)
		require.NoError(t, err)
		assert.Empty(t, left, "the body was read")
		assert.True(t, body.closed)
	}
	assert.Equal(t, 7, p.Calls("RoundTrip"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/v1", nil)
	require.NoError(t, err)
	_, err = p.RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)

	p.Inject(rotationtest.Fault{Op: "RoundTrip"})
	_, err = (&http.Client{Transport: p}).Get("https://api.example.com/v1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestProviderReportsABodyThatFails(t *testing.T) {
	p, broken := rotationtest.NewProvider(), errors.New("broken")
	req, err := http.NewRequest(http.MethodPost, "https://api.example.com", &failing{broken})
	require.NoError(t, err)
	_, err = p.RoundTrip(req)
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestProviderIsFull(t *testing.T) {
	p := rotationtest.NewProvider()
	p.Traits.MaxKeys = 2
	first := issue(t, p, "a", rotation.Key{})
	second := issue(t, p, "b", first)
	_, err := p.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNoSlot)
	require.NoError(t, p.Disable(t.Context(), first))
	_, err = p.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNoSlot, "a disabled key takes a slot")
	p.Mint()
	assert.Len(t, p.Live(), 2, "a person is not stopped")
	require.NoError(t, p.Revoke(t.Context(), first))
	require.NoError(t, p.Revoke(t.Context(), second))
	issue(t, p, "c", rotation.Key{})
}

func TestProviderDisables(t *testing.T) {
	p := rotationtest.NewProvider()
	key := p.Mint()
	for range 2 {
		require.NoError(t, p.Disable(t.Context(), key))
		require.ErrorIs(t, p.Verify(t.Context(), key), rotation.ErrRejected)
	}
	infos, err := p.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.True(t, infos[0].Disabled)
	assert.Empty(t, p.Live())
	for range 2 {
		require.NoError(t, p.Enable(t.Context(), key))
		require.NoError(t, p.Verify(t.Context(), key))
	}
	require.NoError(t, p.Revoke(t.Context(), key))
	require.ErrorIs(t, p.Disable(t.Context(), key), rotation.ErrNotFound)
	require.ErrorIs(t, p.Enable(t.Context(), key), rotation.ErrNotFound)
	require.ErrorIs(t, p.Verify(t.Context(), key), rotation.ErrRejected)
}

func TestProviderTellsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := rotationtest.NewProvider()
		key, start := p.Mint(), time.Now()
		usage := func() rotation.Usage {
			infos, err := p.List(t.Context())
			require.NoError(t, err)
			require.Len(t, infos, 1)
			assert.True(t, infos[0].Key.Secret.IsZero())
			assert.WithinDuration(t, time.Now(), infos[0].Usage.AsOf, 0)
			assert.True(t, infos[0].Usage.Since.IsZero())
			return infos[0].Usage
		}
		assert.True(t, usage().LastUsed.IsZero())
		time.Sleep(time.Hour)
		require.Equal(t, 200, get(t, p, key))
		time.Sleep(time.Hour)
		require.NoError(t, p.Disable(t.Context(), key))
		require.Equal(t, 401, get(t, p, key))
		u := usage()
		assert.WithinDuration(t, start.Add(time.Hour), u.LastUsed, 0, "a refused request is no use")
		assert.Equal(t, "RoundTrip", u.Source)
		require.NoError(t, p.Enable(t.Context(), key))
		require.NoError(t, p.Verify(t.Context(), key))
		u = usage()
		assert.WithinDuration(t, start.Add(2*time.Hour), u.LastUsed, 0, "a provider cannot tell a probe from a service")
		assert.Equal(t, "Verify", u.Source)
	})
}

func TestProviderPropagates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := rotationtest.NewProvider()
		p.Propagate = time.Minute
		mine := p.Mint()
		require.NoError(t, p.Verify(t.Context(), mine), "a person's key is there")
		// Each change is seen a minute later, and not a moment before.
		late := func(key rotation.Key, before, after bool) {
			t.Helper()
			time.Sleep(time.Minute - 1)
			assert.Equal(t, before, p.Verify(t.Context(), key) == nil)
			time.Sleep(time.Nanosecond)
			assert.Equal(t, after, p.Verify(t.Context(), key) == nil)
			assert.Equal(t, after, get(t, p, key) == 200)
		}
		key := issue(t, p, "a", mine)
		late(key, false, true)
		require.NoError(t, p.Disable(t.Context(), key))
		late(key, true, false)
		require.NoError(t, p.Enable(t.Context(), key))
		late(key, false, true)
		require.NoError(t, p.Revoke(t.Context(), key))
		late(key, true, false)
		assert.Equal(t, []string{mine.ID}, p.Live())
	})
}

func TestProviderListLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := rotationtest.NewProvider()
		p.Traits.ListLag = time.Minute
		mine := p.Mint()
		key := issue(t, p, "a", mine)
		for _, want := range [][]string{{mine.ID}, {mine.ID, key.ID}} {
			infos, err := p.List(t.Context())
			require.NoError(t, err)
			var ids []string
			for _, info := range infos {
				ids = append(ids, info.Key.ID)
			}
			assert.Equal(t, want, ids)
			time.Sleep(time.Minute)
		}
	})
}

func TestProviderGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := rotationtest.NewProvider()
		p.Traits.Grace = time.Hour
		old := p.Mint()
		key := issue(t, p, "a", rotation.Key{ID: old.ID})
		time.Sleep(30 * time.Minute)
		infos, err := p.List(t.Context())
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(30*time.Minute), infos[0].Key.ExpiresAt, 0)
		issue(t, p, "b", old) // does not lengthen it
		time.Sleep(30*time.Minute - 1)
		require.NoError(t, p.Verify(t.Context(), old))
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, p.Verify(t.Context(), old), rotation.ErrRejected)
		require.NoError(t, p.Verify(t.Context(), key))
	})
}

func TestProviderKillsOld(t *testing.T) {
	p := rotationtest.NewProvider()
	p.Traits.KillsOld, p.Traits.MaxKeys = true, 1
	old := p.Mint()
	key := issue(t, p, "a", old)
	assert.Equal(t, []string{key.ID}, p.Live())
}

func TestProviderNoReplay(t *testing.T) {
	p := rotationtest.NewProvider()
	p.Traits.NoReplay = true
	other, old := p.Mint(), p.Mint()
	issue(t, p, "b", issue(t, p, "a", old))
	_, err := p.Issue(t.Context(), rotation.IssueRequest{Current: old})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	assert.Equal(t, []string{other.ID}, p.Live(), "the whole family has ended")
}

func TestProviderTakesAChosenValueOnce(t *testing.T) {
	p := rotationtest.NewProvider()
	req := rotation.IssueRequest{Chosen: rotation.Key{Secret: secret.Random(16)}}
	first, err := p.Issue(t.Context(), req)
	require.NoError(t, err)
	second, err := p.Issue(t.Context(), req)
	require.NoError(t, err)
	assert.True(t, first.Equal(second))
	assert.True(t, first.Secret.Equal(req.Chosen.Secret))
	assert.Len(t, p.Live(), 1)
}

func TestIdentitiesDiffer(t *testing.T) {
	p := rotationtest.NewProvider()
	seen := map[string]bool{}
	for _, i := range []rotation.Identifier{
		p, rotationtest.NewProvider(), rotationtest.NewStore(), rotationtest.NewStore(), rotationtest.NewConsumer(p),
		rotationtest.NewConsumer(p), rotationtest.NewJournal(), rotationtest.NewJournal(),
	} {
		assert.Equal(t, i.Identity(), i.Identity())
		assert.False(t, seen[i.Identity()])
		seen[i.Identity()] = true
	}
}

func TestProviderInParallel(t *testing.T) {
	p := rotationtest.NewProvider()
	p.Inject(rotationtest.Fault{Op: "Issue", Call: 5, After: true})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			key, err := p.Issue(t.Context(), rotation.IssueRequest{Name: fmt.Sprint(i)})
			if err != nil {
				return
			}
			_ = p.Verify(t.Context(), key)
			_, _ = p.List(t.Context())
			_ = p.Disable(t.Context(), key)
			_ = p.Enable(t.Context(), key)
			p.Inject(rotationtest.Fault{Op: "List", Call: 1000})
			p.Live()
			p.Mint()
			_ = p.Revoke(t.Context(), key)
		})
	}
	wg.Wait()
	assert.Len(t, p.Live(), 15+1, "15 minted by hand, and one whose answer was lost")
	assert.Equal(t, 16, p.Calls("Issue"))
}
