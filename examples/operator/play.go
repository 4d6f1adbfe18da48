// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// kill is what was done to a replica.
type kill struct {
	Replica   string `json:"replica"`
	Open      int    `json:"open"`      // rotations that it had begun and that were open when it died
	Restarted bool   `json:"restarted"` // it came back; if not, the others had to do
}

// progress is what the journal says of all credentials.
type progress struct {
	rotated int
	open    map[string]int // open rotations, by who began them
	opened  int
}

// plan is when replicas are killed, and when the first of them comes back.
type plan struct {
	kills     []float64 // when so much of the work is done
	restartAt time.Time
}

// play starts the replicas, kills two of them on the way and returns when every rotation has ended.
func (s *stage) play(ctx context.Context) error {
	s.provider.take(s.items)
	if err := s.startReplicas(replicas...); err != nil {
		return err
	}
	s.tell("%d credentials, %d replicas, %d hosts", s.n, len(replicas), hosts)
	for _, name := range replicas {
		s.tell("%s has its status page at %s", name, s.replicas[name].page)
	}
	plan := plan{kills: []float64{0.05 + 0.25*s.random.Float64(), 0.45 + 0.25*s.random.Float64()}}
	told := time.Now()
	for ctx.Err() == nil {
		p, err := s.progress(ctx)
		if err != nil { // a journal that is slow in answering is no news: there is another look
			s.tell("%v", err)
			sleep(ctx, time.Second)
			continue
		}
		if err := s.act(ctx, &plan, p); err != nil {
			return err
		}
		if p.rotated == s.n && p.opened == 0 && plan.restartAt.IsZero() {
			s.took = time.Since(s.began)
			return nil
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			s.tell("%d of %d have ended, %d are open", p.rotated, s.n, p.opened)
		}
		sleep(ctx, max(50*time.Millisecond, time.Duration(s.n)*2*time.Millisecond)) // a look costs one read for each credential
	}
	return context.Cause(ctx)
}

// act does what the plan has for this moment.
func (s *stage) act(ctx context.Context, plan *plan, p progress) error {
	for name, r := range s.replicas {
		select {
		case <-r.Done():
			return fmt.Errorf("%s has ended by itself\n%s", name, r.Log())
		default:
		}
	}
	if !plan.restartAt.IsZero() && time.Now().After(plan.restartAt) {
		plan.restartAt = time.Time{}
		s.kills[0].Restarted = true
		s.tell("%s is started again", s.kills[0].Replica)
		return s.startReplicas(s.kills[0].Replica)
	}
	name := s.busiest(p)
	if len(plan.kills) == 0 || p.open[name] == 0 {
		return nil
	}
	done := float64(p.opened+2*p.rotated) / float64(2*s.n) // an open one is done by half
	few := s.n < 60 && p.opened+p.rotated >= s.n/2         // so few begin and end nearly at once: there is no later
	if done < plan.kills[0] && !few {
		return nil
	}
	sleep(ctx, time.Duration(s.random.IntN(100))*time.Millisecond)
	plan.kills = plan.kills[1:]
	if len(s.kills) == 0 {
		plan.restartAt = time.Now().Add(time.Duration(500+s.random.IntN(2000)) * time.Millisecond)
	}
	return s.kill(ctx, name)
}

// busiest is the replica that began most of the open rotations, of those that were not killed before.
func (s *stage) busiest(p progress) (name string) {
	for _, r := range replicas {
		killed := slices.ContainsFunc(s.kills, func(k kill) bool { return k.Replica == r })
		if !killed && p.open[r] > p.open[name] {
			name = r
		}
	}
	return name
}

// startReplicas starts replicas, and lets them begin together when all of them are ready.
func (s *stage) startReplicas(names ...string) error {
	for _, name := range names {
		if err := s.startReplica(name); err != nil {
			return err
		}
	}
	var err error
	for _, name := range names {
		if s.replicas[name].page, err = s.replicas[name].Line(); err != nil {
			return err
		}
	}
	if s.began.IsZero() {
		s.began = time.Now()
	}
	for _, name := range names {
		if err := s.replicas[name].Release(); err != nil {
			return err
		}
	}
	return nil
}

// kill kills a replica, and notes in the middle of how many rotations that it had begun.
func (s *stage) kill(ctx context.Context, name string) error {
	s.replicas[name].Kill()
	delete(s.replicas, name)
	p, err := s.progress(ctx)
	for err != nil && ctx.Err() == nil {
		p, err = s.progress(ctx)
	}
	s.kills = append(s.kills, kill{Replica: name, Open: p.open[name]})
	s.tell("SIGKILL: %s is gone, in the middle of %d rotations; %d of %d have ended", name, p.open[name], p.rotated, s.n)
	return ctx.Err()
}

func (s *stage) progress(ctx context.Context) (progress, error) {
	p := progress{open: map[string]int{}}
	all, err := s.watcher.List(ctx)
	for _, st := range all {
		if st.Last != nil && st.Last.Outcome == rotation.Rotated {
			p.rotated++
		}
		if st.Open != nil {
			p.open[st.Open.Actor]++
			p.opened++
		}
	}
	return p, err
}

// tell adds a line to the story.
func (s *stage) tell(format string, args ...any) {
	fmt.Fprintf(s.story, "%6.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}
