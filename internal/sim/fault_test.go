// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// Trouble is what becomes of a call, or what happens while it is under way.
type Trouble string

// Troubles. Each is what becomes of one call.
const (
	Fails     Trouble = "fails"      // nothing happens, and the caller cannot tell
	Lost      Trouble = "lost"       // it happens; the answer is lost
	Lags      Trouble = "lags"       // the caller gives up waiting; it happens shortly after
	Hangs     Trouble = "hangs"      // until its context ends; nothing happens
	Panics    Trouble = "panics"     // nothing happens
	Exits     Trouble = "exits"      // it ends its goroutine instead of returning; nothing happens
	DiesFirst Trouble = "dies first" // the process ends; nothing happens
	DiesAfter Trouble = "dies after" // it happens, and the process ends
	Late      Trouble = "late"       // the process ends; it happens after another has taken over
	TooLate   Trouble = "too late"   // the same, when nobody expects it any more
	Stalls    Trouble = "stalls"     // the whole process stands still; it happens when the process wakes, past its lease
	Rejects   Trouble = "rejects"    // a definite answer that is wrong: one bad edge
	Refuses   Trouble = "refuses"    // the same for everybody, for ten minutes: a firewall, a broken verifier
	Refused   Trouble = "not issued" // a definite answer that is right: nothing happened
	Lies      Trouble = "says yes"   // nothing happens, and the answer is success
	Down      Trouble = "is down"    // this and every call to the same system fails for ten minutes; a sink, for a day
)

// Point is one call: the n-th of its label in a run, as in "save store#2".
type Point struct {
	Label string // the operation and what it is about
	N     int    // from 1
}

func (p Point) String() string { return p.Label + "#" + strconv.Itoa(p.N) }

// Fault is a trouble at a point.
type Fault struct {
	Point
	Trouble Trouble
}

func (f Fault) String() string { return f.Point.String() + " " + string(f.Trouble) }

// Schedule is everything that goes wrong in one run.
type Schedule []Fault

func (s Schedule) String() string {
	var parts []string
	for _, f := range s {
		parts = append(parts, f.String())
	}
	return strings.Join(parts, "; ")
}

// at finds the fault of a point.
func (s Schedule) at(p Point) (Fault, bool) {
	for _, f := range s {
		if f.Point == p {
			return f, true
		}
	}
	return Fault{}, false
}

// ParseSchedule reads what String wrote.
func ParseSchedule(text string) (Schedule, error) {
	var s Schedule
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		label, rest, ok := strings.Cut(part, "#")
		number, trouble, ok2 := strings.Cut(rest, " ")
		n, err := strconv.Atoi(number)
		if !ok || !ok2 || err != nil || n < 1 {
			return nil, fmt.Errorf("sim: %q is no fault: want %q", part, "label#1 fails")
		}
		s = append(s, Fault{Point{label, n}, Trouble(trouble)})
	}
	return s, nil
}

// op is what a call does.
type op string

const (
	opIssue   op = "issue"
	opRevoke  op = "revoke"
	opDisable op = "disable"
	opEnable  op = "enable"
	opDeploy  op = "deploy"
	opStore   op = "save store"
	opJournal op = "save journal"
	opDeliver op = "deliver"

	opActivate op = "activate" // the sender of a webhook
	opPing     op = "ping"     // it makes a test delivery
	opProbe    op = "probe"    // of a receiver
	opUsage    op = "usage"    // as a receiver tells it

	opLoadStore   op = "load store"
	opLoadJournal op = "load journal"
	opList        op = "list"
	opChoose      op = "choose"
	opVerify      op = "verify"
	opHealth      op = "health" // of a consumer
	opObserve     op = "observe"
)

// effect reports whether a call changes the world.
func (o op) effect() bool {
	switch o {
	case opIssue, opRevoke, opDisable, opEnable, opDeploy, opActivate, opStore, opJournal:
		return true
	}
	return false
}

// troubles are what can become of a call.
func (o op) troubles() []Trouble {
	switch {
	case o == opDeliver:
		return []Trouble{Fails, Lost, Hangs, Panics, Exits, DiesAfter, Down}
	case o == opPing:
		return []Trouble{Fails, Lost, Hangs, Panics, Exits, DiesFirst, Stalls, Lies, Down}
	case o == opVerify, o == opProbe:
		return []Trouble{Fails, Hangs, Panics, Exits, DiesFirst, Stalls, Rejects, Refuses, Down}
	case o == opHealth:
		return []Trouble{Fails, Hangs, Panics, Exits, DiesFirst, Stalls, Rejects, Down}
	case !o.effect():
		return []Trouble{Fails, Hangs, Panics, Exits, DiesFirst, Stalls, Down}
	}
	all := []Trouble{Fails, Lost, Lags, Hangs, Panics, Exits, DiesFirst, DiesAfter, Late, TooLate, Stalls, Down}
	switch o {
	case opIssue:
		all = append(all, Refused)
	case opDeploy, opRevoke, opActivate:
		all = append(all, Lies)
	}
	return all
}

// system is what a call is made to: what goes down, goes down as a whole.
func (o op) system() string {
	switch o {
	case opStore, opLoadStore:
		return "store"
	case opJournal, opLoadJournal:
		return "journal"
	case opIssue, opRevoke, opDisable, opEnable, opList, opChoose, opActivate, opPing:
		return "provider"
	case opDeploy, opHealth, opObserve, opProbe, opUsage:
		return "services"
	}
	return string(o)
}

// opOf is the operation of a label.
func opOf(label string) op {
	for _, o := range []op{opStore, opJournal, opLoadStore, opLoadJournal} {
		if strings.HasPrefix(label, string(o)) {
			return o
		}
	}
	first, _, _ := strings.Cut(label, " ")
	return op(first)
}
