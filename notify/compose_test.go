// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
)

// FuzzCompose: whatever an event and the names of people are, the mail has these headers, these people and no others.
func FuzzCompose(f *testing.F) {
	for _, text := range []string{
		"", "plain", hostile, "ü", strings.Repeat("ü", 500), strings.Repeat("=?utf-8?q?", 60), "=?utf-8?q?a=0D=0ABcc:_b?=", "a\xff\xfe", "\r", "\n.\n",
		strings.Repeat("x", 3000), "A <a@b>", `"` + "\r\n" + `" <a@b>`, "a@b\r\n c@d", "=?utf-8?q?=0D=0ABcc=3A?= <a@b>", "ü <a@b>",
	} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, text, to string) {
		m := notify.Email{Addr: "h:1", From: "a@example.com", To: []string{"b@example.com", to}}
		if m.Validate() != nil {
			m.To[1] = "c@example.com"
		}
		require.NoError(t, m.Validate())
		e := rotation.Event{ID: text, Kind: rotation.EventKind(text), Credential: text, Text: text, Problem: &rotation.Error{Action: text}}
		data := string(m.Compose(e, time.Now()))
		requireOneMail(t, data)
		h, _ := parsed(t, data)
		got, err := h.AddressList("To")
		require.NoError(t, err)
		require.Len(t, got, 2)
		want, err := mail.ParseAddress(m.To[1])
		require.NoError(t, err)
		require.Equal(t, want.Address, got[1].Address)
		if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") == "" && len(text) < 90 {
			require.Equal(t, notify.MessageOf(e).Headline, subjectOf(t, h))
		}
	})
}

// A template may have anything in it, and there may be many people.
func TestComposeFolds(t *testing.T) {
	text, err := notify.NewText("a\x1b[2J\x00=?b\r\nc {{.Kind}}", "a\rb\n.\r\nc\x00")
	require.NoError(t, err)
	m := notify.Email{Addr: "h:1", From: "a@example.com", Text: text}
	for range 60 {
		m.To = append(m.To, "Somebody <somebody@example.com>")
	}
	data := string(m.Compose(rotation.Event{ID: "1", Kind: "k"}, time.Now(), "gone@example.com"))
	requireOneMail(t, data)
	require.NotContains(t, strings.ReplaceAll(data, "\r\n", ""), "\r")
	h, body := parsed(t, data)
	require.Equal(t, "a [2J = ?b c k", subjectOf(t, h))
	require.Equal(t, "a\r\nb\r\n.\r\nc\x00\r\nThe server refused to take this mail for: gone@example.com\r\n", body)
	to, err := h.AddressList("To")
	require.NoError(t, err)
	require.Len(t, to, 60)
}
