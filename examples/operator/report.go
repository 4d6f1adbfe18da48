// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print is the end of the story.
func (r Result) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(t)
	line("rotated", "%d of %d credentials, in %.1f s", r.Rotated, r.Credentials, r.Seconds)
	line("requests", "%d with their keys; %d rejected, %d lost", r.Requests, r.Rejected, r.Lost)
	for _, k := range r.Kills {
		line("killed", "%s, in the middle of %d rotations; started again: %v", k.Replica, k.Open, k.Restarted)
	}
	line("carried on", "%d rotations were worked on by more than one replica", r.CarriedOn)
	line("keys issued", "%d; %d of them because a kill lost the answer of the one before", r.Issued, r.Issued-int64(r.Credentials))
	line("events", "%d, told by %d signed notices", r.Events, r.Notices)
	for _, trail := range r.Trails {
		line("audit trail", "%s: %d events, %d checkpoints, %d lines that a kill cut off", trail.Replica, trail.Events, trail.Checkpoints, trail.Healed)
	}
	t.Flush()
	if len(r.Broken) == 0 {
		fmt.Fprintln(w, "\nEvery promise was kept.")
		return
	}
	fmt.Fprintln(w, "\nBroken promises:")
	for _, promise := range r.Broken {
		fmt.Fprintln(w, " ", promise)
	}
}
