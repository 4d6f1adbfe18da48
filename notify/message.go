// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
)

// Message is what a template sees of an event: texts only, none of which can hold a secret. A field is empty where the event
// has nothing. Happened, Evidence and Action may have several lines, of which all but the first are indented, so that none
// passes for a line of the template. All other fields are one line.
type Message struct {
	Headline string // short: credential and what it is about; the default subject
	Happened string // Event.Text
	Action   string // what to do now: the problem's own words, or what the kind of event calls for; empty: nothing
	Answers  string // what Rotator.Resolve takes: "adopt, reassert, roll-back"; where the event does not say, what it may take
	Need     string // rotation.Answer.Need, for the answer; empty: Status says it

	Credential string
	Consumer   string
	Contact    string // who is responsible, as Credential.Contact says
	Actor      string // who, or what, acted
	Incident   string

	Kind       string // Event.Kind
	Level      string // "INFO", "WARN" or "ERROR"
	Diagnosis  string
	Evidence   string // what was seen; often a part of Happened
	Rotation   string // its id
	Strategy   string
	Phase      string
	Generation string // a number; of the new key
	Time       string // RFC 3339, in UTC
	ID         string // Event.ID
}

// MessageOf makes the Message of an event.
func MessageOf(e rotation.Event) Message { return plain.message(e) }

// style is how the texts of an event are made fit for a medium.
type style struct {
	line, block int                 // the longest text in characters, of one line and of several
	escape      func(string) string // nil: as it is
}

var plain = style{line: 200, block: 4000}

func (s style) message(e rotation.Event) Message {
	m := Message{
		Happened: s.lines(e.Text), Credential: s.one(e.Credential), Consumer: s.one(e.Consumer), Contact: s.one(e.Contact),
		Actor: s.one(e.Actor), Incident: s.one(e.Incident), Kind: s.one(string(e.Kind)), Level: e.Level.String(),
		Rotation: s.one(e.Rotation), Strategy: s.one(string(e.Strategy)), Phase: s.one(string(e.Phase)), ID: s.one(e.ID),
		Need: s.one(e.Need),
	}
	if e.Generation != 0 {
		m.Generation = strconv.Itoa(e.Generation)
	}
	if !e.At.IsZero() {
		m.Time = e.At.UTC().Format(time.RFC3339)
	}
	if p := e.Problem; p != nil {
		m.Diagnosis, m.Evidence = s.one(string(p.Diagnosis)), s.lines(p.Evidence)
	}
	m.Action, m.Answers = s.lines(actionOf(e)), s.one(answersOf(e))
	m.Headline = s.one(headlineOf(e))
	return m
}

// one is text in one line.
func (s style) one(text string) string {
	return s.fit(strings.Join(strings.Fields(visible(text)), " "), s.line)
}

// lines keeps the lines of text and indents all but the first.
func (s style) lines(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.Join(strings.Fields(visible(line)), " "); line != "" {
			kept = append(kept, line)
		}
	}
	return s.fit(strings.Join(kept, "\n    "), s.block)
}

func (s style) fit(text string, most int) string {
	text = cut(text, most) // before it is escaped, which costs as much as it is long
	if s.escape != nil {
		text = cut(s.escape(text), most)
	}
	return text
}

// visible makes a space of every control character and separator, and leaves out what reorders or hides text.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

const longestEntity = len("&amp;")

// cut shortens text to most characters, not within an entity such as "&amp;".
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	end := 0
	for range most - 1 {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	text = text[:end]
	if amp := strings.LastIndexByte(text, '&'); amp >= 0 && len(text)-amp < longestEntity && !strings.Contains(text[amp:], ";") {
		text = text[:amp]
	}
	return text + "…"
}

// headlines are what kinds of events are about.
var headlines = map[rotation.EventKind]string{
	rotation.EventNotice:    "a rotation is going to begin",
	rotation.EventDue:       "a new key is due",
	rotation.EventWarning:   "not as it should be",
	rotation.EventBegan:     "a rotation began",
	rotation.EventIssued:    "a new key was issued",
	rotation.EventProven:    "the new key works",
	rotation.EventPromoted:  "the new key is current",
	rotation.EventActivated: "the sender signs with the new secret",
	rotation.EventDeployed:  "a consumer was given the key",
	rotation.EventVerified:  "a consumer works with the key",
	rotation.EventDisabled:  "the old key is disabled",
	rotation.EventRevoked:   "a key was revoked",
	rotation.EventDead:      "a key is dead",
	rotation.EventWaiting:   "waiting",
	rotation.EventFailed:    "in trouble",
	rotation.EventAnswered:  "answered",
	rotation.EventRollBack:  "turned around",
	rotation.EventEnded:     "the rotation ended",
	rotation.EventDebt:      "a key that should be dead is not",
}

func headlineOf(e rotation.Event) string {
	about := headlines[e.Kind]
	if about == "" {
		about = string(e.Kind)
	}
	if e.Credential != "" {
		about = e.Credential + ": " + about
	}
	if e.Consumer != "" {
		about += ", " + e.Consumer
	}
	if e.Incident != "" {
		about += ", " + e.Incident
	}
	switch {
	case e.Strategy == rotation.Emergency:
		return "EMERGENCY " + about
	case e.Level >= slog.LevelError:
		return "URGENT " + about
	}
	return about
}

// actionOf is what the problem says to do, or else what the kind of event calls for.
func actionOf(e rotation.Event) string {
	if e.Problem != nil && e.Problem.Action != "" {
		return e.Problem.Action
	}
	switch e.Kind {
	case rotation.EventNotice:
		return "nothing, if the time suits; else hold it with Rotator.Hold"
	case rotation.EventDue:
		if e.Level >= slog.LevelWarn {
			return "see that a new key comes: Status lists what it waits for, and Explain when it begins by itself"
		}
	case rotation.EventWaiting:
		return "do what is said above, or answer it with Rotator.Resolve; Status lists what it waits for and which answers it takes"
	case rotation.EventFailed:
		if answersOf(e) != "" {
			return "decide, and answer it with Rotator.Resolve"
		}
		return "look at it if it goes on; it is tried again by itself"
	case rotation.EventDebt:
		return "look whether the key is in use; revoking it is tried again. If you end it at its provider, answer the debt with settle"
	case rotation.EventRollBack:
		return "find the cause before the next rotation"
	case rotation.EventBegan:
		if e.Strategy == rotation.Emergency {
			return "stand by; consumers may fail until they have the new key"
		}
	}
	return ""
}

// verbs are the answers that a diagnosis can be given.
var verbs = map[rotation.Diagnosis][]rotation.Verb{
	rotation.Unproven:       {rotation.VerbAttest},
	rotation.AmbiguousIssue: {rotation.VerbSettle},
	rotation.Drift:          {rotation.VerbAdopt, rotation.VerbReassert, rotation.VerbRollBack},
	rotation.ConsumerGone:   {rotation.VerbForget, rotation.VerbRollBack},
	rotation.ForeignOwner:   {rotation.VerbAdopt},
	rotation.JournalBehind:  {rotation.VerbAdopt},
}

func answersOf(e rotation.Event) string {
	takes := e.Verbs
	if e.Need == "" && len(takes) == 0 && e.Problem != nil {
		takes = verbs[e.Problem.Diagnosis]
	}
	var names []string
	for _, v := range takes {
		names = append(names, string(v))
	}
	return strings.Join(names, ", ")
}
