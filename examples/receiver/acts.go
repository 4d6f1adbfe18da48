// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// before is what an endpoint was like at the beginning of an act.
type before struct {
	key      rotation.Key
	revision int // of the sender
}

// standard is the first act: nobody notices anything.
func (s *stage) standard(ctx context.Context, result *Result) error {
	was, err := s.begin(ctx, "1. A standard rotation of all three secrets.")
	if err != nil {
		return err
	}
	rotated := rotate(ctx, s.rotator, rotation.Trigger{ID: "receiver-1", Reason: "scheduled: a year is over"})
	result.promise(rotated == nil, "standard: the rotator ends well: %v", rotated)
	result.Standard, err = s.end(ctx, result, was, rotation.Rotated)
	result.lossless("standard", result.Standard)
	return err
}

// rollBack is the second act: somebody thinks better of it, at a time when every delivery is signed with the new secrets.
func (s *stage) rollBack(ctx context.Context, result *Result) error {
	was, err := s.begin(ctx, "2. A rotation that is taken back, when the senders sign with the new secrets already.")
	if err != nil {
		return err
	}
	// Both secrets live for an hour: time enough to find out that something is wrong. A roll-back does not wait for its end.
	if err := s.rotator.Register(s.inventory(time.Hour)...); err != nil {
		return err
	}
	if err := start(ctx, s.rotator, rotation.Trigger{ID: "receiver-2", Reason: "scheduled: a year is over"}); err != nil {
		return err
	}
	if err := s.proven(ctx); err != nil {
		return err
	}
	sleep(ctx, 500*time.Millisecond) // it is going so well
	if err := abort(ctx, s.rotator, "the announcement named another day"); err != nil {
		return err
	}
	waited := s.rotator.Wait(ctx, names...)
	result.promise(waited != nil, "roll-back: the rotator reports that there are no new secrets")
	result.RollBack, err = s.end(ctx, result, was, rotation.RolledBack)
	result.lossless("roll-back", result.RollBack)
	for name, c := range result.RollBack {
		result.promise(c.VerifiedNew > 0, "roll-back: %s: some deliveries were signed with the new secret", name)
	}
	return err
}

// proven waits until every receiver has verified a delivery that was signed with the new secret.
func (s *stage) proven(ctx context.Context) error {
	return each(func(name string) error {
		for ctx.Err() == nil {
			st, err := s.rotator.Advance(ctx, name)
			if st.Open == nil {
				return errors.Join(errors.New("it ended before it could be taken back: "+name), err)
			}
			if st.Open.Phase == rotation.PhaseSoak {
				return nil
			}
			sleep(ctx, 50*time.Millisecond)
		}
		return ctx.Err()
	})
}

// emergency is the third act: the attacker has the secrets and uses them, so they die without waiting for anybody. Meanwhile
// genuine deliveries are refused, too, until their sender signs with the next ones.
func (s *stage) emergency(ctx context.Context, result *Result) error {
	was, err := s.begin(ctx, "3. An emergency: the secrets have leaked.")
	if err != nil {
		return err
	}
	abused, stop := context.WithCancel(context.Background())
	s.stops = append(s.stops, stop)
	for _, name := range names {
		s.crowd.Go(func() { s.attacker.abuse(abused, name, was[name].key.Secret) })
	}
	sleep(ctx, 200*time.Millisecond) // until somebody notices
	const reference = "INC-2026-0043"
	confirmed := time.Now()
	handled := emergency(ctx, s.rotator, rotation.Incident{
		Reference: reference, Credentials: names, Reason: "found in a public repository", ConfirmedAt: confirmed,
	})
	result.promise(handled == nil, "emergency: the rotator ends well: %v", handled)
	if result.Emergency, err = s.end(ctx, result, was, rotation.Rotated); err != nil {
		return err
	}
	report, err := s.rotator.Incident(ctx, reference)
	if err != nil {
		return err
	}
	result.promise(report.Done(), "emergency: the incident is closed")
	for _, r := range report.Records {
		c := result.Emergency[r.Credential]
		result.promise(r.DeadlineMet, "emergency: %s: the secret died in time", r.Credential)
		result.promise(c.LeakedVerified > 0, "emergency: %s: the leaked secret is of use to the attacker", r.Credential)
		result.promise(c.lastLeaked.Before(r.DeadAt), "emergency: %s: nothing is verified with the leaked secret after its death", r.Credential)
		result.promise(c.strange == 0, "emergency: %s: no delivery is lost that was signed with the new secret: %d", r.Credential, c.strange)
		c.LeakedMS = max(0, c.lastLeaked.Sub(confirmed).Milliseconds())
		result.Emergency[r.Credential] = c
		fmt.Fprintf(s.story, "\n   %-8s the leaked secret was accepted until %d ms after the leak was confirmed; genuine deliveries were refused for %d ms",
			r.Credential, c.LeakedMS, c.OutageMS)
	}
	fmt.Fprintln(s.story)
	return nil
}

