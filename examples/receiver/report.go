// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"text/tabwriter"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
)

// Result is what -json prints: of each act, by endpoint, what it came to.
type Result struct {
	Standard  map[string]Count `json:"standard"`
	RollBack  map[string]Count `json:"rollback"`
	Emergency map[string]Count `json:"emergency"`

	broken []string // promises
}

// promise notes a promise that was not kept.
func (r *Result) promise(kept bool, format string, args ...any) {
	if !kept {
		r.broken = append(r.broken, fmt.Sprintf(format, args...))
	}
}

// lossless is what an act promises in which nobody is to notice anything.
func (r *Result) lossless(act string, counts map[string]Count) {
	for name, c := range counts {
		r.promise(c.Lost == 0, "%s: %s: no delivery is lost: %d of %d", act, name, c.Lost, c.Sent)
		r.promise(c.turnedAway == 0, "%s: %s: no delivery is refused, not even at first: %d of %d", act, name, c.turnedAway, c.Sent)
	}
}

// forgeries is what every act promises.
func (r *Result) forgeries(act int, name string, c Count) {
	r.promise(c.Sent > 0 && c.Forged > 0, "act %d: %s: there are deliveries of both kinds all the time", act+1, name)
	r.promise(c.Refused == c.Forged && c.booked == 0, "act %d: %s: every forged delivery is refused: %d of %d, and %d were booked", act+1, name, c.Refused, c.Forged, c.booked)
	r.promise(c.twice == 0, "act %d: %s: no delivery is booked twice: %d", act+1, name, c.twice)
}

// legend says how to read a timeline.
const legend = `Each line of a timeline: seconds since the rotations began, the credential, the phase that its rotation was in, what happened.
`

// foreseen says why an emergency loses deliveries.
const foreseen = `
Foreseen: a delivery that was signed with the leaked secret, and is repeated with that signature, is worth no more than a forged one.
It is lost unless its sender signs it again. The outage is the time from the first genuine delivery that was refused until the last.
`

// timeline prints the story of the three rotations, as the journal has it.
func timeline(w io.Writer, records []rotation.Record) {
	type line struct {
		rotation.Moment
		credential string
	}
	var lines []line
	began := records[0].BeganAt
	for _, r := range records {
		if r.BeganAt.Before(began) {
			began = r.BeganAt
		}
		for _, m := range r.Timeline {
			lines = append(lines, line{m, r.Credential})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.At.Compare(b.At) })
	for _, l := range lines {
		fmt.Fprintf(w, "   %6.2f s  %-8s  %-9s %s\n", l.At.Sub(began).Seconds(), l.credential, l.Phase, l.Text)
	}
}

// table is the end of the story.
func (r Result) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\n\t\tgenuine\tverified, old secret\tnew secret\tlost\toutage\tforged\trefused\twith a leaked secret\n")
	for _, act := range []struct {
		name   string
		counts map[string]Count
	}{{"standard", r.Standard}, {"roll-back", r.RollBack}, {"emergency", r.Emergency}} {
		for _, name := range names {
			c := act.counts[name]
			lost, leaked := fmt.Sprint(c.Lost), "-"
			if c.Leaked > 0 {
				lost += " (foreseen)"
				leaked = fmt.Sprintf("%d, of which %d were verified", c.Leaked, c.LeakedVerified)
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%d ms\t%d\t%d\t%s\n", act.name, name, c.Sent, c.VerifiedOld, c.VerifiedNew, lost, c.OutageMS, c.Forged, c.Refused, leaked)
		}
	}
	t.Flush()
	fmt.Fprint(w, foreseen)
	if len(r.broken) == 0 {
		fmt.Fprintln(w, "\nEvery promise was kept.")
	}
}

// metrics prints what the replicas have counted themselves: GET /metrics of each.
func (s *stage) metrics(ctx context.Context, w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nThe metrics of the replicas")
	sum := map[string]map[string]int{}
	for _, address := range s.internal {
		var answer map[string]map[string]int
		if err := issuer.Call(ctx, nil, http.MethodGet, "http://"+address+"/metrics", nil, &answer); err != nil {
			return err
		}
		for endpoint, counts := range answer {
			if sum[endpoint] == nil {
				sum[endpoint] = map[string]int{}
			}
			for what, n := range counts {
				sum[endpoint][what] += n
			}
		}
	}
	for _, endpoint := range names {
		for _, what := range slices.Sorted(maps.Keys(sum[endpoint])) {
			fmt.Fprintf(t, "%s\t%s\t%d\n", endpoint, what, sum[endpoint][what])
		}
	}
	return t.Flush()
}
