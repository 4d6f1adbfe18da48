// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/handover-go/handover/rotation"
)

// plot is one kind of rotation, whose schedules differ in what goes wrong.
type plot struct {
	name    string
	breaks  int  // the binding that does not work with the new key, from 1; zero: none
	begins  bool // it begins with a standard rotation
	ends    bool // it ends with an emergency: of the process that carries on, if another one began
	outcome rotation.Outcome
}

var plots = []plot{
	{name: "standard rotation", begins: true, outcome: rotation.Rotated},
	{name: "roll-back of a canary", begins: true, breaks: 1, outcome: rotation.RolledBack},
	{name: "roll-back after the promotion", begins: true, breaks: 3, outcome: rotation.RolledBack},
	{name: "emergency", ends: true, outcome: rotation.Rotated},
	{name: "emergency in a standard rotation", begins: true, ends: true, outcome: rotation.Rotated},
}

// mishap is how a call goes wrong.
type mishap int

const (
	none mishap = iota
	diesBefore
	diesAfter
	failsBefore
	answerLost
	landsLate
)

// call is one call of a process to a part, the nth of its kind.
type call struct {
	op     string
	nth    int
	effect bool
	save   bool // of a store or a journal: it compares revisions
	yours  bool // to a part that Simulation names
}

// fault is what goes wrong in a schedule.
type fault struct {
	call
	mishap mishap
}

func (f fault) String() string {
	what := f.op
	if f.nth > 1 {
		what += fmt.Sprintf(" (%d.)", f.nth)
	}
	switch f.mishap {
	case diesBefore:
		return "the process dies before " + what
	case diesAfter:
		return "the process dies after " + what
	case failsBefore:
		return what + " fails and nothing happens"
	case answerLost:
		return what + " happens and its answer is lost"
	case landsLate:
		return "the process dies in " + what + ", which is held up until another one has finished"
	default:
		return "no fault"
	}
}

// dies reports whether another process has to carry on.
func (f fault) dies() bool {
	return f.mishap == diesBefore || f.mishap == diesAfter || f.mishap == landsLate
}

// faults are all that can go wrong with the calls of a run that had none. Where a rotation waits, the same calls come again and
// again, and each kind has its limit.
func (p plot) faults(calls []call) []fault {
	kinds := map[string][]call{}
	for _, c := range calls {
		kinds[c.op] = append(kinds[c.op], c)
	}
	var all []fault
	for _, op := range slices.Sorted(maps.Keys(kinds)) {
		c := kinds[op]
		if c[0].effect {
			all = append(all, with(spread(c, 40), diesBefore, diesAfter, failsBefore, answerLost)...)
		} else {
			all = append(all, with(spread(c, 4), failsBefore)...)
		}
		if c[0].save {
			all = append(all, with(spread(c, 10), landsLate)...)
		}
	}
	return slices.DeleteFunc(all, func(f fault) bool {
		return p.begins && p.ends && !f.dies() // nobody would declare the emergency
	})
}

func with(calls []call, mishaps ...mishap) []fault {
	var all []fault
	for _, c := range calls {
		for _, m := range mishaps {
			all = append(all, fault{c, m})
		}
	}
	return all
}

// spread are n of them, all over, from the first to the last.
func spread[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	some := make([]T, 0, n)
	for i := range n {
		some = append(some, all[i*(len(all)-1)/max(n-1, 1)])
	}
	return some
}

// finding is what one plot came to.
type finding struct {
	schedules  int
	of         int // faults that there are
	persons    int // schedules that needed one
	skipped    string
	violations []error
}

func (f finding) String() string {
	if f.skipped != "" {
		return "not run: " + f.skipped
	}
	text := fmt.Sprintf("%d schedules", f.schedules)
	if f.schedules <= f.of {
		text += fmt.Sprintf(" of %d", f.of+1)
	}
	if f.persons > 0 {
		text += fmt.Sprintf("; in %d of them a person was needed to look at the provider or a consumer, since no part can tell", f.persons)
	}
	return text
}

// enough schedules that failed tell what is wrong: the others would only say it again.
const enough = 3

