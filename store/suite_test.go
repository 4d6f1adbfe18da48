// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"github.com/handover-go/handover/rotation/rotationtest"
)

// TestStoreSuite runs the suite that is shipped for stores, as the writer of one would.
func TestStoreSuite(t *testing.T) {
	for place, make := range places {
		t.Run(place, func(t *testing.T) { rotationtest.StoreSuite{Store: make(t)(t), Name: name}.Run(t) })
	}
}
