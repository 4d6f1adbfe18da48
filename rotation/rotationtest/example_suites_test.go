// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// The suite tells what is wrong with a journal. In a test, use Run.
func ExampleJournalSuite_Check() {
	broken := &overwriting{Journal: rotationtest.NewJournal()}
	err := rotationtest.JournalSuite{Journal: broken, Name: "conformance"}.Check(context.Background())
	fmt.Println(err)
	// Output:
	// J2: Save at revision 0, where 1 is stored, reports success
}

// overwriting is a journal where the last write wins.
type overwriting struct {
	*rotationtest.Journal
	mu sync.Mutex
}

func (j *overwriting) Save(ctx context.Context, e rotation.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	stored, err := j.Load(ctx, e.Credential)
	if err == nil && stored.Revision > 0 {
		e.Revision = stored.Revision
	}
	if err != nil {
		return err
	}
	return j.Journal.Save(ctx, e)
}

// The suite tells what is wrong with a verifier. In a test, use Run.
func ExampleVerifierSuite_Check() {
	ctx := context.Background()
	provider, down := rotationtest.NewProvider(), rotationtest.NewProvider()
	live, dead := provider.Mint(), provider.Mint()
	if err := provider.Revoke(ctx, dead); err != nil {
		fmt.Println(err)
	}
	down.Inject(rotationtest.Fault{Op: "Verify", Until: time.Now().AddDate(1, 0, 0)})

	err := rotationtest.VerifierSuite{
		Verifier: hasty{provider},
		Live:     live,
		Dead:     dead,
		Down:     []rotation.Verifier{hasty{down}},
	}.Check(ctx)
	fmt.Println(err)
	// Output:
	// V1: the live key without its secret, which cannot be presented: got ErrRejected, want an error other than ErrRejected: key rejected
}

// hasty takes every error for a refusal.
type hasty struct{ provider *rotationtest.Provider }

func (h hasty) Verify(ctx context.Context, key rotation.Key) error {
	if h.provider.Verify(ctx, key) != nil {
		return rotation.ErrRejected
	}
	return nil
}

// In a test of a service that keeps its key in a field: it is asked what its requests carry, and called while processes die. An
// issuer, a store or a journal of one's own is given in the same way.
func ExampleSimulate() {
	testService := func(t *testing.T) { // func TestService(t *testing.T)
		rotationtest.Simulate(t, rotationtest.Simulation{
			Consumer: func(_ context.Context, w *rotationtest.World) (rotationtest.Presenter, error) {
				s := &service{client: http.Client{Transport: w.Provider}}
				return rotationtest.Presenter{Consumer: s, Uses: func(ctx context.Context) (rotation.Key, error) {
					err := s.Pay(ctx)
					return w.Provider.Presented(), err
				}}, nil
			},
		})
	}
	_ = testService
}
