// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Result is what came of one run.
type Result struct {
	Setting    Setting
	Script     Script
	Schedule   Schedule
	Violations []Violation
	Steps      []Step
	Met        int // faults that were met
	Took       time.Duration
	trace      []line
	began      time.Time
}

// Run lets one schedule happen, in a bubble of its own.
func Run(t *testing.T, setting Setting, script Script, plan Schedule, hashing bool) *Result {
	r := &Result{Setting: setting, Script: script, Schedule: plan}
	synctest.Test(t, func(t *testing.T) {
		s := setting
		s.Brittle, s.BrittleFirst = script.Brittle, script.BrittleFirst
		if s.ByItself && !script.Scheduled {
			s.Age = 0
		}
		w := newWorld(s, plan)
		w.hashing, w.scheduled = hashing, script.Scheduled
		worlds := []*World{w}
		if w.twin != nil {
			worlds = append(worlds, w.twin)
		}
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i, name := range []string{"ann", "bob"} {
			var skew time.Duration
			if len(s.Skews) > 0 {
				skew = s.Skews[i%len(s.Skews)]
			}
			running.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Second)
				for ctx.Err() == nil {
					p := w.start(name, skew)
					var beside sync.WaitGroup
					if p.twin != nil {
						beside.Go(func() { w.twin.live(ctx, p.twin, s.twinScript()) })
					}
					w.live(ctx, p, script)
					beside.Wait()
					time.Sleep(restart) // whoever died is started again
				}
			})
		}
		select {
		case <-w.through():
			time.Sleep(time.Hour) // what is under way lands
			switch {
			case w.outage && w.twin != nil:
				time.Sleep(4 * time.Hour)
			case w.outage && script.Scheduled:
				time.Sleep(23 * time.Hour) // not as long as it takes until the next one begins
			case w.outage:
				time.Sleep(3 * 24 * time.Hour) // what was down is up again
			}
			for n := 0; n < 24 && s.Traits.Grace > 0 && w.underWay(); n++ {
				time.Sleep(time.Hour) // the first one was rolled back, and the old key is to expire: another one has to begin
			}
		case <-time.After(horizon):
		}
		w.verdict(script)
		if w.twin != nil {
			w.twin.verdict(s.twinScript())
		}
		cancel()
		w.mu.Lock()
		for _, p := range w.processes {
			p.dies()
		}
		w.mu.Unlock()
		w.mu.Lock()
		w.over = true
		for _, w := range worlds {
			r.Violations = append(r.Violations, w.oracle.violations...)
		}
		r.Steps, r.Met, r.trace, r.began = w.steps, w.met, w.trace, w.began
		r.Took = time.Since(w.began)
		w.mu.Unlock()
		running.Wait()
		time.Sleep(30 * time.Minute) // whatever was left behind returns
	})
	return r
}

// restart is how long it takes until a process that died is there again. It is longer than a lease.
const restart = 2 * time.Minute

// Trace is what happened, for a person: when, who, what.
func (r *Result) Trace() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, with: %s\n", r.Script.Name, r.Setting.Name, r.Schedule)
	for _, l := range r.trace {
		d := l.at.Sub(r.began)
		fmt.Fprintf(&b, "%2dd %02d:%02d:%02d  %-4s %s\n", int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60, l.who, l.what)
	}
	return b.String()
}
