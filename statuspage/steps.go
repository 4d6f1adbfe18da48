// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// How far a step is.
const (
	stepDone    = "done"
	stepCurrent = "current"
	stepAhead   = "ahead"
	stepStopped = "stopped"
)

// phases are the steps of a strategy, in their order. The tables are the engine's; a test compares them with what rotations do.
func phases(s rotation.Strategy, webhook bool) []rotation.Phase {
	switch {
	case webhook && s == rotation.RollBack:
		return []rotation.Phase{
			rotation.PhaseRestore, rotation.PhaseActivate, rotation.PhaseProve, rotation.PhasePromote,
			rotation.PhaseSoak, rotation.PhaseDrop, rotation.PhaseConfirm, rotation.PhaseFinish,
		}
	case webhook && s == rotation.Emergency:
		return []rotation.Phase{
			rotation.PhaseIssue, rotation.PhasePromote, rotation.PhaseActivate, rotation.PhaseAccept,
			rotation.PhaseProve, rotation.PhaseConfirm, rotation.PhaseFinish,
		}
	case webhook:
		return []rotation.Phase{
			rotation.PhasePrepare, rotation.PhaseIssue, rotation.PhaseAccept, rotation.PhaseActivate, rotation.PhaseProve,
			rotation.PhasePromote, rotation.PhaseSoak, rotation.PhaseDrop, rotation.PhaseConfirm, rotation.PhaseFinish,
		}
	case s == rotation.RollBack:
		return []rotation.Phase{
			rotation.PhaseRestore, rotation.PhasePromote, rotation.PhaseDeploy, rotation.PhaseVerify,
			rotation.PhaseSoak, rotation.PhaseRetire, rotation.PhaseConfirm, rotation.PhaseFinish,
		}
	case s == rotation.Emergency:
		return []rotation.Phase{
			rotation.PhaseIssue, rotation.PhaseProve, rotation.PhasePromote, rotation.PhaseDeploy,
			rotation.PhaseVerify, rotation.PhaseConfirm, rotation.PhaseFinish,
		}
	default:
		return []rotation.Phase{
			rotation.PhasePrepare, rotation.PhaseIssue, rotation.PhaseProve, rotation.PhaseCanary, rotation.PhasePromote,
			rotation.PhaseDeploy, rotation.PhaseVerify, rotation.PhaseSoak, rotation.PhaseDisable, rotation.PhaseRetire,
			rotation.PhaseConfirm, rotation.PhaseFinish,
		}
	}
}

// steps says which phases of r's strategy are done, and when each was last heard of.
func steps(r *rotation.Record, t rotation.Type) []Step {
	all := phases(r.Strategy, t == rotation.WebhookSecret)
	now := slices.Index(all, r.Phase)
	if now < 0 { // a phase that this page does not know
		all, now = append(all, r.Phase), len(all)
	}
	heard := heardOf(r)
	out := make([]Step, len(all))
	for i, phase := range all {
		out[i] = Step{Phase: clean(string(phase)), Progress: progress(i, now, r.Outcome)}
		if out[i].Progress != stepAhead {
			out[i].At = utc(heard[phase])
		}
	}
	return out
}

func progress(i, now int, outcome rotation.Outcome) string {
	switch {
	case i < now || outcome == rotation.Rotated || outcome == rotation.RolledBack:
		return stepDone
	case i > now:
		return stepAhead
	case outcome == rotation.Unfinished:
		return stepCurrent
	default:
		return stepStopped
	}
}

// heardOf is the time of each phase's last line. A roll-back has phases of the same names as what it turned around, so it counts
// from where it began.
func heardOf(r *rotation.Record) map[rotation.Phase]time.Time {
	lines := r.Timeline
	if r.Strategy == rotation.RollBack {
		for i := len(lines) - 1; i >= 0; i-- {
			if lines[i].Phase == rotation.PhaseRestore && (i == 0 || lines[i-1].Phase != rotation.PhaseRestore) {
				lines = lines[i:]
				break
			}
		}
	}
	heard := make(map[rotation.Phase]time.Time, len(lines))
	for _, m := range lines {
		if m.At.After(heard[m.Phase]) {
			heard[m.Phase] = m.At
		}
	}
	return heard
}
