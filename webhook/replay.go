// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Replay remembers deliveries. It is asked only about deliveries that have verified.
//
// A delivery is known by the sender's name and its message id or, where the scheme signs no id, a hash of what was signed: the
// signature itself would not do, because a delivery with two of them could be repeated once with each.
type Replay interface {
	// Seen records id for ttl and reports whether it was there already, in one step: of two callers with the same id only
	// one is told false. An error refuses the delivery; if the id was recorded all the same, so is the sender's next try, as a
	// repeat, until ttl has passed.
	Seen(ctx context.Context, id string, ttl time.Duration) (bool, error)
}

// Forgetter is what a Replay should have too: then a delivery whose handler failed is welcome when its sender tries again.
type Forgetter interface {
	// Forget removes id. An unknown id is no error.
	Forget(ctx context.Context, id string) error
}

const defaultReplayFor = 24 * time.Hour // where no time is signed

func (v *Verifier) setReplay() error {
	if v.name == "" {
		v.name = v.scheme.name
	}
	switch {
	case v.replay == nil && v.replayFor != 0:
		return wrongConfig("ReplayFor", "there is no Replay")
	case v.replay == nil:
		return nil
	case v.scheme.config.Algorithm == Token:
		return wrongConfig("Replay", "scheme %s signs nothing: one delivery is as good as another", v.scheme)
	case v.replayFor < 0, v.replayFor > 0 && v.replayFor < 2*v.tolerance:
		return wrongConfig("ReplayFor", "is less than twice the tolerance")
	case v.replayFor == 0 && v.scheme.timed:
		v.replayFor = 2 * v.tolerance
	case v.replayFor == 0:
		v.replayFor = defaultReplayFor
	}
	return nil
}

// replayID is what Replay knows a delivery as.
func (v *Verifier) replayID(d *delivery, body []byte) string {
	s := v.scheme
	if s.id != "" {
		return v.name + ":" + d.id
	}
	content := sha256.New()
	content.Write(d.append(nil, s.before, s.config.TimeFormat))
	if s.body {
		content.Write(body)
	}
	content.Write(d.append(nil, s.after, s.config.TimeFormat))
	return v.name + ":" + hex.EncodeToString(content.Sum(nil))
}

func (v *Verifier) seen(ctx context.Context, id string) error {
	before, err := v.replay.Seen(ctx, id, v.replayFor)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrReplayStore, err)
	case before:
		return ErrReplayed
	}
	return nil
}

// Forget makes Config.Replay forget a delivery that verified, so that it verifies once more when its sender tries again: for
// users of Verify and VerifyRequest whose handling failed. Middleware does it by itself. Without Replay, or if it is no
// Forgetter, Forget does nothing.
func (v *Verifier) Forget(ctx context.Context, m Match) error {
	f, ok := v.replay.(Forgetter)
	if !ok || m.replay == "" {
		return nil
	}
	return f.Forget(ctx, m.replay)
}
