// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Security is how the connection to a mail server is kept private.
type Security uint8

// Kinds of security.
const (
	StartTLS    Security = iota // STARTTLS before anything else is said; a server without it gets nothing
	ImplicitTLS                 // TLS from the first byte, as on port 465
	Unencrypted                 // readable on the way, and never with a password: for a relay on the same machine
)

// Email is a Sink that sends mail by SMTP (RFC 5321), one connection for each event. It is safe for concurrent use.
//
// The Message-ID is made of Event.ID, so that a mail which is sent again after a lost answer can be recognised. An address that
// the server refuses for good does not keep the mail from the others, and is named in it; one that it refuses for now keeps it
// from all of them, until the next try. Where that is too much, give each address an Email of its own.
type Email struct {
	Addr     string       // required: host:port, "smtp.example.com:587"
	From     string       // required: "Key rotation <rotation@example.com>"
	To       []string     // required: addresses, with names or without
	Username string       // with Password: PLAIN or LOGIN, whichever the server takes. Empty: no authentication
	Password secret.Value // sent over TLS only

	Security Security      // zero: StartTLS
	TLS      *tls.Config   // nil: the certificate has to be the host's of Addr, signed by a root of this system
	Hello    string        // this machine's name, for EHLO; empty: "localhost"
	Text     *Text         // nil: the default
	Timeout  time.Duration // of one delivery; zero: 10 s
}

var (
	_ rotation.Sink       = Email{}
	_ rotation.Identifier = Email{}
	_ rotation.Validator  = Email{}
	_ rotation.Checker    = Email{}
)

// Deliver sends e. It blocks until the server has taken the mail, ctx ends or Timeout is over. Refused credentials match
// rotation.ErrDenied. An error has the reply's code, and nothing else of what the server said.
func (m Email) Deliver(ctx context.Context, e rotation.Event) error {
	return m.session(ctx, func(s *session) error {
		refused, err := s.envelope(m)
		if err != nil {
			return err
		}
		return s.send(m.compose(e, time.Now(), refused))
	})
}

// Check validates the configuration, connects and authenticates. It sends nothing.
func (m Email) Check(ctx context.Context) error {
	return m.session(ctx, func(*session) error { return nil })
}

// Identity is Addr and the addresses in To.
func (m Email) Identity() string {
	id := "smtp " + m.Addr
	for _, to := range m.To {
		if a, err := mail.ParseAddress(to); err == nil {
			id += " " + a.Address
		}
	}
	return id
}

// Validate names every field that is missing or wrong. It does no I/O.
func (m Email) Validate() error {
	var errs []error
	mistake := func(text string) { errs = append(errs, wire.Problem("notify: Email."+text)) }
	host, port, err := net.SplitHostPort(m.Addr)
	switch {
	case m.Addr == "":
		mistake("Addr is required")
	case err != nil || host == "" || !visibleASCII(m.Addr):
		mistake("Addr is not host:port")
	default:
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			mistake("Addr does not end with the number of a port")
		}
	}
	if m.From == "" {
		mistake("From is required")
	} else if _, err := address(m.From); err != nil {
		mistake("From is not an address that mail can be sent from")
	}
	if len(m.To) == 0 {
		mistake("To is required")
	}
	for i, to := range m.To {
		if _, err := address(to); err != nil {
			mistake(fmt.Sprintf("To[%d] is not an address that mail can be sent to", i))
		}
	}
	errs = append(errs, m.validateAccess(), timeoutProblem("Email", m.Timeout))
	return errors.Join(errs...)
}

func (m Email) validateAccess() error {
	var errs []error
	mistake := func(text string) { errs = append(errs, wire.Problem("notify: Email."+text)) }
	switch {
	case m.Username == "" && !m.Password.IsZero():
		mistake("Username is required with Password")
	case m.Username != "" && m.Password.IsZero():
		mistake("Password is required with Username")
	case m.Username != "" && m.Security == Unencrypted:
		mistake("Password is not sent unencrypted: Security has to be StartTLS or ImplicitTLS")
	}
	if m.Security > Unencrypted {
		mistake("Security is not known")
	}
	if m.Hello != "" && !visibleASCII(m.Hello) {
		mistake("Hello is not a name")
	}
	return errors.Join(errs...)
}

// address parses one address. What would need quotes or another alphabet than a mail command has is refused: servers disagree
// about it, and so would header and envelope.
func address(text string) (*mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return nil, err
	}
	if !visibleASCII(a.Address) || strings.ContainsAny(a.Address, `<>()[]:;,\"`) || strings.Count(a.Address, "@") != 1 || len(a.Address) > 254 || len(a.Name) > 100 {
		return nil, errors.New("not a plain address")
	}
	return a, nil
}

func visibleASCII(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
