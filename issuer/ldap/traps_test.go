// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// A value is deleted by its exact text, which is not the password: somebody else has hashed it with a salt of his own.
func TestRevokeFindsWhatSomebodyElseHashed(t *testing.T) {
	salted := sha1.Sum([]byte(first + "pepper"))
	plain := sha512.Sum512([]byte(first))
	for name, stored := range map[string]string{
		"clear":         first,
		"SSHA":          "{SSHA}" + base64.StdEncoding.EncodeToString(append(salted[:], "pepper"...)),
		"in small type": "{ssha}" + base64.StdEncoding.EncodeToString(append(salted[:], "pepper"...)),
		"SHA512":        "{SHA512}" + base64.StdEncoding.EncodeToString(plain[:]),
	} {
		t.Run(name, func(t *testing.T) {
			d := startWith(t, servers.LDAPOptions{Access: rules, Modules: []string{"pw-sha2"}})
			d.set(t, "userPassword", stored)
			i := newIssuer(t, d.config())
			old, err := i.Find(t.Context(), secret.New(first))
			require.NoError(t, err)
			require.NoError(t, i.Verify(t.Context(), old))
			next := issue(t, i)
			require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "seeded under another id", Secret: old.Secret}))
			require.ErrorIs(t, i.Verify(t.Context(), old), rotation.ErrRejected)
			require.NoError(t, i.Verify(t.Context(), next))
			require.Len(t, d.stored(t), 1)
			silent(t, d.stored(t), next.Secret.Reveal())
		})
	}
}

// A password in a scheme that cannot be compared is revoked by its id. By its value alone it cannot be found, and that is an error
// only while it is accepted.
func TestForeignScheme(t *testing.T) {
	d := start(t)
	const crypt = "{CRYPT}$6$salt1234$3eV4kWLJP9HU5GGv9nXZ8e3e8Zj1Dqu4yOZcBk5PAMsJ0x7Z8qGwJ4Yd4oGQ3H0CjQdXz5XcWm7Z0wLk1pQ9b/"
	d.set(t, "userPassword", crypt, first)
	i := newIssuer(t, d.config())
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 2)
	_, err = i.Find(t.Context(), secret.New("in the other form"))
	require.ErrorIs(t, err, rotation.ErrNotFound)

	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "by hand", Secret: secret.New("gone long ago")}))
	require.Len(t, d.stored(t), 2)
	old, err := i.Find(t.Context(), secret.New(first))
	require.NoError(t, err)
	for _, info := range infos {
		if info.Key.ID != old.ID {
			require.NoError(t, i.Revoke(t.Context(), info.Key))
		}
	}
	require.Equal(t, []string{first}, d.stored(t))
}

// What the rules of the directory hide looks like an entry without passwords. Then a revoked key would pass for gone.
func TestHiddenIsNotEmpty(t *testing.T) {
	const hidden = `access to attrs=userPassword by dn.exact="` + admin + `" %s by anonymous auth by * none
access to * by dn.exact="` + admin + `" read by * none
`
	for name, row := range map[string]struct {
		rules, want string
		is          error
	}{
		"may only write":  {strings.ReplaceAll(hidden, "%s", "=w"), "read userPassword", rotation.ErrDenied},
		"may only search": {strings.ReplaceAll(hidden, "%s", "search"), "read userPassword", rotation.ErrDenied},
		"no entry": {
			"access to dn.exact=\"" + app + "\" attrs=entry,objectClass by * none\n" + rules, "shows the administrator no entry", rotation.ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := startWith(t, servers.LDAPOptions{Access: row.rules})
			i := newIssuer(t, d.config())
			_, err := i.List(t.Context())
			require.ErrorContains(t, err, row.want)
			require.ErrorIs(t, err, row.is)
			require.ErrorContains(t, i.Check(t.Context()), row.want)
			require.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{Secret: secret.New(first)}), row.want)
			_, err = i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
			require.ErrorIs(t, err, rotation.ErrNotIssued)
			require.Equal(t, []string{first}, d.stored(t))
		})
	}
	d := start(t)
	i := newIssuer(t, d.config())
	d.set(t, "userPassword")
	infos, err := i.List(t.Context())
	require.NoError(t, err, "an entry without passwords, which may be seen, has none")
	require.Empty(t, infos)
	require.NoError(t, i.Verify(t.Context(), issue(t, i)))
}

