// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func (s *smtpServer) email() notify.Email {
	return notify.Email{
		Addr: s.addr(), From: "Schlüsselwechsel <rotation@example.com>", To: []string{"Ana <ana@example.com>", "team@example.com"},
		Username: smtpUser, Password: secret.New(smtpPassword), TLS: &tls.Config{RootCAs: s.roots},
	}
}

// parsed reads a mail as a client does.
func parsed(t testing.TB, data string) (header mail.Header, body string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	require.NoError(t, err)
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	require.NoError(t, err)
	return m.Header, string(text)
}

func subjectOf(t testing.TB, h mail.Header) string {
	t.Helper()
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	require.NoError(t, err)
	return subject
}

func TestEmail(t *testing.T) {
	s := startSMTP(t, nil)
	e := event()
	e.Consumer = "Kasse Süd"
	require.NoError(t, s.email().Deliver(t.Context(), e))
	require.NoError(t, s.email().Deliver(t.Context(), e))
	mails := s.took()
	require.Len(t, mails, 2)
	m := mails[0]
	assert.True(t, m.private)
	assert.Equal(t, smtpUser, m.user)
	assert.Equal(t, "rotation@example.com", m.from)
	assert.Equal(t, []string{"ana@example.com", "team@example.com"}, m.to)

	h, body := parsed(t, m.data)
	assert.Equal(t, "payments.api: in trouble, Kasse Süd", subjectOf(t, h))
	assert.True(t, strings.HasPrefix(h.Get("Subject"), "=?utf-8?q?"))
	from, err := h.AddressList("From")
	require.NoError(t, err)
	assert.Equal(t, []*mail.Address{{Name: "Schlüsselwechsel", Address: "rotation@example.com"}}, from)
	to, err := h.AddressList("To")
	require.NoError(t, err)
	assert.Equal(t, []*mail.Address{{Name: "Ana", Address: "ana@example.com"}, {Address: "team@example.com"}}, to)
	date, err := h.Date()
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), date, time.Minute)
	assert.Equal(t, "auto-generated", h.Get("Auto-Submitted"))
	assert.Contains(t, body, "What to do: find out who uses it\r\n")
	assert.Contains(t, body, "Consumer: Kasse Süd\r\n")

	again, _ := parsed(t, mails[1].data)
	assert.Regexp(t, `^<[0-9a-f]{32}@example\.com>$`, h.Get("Message-ID"))
	assert.Equal(t, h.Get("Message-ID"), again.Get("Message-ID"))
	e.ID = "another"
	require.NoError(t, s.email().Deliver(t.Context(), e))
	other, _ := parsed(t, s.took()[0].data)
	assert.NotEqual(t, h.Get("Message-ID"), other.Get("Message-ID"))

	assert.Equal(t, "smtp "+s.addr()+" ana@example.com team@example.com", s.email().Identity())
}

func TestEmailByOtherWays(t *testing.T) {
	for name, c := range map[string]struct {
		server func(*smtpServer)
		email  func(*notify.Email)
	}{
		"implicit TLS": {func(s *smtpServer) { s.implicit = true }, func(m *notify.Email) { m.Security = notify.ImplicitTLS }},
		"LOGIN":        {func(s *smtpServer) { s.mechanisms = "XOAUTH2 LOGIN" }, func(*notify.Email) {}},
		"unencrypted": {func(s *smtpServer) { s.noTLS, s.mechanisms = true, "" }, func(m *notify.Email) {
			m.Security, m.Username, m.Password = notify.Unencrypted, "", secret.Value{}
		}},
		"no password": {func(s *smtpServer) { s.mechanisms = "" }, func(m *notify.Email) { m.Username, m.Password = "", secret.Value{} }},
	} {
		s := startSMTP(t, c.server)
		m := s.email()
		m.Hello = "here.example"
		c.email(&m)
		require.NoError(t, m.Check(t.Context()), name)
		require.Empty(t, s.took())
		require.NoError(t, m.Deliver(t.Context(), event()), name)
		got := s.took()
		require.Len(t, got, 1, name)
		require.Equal(t, m.Username, got[0].user, name)
		require.Equal(t, m.Security != notify.Unencrypted, got[0].private, name)
		require.Contains(t, s.said(), "EHLO here.example")
	}
}

// No server gets a word of the mail, or the password, before the connection is private and its certificate is good.
func TestEmailTellsNothingInTheOpen(t *testing.T) {
	downgraded := startSMTP(t, func(s *smtpServer) { s.noTLS = true })
	err := downgraded.email().Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorContains(t, err, "the server offers no STARTTLS")

	imposter := startSMTP(t, nil)
	m := imposter.email()
	m.TLS = nil
	err = m.Deliver(t.Context(), event())
	requireSilent(t, err)
	require.EqualError(t, err, "notify: Email "+m.Addr+": STARTTLS: the certificate is not trusted")

	refusing := startSMTP(t, func(s *smtpServer) { s.replies = map[string]string{"STARTTLS": "454 " + canary} })
	err = refusing.email().Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorContains(t, err, "STARTTLS: 454")

	for _, s := range []*smtpServer{downgraded, imposter, refusing} {
		require.NotContains(t, s.said(), "AUTH")
		require.NotContains(t, s.said(), "MAIL")
		require.Empty(t, s.took())
	}
}