// explore runs the schedules of a plot.
func (s Simulation) explore(t *testing.T, p plot) finding {
	t.Helper()
	var found finding
	first := s.run(t, p, fault{})
	found.add(first)
	if found.skipped = first.skipped; found.skipped != "" || len(found.violations) > 0 {
		return found // what goes wrong without a fault is not worth another one
	}
	faults := p.faults(first.calls)
	found.of = len(faults)
	at := 1
	if s.RealClock {
		at = parallel
	}
	if n := s.sample(); n > 0 {
		faults = sampled(faults, n)
	}
	for some := range slices.Chunk(faults, at) {
		results := make([]run, len(some))
		var work sync.WaitGroup
		for i, f := range some {
			work.Go(func() { results[i] = s.run(t, p, f) })
		}
		work.Wait()
		for _, r := range results {
			found.add(r)
		}
		if len(found.violations) >= enough {
			found.violations = append(found.violations, fmt.Errorf("rotationtest: %s: stopped after %d of %d schedules", p.name, found.schedules, found.of+1))
			break
		}
	}
	return found
}

// sampled are n of the faults, all over, three of four with a part that Simulation names: the fakes are known. Always among them
// is that the first Issue happened and nobody was told: that is what parts of one's own get wrong.
func sampled(faults []fault, n int) []fault {
	var always, yours, others []fault
	for _, f := range faults {
		switch {
		case f.op == "Issue" && f.nth == 1 && (f.mishap == answerLost || f.mishap == diesAfter):
			always = append(always, f)
		case f.yours:
			yours = append(yours, f)
		default:
			others = append(others, f)
		}
	}
	left := max(n-len(always), 0)
	some := append(always, spread(yours, (3*left+3)/4)...)
	return append(some, spread(others, max(n-len(some), 0))...)
}

// parallel is how many schedules run at the same time where they wait in real time.
const parallel = 4

// sample is how many schedules of a plot are run besides the first one; zero: all.
func (s Simulation) sample() int {
	n := s.Sample
	if n == 0 && s.RealClock {
		n = 12
	}
	if testing.Short() && (n == 0 || n > 3) {
		return 3
	}
	return n
}

func (f *finding) add(r run) {
	f.schedules++
	if r.persons > 0 {
		f.persons++
	}
	if err := r.violation(); err != nil {
		f.violations = append(f.violations, err)
	}
}

// run is one schedule that was run.
type run struct {
	plot    plot
	fault   fault
	calls   []call // of the first process
	broken  []string
	trace   []string // until the first of broken
	persons int
	skipped string
}

// violation is what a run broke; nil for nothing.
func (r run) violation() error {
	if len(r.broken) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rotationtest: %s; %s:\n", r.plot.name, r.fault)
	for _, what := range r.broken {
		fmt.Fprintf(&b, "  %s\n", what)
	}
	b.WriteString("until then:\n")
	for _, line := range shortened(r.trace) {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	return errors.New(strings.TrimRight(b.String(), "\n"))
}

// shortened is the end of a trace, in which the same thing again is only counted.
func shortened(lines []string) []string {
	var trace []string
	again := 0
	for i, line := range lines {
		last := i+1 == len(lines)
		if !last && what(lines[i+1]) == what(line) {
			again++
			continue
		}
		if again > 0 {
			line += fmt.Sprintf(" (%d times)", again+1)
		}
		trace, again = append(trace, line), 0
	}
	const longest = 25
	if left := len(trace) - longest; left > 0 {
		return append([]string{fmt.Sprintf("... and %d lines before", left)}, trace[left:]...)
	}
	return trace
}

// what is a line of a trace without its time.
func what(line string) string {
	_, text, _ := strings.Cut(line, " ")
	return strings.TrimLeft(text, " ")
}

// run runs one schedule on the clock that it needs.
func (s Simulation) run(t *testing.T, p plot, f fault) run {
	t.Helper()
	var r run
	if s.RealClock {
		r = s.play(t.Context(), p, f)
	} else {
		synctest.Test(t, func(t *testing.T) { r = s.play(t.Context(), p, f) })
	}
	return r
}

// play sets up a world, has the plot happen in it, looks at what is left and clears up.
func (s Simulation) play(ctx context.Context, p plot, f fault) run {
	u := newUniverse(s, p, f)
	life, cancel := context.WithCancel(ctx)
	err := guard(func() error { return u.setUp(life) })
	switch {
	case err != nil:
		u.violate("This cannot be simulated", "%s", u.safe(err))
	case u.skipped == "":
		u.happen(life)
	}
	cancel()
	u.clearUp(context.WithoutCancel(ctx))
	return u.result()
}
