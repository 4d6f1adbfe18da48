// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Config says whose tokens are made, and by whom.
type Config struct {
	URL      string       // required: of the server, with its path if it has one: https://git.example.com
	User     string       // required: login of the user whose tokens they are
	Admin    string       // login of who makes them: a site administrator; empty: User
	Password secret.Value // required: of Admin; or a token of Admin that may write:user

	// Scopes of new tokens: "read:user", "write:repository". Empty: those of the token that is succeeded; the first one needs them.
	// Gitea forgets scopes with their token. This library remembers those of the tokens it made; set Scopes if a token that it did not
	// make may have to be replaced after its end.
	Scopes []string

	Transport http.RoundTripper // of all requests; nil: a copy of http.DefaultTransport, closed by Close
}

// Issuer makes and ends the tokens of one user. It is a Lister, with their use, and the Verifier of its tokens, and safe for
// concurrent use.
type Issuer struct {
	cfg  Config
	base string            // of the server, without a slash at the end
	rt   http.RoundTripper // without authority
	own  *http.Transport   // to be closed; nil: the caller's
}

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Verifier   = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

// New returns an Issuer, or an error that names every field that is missing or wrong. It does no I/O.
func New(cfg Config) (*Issuer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Scopes = slices.Clone(cfg.Scopes)
	i := &Issuer{cfg: cfg, base: strings.TrimRight(cfg.URL, "/"), rt: cfg.Transport}
	if i.rt == nil {
		i.own = http.DefaultTransport.(*http.Transport).Clone()
		i.rt = i.own
	}
	return i, nil
}

func (c Config) validate() error {
	var errs []error
	wrong := func(text string) { errs = append(errs, problem("gitea: Config."+text)) }
	errs = append(errs, urlProblem("gitea: Config.URL", c.URL))
	if c.User == "" {
		wrong("User is required: the login whose tokens they are")
	}
	if c.Password.IsZero() {
		wrong("Password is required: that of Config.Admin or, without one, of Config.User")
	}
	if slices.Contains(c.Scopes, "") {
		wrong("Scopes has an empty one")
	}
	return errors.Join(errs...)
}

// urlProblem says what is wrong with a URL, nil if nothing is.
func urlProblem(field, raw string) error {
	u, err := url.Parse(raw) // its error quotes the URL
	switch {
	case raw == "":
		return problem(field + " is required")
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return problem(field + " is not an absolute http or https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return problem(field + " has more than a scheme, a host and a path")
	}
	return nil
}

// Close closes idle connections, if the transport is not the caller's.
func (i *Issuer) Close() error {
	if i.own != nil {
		i.own.CloseIdleConnections()
	}
	return nil
}

// Issue makes a token with the scopes of Config.Scopes, else of the token that is succeeded, else those which that one was made with.
//
// Errors: ErrDenied; ErrNotIssued for every refusal of Gitea's, and where nobody knows the scopes any more; without a sentinel where
// there was no answer, or somebody else's, or one without the value: the id is returned beside such an error if it is known.
func (i *Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	scopes, err := i.scopesAfter(ctx, req.Current)
	if err != nil {
		return rotation.Key{}, notIssued{err}
	}
	option := gitea.CreateAccessTokenOption{Name: req.Name}
	for _, s := range scopes {
		option.Scopes = append(option.Scopes, gitea.AccessTokenScope(s))
	}
	began := time.Now()
	token, err := call(ctx, i.admin, "create a token", func(c *gitea.Client) (*gitea.AccessToken, *gitea.Response, error) {
		return c.CreateAccessToken(option)
	})
	if badRequest(err) && i.exists(ctx, req.Name) {
		// Somebody between us and Gitea has repeated the request: this name is only asked for once.
		return rotation.Key{}, problem("gitea: create a token: 400, and one with the name of this attempt is listed, or no list can be had")
	}
	if err != nil {
		return rotation.Key{}, ofIssue(err)
	}
	key := rotation.Key{ID: strconv.FormatInt(token.ID, 10)}
	if token.ID <= 0 || token.Token == "" {
		return rotation.Key{ID: strings.TrimPrefix(key.ID, "0")}, problem("gitea: create a token: the answer has no id or no value")
	}
	key.Secret, key.IssuedAt = secret.New(token.Token), began
	key.Attributes = map[string]string{scopesAttribute: strings.Join(scopes, ",")}
	return key, nil
}

const scopesAttribute = "scopes" // which a token was asked for with, with commas between

// scopesAfter are the scopes of a token that succeeds current.
func (i *Issuer) scopesAfter(ctx context.Context, current rotation.Key) ([]string, error) {
	if len(i.cfg.Scopes) > 0 {
		return i.cfg.Scopes, nil
	}
	if current.ID == "" {
		return nil, problem("gitea: Issue: the id of the token to succeed is not known, nor are its scopes: set Config.Scopes")
	}
	tokens, err := i.tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		if strconv.FormatInt(t.ID, 10) == current.ID {
			return scopes(t), nil
		}
	}
	if known := current.Attributes[scopesAttribute]; known != "" {
		return strings.Split(known, ","), nil
	}
	return nil, problem("gitea: Issue: the token to succeed is gone and its scopes with it: set Config.Scopes")
}