func TestEmailIsRefused(t *testing.T) {
	for begin, c := range map[string]struct {
		reply, want string
		is          error
	}{
		"EHLO":   {"421 " + canary, "EHLO: 500", nil},
		"AUTH":   {"454 " + canary, "AUTH: 454", nil},
		"MAIL":   {"550 " + canary, "MAIL: 550", nil},
		"RCPT":   {"550 " + canary, "RCPT: 550", nil},
		"RCPT ":  {"450 " + canary, "RCPT: 450", nil},
		"DATA":   {"451 " + canary, "DATA: 451", nil},
		".":      {"554 " + canary, "DATA: 554", nil},
		"MAIL ":  {"530 " + canary, "MAIL: 530", rotation.ErrDenied},
		"AUTH ":  {"535 " + canary, "AUTH: 535", rotation.ErrDenied},
		"MAIL F": {"no reply at all " + canary, "MAIL: no answer", nil},
		"RCPT T": {"drop", "RCPT: the connection ended before the answer did", nil},
		"AUTH P": {"334 " + canary, "AUTH: ", nil},
	} {
		s := startSMTP(t, func(s *smtpServer) { s.replies = map[string]string{begin: c.reply} })
		err := s.email().Deliver(t.Context(), event())
		requireSilent(t, err)
		require.ErrorContains(t, err, "notify: Email "+s.addr()+": "+c.want)
		if c.is != nil {
			require.ErrorIs(t, err, c.is)
		}
		require.Empty(t, s.took())
	}
}

func TestEmailWrongPassword(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		s := startSMTP(t, func(s *smtpServer) { s.mechanisms = mechanism })
		m := s.email()
		m.Password = secret.New(canary + "-wrong")
		for _, err := range []error{m.Check(t.Context()), m.Deliver(t.Context(), event())} {
			requireSilent(t, err)
			require.ErrorIs(t, err, rotation.ErrDenied)
			require.ErrorContains(t, err, "AUTH: 535")
		}
	}
	s := startSMTP(t, func(s *smtpServer) { s.mechanisms = "CRAM-MD5" })
	err := s.email().Check(t.Context())
	requireSilent(t, err)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "neither PLAIN nor LOGIN")
}

// One address that is gone does not silence the others, and they are told.
func TestEmailToSomebodyWhoIsGone(t *testing.T) {
	s := startSMTP(t, func(s *smtpServer) { s.replies = map[string]string{"RCPT TO:<ana@": "550 no such user"} })
	require.NoError(t, s.email().Deliver(t.Context(), event()))
	got := s.took()
	require.Len(t, got, 1)
	require.Equal(t, []string{"team@example.com"}, got[0].to)
	_, body := parsed(t, got[0].data)
	require.Contains(t, body, "The server refused to take this mail for: ana@example.com\r\n")

	s = startSMTP(t, func(s *smtpServer) { s.replies = map[string]string{"RCPT TO:<ana@": "450 greylisted"} })
	require.Error(t, s.email().Deliver(t.Context(), event()), "for now: nobody gets it twice")
	require.Empty(t, s.took())
}

func TestEmailHangs(t *testing.T) {
	for _, where := range []string{"", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"} {
		s := startSMTP(t, func(s *smtpServer) {
			if where == "" {
				s.greeting = "hang"
			}
			s.replies = map[string]string{where: "hang"}
		})
		m := s.email()
		m.Timeout = 100 * time.Millisecond
		err := m.Deliver(t.Context(), event())
		requireSilent(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded, where)

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		m.Timeout = time.Hour
		err = m.Deliver(ctx, event())
		requireSilent(t, err)
		require.ErrorIs(t, err, context.Canceled, where)
	}
	s := startSMTP(t, nil) // no TLS at its port: the handshake gets no answer
	s.listener.Close()
	err := s.email().Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorContains(t, err, "connecting: connection refused")
}

func TestEmailHandshakeHangs(t *testing.T) {
	s := startSMTP(t, func(s *smtpServer) { s.greeting = "hang" })
	m := s.email()
	m.Security, m.Timeout = notify.ImplicitTLS, 100*time.Millisecond
	err := m.Check(t.Context())
	requireSilent(t, err)
	require.ErrorContains(t, err, "connecting: ")
}

