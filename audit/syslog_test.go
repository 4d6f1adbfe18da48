// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
)

var (
	_ rotation.Sink       = audit.Syslog{}
	_ rotation.Identifier = audit.Syslog{}
	_ rotation.Validator  = audit.Syslog{}
)

// collector takes messages that follow their length, until the sender hangs up.
func collector(t *testing.T, l net.Listener) <-chan string {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	out := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for {
				length, err := r.ReadString(' ')
				if err != nil {
					break
				}
				n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
				assert.NoError(t, err)
				message := make([]byte, n)
				_, err = io.ReadFull(r, message)
				assert.NoError(t, err)
				out <- string(message)
			}
			conn.Close()
		}
	}()
	return out
}

func packets(t *testing.T, c net.PacketConn) <-chan string {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	out := make(chan string, 10)
	go func() {
		for buf := make([]byte, 65536); ; {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			out <- string(buf[:n])
		}
	}()
	return out
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	return l
}

// authority is a certificate for 127.0.0.1 that signs itself.
func authority(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "collector"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

var rfc5424 = regexp.MustCompile(`^<(\d+)>1 (\S+) (\S+) (\S+) (\d+) (\S+) - (\{.*\})$`)

func TestSyslog(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	tcp := listen(t, "tcp", "127.0.0.1:0")
	server, client := authority(t)
	secure := tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server)
	type target struct {
		sink audit.Syslog
		got  <-chan string
	}
	targets := map[string]target{
		"udp": {audit.Syslog{Network: "udp", Address: udp.LocalAddr().String()}, packets(t, udp)},
		"tcp": {audit.Syslog{Network: "tcp", Address: tcp.Addr().String()}, collector(t, tcp)},
		"tls": {audit.Syslog{Network: "tls", Address: secure.Addr().String(), TLS: client}, collector(t, secure)},
	}
	if runtime.GOOS != "windows" {
		path := filepath.Join(t.TempDir(), "s")
		targets["unix"] = target{audit.Syslog{Network: "unix", Address: path}, collector(t, listen(t, "unix", path))}
		path = filepath.Join(t.TempDir(), "d")
		c, err := net.ListenPacket("unixgram", path)
		require.NoError(t, err)
		targets["unixgram"] = target{audit.Syslog{Network: "unixgram", Address: path}, packets(t, c)}
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			sink := target.sink
			sink.Hostname, sink.App = "host 1\n", "handover"
			require.Equal(t, "syslog "+name+" "+sink.Address, sink.Identity())
			for n, want := range map[int]slog.Level{1: slog.LevelInfo, 2: slog.LevelWarn, 3: slog.LevelError, 4: slog.LevelDebug} {
				e := event(n)
				e.Level, e.Text = want, "two\nlines <ü>"
				require.NoError(t, sink.Deliver(context.Background(), e))
				m := rfc5424.FindStringSubmatch(<-target.got)
				require.NotNil(t, m)
				severity := map[slog.Level]int{slog.LevelInfo: 6, slog.LevelWarn: 4, slog.LevelError: 3, slog.LevelDebug: 7}[want]
				require.Equal(t, strconv.Itoa(13*8+severity), m[1])
				require.Equal(t, e.At.Format(time.RFC3339), m[2])
				require.Equal(t, []string{"host1", "handover"}, m[3:5])
				require.Equal(t, "deployed", m[6])
				var back rotation.Event
				require.NoError(t, json.Unmarshal([]byte(m[7]), &back))
				require.Equal(t, e, back)
			}
		})
	}
}

func TestSyslogHeader(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	got := packets(t, udp)
	sink := audit.Syslog{Network: "udp", Address: udp.LocalAddr().String(), Facility: 10, App: strings.Repeat("a", 99)}
	e := event(1)
	e.Kind, e.At = "", e.At.Add(123456789).In(time.FixedZone("", 3600))
	require.NoError(t, sink.Deliver(context.Background(), e))
	m := rfc5424.FindStringSubmatch(<-got)
	require.NotNil(t, m)
	require.Equal(t, "86", m[1])
	require.Equal(t, "2026-03-01T10:00:01.123456+01:00", m[2], "six digits and no more")
	require.NotEmpty(t, m[3])
	require.Len(t, m[4], 48)
	require.Equal(t, "-", m[6])
}

func TestSyslogErrors(t *testing.T) {
	err := audit.Syslog{Facility: 24}.Validate()
	for _, want := range []string{"Syslog.Network is required", "Syslog.Address is required", "Syslog.Facility"} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, audit.Syslog{Network: "http"}.Deliver(context.Background(), event(1)), "Syslog.Network")

	l := listen(t, "tcp", "127.0.0.1:0")
	gone := audit.Syslog{Network: "tcp", Address: l.Addr().String()}
	require.NoError(t, l.Close())
	err = gone.Deliver(context.Background(), event(1))
	require.Error(t, err, "nobody listens")
	require.Implements(t, (*rotation.PublicError)(nil), err)

	server, _ := authority(t)
	l = tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server)
	collectorOf := collector(t, l)
	require.Error(t, audit.Syslog{Network: "tls", Address: l.Addr().String()}.Deliver(context.Background(), event(1)), "an unknown authority")
	require.Empty(t, collectorOf)
}

// A collector that does not read holds Deliver no longer than its context.
func TestSyslogGivesUp(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.ReadFull(conn, make([]byte, 1)) // it began
		cancel()
		<-ctx.Done()
		t.Cleanup(func() { conn.Close() })
	}()
	e := event(1)
	e.Text = strings.Repeat("x", 16<<20) // more than the system buffers
	require.ErrorIs(t, audit.Syslog{Network: "tcp", Address: l.Addr().String()}.Deliver(ctx, e), context.Canceled)
}
