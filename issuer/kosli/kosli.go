// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package kosli issues API keys of service accounts of Kosli.
//
// What it knows of the provider comes from Kosli's published documentation (repository kosli-dev/docs,
// tutorials/rotating_api_keys.mdx) and from Kosli's own command line (repository kosli-dev/cli, cmd/kosli/createApiKey.go,
// rotateApiKey.go, listApiKeys.go, deleteApiKey.go and the answers in cmd/kosli/testdata/service-account). It was tested
// against a server that speaks those answers, not against the live service. The two sources differ in the name of the field
// that holds the new value: the command line reads "key", the documentation "api_key". Either is taken; an answer with
// neither is an error.
package kosli

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
)

// DefaultBaseURL is where Kosli's API is, for organizations outside of the US region.
const DefaultBaseURL = "https://app.kosli.com/api/v2"

// Issuer makes and ends the API keys of one service account. It is an Issuer, a Lister and the Verifier of its keys, and
// safe for concurrent use.
//
// By default a key is created beside the old one, and the old one is deleted when nobody uses it. With Grace set, the key is
// rotated: the provider then ends the old key by itself, so a rotation cannot wait for a slow consumer, and
// Policy.AllowProviderDeadline is needed. A rotated key gets the description of the old one and not the name that the engine
// chose, so List tells no names then: if the answer is lost, the key is found again only where Exclusive is true, and is
// otherwise a question for a person.
type Issuer struct {
	Org            string       // required
	ServiceAccount string       // required
	Client         *http.Client // required: its Transport adds an administrator's key, "Authorization: Bearer ..."

	BaseURL   string        // empty: DefaultBaseURL. The US region: https://app.us.kosli.com/api/v2
	Prober    *http.Client  // presents the keys that are verified, so it carries no authority; nil: http.DefaultClient
	Grace     time.Duration // rotate, and the old key ends after this, rounded up to whole hours; zero: create and delete
	Exclusive bool          // nobody else makes keys of this service account
}

var (
	_ rotation.Issuer     = Issuer{}
	_ rotation.Lister     = Issuer{}
	_ rotation.Verifier   = Issuer{}
	_ rotation.Describer  = Issuer{}
	_ rotation.Identifier = Issuer{}
	_ rotation.Checker    = Issuer{}
)

// Issue creates a key, or with Grace rotates req.Current if its id is known and it is there still: one that has ended, as in an
// emergency, has nothing to be rotated, and a key is created. The grace period is Grace or req.Overlap,
// whichever is longer. See [issuer.Call] for the errors; a 409, which is a conflict about a lock, passes.
func (i Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := i.Validate(); err != nil {
		return rotation.Key{}, errors.Join(rotation.ErrNotIssued, err)
	}
	return i.rest().Issue(ctx, req)
}

// Revoke deletes the key. One that is not there any more is deleted.
func (i Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	if err := i.Validate(); err != nil {
		return err
	}
	return i.rest().Revoke(ctx, key)
}

// List returns the keys of the service account, with their last use, and without Grace with their names.
func (i Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	if err := i.Validate(); err != nil {
		return nil, err
	}
	infos, err := i.rest().List(ctx)
	if i.Grace > 0 {
		for n := range infos {
			infos[n].Key.Name = "" // its predecessor's, which would say that it is not the one that was asked for
		}
	}
	return infos, err
}

// Verify presents the key to the organization's list of environments, which is what the documentation does to see that a key
// is dead: 2xx is accepted and 401 is rotation.ErrRejected. Everything else is not known, 403 too: it is a living key of a
// service account with a narrow role, or a firewall. For such a service account, give Credential.Verifier a verify.Probe of
// something that its role may read.
func (i Issuer) Verify(ctx context.Context, key rotation.Key) error {
	if err := i.Validate(); err != nil {
		return err
	}
	return verify.Probe{URL: i.url("environments", i.Org), Client: i.Prober}.Verify(ctx, key)
}

// Describe returns how the provider behaves: the grace period, and Exclusive. Everything else is the cautious assumption.
func (i Issuer) Describe() rotation.Traits {
	return rotation.Traits{Grace: time.Duration(hours(i.Grace)) * time.Hour, Exclusive: i.Exclusive}
}

// Identity is the service account's URL.
func (i Issuer) Identity() string {
	return wire.Redact(i.url("service-accounts", i.Org, i.ServiceAccount))
}

// Check validates the configuration and lists the keys: the administrator's key is accepted.
func (i Issuer) Check(ctx context.Context) error {
	_, err := i.List(ctx)
	return err
}

// Validate names every field that is missing or wrong. It does no I/O.
func (i Issuer) Validate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"Org", i.Org}, {"ServiceAccount", i.ServiceAccount}} {
		switch f.value {
		case "":
			errs = append(errs, wire.Problem("kosli: Issuer."+f.name+" is required"))
		case ".", "..":
			errs = append(errs, wire.Problem("kosli: Issuer."+f.name+" is not a name"))
		}
	}
	if i.Client == nil {
		errs = append(errs, wire.Problem("kosli: Issuer.Client is required: it carries the administrator's key"))
	}
	if i.Grace < 0 {
		errs = append(errs, wire.Problem("kosli: Issuer.Grace is negative"))
	}
	return errors.Join(append(errs, wire.URLProblem("kosli: Issuer.BaseURL", i.base()))...)
}

// rest is the same thing in the common shape.
func (i Issuer) rest() issuer.REST {
	keys := i.url("service-accounts", i.Org, i.ServiceAccount, "api-keys")
	r := issuer.REST{
		URL:        keys,
		Client:     i.Client,
		Body:       i.body,
		Secret:     "key,api_key",
		Name:       "description",
		CreatedAt:  "created_at",
		ExpiresAt:  "expires_at",
		LastUsedAt: "last_used_at",
		Traits:     i.Describe(),
	}
	if i.Grace > 0 {
		r.Rotate = keys + "/{id}/rotate"
	}
	return r
}

func (i Issuer) body(req rotation.IssueRequest) any {
	if i.Grace > 0 && req.Current.ID != "" {
		return map[string]int64{"grace_period_hours": hours(max(i.Grace, req.Overlap))}
	}
	return map[string]string{"description": req.Name}
}

func (i Issuer) base() string { return cmp.Or(i.BaseURL, DefaultBaseURL) }

func (i Issuer) url(segments ...string) string {
	u := strings.TrimSuffix(i.base(), "/")
	for _, s := range segments {
		u += "/" + url.PathEscape(s)
	}
	return u
}

// hours is d in whole hours, rounded up: an overlap may be longer than asked for, never shorter.
func hours(d time.Duration) int64 {
	return int64((d + time.Hour - 1) / time.Hour)
}
