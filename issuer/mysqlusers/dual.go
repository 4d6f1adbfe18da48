// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"context"
	"fmt"
	"slices"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Two passwords of one user. MariaDB keeps a list of them, which is written as a whole. MySQL keeps a first and a second one, and
// RETAIN CURRENT PASSWORD makes the first one the second, whatever that was: said twice, it ends the password in use. So nothing
// is retained while there is a second one, and a password that the server has is never set again.

const discardOld = " DISCARD OLD PASSWORD"

// add gives an account a password beside the one that it has.
func (c *call) add(ctx context.Context, a account, value secret.Value) error {
	if len(a.entries) > 1 {
		return problem(fmt.Sprintf("mysqlusers: Issue: user %q has two passwords already: revoke the key that is not in use", a.user), rotation.ErrNoSlot, rotation.ErrNotIssued)
	}
	if a.locked {
		return problem(fmt.Sprintf("mysqlusers: Issue: user %q has a password and is locked: somebody else has done that, who has to unlock it", a.user), rotation.ErrNotIssued)
	}
	if a.entries[0].auth == "" {
		return problem(fmt.Sprintf("mysqlusers: Issue: user %q has an empty password: give it one, or lock the account", a.user), rotation.ErrNotIssued)
	}
	if a.maria {
		return c.alter(ctx, a, a.identified(hashFor(native, value), a.entries[0]))
	}
	// Where the plugin is not said a server may take its default, and a change of plugin discards the other password.
	return c.alter(ctx, a, " IDENTIFIED WITH "+a.entries[0].plugin+" BY "+a.literal(value.Reveal())+" RETAIN CURRENT PASSWORD")
}

// drop takes one of two passwords away. The other is accepted at every moment.
func (c *call) drop(ctx context.Context, a account, n int) error {
	if a.maria {
		return c.alter(ctx, a, a.identified(slices.Delete(slices.Clone(a.entries), n, n+1)...))
	}
	if n == 0 { // the second one becomes the first; without RETAIN it stays the second, too
		if err := c.alter(ctx, a, a.identified(a.entries[1])); err != nil {
			return err
		}
	}
	return c.alter(ctx, a, discardOld)
}
