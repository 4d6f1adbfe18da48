// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"testing"

	"github.com/handover-go/handover/rotation/rotationtest"
)

// TestEveryFault has every effect of every kind of rotation fail in every way, and the process die there: nothing but the fakes
// takes part, so that what breaks is the engine's.
func TestEveryFault(t *testing.T) {
	rotationtest.Simulate(t, rotationtest.Simulation{Sample: schedules})
}
