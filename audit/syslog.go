// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Syslog is a rotation.Sink that sends each event to a collector in the format of RFC 5424, the event as JSON in the message. It
// works on every system, and is safe for concurrent use.
//
// Each event has a connection of its own: a collector that is gone is noticed when it is dialled. Syslog acknowledges nothing, so
// an event counts as delivered when the system has taken it: over udp and unixgram nobody notices a loss, over tcp and tls the last
// moment of a collector that dies can be lost. Keep a Trail beside it.
type Syslog struct {
	// Network is udp, tcp, tls, unix or unixgram. Required. Over tcp, tls and unix a message follows its length (octet counting,
	// RFC 6587 3.4.1 and RFC 5425 4.3). The collector has to read RFC 5424; what listens on /dev/log often does not.
	Network string

	Address  string      // host:port, or the path of a socket. Required
	TLS      *tls.Config // for tls; nil: the system's authorities, and the host of Address as the name
	Facility int         // 1 to 23; zero: 13, log audit
	Hostname string      // empty: the machine's
	App      string      // empty: the name of the program
}

var syslogNetworks = []string{"udp", "tcp", "tls", "unix", "unixgram"}

// Deliver dials, sends and hangs up. It blocks no longer than ctx lets it.
func (s Syslog) Deliver(ctx context.Context, e rotation.Event) error {
	if err := s.Validate(); err != nil {
		return err
	}
	message, err := s.message(e)
	if err != nil {
		return err
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return s.fail(err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = conn.Write(message)
	if closed := conn.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return s.fail(cmp.Or(ctx.Err(), err))
	}
	return nil
}

// Validate names every field that is missing or wrong.
func (s Syslog) Validate() error {
	var errs []error
	if !slices.Contains(syslogNetworks, s.Network) {
		errs = append(errs, failf("audit: Syslog.Network is required: one of %s", strings.Join(syslogNetworks, ", ")))
	}
	if s.Address == "" {
		errs = append(errs, failf("audit: Syslog.Address is required"))
	}
	if s.Facility < 0 || s.Facility > 23 {
		errs = append(errs, failf("audit: Syslog.Facility has to be 1 to 23"))
	}
	return errors.Join(errs...)
}

// Identity is the network and address.
func (s Syslog) Identity() string { return "syslog " + s.Network + " " + s.Address }

func (s Syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.Network == "tls" {
		d := tls.Dialer{Config: s.TLS}
		return d.DialContext(ctx, "tcp", s.Address)
	}
	var d net.Dialer
	return d.DialContext(ctx, s.Network, s.Address)
}

// message is the event as RFC 5424 6 has it, framed for the network.
func (s Syslog) message(e rotation.Event) ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, failf("audit: Syslog: an event cannot be encoded") // not the cause: it may quote a part
	}
	host := s.Hostname
	if host == "" {
		host, _ = os.Hostname() // "-" stands for one that is not known
	}
	app := s.App
	if app == "" {
		app = filepath.Base(os.Args[0])
	}
	priority := 8*cmp.Or(s.Facility, 13) + severity(e.Level)
	message := fmt.Appendf(nil, "<%d>1 %s %s %s %d %s - %s", priority, e.At.Format("2006-01-02T15:04:05.999999Z07:00"),
		word(host, 255), word(app, 48), os.Getpid(), word(string(e.Kind), 32), data)
	if s.Network == "udp" || s.Network == "unixgram" {
		return message, nil
	}
	return append(fmt.Appendf(nil, "%d ", len(message)), message...), nil
}

// severity is that of RFC 5424 6.2.1.
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// word keeps of a field what the header of a message may hold: at most room printable ASCII characters without a space.
func word(s string, room int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return cmp.Or(s[:min(len(s), room)], "-")
}

func (s Syslog) fail(err error) error { return failf("audit: Syslog: %s: %w", s.Identity(), err) }
