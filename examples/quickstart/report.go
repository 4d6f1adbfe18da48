// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/handover-go/handover/examples/quickstart/keyservice"
	"github.com/handover-go/handover/rotation"
)

// Result is what -json prints.
type Result struct {
	Standard  Standard  `json:"standard"`
	RollBack  RollBack  `json:"rollback"`
	Emergency Emergency `json:"emergency"`

	took     [3]time.Duration
	foreseen int      // requests with the leaked key, refused: that is what an emergency is
	broken   []string // promises
}

// Standard is the result of the first act. Rejected counts what the key service refused and what got lost before.
type Standard struct {
	Requests int            `json:"requests"`
	Rejected int            `json:"rejected"`
	KilledAt rotation.Phase `json:"killed_at"`
	Finished bool           `json:"finished"`
}

// RollBack is the result of the second act.
type RollBack struct {
	Requests   int  `json:"requests"`
	Rejected   int  `json:"rejected"`
	RolledBack bool `json:"rolled_back"`
}

// Emergency is the result of the third act.
type Emergency struct {
	Requests int    `json:"requests"`
	RevokeMS int64  `json:"revoke_ms"` // from the confirmation of the leak until the provider had revoked the key
	OutageMS int64  `json:"outage_ms"` // the longest time for which one of the services was refused
	Incident string `json:"incident"`
}

// act is what one act came to.
type act struct {
	record   rotation.Record
	current  string // id of the current key afterwards
	took     time.Duration
	requests int
	rejected int
	outage   time.Duration
	lost     string // "", or what happened to requests that never reached the key service
}

// promise notes a promise that was not kept.
func (r *Result) promise(kept bool, format string, args ...any) {
	if !kept {
		r.broken = append(r.broken, fmt.Sprintf(format, args...))
	}
}

// begin opens an act: all is well, and the counts begin anew. It returns the id of the key that is in use.
func (s *stage) begin(ctx context.Context, title string) (old string, err error) {
	fmt.Fprintf(s.story, "\n%s\n\n", title)
	s.provider.TakeCounts()
	s.traffic.takeLost()
	s.marks = nil
	sleep(ctx, 300*time.Millisecond)
	old, _, err = s.current(ctx)
	return old, err
}

// end closes an act: it tells what happened and checks what has to be true after any rotation, however it ended.
func (s *stage) end(ctx context.Context, result *Result) (act, error) {
	if ctx.Err() != nil { // Ctrl-C: the rotator was stopped
		return act{}, context.Cause(ctx)
	}
	status, err := s.watcher.Status(ctx, gateway)
	if err != nil {
		return act{}, err
	}
	if status.Last == nil {
		return act{}, errors.New("the journal has no record of the rotation")
	}
	a := act{record: *status.Last, took: status.Last.EndedAt.Sub(status.Last.BeganAt)}
	sleep(ctx, edges[len(edges)-1]) // an emergency may end before every edge server knows the new key
	during := s.provider.TakeCounts()
	after := s.afterwards(ctx)
	lost, first := s.traffic.takeLost()
	if lost > 0 {
		a.lost = fmt.Sprintf("; %d got lost, the first: %s", lost, first)
	}
	a.rejected = lost
	for _, name := range consumers {
		a.requests += during[name].Requests + after[name].Requests
		a.rejected += during[name].Refused + after[name].Refused
		a.outage = max(a.outage, during[name].Outage)
		result.promise(during[name].Requests > 0 && after[name].Requests > 0, "%s has customers all the time", name)
		result.promise(after[name].Refused == 0, "%s works after the rotation: %d refused", name, after[name].Refused)
	}
	if a.record.Incident == "" { // the report of an incident has it
		timeline(s.story, a.record, s.marks)
	}
	return a, s.checkKeys(ctx, result, status, &a)
}

var consumers = []string{"web", "api", "batch"}

// afterwards watches for a while how the consumers do, until each of them has paid something.
func (s *stage) afterwards(ctx context.Context) map[string]keyservice.Count {
	sum := map[string]keyservice.Count{}
	quiet := func(name string) bool { return sum[name].Requests == 0 }
	for turn := 0; turn < 20 && (turn < 2 || slices.ContainsFunc(consumers, quiet)); turn++ {
		sleep(ctx, 300*time.Millisecond)
		for name, c := range s.provider.TakeCounts() {
			c.Requests += sum[name].Requests
			c.Refused += sum[name].Refused
			sum[name] = c
		}
	}
	return sum
}

// checkKeys compares the journal, the secret store and the provider: whatever happened, they agree on the one key there is.
func (s *stage) checkKeys(ctx context.Context, result *Result, status rotation.Status, a *act) (err error) {
	var stored int
	if a.current, stored, err = s.current(ctx); err != nil {
		return err
	}
	live := s.provider.Live()
	result.promise(status.Open == nil, "the rotation has ended")
	result.promise(len(status.Debts) == 0, "no key is left over: %v", status.Debts)
	result.promise(stored == 1, "the store has one key: %d", stored)
	result.promise(slices.Equal(live, []string{a.current}), "the provider has the current key %s and no other: %v", a.current, live)
	return nil
}

// mark adds a line to the story that the journal does not tell.
func (s *stage) mark(text string) {
	s.marks = append(s.marks, rotation.Moment{At: time.Now(), Phase: "---", Text: text})
}

// timeline prints the story of one rotation, as the journal has it, with the marks between.
func timeline(w io.Writer, r rotation.Record, marks []rotation.Moment) {
	moments := slices.Concat(r.Timeline, marks)
	slices.SortStableFunc(moments, func(a, b rotation.Moment) int { return a.At.Compare(b.At) })
	for _, m := range moments {
		fmt.Fprintf(w, "   %6.2f s  %-9s %s\n", m.At.Sub(r.BeganAt).Seconds(), m.Phase, m.Text)
	}
}

// legend says how to read a timeline.
const legend = `Each line of a timeline: seconds since the rotation began, the phase that it was in ("---": what happened to the rotator
from outside), what happened. A key that "should be dead and is not proven so" is being watched, and revoked again, until it is:
nothing is to be done.
`

// outages says why there are two figures.
const outages = `
The outage in the table is what the key service saw: from a service's first refused request to its next accepted one. The
incident's is what the rotator can vouch for: from the revocation until it has seen the service work with the new key.
`

func indent(text string) string {
	return "\n   " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n   ")
}

// table is the end of the story.
func (r Result) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\n\trequests\trejected\ttook\tresult")
	fmt.Fprintf(t, "standard\t%d\t%d\t%.1f s\tfinished: %v; killed in phase %s and started again\n",
		r.Standard.Requests, r.Standard.Rejected, r.took[0].Seconds(), r.Standard.Finished, r.Standard.KilledAt)
	fmt.Fprintf(t, "roll-back\t%d\t%d\t%.1f s\trolled back: %v\n",
		r.RollBack.Requests, r.RollBack.Rejected, r.took[1].Seconds(), r.RollBack.RolledBack)
	fmt.Fprintf(t, "emergency\t%d\t%d (foreseen)\t%.1f s\trevoked %d ms after the confirmation; longest outage %d ms\n",
		r.Emergency.Requests, r.foreseen, r.took[2].Seconds(), r.Emergency.RevokeMS, r.Emergency.OutageMS)
	t.Flush()
	fmt.Fprint(w, outages)
	if len(r.broken) == 0 {
		fmt.Fprintln(w, "\nEvery promise was kept.")
	}
}
