// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/webhook"
)

// Words beside those of package rotation.
const (
	None  = "none"  // there is none: an event outside of a rotation has no strategy, a failure may have no diagnosis
	Other = "other" // not one of the words that this version knows
)

// MostSecrets is how many ids of secrets an adapter tells apart for each verifier, in the life of a process. Further ones are
// Other. At one rotation a day that is more than eight months.
const MostSecrets = 256

var (
	strategies = []rotation.Strategy{rotation.Standard, rotation.RollBack, rotation.Emergency}
	phases     = []rotation.Phase{
		rotation.PhasePrepare, rotation.PhaseIssue, rotation.PhaseProve, rotation.PhaseCanary, rotation.PhaseAccept,
		rotation.PhaseRestore, rotation.PhaseActivate, rotation.PhasePromote, rotation.PhaseDeploy, rotation.PhaseVerify,
		rotation.PhaseSoak, rotation.PhaseDisable, rotation.PhaseRetire, rotation.PhaseDrop, rotation.PhaseConfirm,
		rotation.PhaseFinish,
	}
	outcomes = []rotation.Outcome{rotation.Unfinished, rotation.Rotated, rotation.RolledBack, rotation.TakenOver}
	needs    = []rotation.NeedKind{
		rotation.NeedTime, rotation.NeedQuiet, rotation.NeedConsumer, rotation.NeedPerson, rotation.NeedRetry,
		rotation.NeedWindow, rotation.NeedRelease,
	}
	kinds = []rotation.EventKind{
		rotation.EventNotice, rotation.EventBegan, rotation.EventIssued, rotation.EventProven, rotation.EventPromoted, rotation.EventActivated,
		rotation.EventDeployed, rotation.EventVerified, rotation.EventDisabled, rotation.EventRevoked, rotation.EventDead,
		rotation.EventWaiting, rotation.EventFailed, rotation.EventWarning, rotation.EventDue, rotation.EventAnswered, rotation.EventRollBack, rotation.EventEnded,
		rotation.EventDebt,
	}
	diagnoses = []rotation.Diagnosis{
		rotation.ConsumerNotUpdated, rotation.PartialRollout, rotation.NewKeyRejected, rotation.KeyCached,
		rotation.FormatChanged, rotation.EnvironmentMismatch, rotation.OldKeyInUse, rotation.StoreDenied,
		rotation.VerificationTimeout, rotation.IssuerRateLimited, rotation.JobHoldsOldKey, rotation.SenderOnOldSecret,
		rotation.RevocationPropagating, rotation.RevocationNotEffective,
		rotation.Overdue, rotation.CurrentRejected, rotation.UnknownKey, rotation.UnknownConsumer, rotation.StaleBinding, rotation.Unlisted,
		rotation.TooBroad, rotation.GraceTooShort, rotation.NoSlot,
		rotation.Unproven, rotation.AmbiguousIssue, rotation.Drift, rotation.ConsumerGone, rotation.PartsChanged,
		rotation.ForeignOwner, rotation.JournalBehind, rotation.ClockSkew,
	}
)

// NeedKinds are all kinds of needs that a Credential counts, Other included.
func NeedKinds() []rotation.NeedKind { return append(slices.Clone(needs), Other) }

// Strategies are those of package rotation.
func Strategies() []rotation.Strategy { return slices.Clone(strategies) }

// Outcomes are those that a rotation ends with.
func Outcomes() []rotation.Outcome { return slices.Clone(outcomes[1:]) }

// Diagnoses are those of package rotation, and Other.
func Diagnoses() []rotation.Diagnosis { return append(slices.Clone(diagnoses), Other) }

// known keeps a word of a closed set. A part of somebody else's may put anything into a rotation.Error, and a journal may be one
// of a newer version.
func known[T ~string](word T, words []T) T {
	if slices.Contains(words, word) {
		return word
	}
	return Other
}

func diagnosisOf(problem *rotation.Error) rotation.Diagnosis {
	switch {
	case problem == nil:
		return None
	case problem.Diagnosis == "":
		return Other
	}
	return known(problem.Diagnosis, diagnoses)
}

func strategyOf(s rotation.Strategy) rotation.Strategy {
	if s == "" {
		return None
	}
	return known(s, strategies)
}

// levelOf is the level of an event: info, warn or error.
func levelOf(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	}
	return "info"
}

// refusals in the order in which they are looked for: what a replay store failed of is inside of its error.
var refusals = []struct {
	err    error
	reason string
}{
	{webhook.ErrReplayStore, "replay-store"},
	{webhook.ErrUnsigned, "unsigned"},
	{webhook.ErrMalformed, "malformed"},
	{webhook.ErrMismatch, "mismatch"},
	{webhook.ErrStale, "stale"},
	{webhook.ErrReplayed, "replayed"},
	{webhook.ErrTooLarge, "too-large"},
	{webhook.ErrNoSecret, "no-secret"},
}

// Refusal is the reason for which a webhook.Verifier refused a delivery: unsigned, malformed, mismatch, stale, replayed,
// too-large, no-secret, replay-store, or Other. Of no error it is empty. It allocates nothing.
func Refusal(err error) string {
	if err == nil {
		return ""
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return Other
}

// Refusals are all that Refusal returns of errors.
func Refusals() []string {
	var all []string
	for _, r := range refusals {
		all = append(all, r.reason)
	}
	return append(all, Other)
}