// The administrator may search and not read, which shows only when there is something to be read: the value was added by then.
func TestHiddenAfterItWasAdded(t *testing.T) {
	d := startWith(t, servers.LDAPOptions{Access: strings.ReplaceAll(rules, " write ", " =wscx ")})
	d.set(t, "userPassword")
	i := newIssuer(t, d.config())
	require.NoError(t, i.Check(t.Context()))
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorContains(t, err, "the password was added, and then: "+d.URL+": does not let the administrator read userPassword")
	for _, nothing := range []error{rotation.ErrNotIssued, rotation.ErrDenied, rotation.ErrNotFound, rotation.ErrNoSlot, rotation.ErrManual} {
		require.NotErrorIs(t, err, nothing)
	}
	require.Len(t, d.stored(t), 1)
	require.ErrorIs(t, i.Check(t.Context()), rotation.ErrDenied)
}

// A server that keeps passwords in another form than they are sent. Somebody else adds one at the same time, and it stays.
func TestKeptInAnotherForm(t *testing.T) {
	const theirs = "{SSHA}c29tZWJvZHkgZWxzZSBhZGRlZCB0aGlzIG9uZQ=="
	for form, removed := range map[string]bool{"{ssha}": true, "{SMD5}": false} {
		t.Run(form, func(t *testing.T) {
			d := start(t)
			c := d.config()
			c.URL = "ldap://" + onChange(t, d.Addr, func(change []byte) []byte {
				if slices.Contains(d.stored(t), theirs) {
					return change
				}
				req := goldap.NewModifyRequest(app, nil)
				req.Add("userPassword", []string{theirs})
				assert.NoError(t, d.root.Modify(req))
				return bytes.ReplaceAll(change, []byte("{SSHA}"), []byte(form))
			})
			i := newIssuer(t, c)
			_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
			require.ErrorContains(t, err, "keeps passwords in another form than they are sent")
			assert.Equal(t, removed, errors.Is(err, rotation.ErrNotIssued))
			left := d.stored(t)
			assert.Subset(t, left, []string{first, theirs})
			if removed {
				assert.Len(t, left, 2)
			} else {
				assert.ErrorContains(t, err, "delete it by hand")
				assert.Len(t, left, 3)
			}
		})
	}
}

// The administrator may read and not write: Check says so, and adds nothing.
func TestCheckNamesThePermission(t *testing.T) {
	d := startWith(t, servers.LDAPOptions{Access: strings.ReplaceAll(rules, " write ", " read ")})
	i := newIssuer(t, d.config())
	err := i.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "the administrator may not write userPassword")
	_, err = i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	err = i.Revoke(t.Context(), rotation.Key{Secret: secret.New(first)})
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.NotErrorIs(t, err, rotation.ErrNotIssued)

	for _, half := range []string{"=arscx", "=zrscx"} { // to add, and to delete
		d = startWith(t, servers.LDAPOptions{Access: strings.ReplaceAll(rules, " write ", " "+half+" ")})
		require.ErrorIs(t, newIssuer(t, d.config()).Check(t.Context()), rotation.ErrDenied, half)
	}

	d = start(t)
	i = newIssuer(t, d.config())
	require.NoError(t, i.Check(t.Context()))
	require.Equal(t, []string{first}, d.stored(t), "asked, and not done")
	d.set(t, "userPassword")
	require.NoError(t, i.Check(t.Context()))
	require.Empty(t, d.stored(t))

	c := d.config()
	c.AdminPassword = secret.New("canary-wrong")
	err = newIssuer(t, c).Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "does not know the administrator")
	require.NotErrorIs(t, err, rotation.ErrRejected)
	silent(t, err, "canary-wrong")
}

// A bind without a password succeeds as nobody, on every server that allows it.
func TestEmptyPasswordProvesNothing(t *testing.T) {
	d := startWith(t, servers.LDAPOptions{Access: rules, Global: "allow bind_anon_dn"})
	c, err := goldap.DialURL(d.URL)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.UnauthenticatedBind(app), "the server takes it")
	err = newIssuer(t, d.config()).Verify(t.Context(), rotation.Key{ID: "0123456789ab"})
	require.ErrorContains(t, err, "no secret to present")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

const policyDN = "cn=policy," + base

// withPolicy starts a slapd whose entries are under a password policy.
func withPolicy(t *testing.T, rules, config string, attributes map[string]string) *directory {
	t.Helper()
	d := startWith(t, servers.LDAPOptions{
		Access: rules, Modules: []string{"ppolicy"}, Database: "overlay ppolicy\nppolicy_default \"" + policyDN + "\"\n" + config,
	})
	req := goldap.NewAddRequest(policyDN, nil)
	req.Attribute("objectClass", []string{"device", "pwdPolicy"})
	req.Attribute("pwdAttribute", []string{"userPassword"})
	for name, value := range attributes {
		req.Attribute(name, []string{value})
	}
	require.NoError(t, d.root.Add(req))
	return d
}

