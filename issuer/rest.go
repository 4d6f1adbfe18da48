// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// REST is an Issuer for the common shape: POST makes a key, GET lists the keys, DELETE ends one. Fill in the fields where a
// provider differs; only URL is required. It is safe for concurrent use as far as Body is.
//
// A field that names a JSON field takes a path with dots ("data.attributes.key") or several of them with commas between
// ("lastUsedAt,last_used_at"), the first one that the answer has. Ids may be strings or numbers. Times may be RFC 3339,
// seconds or milliseconds since 1970, with a fraction or without; 0, null and "" are no time.
//
// For a provider that makes the successor and starts a grace period for the old key in one call, set Rotate (or name the old
// key in Body) and Traits.Grace: the engine then knows that the old key ends by itself. The first key, and the successor of a
// key whose id is not known or that is dead, is made by a plain POST to URL. Where the successor gets the name of the old key and not the one in
// Body, set Name to a field that no answer has: under a wrong name a key whose answer was lost would pass for somebody else's.
type REST struct {
	URL    string                          // required: of the collection of keys; a key is at URL/id
	Client *http.Client                    // carries the administrator's authority; nil: http.DefaultClient, which carries none
	Body   func(rotation.IssueRequest) any // what is posted, to URL and to Rotate; nil: {"name": req.Name}
	Rotate string                          // URL of the call that succeeds one key, {id} is the old one: https://api.example.com/keys/{id}/rotate
	ID     string                          // JSON field; empty: "id"
	Secret string                          // JSON field of Issue's answer; empty: "key,api_key,secret,token". Exactly one is filled

	ListURL    string        // empty: URL. Pages are followed by Link headers (RFC 8288), on the same host, up to 100
	NoList     bool          // the provider lists nothing: List fails with errors.ErrUnsupported
	Items      string        // JSON field with the array; empty: the answer itself, or "keys,data,items,api_keys"
	Name       string        // JSON field; empty: "name,description,label"
	CreatedAt  string        // JSON field; empty: "created_at,createdAt,created"
	ExpiresAt  string        // JSON field; empty: "expires_at,expiresAt,expires_on"
	LastUsedAt string        // JSON field; empty: "lastUsedAt,last_used_at". Absent: no evidence. No time: never used
	UsageLag   time.Duration // the figures of use are this old
	Scopes     string        // JSON field, an array or words in one string; empty: "scopes,permissions"
	Disabled   string        // JSON field: true, or a word like "inactive"; empty: see List

	TokenHeader string // request header that takes the idempotency token: "Idempotency-Key"; empty: there is none. See Issue
	NoSlot      []int  // status codes that say that the limit of live keys is reached; they match rotation.ErrNoSlot
	Traits      rotation.Traits

	only func(item any) bool // nil: everything that is listed is of this credential
}

var (
	_ rotation.Issuer     = REST{}
	_ rotation.Lister     = REST{}
	_ rotation.Describer  = REST{}
	_ rotation.Identifier = REST{}
	_ rotation.Checker    = REST{}
)

// Issue makes a key, see [Call] for its errors. With Rotate it succeeds req.Current; where that has ended (401, 404, 410), as in an
// emergency, nothing was made of it, and a key is made by a POST to URL, with the Body of a request without Current. Where the value was chosen (IssueRequest.Chosen) Body has to hold it, and the
// answer need not. An answer without a usable id and secret is ambiguous and matches no sentinel;
// the id is returned beside that error if there is one, so that the engine can end the key.
//
// net/http may by itself repeat a request that has an Idempotency-Key or X-Idempotency-Key header after the connection
// broke: name such a header in TokenHeader only if the provider honours it.
func (i REST) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := i.Validate(); err != nil {
		return rotation.Key{}, notIssued(err)
	}
	target, err := i.issueURL(req)
	if err != nil {
		return rotation.Key{}, notIssued(err)
	}
	answer, err := i.post(ctx, target, req)
	if target != i.URL && ended(err) {
		req.Current, req.Token = rotation.Key{}, another(req.Token)
		answer, err = i.post(ctx, i.URL, req)
	}
	if err != nil {
		return rotation.Key{}, i.full(err)
	}
	return i.issued(answer, req)
}

// ended reports whether the key that was to be succeeded is dead. A 401 may be about the authority as well: then that of the next request
// is the same.
func ended(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]int{http.StatusUnauthorized, http.StatusNotFound, http.StatusGone}, e.Status)
}

