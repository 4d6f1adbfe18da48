// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/rotation"
)

// phases of a standard rotation, in order. In one of them the rotator is killed, but for the last one, which is too short.
var phases = []rotation.Phase{
	rotation.PhasePrepare, rotation.PhaseIssue, rotation.PhaseProve, rotation.PhaseCanary, rotation.PhasePromote,
	rotation.PhaseDeploy, rotation.PhaseVerify, rotation.PhaseSoak, rotation.PhaseDisable, rotation.PhaseRetire,
	rotation.PhaseConfirm, rotation.PhaseFinish,
}

// standard is the first act: nobody notices anything, although the rotator dies in the middle.
func (s *stage) standard(ctx context.Context, result *Result) error {
	old, err := s.begin(ctx, "1. A standard rotation. The rotator is killed on the way.")
	if err != nil {
		return err
	}
	args := []string{"-trigger", "quickstart-1", "-reason", "scheduled: 90 days are over"}
	rotator, err := s.startRotator("rotate", args...)
	if err != nil {
		return err
	}
	phase := phases[s.random.IntN(len(phases)-1)]
	killed, err := s.killIn(ctx, rotator, phase, time.Duration(s.random.IntN(30))*time.Millisecond)
	if err != nil {
		return err
	}
	if rotator, err = s.startRotator("rotate", args...); err != nil { // the next night's cron job, say
		return err
	}
	s.mark("the rotator is started again")
	waited := rotator.Wait(ctx)
	act, err := s.end(ctx, result)
	if err != nil {
		return err
	}
	result.Standard = Standard{
		Requests: act.requests, Rejected: act.rejected, KilledAt: killed, Finished: act.record.Outcome == rotation.Rotated,
	}
	result.took[0] = act.took
	result.promise(killed != "", "standard: the rotator is killed before it has finished")
	result.promise(waited == nil, "standard: the rotator that was started again ends well: %v", waited)
	result.promise(act.record.Outcome == rotation.Rotated, "standard: the rotation finishes: %q", act.record.Outcome)
	result.promise(act.rejected == 0, "standard: no request is rejected: %d of %d%s", act.rejected, act.requests, act.lost)
	result.promise(act.current != old, "standard: there is a new key")
	return nil
}

// killIn kills the rotator when the journal says that it stands in the phase, or is past it, after a moment more. It returns
// where it stood: "" if it was too quick.
func (s *stage) killIn(ctx context.Context, rotator *child.Process, phase rotation.Phase, after time.Duration) (rotation.Phase, error) {
	for {
		status, err := s.watcher.Status(ctx, gateway)
		if err != nil {
			return "", err
		}
		if status.Open != nil && slices.Index(phases, status.Open.Phase) >= slices.Index(phases, phase) {
			break
		}
		select {
		case <-rotator.Done():
			return "", fmt.Errorf("the rotator ended before it could be killed: %w", rotator.Wait(ctx))
		case <-ctx.Done():
			rotator.Kill()
			return "", ctx.Err()
		case <-time.After(3 * time.Millisecond):
		}
	}
	time.Sleep(after)
	rotator.Kill()
	s.mark("SIGKILL: the rotator is gone")
	status, err := s.watcher.Status(ctx, gateway)
	if err != nil || status.Open == nil {
		return "", err
	}
	return status.Open.Phase, nil
}

// rollBack is the second act: the provider has changed the format of its keys, and the canary does not understand it.
func (s *stage) rollBack(ctx context.Context, result *Result) error {
	old, err := s.begin(ctx, "2. A rotation whose canary does not start with the new key.")
	if err != nil {
		return err
	}
	s.provider.SetPrefix("gw2_")
	defer s.provider.SetPrefix("gw1_")
	rotator, err := s.startRotator("rotate", "-trigger", "quickstart-2", "-reason", "scheduled: 90 days are over")
	if err != nil {
		return err
	}
	waited := rotator.Wait(ctx)
	act, err := s.end(ctx, result)
	if err != nil {
		return err
	}
	rolledBack := act.record.Outcome == rotation.RolledBack
	result.RollBack = RollBack{Requests: act.requests, Rejected: act.rejected, RolledBack: rolledBack}
	result.took[1] = act.took
	result.promise(waited != nil, "roll-back: the rotator reports that there is no new key")
	result.promise(rolledBack, "roll-back: the rotation rolls back by itself: %q", act.record.Outcome)
	result.promise(act.rejected == 0, "roll-back: no request is rejected: %d of %d%s", act.rejected, act.requests, act.lost)
	result.promise(act.current == old, "roll-back: the old key is current again")
	return nil
}

// emergency is the third act: the key is public, so it dies without waiting for anybody, and the services get the next one as fast as they can.
func (s *stage) emergency(ctx context.Context, result *Result) error {
	old, err := s.begin(ctx, "3. An emergency: the key has leaked.")
	if err != nil {
		return err
	}
	const reference = "INC-2026-0042"
	confirmed := time.Now()
	rotator, err := s.startRotator("emergency", "-reference", reference,
		"-reason", "found in a public repository", "-confirmed", confirmed.Format(time.RFC3339Nano))
	if err != nil {
		return err
	}
	waited := rotator.Wait(ctx)
	act, err := s.end(ctx, result)
	if err != nil {
		return err
	}
	report, err := s.watcher.Incident(ctx, reference)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.story, indent(report.String()))
	revoked := s.provider.RevokedAt(old)
	result.Emergency = Emergency{
		Requests: act.requests,
		RevokeMS: revoked.Sub(confirmed).Milliseconds(),
		OutageMS: act.outage.Milliseconds(),
		Incident: report.String(),
	}
	result.took[2], result.foreseen = act.took, act.rejected
	result.promise(waited == nil, "emergency: the rotator ends well: %v", waited)
	result.promise(report.Done(), "emergency: the incident is closed")
	result.promise(act.record.DeadlineMet, "emergency: the key is revoked in time")
	result.promise(!revoked.IsZero(), "emergency: the leaked key is revoked")
	result.promise(act.current != old, "emergency: there is a new key")
	result.promise(act.lost == "", "emergency: nothing but the leaked key is refused%s", act.lost)
	return nil
}
