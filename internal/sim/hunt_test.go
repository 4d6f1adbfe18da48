// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
)

var (
	hunt   = flag.Bool("sim.hunt", false, "look for the first violation only: for mutants of the engine")
	huntIn = flag.String("sim.in", "", `where to hunt: what matches "setting/script: label#1 trouble"`)
)

// TestHunt looks at every script without a fault, then at the single faults that it is told, and stops at the first violation.
// Without a place it goes a little way into everything.
func TestHunt(t *testing.T) {
	if !*hunt {
		t.Skip("without -sim.hunt")
	}
	where, err := regexp.Compile(*huntIn)
	if err != nil {
		t.Fatal(err)
	}
	const most = 3000
	run := func(x *Explorer, plan Schedule) *Result {
		r := x.run(t, plan)
		if len(r.Violations) > 0 {
			fmt.Printf("killed by: %s (%s/%s: %s)\n", r.Violations[0], r.Setting.Name, r.Script.Name, r.Schedule)
			t.FailNow()
		}
		return r
	}
	type job struct {
		x *Explorer
		f Fault
	}
	var jobs []job
	for _, s := range Settings() {
		for _, sc := range Scripts() {
			if !s.fits(sc) {
				continue
			}
			for _, meddle := range []bool{false, true} {
				x := &Explorer{Setting: s, Script: sc, Meddle: meddle}
				for _, f := range x.fresh(run(x, nil)) {
					if where.MatchString(fmt.Sprintf("%s/%s: %s", s.Name, sc.Name, f)) {
						jobs = append(jobs, job{x, f})
					}
				}
			}
		}
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	n := min(len(jobs), most)
	for _, j := range jobs[:n] {
		run(j.x, Schedule{j.f})
	}
	t.Logf("nothing in %d schedules of %d", n, len(jobs))
}
