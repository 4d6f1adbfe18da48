// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// labels are the words for the states, and the shape that goes with each: no state is told by its colour alone.
var labels = map[State]struct{ label, glyph string }{
	StateEmergency: {"Emergency", "▲"},
	StatePerson:    {"Needs a person", "◆"},
	StateOverdue:   {"Overdue", "●"},
	StateDebt:      {"Debt", "■"},
	StateUnread:    {"Not read", "?"},
	StateFailing:   {"Failing", "×"},
	StateOpen:      {"Open", "▸"},
	StateHeld:      {"Held", "="},
	StateSoon:      {"Due soon", "◐"},
	StateNew:       {"No record yet", "○"},
	StateOK:        {"In order", "✓"},
}

// meanings are what a person says with each verb.
var meanings = map[string]string{
	"done":      "the task is done: look again",
	"attest":    "I have seen it with my own eyes",
	"forget":    "this consumer is gone for good",
	"extend":    "keep both keys alive for longer",
	"adopt":     "what is there now is right: go on from there",
	"reassert":  "that was a mistake: put back what the journal says",
	"settle":    "I have looked at the provider, and this is how it is",
	"roll-back": "go back to the other key",
}

// when is a time as people read it, told from now.
type when struct {
	Zero  bool
	ISO   string // for programs
	Abs   string // in UTC
	Rel   string // "in 12 days", "3 h 20 min ago"
	Brief string // "in 12 days", "3 h ago"
}

func newWhen(now, t time.Time) when {
	if t.IsZero() {
		return when{Zero: true}
	}
	w := when{ISO: t.UTC().Format(time.RFC3339), Abs: t.UTC().Format("2 Jan 2006, 15:04 UTC")}
	w.Rel, w.Brief = told(t.Sub(now), span), told(t.Sub(now), unit)
	return w
}

func told(d time.Duration, text func(time.Duration) string) string {
	switch {
	case d < time.Second && d > -time.Second:
		return "now"
	case d > 0:
		return "in " + text(d)
	default:
		return text(-d) + " ago"
	}
}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// span is a duration in the unit that fits it, and the next one where that matters.
func span(d time.Duration) string {
	switch {
	case d > time.Minute && d < 10*time.Minute && d%time.Minute >= time.Second:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d > time.Hour && d < 10*time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return unit(d)
	}
}

// unit is a duration in the unit that fits it.
func unit(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d < 2*year:
		return fmt.Sprintf("%d days", d/day)
	default:
		return fmt.Sprintf("%d years", d/year)
	}
}

// offset is how long after the beginning a line of a timeline comes.
func offset(d time.Duration) string {
	if d < time.Millisecond {
		return "+0"
	}
	return "+" + span(d)
}

// life is how much of its life the current key has behind it, in percent; -1: that is not known.
func life(now time.Time, c Credential) int {
	if c.IssuedAt.IsZero() || !c.Due.After(c.IssuedAt) {
		return -1
	}
	return int(100 * min(1, max(0, now.Sub(c.IssuedAt).Seconds()/c.Due.Sub(c.IssuedAt).Seconds())))
}

func count(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// one is the link to the page of one credential.
func one(name string) string { return "?" + url.Values{"credential": {name}}.Encode() }

// after is a text without the name that it begins with: that stands before it already.
func after(name, text string) string {
	if name == "" {
		return text
	}
	return strings.TrimPrefix(text, name+": ")
}