// begin begins an act.
func (s *stage) begin(ctx context.Context, title string) (map[string]before, error) {
	fmt.Fprintf(s.story, "\n%s\n\n", title)
	was := map[string]before{}
	for _, name := range names {
		versions, err := s.secrets.Load(ctx, name)
		if err != nil {
			return nil, err
		}
		h := s.sender.hooks[name]
		now := h.signsWith()
		was[name] = before{versions.Key(rotation.RoleCurrent), now.revision}
		stale, err := h.sign(&now, event{forgery + rand.Text(), theft}, time.Now().Add(-time.Hour))
		if err != nil {
			return nil, err
		}
		s.attacker.find(name, secret.Value{}, stale)
	}
	sleep(ctx, time.Second) // all is well
	return was, nil
}

// end ends an act: it tells what happened, and checks what has to be true after any rotation.
func (s *stage) end(ctx context.Context, result *Result, was map[string]before, want rotation.Outcome) (map[string]Count, error) {
	sleep(ctx, time.Second) // all is well again
	if ctx.Err() != nil {   // Ctrl-C
		return nil, context.Cause(ctx)
	}
	act, err := s.ledger.turn()
	if err != nil {
		return nil, err
	}
	counts := map[string]Count{}
	var records []rotation.Record
	for _, name := range names {
		status, err := s.rotator.Status(ctx, name)
		if err != nil {
			return nil, err
		}
		if status.Last == nil {
			return nil, errors.New("the journal has no record of the rotation of " + name)
		}
		records = append(records, *status.Last)
		result.promise(status.Last.Outcome == want, "act %d: %s ends well: %q", act+1, name, status.Last.Outcome)
		result.promise(status.Open == nil && len(status.Debts) == 0, "act %d: %s: nothing is left over: %v", act+1, name, status.Debts)

		old := was[name]
		c := s.ledger.count(place{act, name}, strconv.Itoa(old.key.Generation), old.revision)
		result.forgeries(act, name, c)
		counts[name] = c
		if err := s.checkSecrets(ctx, result, name); err != nil {
			return nil, err
		}
		if want == rotation.Rotated {
			s.attacker.find(name, old.key.Secret, delivery{})
		}
	}
	timeline(s.story, records)
	return counts, nil
}

// checkSecrets compares the store with the sender: whatever happened, they agree on the one secret there is.
func (s *stage) checkSecrets(ctx context.Context, result *Result, name string) error {
	versions, err := s.secrets.Load(ctx, name)
	if err != nil {
		return err
	}
	current := versions.Key(rotation.RoleCurrent)
	result.promise(len(versions.Keys) == 1, "%s: the store has one secret: %d", name, len(versions.Keys))
	result.promise(s.sender.hooks[name].signsWith().secret.Equal(current.Secret), "%s: the sender signs with the current secret", name)
	return nil
}
