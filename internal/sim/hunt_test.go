// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

var (
	hunt     = flag.Bool("sim.hunt", false, "look for the first violation only: for mutants of the engine")
	huntIn   = flag.String("sim.in", ".*", `where to hunt: regular expressions for the place and for what goes wrong there, as in "plain/standard: issue#1 lost"; a place alone: without any fault`)
	huntMost = flag.Int("sim.most", 1500, "how many faults to hunt at most")
)

// TestHunt looks at the scripts that it is told without a fault, then at the single faults there that it is told, in an order
// that has nothing to do with them, and stops at the first violation.
func TestHunt(t *testing.T) {
	if !*hunt {
		t.Skip("without -sim.hunt")
	}
	place, trouble, faulty := strings.Cut(*huntIn, ": ")
	in, err := regexp.Compile("^(?:" + place + ")$")
	if err != nil {
		t.Fatal(err)
	}
	what, err := regexp.Compile("^(?:" + trouble + ")")
	if err != nil {
		t.Fatal(err)
	}
	run := func(x *Explorer, plan Schedule) *Result {
		r := x.run(t, plan)
		if len(r.Violations) > 0 {
			fmt.Printf("killed by: %s (%s/%s: %s)\n", strings.ReplaceAll(r.Violations[0].String(), "\n", " "), r.Setting.Name, r.Script.Name, r.Schedule)
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
			if !s.fits(sc) || !in.MatchString(s.Name+"/"+sc.Name) {
				continue
			}
			base := run(&Explorer{Setting: s, Script: sc}, nil)
			for _, meddle := range []bool{false, true} {
				x := &Explorer{Setting: s, Script: sc, Meddle: meddle}
				for _, f := range x.fresh(base) {
					if faulty && what.MatchString(f.String()) {
						jobs = append(jobs, job{x, f})
					}
				}
			}
		}
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	n := min(len(jobs), *huntMost)
	for _, j := range jobs[:n] {
		run(j.x, Schedule{j.f})
	}
	t.Logf("nothing in %d schedules of %d", n, len(jobs))
}
