// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	lockedError = 1 // of the password policy control (draft-behera-ldap-password-policy, section 6.2)
	resetError  = 2

	assertion = "1.3.6.1.1.12" // the control of RFC 4528: a change is made only if a filter matches the entry
)

// Verify binds to every server as the entry: nil if all accept the password, and rotation.ErrRejected if all refuse it. Everything else is not
// known: servers that do not agree, which the text names, one that does not answer, an entry that is locked, and one that may do
// nothing before it changes its password.
func (i *Issuer) Verify(ctx context.Context, key rotation.Key) error {
	if key.Secret.IsZero() {
		return failf("Verify: the key has no secret to present")
	}
	var accept, refuse []string
	var rejected error
	for _, s := range i.servers {
		switch err := i.bind(ctx, s, key); {
		case err == nil:
			accept = append(accept, s.url)
		case errors.Is(err, rotation.ErrRejected):
			refuse, rejected = append(refuse, s.url), err
		default:
			return err
		}
	}
	if len(accept) > 0 && len(refuse) > 0 {
		return failf("the servers do not agree: the password is accepted by %s, refused by %s", strings.Join(accept, ", "), strings.Join(refuse, ", "))
	}
	return rejected
}

// bind presents the password to one server.
func (i *Issuer) bind(ctx context.Context, s server, key rotation.Key) error {
	if err := ctx.Err(); err != nil {
		return s.fail("not asked: the context has ended", err)
	}
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	policy, err := c.bind(i.config.DN, key.Secret)
	switch {
	case policy != nil && policy.Error == lockedError:
		return s.fail("has locked the entry: it refuses every password")
	case ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials):
		return i.refused(ctx, s, policy != nil)
	case err != nil:
		return s.failed(ctx, "bind", err)
	case policy != nil && policy.Error == resetError:
		return s.fail("lets the entry in to change its password and for nothing else (pwdMustChange)")
	}
	return nil
}

// refused tells a refused password from an entry that is locked, of which a server need not tell who binds.
func (i *Issuer) refused(ctx context.Context, s server, policies bool) error {
	c, err := i.admin(ctx, s)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.locked(i.config.DN, policies); err != nil {
		return err
	}
	return s.fail("refuses the password", rotation.ErrRejected)
}

// Check asks whether the entry can be rotated: every server knows the administrator, the entry is
// not locked, which may be seen, and its passwords can be read and written. It changes nothing.
func (i *Issuer) Check(ctx context.Context) error {
	for _, s := range slices.Backward(i.servers) {
		c, err := i.admin(ctx, s)
		if err != nil {
			return err
		}
		err = c.locked(i.config.DN, c.policies)
		c.close()
		if err != nil {
			return err
		}
	}
	c, err := i.admin(ctx, i.servers[0])
	if err != nil {
		return err
	}
	defer c.close()
	values, err := c.values(i.config.DN)
	if err != nil {
		return err
	}
	return i.writable(c, values)
}

// writable asks for two changes that cannot be made: to delete a password that is not there, and to add one that is. A server looks
// first whether it may.
func (i *Issuer) writable(c *conn, values []string) error {
	absent := i.config.Hash.store(secret.Random(32))
	if err := c.change(i.config.DN, ldap.DeleteAttribute, absent); err != nil || len(values) == 0 {
		return err
	}
	// Somebody may revoke it in this moment, and it must not come back: it is to be added only where it still is.
	still, err := ldap.CompileFilter("(" + attribute + "=" + ldap.EscapeFilter(values[0]) + ")")
	if err != nil {
		return i.servers[0].fail("has a password that no filter can name")
	}
	err = c.change(i.config.DN, ldap.AddAttribute, values[0], ldap.NewControlString(assertion, true, string(still.Bytes())))
	var f *failure
	if errors.As(err, &f) && (f.code == ldap.LDAPResultAssertionFailed || f.code == ldap.LDAPResultUnavailableCriticalExtension) {
		return nil // it was revoked, or the server cannot be asked like this: Issue will see
	}
	return err
}