// Refused binds lock the entry, and a locked entry refuses the living password in the same words as a wrong one.
func TestLockedIsNotRejected(t *testing.T) {
	for name, config := range map[string]string{"the server says so": "ppolicy_use_lockout\n", "the server does not": ""} {
		t.Run(name, func(t *testing.T) {
			d := withPolicy(t, rules, config, map[string]string{"pwdLockout": "TRUE", "pwdMaxFailure": "3"})
			i := newIssuer(t, d.config())
			require.NoError(t, i.Check(t.Context()))
			live := issue(t, i)
			dead := choose(t, i)
			for range 2 {
				require.ErrorIs(t, i.Verify(t.Context(), dead), rotation.ErrRejected)
			}
			require.NoError(t, i.Verify(t.Context(), live), "which starts the count anew")
			for range 3 {
				_ = i.Verify(t.Context(), dead)
			}
			for _, key := range []rotation.Key{live, dead} {
				err := i.Verify(t.Context(), key)
				require.ErrorContains(t, err, "has locked the entry")
				require.NotErrorIs(t, err, rotation.ErrRejected)
			}
			require.ErrorContains(t, i.Check(t.Context()), "has locked the entry")
		})
	}
}

// The administrator may not see whether the entry is locked: then no refusal says anything of the password.
func TestLockIsHidden(t *testing.T) {
	d := withPolicy(t, `access to attrs=pwdAccountLockedTime by * none
`+rules, "", map[string]string{"pwdLockout": "TRUE", "pwdMaxFailure": "3"})
	i := newIssuer(t, d.config())
	live := issue(t, i)
	require.NoError(t, i.Verify(t.Context(), live))
	for range 4 {
		err := i.Verify(t.Context(), choose(t, i))
		require.NotErrorIs(t, err, rotation.ErrRejected)
		require.ErrorIs(t, err, rotation.ErrDenied)
		require.ErrorContains(t, err, "read pwdAccountLockedTime")
	}
	require.NotErrorIs(t, i.Verify(t.Context(), live), rotation.ErrRejected)
	err := i.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "read pwdAccountLockedTime")
}

// A policy that lets the entry in only to change its password leaves a service out in the cold.
func TestMustChangeIsNotAccepted(t *testing.T) {
	d := withPolicy(t, strings.ReplaceAll(rules, " write ", " manage "), "", map[string]string{"pwdMustChange": "TRUE"})
	i := newIssuer(t, d.config())
	key := issue(t, i)
	err := i.Verify(t.Context(), key)
	require.ErrorContains(t, err, "pwdMustChange")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

// A policy that wants to look into passwords takes none that are hashed.
func TestPolicyRefusesHashes(t *testing.T) {
	d := withPolicy(t, rules, "", map[string]string{"pwdCheckQuality": "2"})
	i := newIssuer(t, d.config())
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, err, "Constraint Violation")
	require.Len(t, d.stored(t), 1)
}

// Without TLS everybody on the way reads the passwords.
func TestTLS(t *testing.T) {
	d := startWith(t, servers.LDAPOptions{Access: rules, TLS: true})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(d.CA))
	for _, url := range []string{d.URL, d.TLSURL} {
		c := d.config()
		c.URL, c.AllowPlain, c.TLS = url, false, &tls.Config{RootCAs: roots}
		i := newIssuer(t, c)
		require.NoError(t, i.Check(t.Context()))
		require.NoError(t, i.Verify(t.Context(), issue(t, i)))
		assert.Empty(t, c.TLS.ServerName, "the caller's configuration is his own")

		c.TLS = nil
		err := newIssuer(t, c).Check(t.Context())
		require.ErrorContains(t, err, "no trusted connection: see Config.TLS")
	}
	d = start(t)
	c := d.config()
	c.AllowPlain = false
	i := newIssuer(t, c)
	err := i.Verify(t.Context(), rotation.Key{Secret: secret.New(first)})
	require.ErrorContains(t, err, "StartTLS", "a server without TLS is not told the password")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

