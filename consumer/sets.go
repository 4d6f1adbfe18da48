// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"errors"
	"strings"

	"github.com/handover-go/handover/rotation"
)

// isSet reports whether req is about what to accept and not about what to present: one about presenting has a key.
func isSet(req rotation.DeployRequest) bool { return len(req.Accept) > 0 || req.Key.IsZero() }

// oneKey refuses a set: to bring only the newest of its secrets would have the others refused while they are needed.
func oneKey(what string, req rotation.DeployRequest) error {
	if !isSet(req) {
		return nil
	}
	return fail(errors.ErrUnsupported, "%s brings one key to what presents it; this request is about what to accept: %s", what, keyList(req.Accept))
}

// keyList is keys as text, for people.
func keyList(keys []rotation.Key) string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = k.String()
	}
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}
