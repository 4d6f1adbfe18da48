// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
)

func TestDefaultText(t *testing.T) {
	for want, e := range map[string]rotation.Event{
		"crm: in trouble, web|look at it if it goes on; it is tried again by itself|": {Kind: rotation.EventFailed, Consumer: "web", Problem: &rotation.Error{}},
		"URGENT crm: in trouble|end it by hand|":                                      {Kind: rotation.EventFailed, Level: slog.LevelError, Problem: &rotation.Error{Action: "end it by hand"}},
		"crm: in trouble|decide, and answer it with Rotator.Resolve|adopt, reassert, roll-back": {
			Kind: rotation.EventFailed, Problem: &rotation.Error{Diagnosis: rotation.Drift},
		},
		"EMERGENCY crm: a rotation began, INC-1|stand by; consumers may fail until they have the new key|": {
			Kind: rotation.EventBegan, Strategy: rotation.Emergency, Incident: "INC-1",
		},
		"crm: in trouble|decide, and answer it with Rotator.Resolve|adopt": { // what the event says, and not what others of its kind take
			Kind: rotation.EventFailed, Need: "drift", Verbs: []rotation.Verb{rotation.VerbAdopt}, Problem: &rotation.Error{Diagnosis: rotation.Drift},
		},
		"URGENT crm: waiting|do what is said above, or answer it with Rotator.Resolve; Status lists what it waits for and which answers it takes|settle": {
			Kind: rotation.EventWaiting, Level: slog.LevelError, Need: "dead/1", Verbs: []rotation.Verb{rotation.VerbSettle},
		},
		"crm: a rotation is going to begin|nothing, if the time suits; else hold it with Rotator.Hold|": {Kind: rotation.EventNotice, Level: slog.LevelWarn},
		"crm: a new key is due||": {Kind: rotation.EventDue},
		"crm: a new key is due|see that a new key comes: Status lists what it waits for, and Explain when it begins by itself|": {
			Kind: rotation.EventDue, Level: slog.LevelWarn,
		},
		"crm: not as it should be||":                                  {Kind: rotation.EventWarning, Level: slog.LevelWarn},
		"crm: the rotation ended||":                                   {Kind: rotation.EventEnded},
		"crm: something new||":                                        {Kind: "something new"},
		"crm: turned around|find the cause before the next rotation|": {Kind: rotation.EventRollBack},
	} {
		e.Credential = "crm"
		m := notify.MessageOf(e)
		require.Equal(t, want, m.Headline+"|"+m.Action+"|"+m.Answers)
		subject, body := (*notify.Text)(nil).Render(e)
		require.Equal(t, m.Headline, subject)
		require.Equal(t, m.Action != "", strings.Contains(body, "What to do: "+m.Action+"\n"))
		require.Equal(t, m.Answers != "", strings.Contains(body, "Possible answers: "+m.Answers+"\n"))
		require.Equal(t, e.Need != "", strings.Contains(body, "Need: "+e.Need+"\n"))
	}
	for _, kind := range []rotation.EventKind{rotation.EventWaiting, rotation.EventDebt} {
		require.NotEmpty(t, notify.MessageOf(rotation.Event{Kind: kind}).Action)
	}
	_, body := (*notify.Text)(nil).Render(rotation.Event{Text: "waits", Problem: &rotation.Error{Evidence: "seen at noon"}})
	require.Contains(t, body, "waits\n\nSeen: seen at noon\n")
	_, body = new(notify.Text).Render(rotation.Event{Text: "in trouble: seen at noon", Problem: &rotation.Error{Evidence: "seen at noon"}})
	require.Equal(t, 1, strings.Count(body, "seen at noon"), "evidence is not told twice")
}

