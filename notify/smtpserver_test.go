// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// received is one mail as it came over the wire, its dots undone.
type received struct {
	private  bool   // under TLS
	user     string // who authenticated
	from     string
	to       []string
	data     string
	commands []string // of the whole connection
}

// smtpServer is a mail server on loopback with just enough of RFC 5321, 3207 and 4954. It is strict: bare CR or LF, an unknown
// command and a wrong order are refused.
type smtpServer struct {
	listener net.Listener
	cert     tls.Certificate
	roots    *x509.CertPool

	implicit   bool              // TLS from the first byte
	noTLS      bool              // offers no STARTTLS
	mechanisms string            // "PLAIN LOGIN"
	replies    map[string]string // what to answer instead, to a line that begins so; "hang": nothing, "drop": the connection ends
	greeting   string

	mu    sync.Mutex
	mails []received
	lines []string
	wg    sync.WaitGroup
}

const (
	smtpUser     = "rotation"
	smtpPassword = canary + "-password"
)

func startSMTP(t testing.TB, set func(*smtpServer)) *smtpServer {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate, which is of 127.0.0.1
	web.Close()
	s := &smtpServer{cert: web.TLS.Certificates[0], roots: x509.NewCertPool(), mechanisms: "PLAIN", greeting: "220 mail.example ESMTP"}
	s.roots.AddCert(web.Certificate())
	if set != nil {
		set(s)
	}
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.Map
	s.wg.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			conns.Store(c, true)
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		s.listener.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		s.wg.Wait()
	})
	return s
}

func (s *smtpServer) addr() string { return s.listener.Addr().String() }

func (s *smtpServer) took() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	mails := s.mails
	s.mails = nil
	return mails
}

// said are the lines that all clients sent, but for data.
func (s *smtpServer) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// smtpConn is one connection.
type smtpConn struct {
	*smtpServer
	conn net.Conn
	in   *bufio.Reader
	mail received
}

func (s *smtpServer) serve(conn net.Conn) {
	defer conn.Close()
	c := &smtpConn{smtpServer: s, conn: conn}
	if s.implicit {
		c.secure()
	}
	c.in = bufio.NewReader(c.conn)
	if s.greeting == "hang" {
		_, _ = c.in.ReadByte()
		return
	}
	c.say(s.greeting)
	for {
		line, ok := c.line()
		if !ok || !c.command(line) {
			return
		}
	}
}

func (c *smtpConn) say(line string) { _, _ = c.conn.Write([]byte(line + "\r\n")) }

func (c *smtpConn) secure() {
	c.conn = tls.Server(c.conn, &tls.Config{Certificates: []tls.Certificate{c.cert}})
	c.in, c.mail = bufio.NewReader(c.conn), received{private: true}
}

// line reads a line that ends in CRLF and has neither of them elsewhere.
func (c *smtpConn) line() (string, bool) {
	line, err := c.in.ReadString('\n')
	text, ok := strings.CutSuffix(line, "\r\n")
	return text, err == nil && ok && !strings.ContainsAny(text, "\r\n")
}

func (c *smtpConn) command(line string) bool {
	c.mu.Lock()
	c.lines = append(c.lines, line)
	c.mu.Unlock()
	c.mail.commands = append(c.mail.commands, line)
	for begin, reply := range c.replies {
		if !strings.HasPrefix(line, begin) {
			continue
		}
		switch reply {
		case "hang":
			_, _ = c.in.ReadByte()
			return false
		case "drop":
			return false
		}
		c.say(reply)
		return true
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		c.hello()
	case "STARTTLS":
		if c.noTLS || c.mail.private {
			c.say("502 no")
			return true
		}
		c.say("220 go ahead")
		c.secure()
	case "AUTH":
		return c.auth(rest)
	case "MAIL":
		c.mail.from, c.mail.to = between(rest), nil
		c.say("250 ok")
	case "RCPT":
		c.mail.to = append(c.mail.to, between(rest))
		c.say("250 ok")
	case "DATA":
		return c.data()
	case "QUIT":
		c.say("221 bye")
		return false
	default:
		c.say("500 " + canary)
	}
	return true
}

func between(text string) string {
	_, text, _ = strings.Cut(text, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}

func (c *smtpConn) hello() {
	offers := []string{"mail.example", "8BITMIME"}
	if !c.noTLS && !c.mail.private {
		offers = append(offers, "STARTTLS")
	}
	if c.mechanisms != "" {
		offers = append(offers, "AUTH "+c.mechanisms)
	}
	for i, offer := range offers {
		if i == len(offers)-1 {
			c.say("250 " + offer)
		} else {
			c.say("250-" + offer)
		}
	}
}

func (c *smtpConn) auth(rest string) bool {
	user, password := "", ""
	ask := func(prompt string) string {
		c.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)))
		line, _ := c.line()
		text, _ := base64.StdEncoding.DecodeString(line)
		return string(text)
	}
	mechanism, first, _ := strings.Cut(rest, " ")
	switch mechanism {
	case "PLAIN":
		text, _ := base64.StdEncoding.DecodeString(first)
		parts := strings.Split(string(text), "\x00")
		if len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		user = ask("Username:")
		password = ask("Password:")
	}
	if user != smtpUser || password != smtpPassword || !c.mail.private {
		c.say("535 5.7.8 wrong: " + password)
		return true
	}
	c.mail.user = user
	c.say("235 welcome")
	return true
}

func (c *smtpConn) data() bool {
	if c.mail.from == "" || len(c.mail.to) == 0 {
		c.say("503 first the envelope")
		return true
	}
	c.say("354 go ahead")
	var b strings.Builder
	for {
		line, ok := c.line()
		if !ok || len(line) > 998 {
			c.say("550 a bare end of line, or a line that is too long")
			return false
		}
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	for begin, reply := range c.replies {
		if begin == "." {
			c.say(reply)
			return true
		}
	}
	c.mail.data = b.String()
	c.mu.Lock()
	c.mails = append(c.mails, c.mail)
	c.mu.Unlock()
	c.say("250 taken")
	return true
}
