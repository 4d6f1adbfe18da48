// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"testing"

	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestSimulate(t *testing.T) {
	rotationtest.Simulate(t, rotationtest.Simulation{})
}