// Whatever an event says, it is one mail, with these headers and to these people.
func TestEmailHostile(t *testing.T) {
	s := startSMTP(t, nil)
	require.NoError(t, s.email().Deliver(t.Context(), hostileEvent()))
	mails := s.took()
	require.Len(t, mails, 1)
	requireOneMail(t, mails[0].data)
	_, body := parsed(t, mails[0].data)
	assert.Equal(t, 1, strings.Count(body, "\nWhat to do:"))
	assert.Equal(t, 1, strings.Count(body, "\nCredential:"))
	assert.Contains(t, body, "\r\n    .\r\n    QUIT\r\n", "the lines of a text are kept, indented")
}

func requireOneMail(t testing.TB, data string) {
	t.Helper()
	h, _ := parsed(t, data)
	var names []string
	for name, values := range h {
		names = append(names, name)
		require.Len(t, values, 1, name)
	}
	require.NotContains(t, subjectOf(t, h), "\n")
	require.ElementsMatch(t, []string{
		"Date", "From", "To", "Message-Id", "Subject", "Auto-Submitted", "Mime-Version", "Content-Type", "Content-Transfer-Encoding",
	}, names)
	for line := range strings.SplitSeq(data, "\r\n") {
		require.LessOrEqual(t, len(line), 998)
		for _, c := range []byte(line) {
			if c != '\t' && (c < ' ' || c >= 0x7f) {
				require.Fail(t, "neither visible nor ASCII", "%q", line)
			}
		}
	}
}

func TestEmailValidate(t *testing.T) {
	good := notify.Email{Addr: "smtp.example.com:587", From: "a@example.com", To: []string{"b@example.com"}}
	require.NoError(t, good.Validate())
	with := func(change func(*notify.Email)) notify.Email {
		m := good
		change(&m)
		return m
	}
	password := secret.New(canary)
	cases := map[string][]notify.Email{
		"notify: Email.Addr is required\nnotify: Email.From is required\nnotify: Email.To is required": {{}},
		"notify: Email.Addr is not host:port": {
			with(func(m *notify.Email) { m.Addr = "smtp.example.com" }),
			with(func(m *notify.Email) { m.Addr = ":25" }),
			with(func(m *notify.Email) { m.Addr = "smtp.example.com\r\n:25" }),
		},
		"notify: Email.Addr does not end with the number of a port": {
			with(func(m *notify.Email) { m.Addr = "smtp.example.com:" }),
			with(func(m *notify.Email) { m.Addr = "smtp.example.com:smtp" }),
			with(func(m *notify.Email) { m.Addr = "smtp.example.com:99999" }),
		},
		"notify: Email.Username is required with Password": {with(func(m *notify.Email) { m.Password = password })},
		"notify: Email.Password is required with Username": {with(func(m *notify.Email) { m.Username = "a" })},
		"notify: Email.Password is not sent unencrypted: Security has to be StartTLS or ImplicitTLS": {
			with(func(m *notify.Email) { m.Username, m.Password, m.Security = "a", password, notify.Unencrypted }),
		},
		"notify: Email.Security is not known": {with(func(m *notify.Email) { m.Security = 3 })},
		"notify: Email.Hello is not a name":   {with(func(m *notify.Email) { m.Hello = "a\r\nMAIL" })},
		"notify: Email.Timeout is negative":   {with(func(m *notify.Email) { m.Timeout = -1 })},
	}
	for _, bad := range []string{
		"nobody", "a@b\r\nBcc: evil@example.com", "a@b, c@d", "a@b>\r\nRCPT TO:<c@d", `"a b"@example.com`, `"a>b"@example.com`, "ü@example.com",
		"a@ex ample.com", strings.Repeat("a", 255) + "@b", strings.Repeat("a", 101) + " <a@b>", "a@[127.0.0.1]",
	} {
		cases["notify: Email.From is not an address that mail can be sent from"] = append(
			cases["notify: Email.From is not an address that mail can be sent from"], with(func(m *notify.Email) { m.From = bad }))
		cases["notify: Email.To[1] is not an address that mail can be sent to"] = append(
			cases["notify: Email.To[1] is not an address that mail can be sent to"], with(func(m *notify.Email) { m.To = []string{"b@c", bad} }))
	}
	for want, emails := range cases {
		for _, m := range emails {
			requireSilent(t, m.Validate())
			require.EqualError(t, m.Validate(), want, "%+v", m)
			require.EqualError(t, m.Check(t.Context()), want)
			require.EqualError(t, m.Deliver(t.Context(), event()), want)
		}
	}
}

// Nothing prints what is secret of a sink.
func TestSinksPrintNoSecret(t *testing.T) {
	signer, _ := standard(t)
	for _, v := range []any{
		notify.Slack{URL: secret.New("https://" + canary)}, notify.Email{Password: secret.New(canary)}, notify.Webhook{Signer: signer},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			require.NotContains(t, fmt.Sprintf(format, v), canary, format)
			require.NotContains(t, fmt.Sprintf(format, v), fmt.Sprintf("%x", canary), format)
			require.NotContains(t, fmt.Sprintf(format, v), strings.TrimPrefix(whsec, "whsec_"), format)
		}
	}
}
