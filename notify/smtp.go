// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

const mailTimeout = 10 * time.Second

// session is one connection to a mail server.
type session struct {
	ctx    context.Context //nolint:containedctx // it lives as long as the call that made it
	addr   string
	client *smtp.Client
}

// session connects, authenticates and runs do.
func (m Email) session(ctx context.Context, do func(*session) error) error {
	if err := m.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(m.Timeout, mailTimeout))
	defer cancel()
	s := &session{ctx: ctx, addr: m.Addr}
	conn, err := m.dial(ctx)
	if err != nil {
		return s.problem("connecting", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // package smtp knows no context
	host, _, _ := net.SplitHostPort(m.Addr)
	if s.client, err = smtp.NewClient(conn, host); err != nil {
		return s.problem("greeting", err)
	}
	if err := s.open(m, host); err != nil {
		return err
	}
	if err := do(s); err != nil {
		return err
	}
	_ = s.client.Quit() // the mail is taken, whatever the answer
	return nil
}

func (m Email) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.Addr)
	if err != nil || m.Security != ImplicitTLS {
		return conn, err
	}
	private := tls.Client(conn, m.tls())
	if err := private.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return private, nil
}

func (m Email) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.TLS != nil {
		c = m.TLS.Clone()
	}
	if host, _, err := net.SplitHostPort(m.Addr); err == nil {
		c.ServerName = cmp.Or(c.ServerName, host)
	}
	return c
}

// open says hello, makes the connection private and authenticates.
func (s *session) open(m Email, host string) error {
	if err := s.client.Hello(cmp.Or(m.Hello, "localhost")); err != nil {
		return s.problem("EHLO", err)
	}
	if m.Security == StartTLS {
		if ok, _ := s.client.Extension("STARTTLS"); !ok {
			return s.says("the server offers no STARTTLS, and nothing was sent")
		}
		if err := s.client.StartTLS(m.tls()); err != nil {
			return s.problem("STARTTLS", err)
		}
	}
	if m.Username == "" {
		return nil
	}
	auth, err := s.auth(m, host)
	if err != nil {
		return err
	}
	if err := s.client.Auth(auth); err != nil {
		return s.problem("AUTH", err)
	}
	return nil
}

// auth picks what the server takes. Both show it the password, which is why there is TLS.
func (s *session) auth(m Email, host string) (smtp.Auth, error) {
	_, offered := s.client.Extension("AUTH")
	mechanisms := strings.Fields(strings.ToUpper(offered))
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return smtp.PlainAuth("", m.Username, m.Password.Reveal(), host), nil
	case slices.Contains(mechanisms, "LOGIN"):
		return &login{m}, nil
	default:
		return nil, s.says("the server takes neither PLAIN nor LOGIN", rotation.ErrDenied)
	}
}

// login is the mechanism LOGIN: the server asks for the name, and then for the password.
type login struct{ m Email }

func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, errors.New("notify: not without TLS")
	}
	return "LOGIN", nil, nil
}

func (l *login) Next(asked []byte, more bool) ([]byte, error) {
	switch question := strings.ToLower(string(asked)); {
	case !more:
		return nil, nil
	case strings.HasPrefix(question, "user"):
		return []byte(l.m.Username), nil
	case strings.HasPrefix(question, "pass"):
		return []byte(l.m.Password.Reveal()), nil
	default:
		return nil, errors.New("notify: the server asks for something else")
	}
}

// envelope says from whom and to whom, and returns the addresses that were refused for good while others were taken.
func (s *session) envelope(m Email) (refused []string, err error) {
	from, err := address(m.From)
	if err != nil {
		return nil, s.says("From is not an address")
	}
	if err := s.client.Mail(from.Address); err != nil {
		return nil, s.problem("MAIL", err)
	}
	var last error
	for _, raw := range m.To {
		to, err := address(raw)
		if err != nil {
			return nil, s.says("To is not an address")
		}
		err = s.client.Rcpt(to.Address)
		var reply *textproto.Error
		switch {
		case err == nil:
		case errors.As(err, &reply) && reply.Code >= 500:
			refused, last = append(refused, to.Address), err
		default:
			return nil, s.problem("RCPT", err)
		}
	}
	if len(refused) == len(m.To) {
		return nil, s.problem("RCPT", last)
	}
	return refused, nil
}

// send sends the mail, in which the writer doubles the dots that begin a line.
func (s *session) send(mail []byte) error {
	w, err := s.client.Data()
	if err != nil {
		return s.problem("DATA", err)
	}
	if _, err := w.Write(mail); err != nil {
		return s.problem("DATA", err)
	}
	if err := w.Close(); err != nil {
		return s.problem("DATA", err)
	}
	return nil
}

// problem says what failed. Of a reply it has the code only: the text is the server's.
func (s *session) problem(step string, err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && s.ctx.Err() == nil {
		switch reply.Code {
		case 530, 534, 535, 538: // RFC 4954: authentication is required, or failed
			return s.says(fmt.Sprintf("%s: %d", step, reply.Code), rotation.ErrDenied)
		}
		return s.says(fmt.Sprintf("%s: %d", step, reply.Code))
	}
	text, is := wire.Reason(s.ctx, err)
	return s.says(step+": "+text, is...)
}

func (s *session) says(text string, is ...error) error {
	return wire.Problem("notify: Email "+s.addr+": "+text, is...)
}
