// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Inherited as Config.Policy gives new keys no policy of their own: they may do what the user may.
const Inherited = "inherited"

// refresh is the longest that a node goes without reading all keys again.
const refresh = 15 * time.Minute

// Config says whose access keys are made, and by whom.
type Config struct {
	URL         string                   // required: of the server, without a path: https://minio.example.com:9000
	Credentials *credentials.Credentials // required: the administrator's key. It is read at every call, so it may change
	User        string                   // required: whose access keys they are

	// Policy of new keys, a policy document in JSON, at most 4096 bytes; or Inherited. Empty: that of the key that is succeeded, and
	// Inherited for the first one. MinIO forgets a policy with its key. This library remembers those of the keys it made; set Policy
	// if a key that it did not make may have to be replaced after its end.
	Policy string

	// Lifetime is after which keys end by themselves, in whole seconds. MinIO takes 15 minutes to 365 days by its own clock, hence 16
	// minutes to 364 days here. Zero: they do not end.
	Lifetime time.Duration

	// Propagation is how long a change may take to be known to every node. Zero: 15 minutes, which is when a node that missed the
	// notice has read all keys again. Negative: none, for a single server or nodes that keep their keys in etcd.
	Propagation time.Duration

	Transport http.RoundTripper // of all requests; nil: a copy of http.DefaultTransport, closed by Close
}

// Issuer makes and ends the access keys of one user. A Key has the access key as its ID and the secret key as its Secret. It is a
// Chooser, Lister, Disabler and the Verifier of its keys, and safe for concurrent use.
type Issuer struct {
	cfg      Config
	endpoint *url.URL
	client   *http.Client
	own      *http.Transport // to be closed; nil: the caller's
}

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Chooser    = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Disabler   = (*Issuer)(nil)
	_ rotation.Verifier   = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

// New returns an Issuer, or an error that names every field that is missing or wrong. It does no I/O.
func New(cfg Config) (*Issuer, error) {
	endpoint, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	i := &Issuer{cfg: cfg, endpoint: endpoint}
	transport := cfg.Transport
	if transport == nil {
		i.own = http.DefaultTransport.(*http.Transport).Clone()
		transport = i.own
	}
	i.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // it would carry the signature somewhere else
	}}
	return i, nil
}

// Close closes idle connections, if the transport is not the caller's.
func (i *Issuer) Close() error {
	if i.own != nil {
		i.own.CloseIdleConnections()
	}
	return nil
}

// Choose returns an access key of 20 characters and a secret key of 40, made here, and in its Attributes the policy that it will get:
// Config.Policy, that of the key to succeed as MinIO has it, or where that key is gone the one that it was made with. MinIO is
// asked for no more than that. ErrNotIssued: nobody knows the policy any more.
func (i *Issuer) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	policy, err := i.policyAfter(ctx, req.Current)
	if err != nil {
		return rotation.Key{}, err
	}
	return rotation.Key{
		ID: rand.Text()[:20], Name: req.Name, Secret: secret.Random(20), Attributes: map[string]string{policyAttribute: policy},
	}, nil
}

const policyAttribute = "policy" // what Config.Policy says, or would say

// policyAfter is the policy of a key that succeeds current.
func (i *Issuer) policyAfter(ctx context.Context, current rotation.Key) (string, error) {
	if i.cfg.Policy != "" || current.IsZero() {
		return cmp.Or(i.cfg.Policy, Inherited), nil
	}
	if current.ID == "" { // it must not become the user's for that
		return "", problem("minio: Choose: the id of the key to succeed is not known, nor is its policy: set Config.Policy", rotation.ErrNotIssued)
	}
	info, err := i.account(ctx, current.ID)
	if errors.Is(err, rotation.ErrNotFound) {
		if known := current.Attributes[policyAttribute]; known != "" {
			return known, nil
		}
		return "", problem("minio: Choose: the key to succeed is gone and its policy with it: set Config.Policy", rotation.ErrNotIssued)
	}
	if err != nil {
		return "", notIssued{err}
	}
	if info.ImpliedPolicy { // what MinIO shows is the user's: it must not become the key's own
		return Inherited, nil
	}
	return info.Policy, nil
}

