// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/hashicorp/vault/api"
)

// Config says which role of a database secrets engine makes the users.
type Config struct {
	// Client is required: its address, TLS and namespace are taken over by New, its token is asked for before every request, so that
	// whoever renews it may set another one. Its transport has to be an *http.Transport, as api.NewClient makes it. A request is never
	// repeated here, whatever the Client says. Every lease ends with the token that took it: see the package's documentation.
	Client *api.Client

	Mount string // path of the secrets engine; empty: "database"
	Role  string // required: a dynamic role whose credential_type is password

	// Exclusive says that nobody else takes leases of this role. Then a lease whose answer was lost is found again and ended; else a
	// person has to say which one it was.
	Exclusive bool

	// AnyNode lets List take every node's answer: see vaultkv.Config.AnyNode. false: that of a standby is refused.
	AnyNode bool
}

// Issuer makes database users with a lease, and ends them with it. It comes from New. It is safe for concurrent use, holds nothing open
// and needs no Close.
type Issuer struct {
	cfg    Config
	client *api.Client // without retries and callbacks
	once   *api.Client // the same, with a new connection for each request; see Issue
}

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

// AttributeUser is the attribute of a key with the name of the database user. The password is Key.Secret.
const AttributeUser = "user"

// listLag is how long Vault may work on a request whose caller has gone (default_max_request_duration).
const listLag = 90 * time.Second

// New returns an Issuer, or an error that names each field that is missing or wrong. It does no I/O.
func New(c Config) (*Issuer, error) {
	c.Mount = cmp.Or(strings.Trim(c.Mount, "/"), "database")
	if err := c.validate(); err != nil {
		return nil, err
	}
	i := &Issuer{cfg: c}
	for _, client := range []**api.Client{&i.client, &i.once} {
		config := c.Client.CloneConfig() // its HttpClient is a copy
		if client == &i.once {
			transport := config.HttpClient.Transport.(*http.Transport).Clone() // as validate has seen
			transport.DisableKeepAlives = true
			config.HttpClient.Transport = transport
		}
		made, err := api.NewClient(config)
		if err != nil {
			return nil, problem("Config.Client cannot be cloned: its address or TLS settings are wrong")
		}
		made.SetHeaders(c.Client.Headers()) // the namespace
		made.SetMaxRetries(0)
		*client = made
	}
	return i, nil
}

func (c *Config) validate() error {
	var errs []error
	if c.Client == nil {
		errs = append(errs, problem("Config.Client is required"))
	} else if _, ok := c.Client.CloneConfig().HttpClient.Transport.(*http.Transport); !ok {
		errs = append(errs, problem("Config.Client: its transport is no *http.Transport, and could send a request twice"))
	}
	for part := range strings.SplitSeq(c.Mount, "/") {
		if part == "" || part == "." || part == ".." {
			errs = append(errs, problem("Config.Mount has an empty part, or . or .. as one"))
		}
	}
	switch {
	case c.Role == "":
		errs = append(errs, problem("Config.Role is required"))
	case strings.Contains(c.Role, "/") || c.Role == "." || c.Role == "..":
		errs = append(errs, problem("Config.Role is not the name of a role"))
	}
	return errors.Join(errs...)
}

// path of the role's leases.
func (i *Issuer) path() string { return i.cfg.Mount + "/creds/" + i.cfg.Role }

// Issue takes a lease: Vault makes a user, whose password is the secret. The key's ID is that of the lease, ExpiresAt is when it ends,
// and AttributeUser has the user's name. The database engine knows no names for leases and no idempotency token: req is not used.
//
// A 400, 403, 404 or 429 is a refusal and matches rotation.ErrNotIssued, and so does a connection that was not made. Any other failure
// is ambiguous. The call is a GET that makes
// something, and net/http repeats a GET whose connection broke: so each has a connection of its own.
func (i *Issuer) Issue(ctx context.Context, _ rotation.IssueRequest) (rotation.Key, error) {
	if err := ctx.Err(); err != nil {
		return rotation.Key{}, &failure{text: "not sent", is: []error{rotation.ErrNotIssued, err}}
	}
	now := time.Now()
	what := "read " + i.path()
	answer, err := i.call(ctx, i.once, what, "read", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, i.path())
	})
	if err != nil {
		return rotation.Key{}, refused(err)
	}
	if answer == nil { // the client's word for 404
		return rotation.Key{}, &failure{text: what + ": status 404: no secrets engine is mounted there", is: []error{rotation.ErrNotIssued}}
	}
	if answer.LeaseID == "" {
		return rotation.Key{}, problem(what + ": the answer has no lease: is it a static role?")
	}
	user, _ := answer.Data["username"].(string)
	password, _ := answer.Data["password"].(string)
	if user == "" || password == "" { // the lease is told, so that it can be ended
		return rotation.Key{ID: answer.LeaseID}, problem(what + ": the answer has no username and password: the role's credential_type has to be password")
	}
	return rotation.Key{
		ID: answer.LeaseID, Secret: secret.New(password), Attributes: map[string]string{AttributeUser: user},
		IssuedAt: now, ExpiresAt: now.Add(time.Duration(answer.LeaseDuration) * time.Second),
	}, nil
}

