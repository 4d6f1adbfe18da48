// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"flag"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	replay    = flag.String("sim.replay", "", "a schedule to run, as a failing test prints it; see -sim.setting and -sim.script")
	inSetting = flag.String("sim.setting", "plain", "the setting of -sim.replay")
	inScript  = flag.String("sim.script", "standard", "the script of -sim.replay")
	pairs     = flag.Bool("sim.pairs", false, "every pair of faults in effects, after pruning")
	part      = flag.String("sim.part", "1/1", "the k-th of n parts of -sim.pairs: each part prunes for itself")
	seconds   = flag.Int("sim.seconds", 4, "how long to run random schedules")
	seed      = flag.Uint64("sim.seed", 1, "of random schedules; 0: another one each time")
	meddling  = flag.Int("sim.meddle", 60, "one in so many interventions; 1: all of them")
	webhooks  = flag.Int("sim.webhooks", 6, "one in so many single faults of a webhook secret")
	policies  = flag.Int("sim.policies", 400, "one in so many single faults of windows, notices, groups and looks; 1: all of them")
	only      = flag.String("sim.only", "", "a regular expression for the faults of single runs")
	reports   = flag.Int("sim.reports", 5, "failing schedules to print")
	elsewhere = flag.Int("sim.elsewhere", 300, "one in so many single faults in the other settings")
	logs      = flag.Bool("sim.logs", false, "traces with what the engine logs")
)

var onlyThese = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(*only) })

// sample is one in so many of the single faults: all of them, but under the race detector.
var sample = 1

// seldom reports whether one of many settings and scripts is left out: under the race detector, which sees each of them without faults.
func seldom(setting, script int) bool { return sample > 1 && (setting+script)%5 != 0 }

// Without a fault every script ends in every setting, and no law is broken on the way.
func TestWithoutFaults(t *testing.T) {
	for _, s := range Settings() {
		for _, sc := range Scripts() {
			if s.fits(sc) {
				t.Run(s.Name+"/"+sc.Name, func(t *testing.T) { fine(t, Run(t, s, sc, nil, false)) })
			}
		}
	}
}

// Every call of every table meets every fault that it can meet.
func TestSingles(t *testing.T) {
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			explore(t, &Explorer{Setting: Settings()[0], Script: sc, Part: [2]int{1, sample}})
		})
	}
}

// The same for a webhook secret.
func TestWebhookSingles(t *testing.T) {
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			explore(t, &Explorer{Setting: Webhooks()[0], Script: sc, Part: [2]int{1, *webhooks * sample}})
		})
	}
}

// The same where a rotation is kept to times, and where a consumer is shared.
func TestPolicySingles(t *testing.T) {
	for i, s := range Policies() {
		for k, sc := range Scripts() {
			if s.fits(sc) && !seldom(i, k) {
				t.Run(s.Name+"/"+sc.Name, func(t *testing.T) {
					explore(t, &Explorer{Setting: s, Script: sc, Part: [2]int{i + 1, *policies * sample}})
				})
			}
		}
	}
}

// The same in the other settings: a part of it, another one in each setting.
func TestSinglesElsewhere(t *testing.T) {
	for i, s := range Settings()[1:] {
		for k, sc := range Scripts() {
			if s.fits(sc) && !seldom(i, k) {
				t.Run(s.Name+"/"+sc.Name, func(t *testing.T) {
					explore(t, &Explorer{Setting: s, Script: sc, Part: [2]int{i + 1, *elsewhere * sample}})
				})
			}
		}
	}
}

// Between any two steps somebody does something to the world: a part of it.
func TestInterventions(t *testing.T) {
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			explore(t, &Explorer{Setting: Settings()[0], Script: sc, Meddle: true, Part: [2]int{1, *meddling * sample}})
		})
	}
}

// The same for a webhook secret.
func TestWebhookInterventions(t *testing.T) {
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			explore(t, &Explorer{Setting: Webhooks()[0], Script: sc, Meddle: true, Part: [2]int{1, *meddling * sample}})
		})
	}
}

// The same in the other settings: a part of it, another one in each setting.
func TestInterventionsElsewhere(t *testing.T) {
	for i, s := range Settings()[1:] {
		for k, sc := range Scripts() {
			if s.fits(sc) && !seldom(i, k) && !s.Halves { // where there is nothing to go back to, a person has to bring a key
				t.Run(s.Name+"/"+sc.Name, func(t *testing.T) {
					explore(t, &Explorer{Setting: s, Script: sc, Meddle: true, Part: [2]int{i + 1, *meddling * *elsewhere / 4 * sample}})
				})
			}
		}
	}
}

