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
		s.Brittle = script.Brittle
		w := newWorld(s, plan)
		w.hashing = hashing
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i, name := range []string{"ann", "bob"} {
			var skew time.Duration
			if len(s.Skews) > 0 {
				skew = s.Skews[i%len(s.Skews)]
			}
			p := w.start(name, skew)
			running.Go(func() { w.live(ctx, p, script, time.Duration(i)*20*time.Second) })
		}
		select {
		case <-w.end:
			time.Sleep(time.Hour) // what is under way lands
			if w.outage {
				time.Sleep(3 * 24 * time.Hour) // what was down is up again
			}
		case <-time.After(horizon):
		}
		for _, p := range w.processes {
			p.retire()
		}
		w.verdict(script)
		cancel()
		w.mu.Lock()
		w.over = true
		r.Violations, r.Steps, r.Met, r.trace, r.began = w.oracle.violations, w.steps, w.met, w.trace, w.began
		r.Took = time.Since(w.began)
		w.mu.Unlock()
		running.Wait()
		time.Sleep(10 * time.Minute) // calls that were left behind return
	})
	return r
}

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
