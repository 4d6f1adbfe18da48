// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	attribute = "userPassword"
	lockAttr  = "pwdAccountLockedTime"
	dnAttr    = "dn" // in Key.Attributes
)

// Config of an Issuer.
type Config struct {
	URL      string      // required: of the server that takes writes. ldaps://host[:636], or ldap://host[:389], which is upgraded by StartTLS
	Replicas []string    // URLs of more servers that the entry binds to
	TLS      *tls.Config // nil: the system's roots, and the host of the URL

	DN            string       // required: of the entry whose password is rotated
	AdminDN       string       // required: of another entry, which may read and write its userPassword
	AdminPassword secret.Value // required

	Hash        Hash          // how values are stored; empty: SSHA, which every server knows
	Propagation time.Duration // until every server has a change; zero: 15 min, negative: none, for a single server
	AllowPlain  bool          // ldap:// without TLS: passwords go over the wire as they are. For tests on loopback
}

// Issuer adds values to the userPassword of one entry and deletes them. It is the Verifier of its keys, too: it binds. It comes from New, is
// safe for concurrent use, opens a connection for each call and leaves none open.
type Issuer struct {
	config  Config
	servers []server // the one that takes writes is the first
}

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Chooser    = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Verifier   = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

// New returns an Issuer, or an error that names every field that is missing or wrong. It does no I/O.
func New(c Config) (*Issuer, error) {
	c.Replicas = slices.Clone(c.Replicas)
	i := &Issuer{config: c}
	errs := []error{i.addServer("URL", c.URL)}
	for _, replica := range c.Replicas {
		errs = append(errs, i.addServer("Replicas", replica))
	}
	dn, dnErr := parseDN("DN", c.DN)
	admin, adminErr := parseDN("AdminDN", c.AdminDN)
	errs = append(errs, dnErr, adminErr)
	if dnErr == nil && adminErr == nil && dn.EqualFold(admin) {
		errs = append(errs, failf("Config.AdminDN is the entry that is rotated: it would lock itself out"))
	}
	if c.AdminPassword.IsZero() {
		errs = append(errs, failf("Config.AdminPassword is required"))
	}
	if !c.Hash.known() {
		errs = append(errs, failf("Config.Hash is none of SSHA, SSHA256 and SSHA512"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Issuer) addServer(field, raw string) error {
	u, err := url.Parse(raw) // its error quotes the URL
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Scheme != "ldap" && u.Scheme != "ldaps") {
		return failf("Config.%s is not ldaps://host or ldap://host", field)
	}
	s := server{url: u.Scheme + "://" + u.Host, scheme: u.Scheme, host: u.Hostname(), port: u.Port(), tls: i.config.TLS, plain: i.config.AllowPlain}
	if s.port == "" {
		s.port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	i.servers = append(i.servers, s)
	return nil
}

func parseDN(field, text string) (*ldap.DN, error) {
	dn, err := ldap.ParseDN(text)
	if err != nil || len(dn.RDNs) == 0 {
		return nil, failf("Config.%s is not a distinguished name", field)
	}
	return dn, nil
}

// Choose returns a new key of 32 random bytes in hexadecimal. No server hears of it.
func (i *Issuer) Choose(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	value := secret.Random(32)
	return i.key(i.config.Hash.store(value), value), nil
}

func (i *Issuer) key(stored string, value secret.Value) rotation.Key {
	return rotation.Key{ID: idOf(stored), Secret: value, Attributes: map[string]string{dnAttr: i.config.DN}}
}

// Issue adds the value of req.Chosen to the entry, unless it is there. An error matches rotation.ErrNotIssued where the server has
// refused, and with it rotation.ErrDenied or rotation.ErrNotFound; one of the network after the value was sent is open.
func (i *Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key := req.Chosen
	if key.Secret.IsZero() {
		return rotation.Key{}, failf("IssueRequest.Chosen holds no secret", rotation.ErrNotIssued)
	}
	c, err := i.admin(ctx, i.servers[0])
	if err != nil {
		return rotation.Key{}, notIssued(err)
	}
	defer c.close()
	before, err := c.values(i.config.DN)
	if err != nil {
		return rotation.Key{}, notIssued(err)
	}
	stored := i.config.Hash.store(key.Secret)
	if same := matching(before, key.Secret); len(same) > 0 {
		stored = same[0]
	} else if err := i.add(c, stored, before, key.Secret); err != nil {
		return rotation.Key{}, err
	}
	made := i.key(stored, key.Secret)
	key.ID, key.Attributes = made.ID, made.Attributes
	if key.IssuedAt.IsZero() {
		key.IssuedAt = time.Now()
	}
	return key, nil
}

// add adds a value and makes sure that the server keeps it as it was sent: else nobody could say which one to delete. What goes wrong
// after the value was added does not say that nothing was issued, whatever the reason.
func (i *Issuer) add(c *conn, stored string, before []string, value secret.Value) error {
	if err := c.change(i.config.DN, ldap.AddAttribute, stored); err != nil {
		var f *failure
		if errors.As(err, &f) && f.refused {
			return notIssued(err)
		}
		return err
	}
	after, err := c.values(i.config.DN)
	if err != nil {
		return failf("the password was added, and then: %s", text(err))
	}
	if slices.Contains(after, stored) {
		return nil
	}
	problem := failf("%s keeps passwords in another form than they are sent: it cannot be rotated in this way", c.server.url)
	// Of what is new since then somebody else may have added a part.
	ours := slices.DeleteFunc(append(matching(after, value), matching(after, secret.New(stored))...), func(v string) bool {
		return slices.Contains(before, v)
	})
	for _, v := range ours {
		if err := c.change(i.config.DN, ldap.DeleteAttribute, v); err != nil {
			return problem // it may be there still
		}
	}
	if len(ours) == 0 {
		return failf("%s, and the one that was added cannot be told from others: delete it by hand", text(problem))
	}
	return notIssued(problem)
}

// Revoke deletes the value from the entry. One that is not there any more is deleted. Where key.Secret is zero, key.ID says which
// it is. Connections that have bound with it stay as they are.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	if of := key.Attributes[dnAttr]; of != "" && of != i.config.DN {
		return failf("Revoke: the key belongs to another entry")
	}
	if key.Secret.IsZero() && !isID(key.ID) {
		return failf("Revoke: the key has no secret, and its id is none of this package: see Find")
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
	found := matching(values, key.Secret)
	for _, v := range values {
		if idOf(v) == key.ID && !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	for _, v := range found {
		if err := c.change(i.config.DN, ldap.DeleteAttribute, v); err != nil {
			return err
		}
	}
	if len(found) == 0 && !key.Secret.IsZero() && slices.ContainsFunc(values, foreign) {
		return i.surelyGone(ctx, key)
	}
	return nil
}

// surelyGone asks by a bind whether the value is among those that cannot be compared with it.
func (i *Issuer) surelyGone(ctx context.Context, key rotation.Key) error {
	err := i.bind(ctx, i.servers[0], key)
	if errors.Is(err, rotation.ErrRejected) {
		return nil
	}
	if err == nil {
		err = failf("Revoke: the entry has the password in a form that is not known here: delete that value by hand")
	}
	return err
}

// List returns the values of the entry, by their ids. The directory tells neither names nor times.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	values, err := i.values(ctx)
	if err != nil {
		return nil, err
	}
	var infos []rotation.KeyInfo
	for _, v := range values {
		infos = append(infos, rotation.KeyInfo{Key: i.key(v, secret.Value{})})
	}
	return infos, nil
}

// Find returns the key of a password that the entry has, for store.Seed. rotation.ErrNotFound: none of the values that can be compared with
// it is it.
func (i *Issuer) Find(ctx context.Context, password secret.Value) (rotation.Key, error) {
	values, err := i.values(ctx)
	if err != nil {
		return rotation.Key{}, err
	}
	found := matching(values, password)
	if len(found) == 0 {
		return rotation.Key{}, failf("Find: the entry has no such password, or has it in a form that is not known here", rotation.ErrNotFound)
	}
	return i.key(found[0], password), nil
}

func (i *Issuer) values(ctx context.Context) ([]string, error) {
	c, err := i.admin(ctx, i.servers[0])
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.values(i.config.DN)
}

// Describe returns Config.Propagation, for the list as well, and that issuing needs no key of the entry.
func (i *Issuer) Describe() rotation.Traits {
	return rotation.Traits{Propagation: i.config.Propagation, ListLag: i.config.Propagation, Independent: true}
}

// Identity is the entry and its servers.
func (i *Issuer) Identity() string {
	var urls []string
	for _, s := range i.servers {
		urls = append(urls, s.url)
	}
	return "ldap entry " + i.config.DN + " at " + strings.Join(urls, ", ")
}
