// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// restarted is a service whose reload address starts it anew.
type restarted struct{ consumer.Reload }

func (restarted) Reloads() rotation.Reload { return rotation.ReloadRestart }

// script is a command of which somebody knows what it does.
type script struct{ consumer.Command }

func (script) Reloads() rotation.Reload { return rotation.ReloadNextRun }

// Every consumer says how it takes up a key, and the inventory shows it; who knows better can say so.
func TestReloads(t *testing.T) {
	for want, all := range map[rotation.Reload][]rotation.Consumer{
		rotation.ReloadLive:    {consumer.Static(rotation.Key{}), &consumer.Receiver{}, consumer.Replicas{}, consumer.Polling{}, consumer.Reload{}},
		rotation.ReloadRestart: {consumer.EnvFile{}, restarted{}},
		rotation.ReloadNextRun: {consumer.NextRun{}, script{}},
		rotation.ReloadManual:  {consumer.Manual{}},
		rotation.ReloadUnknown: {consumer.Command{}},
	} {
		for _, c := range all {
			r, ok := rotation.As[rotation.Reloader](c)
			require.True(t, ok, "%T", c)
			require.Equal(t, want, r.Reloads(), "%T", c)
		}
	}
}