// Two faults in one run. Without -sim.pairs a sample of them.
func TestPairs(t *testing.T) {
	var k, n int
	if _, err := fmt.Sscanf(*part, "%d/%d", &k, &n); err != nil || k < 1 || k > n {
		t.Fatalf("-sim.part is %q, want k/n", *part)
	}
	if !*pairs {
		if sample > 1 {
			t.Skip("only without the race detector")
		}
		k, n = 1, 800
	}
	for _, sc := range Scripts()[:3] {
		t.Run(sc.Name, func(t *testing.T) {
			x := &Explorer{Setting: Settings()[0], Script: sc, Allow: paired, Part: [2]int{k, n}, Two: true}
			explore(t, x)
		})
	}
}

// paired are the faults of pairs: those in effects, and of those that leave the same behind only one. A call that hangs, panics
// or ends its goroutine has done as little as one that fails.
func paired(f Fault) bool {
	switch f.Trouble {
	case Hangs, Panics, Exits, Down:
		return false
	}
	return opOf(f.Label).effect()
}

// Up to four faults, anywhere; with -sim.meddle 1 interventions among them.
func TestRandom(t *testing.T) {
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano()) % 1e6
	}
	t.Logf("-sim.seed %d", from)
	settings, scripts := Settings(), Scripts()
	each := time.Duration(*seconds) * time.Second / time.Duration(len(settings))
	for i, s := range settings {
		sc := scripts[(int(from)+i)%len(scripts)]
		if s.fits(sc) {
			t.Run(s.Name+"/"+sc.Name, func(t *testing.T) {
				x := &Explorer{Setting: s, Script: sc, Meddle: *meddling == 1}
				began := time.Now()
				x.Workers = runtime.GOMAXPROCS(0)
				x.Random(t, from, 4, each)
				report(t, x, began)
			})
		}
	}
}

// TestReplay runs one schedule and shows what happens.
func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("without -sim.replay")
	}
	plan, err := ParseSchedule(*replay)
	if err != nil {
		t.Fatal(err)
	}
	keepLogs = *logs
	for _, s := range Settings() {
		for _, sc := range Scripts() {
			if s.Name == *inSetting && sc.Name == *inScript {
				r := Run(t, s, sc, plan, false)
				t.Log(r.Trace())
				fine(t, r)
			}
		}
	}
}

// fine fails the test with what was violated, and how to see it again.
func fine(t *testing.T, r *Result) {
	t.Helper()
	if len(r.Violations) == 0 {
		return
	}
	for _, v := range r.Violations {
		t.Error(v)
	}
	t.Logf("again with: go test -run Replay ./internal/sim -sim.setting %q -sim.script %q -sim.replay %q -sim.logs", r.Setting.Name, r.Script.Name, r.Schedule)
	t.Log(r.Trace())
}

// explore runs what the explorer is set to, and reports.
func explore(t *testing.T, x *Explorer) {
	t.Helper()
	x.Workers = runtime.GOMAXPROCS(0)
	if *only != "" {
		x.Allow = func(f Fault) bool { return onlyThese().MatchString(f.String()) }
	}
	began := time.Now()
	x.Singles(t)
	if x.Two {
		x.Pairs(t)
	}
	report(t, x, began)
}

// report prints what was covered, and one failing schedule for each law and trouble, shrunk.
func report(t *testing.T, x *Explorer, began time.Time) {
	t.Helper()
	t.Log(x.coverage(began))
	for _, r := range x.bad[:min(len(x.bad), *reports*20)] {
		t.Logf("%s: %s", r.Schedule, r.Violations[0])
	}
	kinds := map[string]*Result{}
	for _, r := range x.bad {
		kind := r.Violations[0].Law
		if len(r.Schedule) > 0 {
			kind += " " + string(r.Schedule[len(r.Schedule)-1].Trouble)
		}
		if kinds[kind] == nil {
			kinds[kind] = r
		}
	}
	for i, kind := range slices.Sorted(maps.Keys(kinds)) {
		if i == *reports {
			t.Errorf("and more: %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
			break
		}
		fine(t, Shrink(t, kinds[kind]))
	}
	if len(x.bad) > 0 {
		t.Errorf("%d schedules break a law", len(x.bad))
	}
}
