// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"flag"
	"fmt"
	"testing"
)

var hunt = flag.Bool("sim.hunt", false, "look for the first violation only: for mutants of the engine")

// TestHunt goes where mistakes show soonest, and stops at the first.
func TestHunt(t *testing.T) {
	if !*hunt {
		t.Skip("without -sim.hunt")
	}
	settings, scripts := Settings(), Scripts()
	found := func(x *Explorer) {
		if len(x.bad) > 0 {
			r := x.bad[0]
			fmt.Printf("killed by: %s (%s, %s: %s)\n", r.Violations[0], r.Script.Name, r.Setting.Name, r.Schedule)
			t.FailNow()
		}
	}
	each := func(s Setting, sc Script, change func(*Explorer)) {
		x := &Explorer{Setting: s, Script: sc, Workers: 2, Stop: true}
		change(x)
		x.Singles(t)
		found(x)
	}
	for _, s := range settings {
		for _, sc := range scripts {
			if s.fits(sc) {
				each(s, sc, func(x *Explorer) { x.Allow = func(Fault) bool { return false } })
			}
		}
	}
	effects := func(f Fault) bool { return opOf(f.Label).effect() }
	for _, s := range settings[:2] {
		for _, sc := range scripts[:3] {
			each(s, sc, func(x *Explorer) { x.Allow = effects })
		}
	}
	for _, sc := range scripts[:3] {
		each(settings[0], sc, func(x *Explorer) { x.Meddle, x.Slice = true, [2]int{1, 3} })
	}
	for _, s := range settings[2:] {
		for _, sc := range scripts {
			if s.fits(sc) {
				each(s, sc, func(x *Explorer) { x.Allow, x.Slice = effects, [2]int{1, 4} })
			}
		}
	}
	for _, sc := range scripts[:3] {
		each(settings[0], sc, func(x *Explorer) { x.Allow = func(f Fault) bool { return !effects(f) } })
	}
}
