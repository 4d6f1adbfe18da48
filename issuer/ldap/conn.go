// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// server is where to connect to, and how.
type server struct {
	url, scheme, host, port string
	tls                     *tls.Config
	plain                   bool
}

// conn is one connection, for one call of the Issuer. It ends with its context.
type conn struct {
	*ldap.Conn
	ctx      context.Context
	server   server
	stop     func() bool
	policies bool // the administrator was told of a password policy
}

// dial connects, with TLS unless that is not wanted.
func (s server) dial(ctx context.Context) (*conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return nil, s.failed(ctx, "connecting", err)
	}
	config := &tls.Config{}
	if s.tls != nil {
		config = s.tls.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = s.host
	}
	// The client library knows no context: what it waits for ends when its connection has no more time.
	c := &conn{ctx: ctx, server: s, stop: context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })}
	if s.scheme == "ldaps" {
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			c.stop()
			_ = raw.Close()
			return nil, s.failed(ctx, "TLS", err)
		}
		c.Conn = ldap.NewConn(secure, true)
		c.Start()
		return c, nil
	}
	c.Conn = ldap.NewConn(raw, false)
	c.Start()
	if s.plain {
		return c, nil
	}
	if err := c.StartTLS(config); err != nil {
		c.close()
		return nil, s.failed(ctx, "StartTLS", err)
	}
	return c, nil
}

func (c *conn) close() {
	c.stop()
	_ = c.Close()
}

// admin is a connection of the administrator.
func (i *Issuer) admin(ctx context.Context, s server) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.fail("not asked: the context has ended", err)
	}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	policy, err := c.bind(i.config.AdminDN, i.config.AdminPassword)
	if err != nil {
		c.close()
		if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			return nil, s.fail("does not know the administrator: see Config.AdminDN and Config.AdminPassword", rotation.ErrDenied)
		}
		return nil, s.failed(ctx, "the administrator's bind", err)
	}
	c.policies = policy != nil
	return c, nil
}

// bind logs in, and returns what a password policy says of it, nil if nothing.
func (c *conn) bind(dn string, password secret.Value) (*ldap.ControlBeheraPasswordPolicy, error) {
	policy := []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
	result, err := c.SimpleBind(ldap.NewSimpleBindRequest(dn, password.Reveal(), policy))
	if result == nil {
		return nil, err
	}
	said, _ := ldap.FindControl(result.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	return said, err
}

// read asks for attributes of one entry; nil if it is not there, or does not match the filter, or may not be seen.
func (c *conn) read(dn, filter string, attributes ...string) (*ldap.Entry, error) {
	result, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return nil, nil
	}
	if err != nil {
		return nil, c.server.failed(c.ctx, "reading the entry", err)
	}
	if len(result.Entries) == 0 {
		return nil, nil
	}
	return result.Entries[0], nil
}

// values are the stored passwords of an entry. What is hidden is an error.
func (c *conn) values(dn string) ([]string, error) {
	entry, err := c.read(dn, "(objectClass=*)", attribute)
	if err != nil {
		return nil, err
	}
	if entry == nil {
		return nil, c.noEntry(dn)
	}
	if values := entry.GetEqualFoldAttributeValues(attribute); len(values) > 0 {
		return values, nil
	}
	// A filter on what may not be searched is undefined, and so is its negation (RFC 4511, section 4.5.1.7).
	none, err := c.read(dn, "(!("+attribute+"=*))", "1.1")
	if err != nil {
		return nil, err
	}
	if none == nil {
		return nil, c.server.fail("does not let the administrator read "+attribute+" of "+dn, rotation.ErrDenied)
	}
	return nil, nil
}

func (c *conn) noEntry(dn string) error {
	return c.server.fail("shows the administrator no entry "+dn+": it is not there, or may not be read", rotation.ErrNotFound)
}

// locked is an error if the server refuses every password of the entry. If it has password policies, it is one as well if that may
// not be seen.
func (c *conn) locked(dn string, policies bool) error {
	entry, err := c.read(dn, "(objectClass=*)", lockAttr)
	if err != nil {
		return err
	}
	switch {
	case entry != nil && entry.GetEqualFoldAttributeValue(lockAttr) != "":
		return c.server.fail("has locked the entry: it refuses every password")
	case !policies:
		return nil
	case entry == nil:
		return c.noEntry(dn)
	}
	open, err := c.read(dn, "(!("+lockAttr+"=*))", "1.1") // undefined for what may not be searched, as in values
	if err == nil && open == nil {
		err = c.server.fail("does not let the administrator read "+lockAttr+" of "+dn+": whether it is locked cannot be seen", rotation.ErrDenied)
	}
	return err
}

// change adds or deletes one value. What is done already is done.
func (c *conn) change(dn string, operation uint, value string, controls ...ldap.Control) error {
	req := ldap.NewModifyRequest(dn, controls)
	done := uint16(ldap.LDAPResultAttributeOrValueExists)
	what := "adding a password"
	if operation == ldap.AddAttribute {
		req.Add(attribute, []string{value})
	} else {
		req.Delete(attribute, []string{value})
		done, what = ldap.LDAPResultNoSuchAttribute, "deleting a password"
	}
	err := c.Modify(req)
	if err == nil || ldap.IsErrorWithCode(err, done) {
		return nil
	}
	return c.server.failed(c.ctx, what, err)
}
