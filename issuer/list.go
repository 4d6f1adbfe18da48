// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

const maxPages = 100

const (
	createdAt = "created_at,createdAt,created"
	expiresAt = "expires_at,expiresAt,expires_on"
)

// List returns the keys that the provider lists. It is all of them or an error: an answer that says that there are more, in
// another way than by a Link header (in its body, or by a total in X-Total-Count or X-Total), is an error, because a key that is
// not listed counts as absent.
//
// Usage is evidence only where an item has a last-used field; its AsOf is the time of the request less UsageLag, so that
// nothing after it is claimed. With Disabled empty, a key is disabled if "disabled" or "revoked" is true, "active" or
// "enabled" is false, or "status" or "state" is disabled, inactive, revoked, expired, suspended or archived.
func (i REST) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	if i.NoList {
		return nil, fmt.Errorf("issuer: REST.NoList: %w", errors.ErrUnsupported)
	}
	if err := i.Validate(); err != nil {
		return nil, err
	}
	var all []rotation.KeyInfo
	seen := 0
	page := cmp.Or(i.ListURL, i.URL)
	for range maxPages {
		asOf := time.Now().Add(-i.UsageLag)
		var answer tree
		header, err := call(ctx, i.Client, http.MethodGet, page, nil, nil, &answer)
		if err != nil {
			return nil, err
		}
		infos, items, err := i.infos(answer.v, asOf)
		if err != nil {
			return nil, err
		}
		all, seen = append(all, infos...), seen+items
		next, err := nextPage(page, header.Values("Link"))
		switch {
		case err != nil:
			return nil, err
		case next == "" && (goesOn(answer.v) || total(header) > seen):
			return nil, wire.Problem("issuer: REST: the list goes on in a way that is not followed: use a ListURL that gives all of it, or NoList")
		case next == "":
			return all, nil
		}
		page = next
	}
	return nil, wire.Problem("issuer: REST: the list has more than 100 pages")
}

// infos reads one page, and says how many items it has.
func (i REST) infos(answer any, asOf time.Time) ([]rotation.KeyInfo, int, error) {
	items, ok := answer.([]any)
	if !ok || i.Items != "" {
		v, found := first(answer, cmp.Or(i.Items, "keys,data,items,api_keys"))
		if items, ok = v.([]any); !ok && !(found && v == nil) && answer != nil {
			return nil, 0, wire.Problem("issuer: REST: the answer holds no list of keys (REST.Items)")
		}
	}
	infos := make([]rotation.KeyInfo, 0, len(items))
	for n, item := range items {
		if i.only != nil && !i.only(item) {
			continue
		}
		info, err := i.info(item, asOf)
		if err != nil {
			return nil, 0, wire.Problem(fmt.Sprintf("issuer: REST: item %d of the list %s", n, err))
		}
		infos = append(infos, info)
	}
	return infos, len(items), nil
}

// info reads one item. Its errors end the sentence "item 3 of the list ...".
func (i REST) info(item any, asOf time.Time) (rotation.KeyInfo, error) {
	info := rotation.KeyInfo{Key: rotation.Key{
		ID:   word(first(item, cmp.Or(i.ID, "id"))),
		Name: word(first(item, cmp.Or(i.Name, "name,description,label"))),
	}}
	if info.Key.ID == "" {
		return info, errors.New("has no id (REST.ID)")
	}
	// A time of creation that is not understood is unknown, which is the cautious reading. That of an end would not be.
	info.Key.IssuedAt, _ = moment(first(item, cmp.Or(i.CreatedAt, createdAt)))
	var err error
	if info.Key.ExpiresAt, err = moment(first(item, cmp.Or(i.ExpiresAt, expiresAt))); err != nil {
		return info, errors.New("has an end that is not a time (REST.ExpiresAt)")
	}
	if v, found := first(item, cmp.Or(i.LastUsedAt, "lastUsedAt,last_used_at")); found {
		if t, err := moment(v, true); err == nil {
			info.Usage = rotation.Usage{LastUsed: t, AsOf: asOf}
		}
	}
	info.Scopes = words(first(item, cmp.Or(i.Scopes, "scopes,permissions")))
	info.Disabled = i.disabled(item)
	return info, nil
}

var deadWords = []string{"disabled", "inactive", "revoked", "expired", "suspended", "archived"}

func (i REST) disabled(item any) bool {
	if i.Disabled != "" {
		v, _ := first(item, i.Disabled)
		return v == true || slices.Contains(deadWords, strings.ToLower(word(v, true)))
	}
	for field, dead := range map[string]bool{"disabled": true, "revoked": true, "active": false, "enabled": false} {
		if v, _ := first(item, field); v == dead {
			return true
		}
	}
	for _, field := range []string{"status", "state"} {
		if slices.Contains(deadWords, strings.ToLower(word(first(item, field)))) {
			return true
		}
	}
	return false
}

// goesOn reports whether an answer says, in one of the usual ways, that it is not all.
func goesOn(answer any) bool {
	for _, where := range []string{"", "links.", "_links.", "meta.", "page.", "paging.", "pagination.", "page_info.", "pageInfo."} {
		for _, field := range []string{
			"more", "has_more", "hasMore", "has_next", "has_next_page", "hasNextPage",
			"next", "next_cursor", "nextCursor", "next_page", "nextPage", "next_page_token", "nextPageToken", "next_url",
		} {
			switch v, _ := first(answer, where+field); v {
			case nil, false, "", json.Number("0"):
			default:
				return true
			}
		}
	}
	return false
}

// total is how many items there are on all pages, as the headers of one of them say; zero: they do not.
func total(h http.Header) int {
	for _, name := range []string{"X-Total-Count", "X-Total"} {
		if n, err := strconv.Atoi(h.Get(name)); err == nil {
			return n
		}
	}
	return 0
}

// nextPage returns the URL of the link with the relation "next", resolved against page; empty if there is none.
func nextPage(page string, links []string) (string, error) {
	for _, header := range links {
		target, ok := nextLink(header)
		if !ok {
			continue
		}
		base, err := url.Parse(page)
		if err != nil {
			return "", wire.Problem("issuer: REST: the list's URL is not one")
		}
		next, err := base.Parse(target)
		if err != nil || next.Scheme != base.Scheme || next.Host != base.Host {
			return "", wire.Problem("issuer: REST: the next page of the list is not on the same host") // the authority stays here
		}
		next.User = base.User
		if next.String() == base.String() {
			return "", wire.Problem("issuer: REST: the next page of the list is the same page")
		}
		return next.String(), nil
	}
	return "", nil
}

// nextLink finds the target with the relation "next" in the value of a Link header (RFC 8288 section 3): links separated by
// commas, each a target in angle brackets and its parameters, of which rel is one or more words.
func nextLink(header string) (string, bool) {
	for {
		_, rest, ok := strings.Cut(header, "<")
		if !ok {
			return "", false
		}
		target, rest, ok := strings.Cut(rest, ">")
		if !ok {
			return "", false
		}
		var parameters string
		for parameters, header = cut(rest, ','); parameters != ""; {
			var p string
			p, parameters = cut(parameters, ';')
			name, value, _ := strings.Cut(p, "=")
			relations := strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`)))
			if strings.EqualFold(strings.TrimSpace(name), "rel") && slices.Contains(relations, "next") {
				return target, true
			}
		}
	}
}

// cut cuts at the first separator outside of quotes.
func cut(s string, separator rune) (before, after string) {
	quoted := false
	for n, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case r == separator && !quoted:
			return s[:n], s[n+1:]
		}
	}
	return s, ""
}
