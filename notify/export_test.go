// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"time"

	"github.com/handover-go/handover/rotation"
)

// Compose is the mail that Deliver sends.
func (m Email) Compose(e rotation.Event, now time.Time, refused ...string) []byte {
	return m.compose(e, now, refused)
}
