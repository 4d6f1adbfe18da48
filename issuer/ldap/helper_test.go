// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/ldap"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	base  = "dc=example,dc=org"
	app   = "uid=app," + base
	admin = "uid=handover," + base
	first = "first-password-51b0aa"
	rules = `access to attrs=userPassword by dn.exact="` + admin + `" write by anonymous auth by * none
access to * by dn.exact="` + admin + `" read by * none
`
)

var adminPassword = secret.Random(16)

// directory is a slapd with the entry to rotate, and the administrator that the package's documentation describes.
type directory struct {
	*servers.LDAPServer
	root *goldap.Conn
}

func start(t *testing.T) *directory {
	t.Helper()
	return startWith(t, servers.LDAPOptions{Access: rules})
}

func startWith(t *testing.T, o servers.LDAPOptions) *directory {
	t.Helper()
	d := &directory{LDAPServer: servers.LDAPWith(t, o)}
	root, err := goldap.DialURL(d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = root.Close() })
	require.NoError(t, root.Bind(d.AdminDN, d.Password))
	d.root = root
	req := goldap.NewAddRequest(d.BaseDN, nil)
	req.Attribute("objectClass", []string{"organization", "dcObject"})
	req.Attribute("o", []string{"example"})
	require.NoError(t, root.Add(req))
	require.NoError(t, d.addPerson(admin, adminPassword.Reveal()))
	require.NoError(t, d.addPerson(app, first))
	return d
}

// addPerson makes an entry that may have a password.
func (d *directory) addPerson(dn, password string) error {
	req := goldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"inetOrgPerson"})
	req.Attribute("cn", []string{"service"})
	req.Attribute("sn", []string{"service"})
	if password != "" {
		req.Attribute("userPassword", []string{password})
	}
	return d.root.Add(req)
}

// set replaces an attribute of the app's entry.
func (d *directory) set(t *testing.T, attribute string, values ...string) {
	t.Helper()
	req := goldap.NewModifyRequest(app, nil)
	req.Replace(attribute, values)
	require.NoError(t, d.root.Modify(req))
}

// stored are the passwords of the app's entry as the server keeps them.
func (d *directory) stored(t *testing.T) []string {
	t.Helper()
	result, err := d.root.Search(goldap.NewSearchRequest(app, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"userPassword"}, nil))
	require.NoError(t, err)
	return result.Entries[0].GetAttributeValues("userPassword")
}

func (d *directory) config() ldap.Config {
	return ldap.Config{URL: d.URL, DN: app, AdminDN: admin, AdminPassword: adminPassword, Propagation: -1, AllowPlain: true}
}

func newIssuer(t *testing.T, c ldap.Config) *ldap.Issuer {
	t.Helper()
	i, err := ldap.New(c)
	require.NoError(t, err)
	return i
}

func choose(t *testing.T, i *ldap.Issuer) rotation.Key {
	t.Helper()
	key, err := i.Choose(t.Context(), rotation.IssueRequest{Name: "app-v2"})
	require.NoError(t, err)
	return key
}

func issue(t *testing.T, i *ldap.Issuer) rotation.Key {
	t.Helper()
	key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "app-v2", Chosen: choose(t, i)})
	require.NoError(t, err)
	return key
}

// soon bounds a call that is meant to fail.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// silent fails the test if what is printed shows one of the values.
func silent(t *testing.T, v any, values ...string) {
	t.Helper()
	data, _ := json.Marshal(v)
	text := fmt.Sprintf("%v %+v %#v %s", v, v, v, data)
	if err, ok := v.(error); ok {
		data, _ = json.Marshal(&rotation.Error{Err: err})
		text += string(data)
	}
	for _, value := range values {
		assert.NotContains(t, text, value)
	}
}

// addSimple makes an entry that must have a password.
func (d *directory) addSimple(dn, password string) error {
	req := goldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"account", "simpleSecurityObject"})
	req.Attribute("userPassword", []string{password})
	return d.root.Add(req)
}
