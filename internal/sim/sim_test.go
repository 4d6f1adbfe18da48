// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"flag"
	"testing"
	"time"
)

var (
	replay    = flag.String("sim.replay", "", "the schedule to run")
	inSetting = flag.String("sim.setting", "plain", "the setting to run it in")
	slice     = flag.Int("sim.k", 0, "k")
	slices_   = flag.Int("sim.n", 0, "n")
	inScript  = flag.String("sim.script", "standard", "the script to run")
)

func TestWithout(t *testing.T) {
	for _, s := range Settings() {
		for _, sc := range Scripts() {
			t.Run(s.Name+"/"+sc.Name, func(t *testing.T) {
				r := Run(t, s, sc, nil, false)
				for _, v := range r.Violations {
					t.Error(v)
				}
				if t.Failed() {
					t.Log(r.Trace())
				}
				t.Log(len(r.Steps), r.Took)
			})
		}
	}
}

func TestSingles(t *testing.T) {
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			explore(t, &Explorer{Setting: Settings()[0], Script: sc, Workers: 2, Slice: [2]int{*slice, *slices_}})
		})
	}
}

func TestInterventions(t *testing.T) {
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			explore(t, &Explorer{Setting: Settings()[0], Script: sc, Workers: 2, Meddle: true, Slice: [2]int{*slice, *slices_}})
		})
	}
}

func explore(t *testing.T, x *Explorer) {
	{
		sc := x.Script
		began := time.Now()
		x.Singles(t)
		t.Log(sc.Name, x.coverage(began), len(x.bad), "bad")
		kinds := map[string]int{}
		for _, r := range x.bad {
			key := r.Violations[0].Law + " " + string(r.Schedule[0].Trouble)
			kinds[key]++
			if kinds[key] <= 2 {
				t.Log(r.Schedule, r.Violations[0])
			}
		}
		t.Log(kinds)
	}
}

// TestReplay runs one schedule: go test -run Replay -sim.replay 'save journal#3 fails' -sim.script standard -sim.setting plain.
func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("without -sim.replay")
	}
	plan, err := ParseSchedule(*replay)
	if err != nil {
		t.Fatal(err)
	}
	keepLogs = true
	for _, s := range Settings() {
		for _, sc := range Scripts() {
			if s.Name == *inSetting && sc.Name == *inScript {
				r := Run(t, s, sc, plan, false)
				t.Log(r.Trace())
				for _, v := range r.Violations {
					t.Error(v)
				}
			}
		}
	}
}