func TestMessageIsPlain(t *testing.T) {
	m := notify.MessageOf(hostileEvent())
	for name, text := range map[string]string{
		"Headline": m.Headline, "Credential": m.Credential, "Consumer": m.Consumer, "Contact": m.Contact, "Actor": m.Actor, "Incident": m.Incident,
		"Kind": m.Kind, "Diagnosis": m.Diagnosis, "Rotation": m.Rotation, "Strategy": m.Strategy, "Phase": m.Phase, "ID": m.ID,
	} {
		assert.NotContains(t, text, "\n", name)
		assert.LessOrEqual(t, utf8.RuneCountInString(text), 200, name)
		assert.NotEmpty(t, text, name)
	}
	for name, text := range map[string]string{"Happened": m.Happened, "Evidence": m.Evidence, "Action": m.Action} {
		assert.NotContains(t, text, "\r", name)
		assert.LessOrEqual(t, utf8.RuneCountInString(text), 4000, name)
		for i, line := range strings.Split(text, "\n") {
			assert.True(t, i == 0 || strings.HasPrefix(line, "    "), "%s: %q", name, line)
		}
	}
	require.Equal(t, notify.Message{Level: "INFO"}, notify.MessageOf(rotation.Event{}))
	require.Equal(t, "a \uFFFD b", notify.MessageOf(rotation.Event{Actor: " a \xff\u200d \x00 \u2028b "}).Actor)
}

func TestNewText(t *testing.T) {
	text, err := notify.NewText("{{.Credential}}\n is {{.Kind}}", "{{.Time}}: {{.Happened}}{{with .Action}} ({{.}}){{end}}")
	require.NoError(t, err)
	subject, body := text.Render(event())
	require.Equal(t, "payments.api is failed", subject)
	require.Equal(t, "2026-03-01T12:00:00Z: "+event().Text+" (find out who uses it)", body)

	text, err = notify.NewText("", "")
	require.NoError(t, err)
	subject, body = text.Render(event())
	wantSubject, wantBody := (*notify.Text)(nil).Render(event())
	require.Equal(t, wantSubject, subject)
	require.Equal(t, wantBody, body)

	for bad, want := range map[string]string{
		"{{.Nothing}}": "Nothing", "{{if .Answers}}{{.Secret}}{{end}}": "Secret", "{{": "unclosed", "{{end}}": "unexpected", "{{nofunc}}": "nofunc",
		"{{if not .Answers}}{{.Other}}{{end}}": "Other",
	} {
		_, err := notify.NewText(bad, "")
		require.ErrorContains(t, err, "notify: NewText: ")
		require.ErrorContains(t, err, "subject")
		require.ErrorContains(t, err, want)
		_, err = notify.NewText("", bad)
		require.ErrorContains(t, err, "body")
	}
}

// A template that fails with one event says it in the default words: somebody has to be told.
func TestTextThatFails(t *testing.T) {
	text, err := notify.NewText(`{{if eq .Kind "debt"}}{{slice .Kind 99}}{{end}}fine`, `{{if eq .Kind "debt"}}{{.Absent}}{{end}}fine`)
	require.NoError(t, err)
	subject, body := text.Render(event())
	require.Equal(t, "fine|fine", subject+"|"+body)
	e := event()
	e.Kind = rotation.EventDebt
	subject, body = text.Render(e)
	wantSubject, wantBody := (*notify.Text)(nil).Render(e)
	require.Equal(t, wantSubject, subject)
	require.Equal(t, wantBody, body)
}

// The template of a chat may mention people; what the event says may not, in the subject either.
func TestTextMayMention(t *testing.T) {
	c := newChat(t)
	text, err := notify.NewText("<!here> {{.Credential}}", "{{.Happened}}")
	require.NoError(t, err)
	s := c.slack()
	s.Text = text
	require.NoError(t, s.Deliver(t.Context(), rotation.Event{Credential: "<!here> @here", Text: "@channel"}))
	require.Equal(t, []string{"<!here> &lt;\u200b!here&gt; @\u200bhere\n@\u200bchannel"}, c.texts)
}