// Revoke ends the lease and waits until Vault has dropped the user; a lease that is not there any more is nil. A key without a lease of
// this role, such as the user from before Vault, is for a person to end: rotation.ErrManual.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	if suffix, ok := strings.CutPrefix(key.ID, i.path()+"/"); !ok || suffix == "" {
		who := key.Attributes[AttributeUser]
		return rotation.Manual(fmt.Sprintf("vaultdb: the key %q has no lease of %s: drop its database user %q by hand", key.ID, i.path(), who))
	}
	_, err := i.call(ctx, i.client, "revoke a lease of "+i.path(), "update on sys/leases/revoke", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, "sys/leases/revoke", map[string]any{"lease_id": key.ID, "sync": true})
	})
	return err
}

// List returns every lease of the role, whoever took it. Vault lists neither names nor users nor use.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	if err := i.active(ctx); err != nil {
		return nil, err
	}
	path := "sys/leases/lookup/" + i.path()
	answer, err := i.call(ctx, i.client, "list "+path, "list and sudo", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ListWithContext(ctx, path)
	})
	if err != nil || answer == nil { // nil: there are none
		return nil, err
	}
	suffixes, ok := answer.Data["keys"].([]any)
	if !ok {
		return nil, problem("list " + path + ": the answer is no list of leases")
	}
	var keys []rotation.KeyInfo
	for _, suffix := range suffixes {
		key, err := i.lease(ctx, fmt.Sprintf("%s/%s", i.path(), suffix))
		if err != nil {
			return nil, err
		}
		if !key.IsZero() {
			keys = append(keys, rotation.KeyInfo{Key: key})
		}
	}
	return keys, nil
}

// lease looks one lease up; a zero Key: it has ended meanwhile.
func (i *Issuer) lease(ctx context.Context, id string) (rotation.Key, error) {
	answer, err := i.call(ctx, i.client, "look up a lease of "+i.path(), "update on sys/leases/lookup", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, "sys/leases/lookup", map[string]any{"lease_id": id})
	})
	if status(err) == http.StatusBadRequest { // Vault's answer for one that it does not know
		return rotation.Key{}, nil
	}
	if err != nil {
		return rotation.Key{}, err
	}
	if answer == nil {
		return rotation.Key{}, problem("look up a lease of " + i.path() + ": the answer is empty")
	}
	key := rotation.Key{ID: id}
	for field, to := range map[string]*time.Time{"issue_time": &key.IssuedAt, "expire_time": &key.ExpiresAt} {
		text, _ := answer.Data[field].(string)
		if *to, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return rotation.Key{}, problem("look up a lease of " + i.path() + ": " + field + " is not a time")
		}
	}
	return key, nil
}

// Describe says what the engine has to know: a user is there when Issue returns and gone when Revoke does, on the server that Vault
// talks to; a lease may be listed as late as Vault works on a request whose caller has gone, 90 seconds.
func (i *Issuer) Describe() rotation.Traits {
	return rotation.Traits{Propagation: -1, ListLag: listLag, Exclusive: i.cfg.Exclusive, Independent: true}
}

// Identity is the server's address, the namespace, and the path of the role's leases.
func (i *Issuer) Identity() string {
	where := i.client.Address()
	if ns := strings.Trim(i.client.Namespace(), "/"); ns != "" {
		where += " " + ns
	}
	return "vault " + where + " " + i.path()
}

// call does one request with the token of this moment, and turns its error into one of this package.
func (i *Issuer) call(ctx context.Context, client *api.Client, what, needs string, do func(*api.Client) (*api.Secret, error)) (*api.Secret, error) {
	token := i.cfg.Client.Token()
	var header http.Header
	answer, err := do(client.
		WithRequestCallbacks(func(r *api.Request) { r.ClientToken = token }).
		WithResponseCallbacks(func(r *api.Response) { header = r.Header }))
	if err != nil {
		return nil, failed(ctx, what, needs, header, err)
	}
	return answer, nil
}

// seconds of a number in an answer.
func seconds(n any) time.Duration {
	number, _ := n.(json.Number)
	whole, _ := number.Int64()
	return time.Duration(whole) * time.Second
}