// Servers that do not agree are neither a yes nor a no, and are named.
func TestReplicas(t *testing.T) {
	provider, replica := start(t), start(t)
	c := provider.config()
	c.Replicas = []string{replica.URL}
	i := newIssuer(t, c)
	require.NoError(t, i.Verify(t.Context(), rotation.Key{Secret: secret.New(first)}))
	key := issue(t, i)
	err := i.Verify(t.Context(), key)
	require.NotErrorIs(t, err, rotation.ErrRejected)
	require.ErrorContains(t, err, "accepted by "+provider.URL+", refused by "+replica.URL)
	replica.set(t, "userPassword", provider.stored(t)...)
	require.NoError(t, i.Verify(t.Context(), key))
}

// A restart of the server keeps both.
func TestRestart(t *testing.T) {
	d := start(t)
	i := newIssuer(t, d.config())
	key := issue(t, i)
	d.Stop()
	d.Start()
	require.NoError(t, i.Verify(t.Context(), key))
	require.NoError(t, i.Verify(t.Context(), rotation.Key{Secret: secret.New(first)}))
}

// A server that hangs ends no later than the context, and what it was told stays open.
func TestHangs(t *testing.T) {
	d := start(t)
	i := newIssuer(t, d.config())
	d.Pause()
	defer d.Resume()
	for name, err := range map[string]error{
		"Verify": i.Verify(soon(t), rotation.Key{Secret: secret.New(first)}),
		"Revoke": i.Revoke(soon(t), rotation.Key{Secret: secret.New(first)}),
		"Check":  i.Check(soon(t)),
	} {
		require.ErrorContains(t, err, "no answer in time", name)
		require.NotErrorIs(t, err, rotation.ErrRejected)
	}
	_, err := i.Issue(soon(t), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotIssued, "it was not even told who asks")
}

// A key is revoked while somebody else checks: what Check asks for must not bring it back.
func TestCheckWhileAKeyIsRevoked(t *testing.T) {
	d := start(t)
	direct := newIssuer(t, d.config())
	issue(t, direct)
	leaked := rotation.Key{Secret: secret.New(first)}
	c := d.config()
	c.URL = "ldap://" + onChange(t, d.Addr, func(change []byte) []byte {
		if assert.NoError(t, direct.Revoke(t.Context(), leaked)) {
			assert.ErrorIs(t, direct.Verify(t.Context(), leaked), rotation.ErrRejected)
		}
		return change
	})
	require.NoError(t, newIssuer(t, c).Check(t.Context()))
	require.ErrorIs(t, direct.Verify(t.Context(), leaked), rotation.ErrRejected)
	require.Len(t, d.stored(t), 1)
}

// onChange listens at the address that it returns, and hands on what comes. Each change passes act first.
func onChange(t *testing.T, to string, act func(change []byte) []byte) string {
	t.Helper()
	return proxy(t, to, func(_, server net.Conn, message *ber.Packet) bool {
		data := message.Bytes()
		if message.Children[1].Tag == goldap.ApplicationModifyRequest {
			data = act(data)
		}
		_, err := server.Write(data)
		return err == nil
	})
}

// The answer to the change is lost: nobody knows whether it was made. The same value again finds that it was.
func TestLostAnswer(t *testing.T) {
	d := start(t)
	c := d.config()
	c.URL = "ldap://" + dropsAnswers(t, d.Addr)
	i := newIssuer(t, c)
	key := choose(t, i)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: key})
	require.ErrorContains(t, err, "adding a password: the server cannot be reached")
	require.NotErrorIs(t, err, rotation.ErrNotIssued)
	silent(t, err, key.Secret.Reveal())
	require.Eventually(t, func() bool { return len(d.stored(t)) == 2 }, time.Minute, 20*time.Millisecond)

	i = newIssuer(t, d.config())
	again, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: key})
	require.NoError(t, err)
	assert.Equal(t, key.ID, again.ID)
	require.Len(t, d.stored(t), 2)
}

// dropsAnswers listens at the address that it returns, and hands on what comes, but ends a connection behind a change.
func dropsAnswers(t *testing.T, to string) string {
	t.Helper()
	return proxy(t, to, func(client, server net.Conn, message *ber.Packet) bool {
		change := message.Children[1].Tag == goldap.ApplicationModifyRequest
		if change {
			client.Close()
		}
		if _, err := server.Write(message.Bytes()); err != nil || !change {
			return err == nil
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(server, 1)) // until it has answered
		return false
	})
}

// proxy listens at the address that it returns. What comes from a client is for hand, until it says false; answers pass.
func proxy(t *testing.T, to string, hand func(client, server net.Conn, message *ber.Packet) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go func() { _, _ = io.Copy(client, server) }()
			go func() {
				defer server.Close()
				defer client.Close()
				for {
					message, err := ber.ReadPacket(client)
					if err != nil || !hand(client, server, message) {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