// another is the token of a second request, the same each time: providers refuse one that was used for another request.
func another(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // RFC 9562, version 8
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// post makes one key.
func (i REST) post(ctx context.Context, target string, req rotation.IssueRequest) (answer tree, err error) {
	var in any = map[string]string{"name": req.Name}
	if i.Body != nil {
		in = i.Body(req)
	}
	header := http.Header{}
	if i.TokenHeader != "" && req.Token != "" {
		header.Set(i.TokenHeader, req.Token)
	}
	_, err = call(ctx, i.Client, http.MethodPost, target, header, in, &answer)
	return answer, err
}

func (i REST) issueURL(req rotation.IssueRequest) (string, error) {
	if i.Rotate == "" || req.Current.ID == "" {
		return i.URL, nil
	}
	if err := usableID(req.Current.ID); err != nil {
		return "", err
	}
	return strings.ReplaceAll(i.Rotate, "{id}", url.PathEscape(req.Current.ID)), nil
}

// full adds ErrNoSlot where the status says so.
func (i REST) full(err error) error {
	var e *Error
	if errors.As(err, &e) && slices.Contains(i.NoSlot, e.Status) {
		e.is = append(e.is, rotation.ErrNoSlot, rotation.ErrNotIssued)
	}
	return err
}

// Revoke ends key with DELETE at URL/id. A key that is not there any more is revoked: 404 and 410 are nil.
func (i REST) Revoke(ctx context.Context, key rotation.Key) error {
	if err := i.Validate(); err != nil {
		return err
	}
	target, err := keyURL(i.URL, key.ID)
	if err != nil {
		return err
	}
	if err := Call(ctx, i.Client, http.MethodDelete, target, nil, nil); !errors.Is(err, rotation.ErrNotFound) {
		return err
	}
	return nil
}

// Describe returns Traits.
func (i REST) Describe() rotation.Traits { return i.Traits }

// Identity is URL without user information and query.
func (i REST) Identity() string { return wire.Redact(i.URL) }

// Check validates the configuration and, unless NoList, lists the keys: the authority is there and the answer is understood.
func (i REST) Check(ctx context.Context) error {
	if err := i.Validate(); err != nil || i.NoList {
		return err
	}
	_, err := i.List(ctx)
	return err
}

// Validate names every field that is missing or wrong. It does no I/O.
func (i REST) Validate() error {
	errs := []error{wire.URLProblem("issuer: REST.URL", i.URL)}
	if i.ListURL != "" {
		errs = append(errs, wire.URLProblem("issuer: REST.ListURL", i.ListURL))
	}
	if i.Rotate != "" {
		errs = append(errs, wire.URLProblem("issuer: REST.Rotate", strings.ReplaceAll(i.Rotate, "{id}", "id")))
		if !strings.Contains(i.Rotate, "{id}") {
			errs = append(errs, wire.Problem("issuer: REST.Rotate does not contain {id}"))
		}
		if i.Traits.Grace <= 0 && !i.Traits.KillsOld {
			errs = append(errs, wire.Problem("issuer: REST.Rotate needs Traits.Grace or Traits.KillsOld: when does the old key end?"))
		}
	}
	if i.UsageLag < 0 {
		errs = append(errs, wire.Problem("issuer: REST.UsageLag is negative"))
	}
	return errors.Join(errs...)
}

// issued reads the answer to a successful POST.
func (i REST) issued(answer tree, req rotation.IssueRequest) (rotation.Key, error) {
	id := word(first(answer.v, cmp.Or(i.ID, "id")))
	if id != "" && id == req.Current.ID && !i.Traits.KillsOld {
		// With that id the engine would end the key in use.
		return rotation.Key{}, wire.Problem("issuer: REST: the answer gives the id of the key in use to the new key")
	}
	secrets := i.secrets(answer)
	if slices.ContainsFunc(secrets, secret.New(id).Equal) && id != "" { // an id is recorded and shown
		return rotation.Key{}, wire.Problem("issuer: REST: the answer's id is the secret itself (REST.ID)")
	}
	value, err := value(secrets)
	if chosen := req.Chosen.Secret; !chosen.IsZero() { // was posted; what the answer shows of it, if anything, may be a mask
		value, err = chosen, nil
	}
	if err != nil {
		return rotation.Key{ID: id}, err
	}
	if usableID(id) != nil { // nor could it be revoked
		return rotation.Key{}, wire.Problem("issuer: REST: the answer has no id, or one that is none (REST.ID)")
	}
	key := rotation.Key{ID: id, Secret: value, IssuedAt: time.Now()}
	if t, err := moment(first(answer.v, cmp.Or(i.CreatedAt, createdAt))); err == nil && !t.IsZero() {
		key.IssuedAt = t
	}
	if key.ExpiresAt, err = moment(first(answer.v, cmp.Or(i.ExpiresAt, expiresAt))); err != nil {
		// A key that ends unseen is an outage.
		return rotation.Key{ID: id}, wire.Problem("issuer: REST: the answer's end of the key is not a time (REST.ExpiresAt)")
	}
	return key, nil
}

// keyURL is base/id, keeping the query of base.
func keyURL(base, id string) (string, error) {
	if err := usableID(id); err != nil {
		return "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", wire.Problem("issuer: REST.URL is not a URL") // the parser's error quotes it
	}
	u.RawPath = strings.TrimSuffix(u.EscapedPath(), "/") + "/" + url.PathEscape(id)
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + id
	return u.String(), nil
}

// usableID refuses what would address something else than one key.
func usableID(id string) error {
	switch id {
	case "":
		return wire.Problem("issuer: the key has no id")
	case ".", "..":
		return wire.Problem("issuer: the key's id is not one")
	}
	return nil
}