// Issue makes the access key that was chosen. Where that is there already under the name of this attempt, an earlier call had its
// effect, and it is returned.
//
// Errors: ErrDenied, and ErrNotIssued for every refusal of MinIO's; without a sentinel where there was no answer, or somebody else's.
func (i *Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key := req.Chosen
	if key.ID == "" || key.Secret.IsZero() || key.Attributes[policyAttribute] == "" {
		return rotation.Key{}, problem("minio: Issue: the request has no chosen key (Choose)", rotation.ErrNotIssued)
	}
	key.IssuedAt = time.Now()
	wanted := newAccount{
		User: i.cfg.User, AccessKey: key.ID, SecretKey: key.Secret.Reveal(), Description: req.Name,
		Policy: document(key.Attributes[policyAttribute]),
	}
	if i.cfg.Lifetime > 0 {
		key.ExpiresAt = key.IssuedAt.Add(i.cfg.Lifetime).Truncate(time.Second)
		wanted.Expiration = &key.ExpiresAt
	}
	err := i.create(ctx, wanted)
	if codeOf(err) == codeTaken {
		there, thereErr := i.account(ctx, key.ID)
		if thereErr == nil && there.User == i.cfg.User && there.Description == req.Name {
			key.ExpiresAt, err = there.end(), nil
		}
	}
	if err != nil {
		return rotation.Key{}, ofIssue(err)
	}
	return key, nil
}

// document is what MinIO is told: nothing for a key without a policy of its own.
func document(policy string) json.RawMessage {
	if policy == Inherited {
		return nil
	}
	return json.RawMessage(policy)
}

// Revoke deletes the access key. One that is not there any more is deleted. One that belongs to another user than Config.User is left
// alone, and that is an error.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	_, err := i.ours(ctx, key)
	if errors.Is(err, rotation.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = i.remove(ctx, key.ID)
	if errors.Is(err, rotation.ErrNotFound) {
		return nil
	}
	return err
}

// Disable has the key refused until it is enabled. ErrNotFound: there is no such key. Another user's is left alone, as by Revoke.
func (i *Issuer) Disable(ctx context.Context, key rotation.Key) error {
	return i.turn(ctx, key, "off")
}

// Enable ends what Disable began.
func (i *Issuer) Enable(ctx context.Context, key rotation.Key) error {
	return i.turn(ctx, key, "on")
}

// turn sets the status.
func (i *Issuer) turn(ctx context.Context, key rotation.Key, status string) error {
	a, err := i.ours(ctx, key)
	if err != nil {
		return err
	}
	return i.setStatus(ctx, key.ID, status, a)
}

// ours is what MinIO knows of a key, if it is Config.User's: the administrator reaches everybody's.
func (i *Issuer) ours(ctx context.Context, key rotation.Key) (account, error) {
	if key.ID == "" {
		return account{}, problem("minio: the key has no id")
	}
	a, err := i.account(ctx, key.ID)
	if err == nil && a.User != i.cfg.User {
		err = problem("minio: " + key.ID + " belongs to another user than Config.User, and is left as it is: end it by hand")
	}
	return a, err
}

// List returns every access key of the user, also those that were not made here. Their names are the descriptions. Disabled are
// those that are switched off, and those whose end has come. MinIO tells neither when a key was made nor when it was used.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	accounts, err := i.accounts(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]rotation.KeyInfo, 0, len(accounts))
	for _, a := range accounts {
		key := rotation.Key{ID: a.AccessKey, Name: a.Description, ExpiresAt: a.end()}
		over := !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(time.Now())
		infos = append(infos, rotation.KeyInfo{Key: key, Disabled: a.Status != "on" || over})
	}
	return infos, nil
}

// Describe returns how MinIO behaves: no limit of keys, and Config.Propagation for everything that has to be known everywhere. Where
// the policy is copied the old key is needed for it, so that only with Config.Policy an emergency ends the old key meanwhile.
func (i *Issuer) Describe() rotation.Traits {
	wait := i.cfg.Propagation
	if wait == 0 {
		wait = refresh
	}
	return rotation.Traits{Propagation: wait, ListLag: wait, Independent: i.cfg.Policy != ""}
}

// Identity is the server and the user.
func (i *Issuer) Identity() string {
	return i.endpoint.Scheme + "://" + i.endpoint.Host + " user " + i.cfg.User
}
