// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Explorer runs schedules of one script in one setting, and remembers where it has been: a fault in a state in which the same
// fault was tried before, at the same call, is not tried again.
type Explorer struct {
	Setting Setting
	Script  Script
	Workers int              // at the same time
	Meddle  bool             // interventions instead of faults
	Allow   func(Fault) bool // which faults; nil: all
	Stop    bool             // at the first violation
	Part    [2]int           // the k-th of n parts of the first faults, from 1; zero: all
	Two     bool             // a second fault after each of the first

	mu       sync.Mutex
	tried    map[visit]bool // guarded by mu
	states   map[uint64]bool
	points   map[string]bool
	bad      []*Result
	met      []*Result // runs that met all their faults
	runs     atomic.Int64
	effects  atomic.Int64
	pruned   atomic.Int64
	unmet    atomic.Int64
	stopping atomic.Bool
}

// visit is a fault in a state.
type visit struct {
	state   uint64
	label   string
	trouble Trouble
}

// Coverage is what an Explorer has done.
type Coverage struct {
	Runs, Pruned, Effects, Unmet int64
	States, Points               int
	Took                         time.Duration
}

func (c Coverage) String() string {
	return fmt.Sprintf("%d schedules, %d more pruned, %d states, %d calls, %d effects, %d faults not met, %v",
		c.Runs, c.Pruned, c.States, c.Points, c.Effects, c.Unmet, c.Took.Round(time.Millisecond))
}

func (x *Explorer) coverage(began time.Time) Coverage {
	x.mu.Lock()
	defer x.mu.Unlock()
	return Coverage{
		Runs: x.runs.Load(), Pruned: x.pruned.Load(), Effects: x.effects.Load(), Unmet: x.unmet.Load(),
		States: len(x.states), Points: len(x.points), Took: time.Since(began),
	}
}

// busyLoop is how long a run may take by the real clock: it takes some milliseconds, unless it turns in circles while its own
// clock stands still.
const busyLoop = 3 * time.Minute

// run makes one run and keeps what it saw.
func (x *Explorer) run(t *testing.T, plan Schedule) *Result {
	busy := time.AfterFunc(busyLoop, func() {
		panic(fmt.Sprintf("sim: no end after %v, killed by: no end: %s, %s: %s", busyLoop, x.Script.Name, x.Setting.Name, plan))
	})
	r := Run(t, x.Setting, x.Script, plan, true)
	busy.Stop()
	x.runs.Add(1)
	if r.Met < len(plan) {
		x.unmet.Add(1)
	}
	effects := int64(0)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begin()
	for _, s := range r.Steps {
		x.states[s.State] = true
		x.points[s.Point.String()] = true
		if s.Op.effect() {
			effects++
		}
	}
	x.effects.Add(effects)
	if len(r.Violations) > 0 {
		x.bad = append(x.bad, r)
		if x.Stop {
			x.stopping.Store(true)
		}
	}
	return r
}

// begin makes room for what is remembered. The caller holds the lock.
func (x *Explorer) begin() {
	if x.tried == nil {
		x.tried, x.states, x.points = map[visit]bool{}, map[uint64]bool{}, map[string]bool{}
	}
}

// fresh are the faults that can be added to a run after those that it has met: a first one at every effect, and at reads, as a
// second one everywhere, in a state where it was not tried yet.
func (x *Explorer) fresh(r *Result) []Fault {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begin()
	var faults []Fault
	for _, s := range r.Steps {
		if s.met < len(r.Schedule) {
			continue // before the faults of this run: what came of it is known from a shorter schedule
		}
		troubles := s.Op.troubles()
		if x.Meddle {
			troubles = nil
			if s.Op.effect() {
				troubles = Interventions(x.Setting)
			}
		}
		for _, trouble := range troubles {
			f := Fault{s.Point, trouble}
			if x.Allow != nil && !x.Allow(f) {
				continue
			}
			v := visit{s.State, s.label, trouble}
			if x.tried[v] && (len(r.Schedule) > 0 || !s.Op.effect()) { // one fault is tried at every effect
				x.pruned.Add(1)
				continue
			}
			x.tried[v] = true
			faults = append(faults, f)
		}
	}
	return faults
}

// Singles runs every fault at every call.
func (x *Explorer) Singles(t *testing.T) {
	base := x.run(t, nil)
	if len(base.Violations) > 0 {
		return
	}
	var plans []Schedule
	for i, f := range x.fresh(base) {
		if n := x.Part[1]; n == 0 || i%n == (x.Part[0]-1)%n {
			plans = append(plans, Schedule{f})
		}
	}
	met := x.all(t, plans)
	if x.Two {
		x.met = met
	}
}

// Pairs runs a second fault at every call after the first, for each of the firsts that Singles met.
func (x *Explorer) Pairs(t *testing.T) {
	firsts := x.met
	x.met = nil
	for _, first := range firsts {
		if x.stopping.Load() {
			return
		}
		var plans []Schedule
		for _, f := range x.fresh(first) {
			plans = append(plans, append(slices.Clone(first.Schedule), f))
		}
		x.all(t, plans)
	}
}

// all runs schedules at the same time.
func (x *Explorer) all(t *testing.T, plans []Schedule) []*Result {
	var mu sync.Mutex
	var met []*Result
	var wg sync.WaitGroup
	next := make(chan Schedule)
	for range max(x.Workers, 1) {
		wg.Go(func() {
			for plan := range next {
				r := x.run(t, plan)
				if r.Met == len(plan) && len(r.Violations) == 0 {
					r.trace = nil
					mu.Lock()
					met = append(met, r)
					mu.Unlock()
				}
			}
		})
	}
	for _, plan := range plans {
		if x.stopping.Load() {
			break
		}
		next <- plan
	}
	close(next)
	wg.Wait()
	return met
}

// Random runs schedules of up to most faults, for a time. What it does follows from the seed, as far as the order in which
// goroutines run allows.
func (x *Explorer) Random(t *testing.T, seed uint64, most int, d time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 7))
	base := x.run(t, nil)
	for deadline := time.Now().Add(d); time.Now().Before(deadline) && !x.stopping.Load(); {
		var plans []Schedule
		for range 4 * max(x.Workers, 1) {
			var plan Schedule
			for range 1 + rng.IntN(most) {
				s := base.Steps[rng.IntN(len(base.Steps))]
				troubles := s.Op.troubles()
				if x.Meddle && s.Op.effect() && rng.IntN(6) == 0 {
					troubles = Interventions(x.Setting)
				}
				p := s.Point
				p.N = 1 + rng.IntN(p.N+2)
				plan = append(plan, Fault{p, troubles[rng.IntN(len(troubles))]})
			}
			plans = append(plans, plan)
		}
		x.all(t, plans)
	}
}

// Shrink takes away from a schedule what is not needed to break the same law.
func Shrink(t *testing.T, r *Result) *Result {
	for again := true; again; {
		again = false
		for i := range r.Schedule {
			less := slices.Delete(slices.Clone(r.Schedule), i, i+1)
			if s := Run(t, r.Setting, r.Script, less, false); len(s.Violations) > 0 && s.Violations[0].Law == r.Violations[0].Law {
				r, again = s, true
				break
			}
		}
	}
	return r
}
