// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// slow takes its time for everything that it is asked.
type slow struct {
	rotation.Consumer
	took time.Duration
}

func (s slow) Deploy(ctx context.Context, r rotation.DeployRequest) error {
	time.Sleep(s.took)
	return s.Consumer.Deploy(ctx, r)
}

func (s slow) Observe(ctx context.Context) ([]rotation.Instance, error) {
	time.Sleep(s.took)
	o, _ := rotation.As[rotation.Observer](s.Consumer)
	return o.Observe(ctx)
}

func (s slow) Verify(ctx context.Context, k rotation.Key) error {
	time.Sleep(s.took)
	v, _ := rotation.As[rotation.Verifier](s.Consumer)
	return v.Verify(ctx, k)
}

// emergencyOver is how long an emergency takes, in virtual time, with so many slow consumers.
func emergencyOver(t *testing.T, consumers int) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, consumers)
		for i, b := range w.cred.Consumers {
			w.cred.Consumers[i].Consumer = slow{b.Consumer, 50 * time.Millisecond}
		}
		r := w.rotator()
		begun := time.Now()
		report, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		if !report.Done() {
			require.NoError(t, r.Wait(t.Context(), name))
		}
		took = time.Since(begun)
		report, err = r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.True(t, report.Done(), fmt.Sprint(report))
		require.Len(t, report.Records[0].Consumers, consumers)
		for _, c := range w.consumers {
			require.Equal(t, w.current().ID, c.Key().ID)
		}
	})
	return took
}

// No consumer waits for another one when a key is compromised.
func TestAnEmergencyTellsEveryConsumerAtOnce(t *testing.T) {
	one, thousand := emergencyOver(t, 1), emergencyOver(t, 1000)
	require.Positive(t, one)
	require.LessOrEqual(t, thousand, one+one/10, "1,000 consumers took %v, one took %v", thousand, one)
}