// exists reports whether there is a token with a name, and true where that is not known.
func (i *Issuer) exists(ctx context.Context, name string) bool {
	tokens, err := i.tokens(ctx)
	return err != nil || slices.ContainsFunc(tokens, func(t *gitea.AccessToken) bool { return t.Name == name })
}

func scopes(t *gitea.AccessToken) []string {
	all := make([]string, 0, len(t.Scopes))
	for _, s := range t.Scopes {
		all = append(all, string(s))
	}
	return all
}

// Revoke deletes the token. One that is not there any more is deleted.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	id, err := strconv.ParseInt(key.ID, 10, 64)
	if err != nil || id <= 0 { // another text would be taken for a name
		return problem("gitea: delete a token: the key's id is not a number")
	}
	_, err = call(ctx, i.admin, "delete a token", func(c *gitea.Client) (struct{}, *gitea.Response, error) {
		resp, err := c.DeleteAccessToken(id)
		return struct{}{}, resp, err
	})
	if errors.Is(err, rotation.ErrNotFound) {
		return nil
	}
	return err
}

// List returns every token of the user, also those that were not made here. It takes one request for each 50 of them.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	asOf := time.Now()
	tokens, err := i.tokens(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]rotation.KeyInfo, 0, len(tokens))
	for _, t := range tokens {
		infos = append(infos, rotation.KeyInfo{
			Key:    rotation.Key{ID: strconv.FormatInt(t.ID, 10), Name: t.Name, IssuedAt: t.Created},
			Scopes: scopes(t),
			Usage:  usage(t, asOf),
		})
	}
	return infos, nil
}

// usage is what last_used_at tells: nothing of the second in which the token was made, as it begins with that one.
func usage(t *gitea.AccessToken, asOf time.Time) rotation.Usage {
	u := rotation.Usage{Since: t.Created.Add(time.Second), AsOf: asOf}
	if t.Updated.After(t.Created) {
		u.LastUsed = t.Updated
	}
	if u.LastUsed.After(asOf) { // by Gitea's clock
		u.LastUsed = asOf
	}
	if u.Since.After(asOf) {
		u.Since = asOf
	}
	return u
}

// tokens are all of them, or an error: what is missing in a list counts as gone. Gitea sorts by the second of creation only, so that
// tokens of the same second may change places between two pages, and one is told twice and another not at all. Then the pages are
// read again, cut elsewhere, and what all readings have told is the list. Where the number of tokens has changed meanwhile, earlier
// readings may hold what is gone, and are forgotten.
func (i *Issuer) tokens(ctx context.Context) ([]*gitea.AccessToken, error) {
	all, before := map[int64]*gitea.AccessToken{}, -1
	for _, size := range []int{50, 41, 29} { // 50 is the most that Gitea gives, unless MAX_RESPONSE_ITEMS says otherwise
		told, total, err := i.pages(ctx, size)
		if err != nil {
			return nil, err
		}
		if total != before {
			clear(all)
		}
		before = total
		maps.Copy(all, told)
		for _, whole := range []map[int64]*gitea.AccessToken{told, all} {
			if len(whole) == total {
				byID := func(a, b *gitea.AccessToken) int { return cmp.Compare(a.ID, b.ID) }
				return slices.SortedFunc(maps.Values(whole), byID), nil
			}
		}
	}
	return nil, problem("gitea: list the tokens: the list changed while its pages were read, or does not say how many there are")
}

// pages reads every page, up to an empty one, as the server may give less than it is asked for and tells no next page. total is how
// many tokens there are; -1 if that is not told, or not the same on every page: then a token came or went between two of them, the
// others have moved, and what was read is nothing.
func (i *Issuer) pages(ctx context.Context, size int) (told map[int64]*gitea.AccessToken, total int, err error) {
	told = map[int64]*gitea.AccessToken{}
	for page := 1; ; page++ {
		before := total
		options := gitea.ListAccessTokensOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: size}}
		tokens, err := call(ctx, i.admin, "list the tokens", func(c *gitea.Client) ([]*gitea.AccessToken, *gitea.Response, error) {
			tokens, resp, err := c.ListAccessTokens(options)
			if err == nil {
				total = count(resp.Header)
			}
			return tokens, resp, err
		})
		if err != nil {
			return nil, 0, err
		}
		if page > 1 && total != before {
			return nil, -1, nil
		}
		for _, t := range tokens {
			told[t.ID] = t
		}
		if len(tokens) == 0 || total <= len(told) {
			return told, total, nil
		}
	}
}

// count is what the header of a page says of the whole list; -1 if it says nothing.
func count(h http.Header) int {
	n, err := strconv.Atoi(h.Get("X-Total-Count"))
	if err != nil {
		return -1
	}
	return n
}

// Describe returns how Gitea behaves: what is made or deleted is so at once, and listed at once. Where the scopes are copied the old
// token is needed for it, so that only with Config.Scopes an emergency ends the old token meanwhile.
func (i *Issuer) Describe() rotation.Traits {
	return rotation.Traits{Propagation: -1, ListLag: -1, Independent: len(i.cfg.Scopes) > 0}
}

// Identity is the server and the user.
func (i *Issuer) Identity() string { return i.base + " user " + i.cfg.User }
