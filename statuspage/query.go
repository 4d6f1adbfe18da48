// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxText      = 256 // bytes of a name or a text that is looked for
)

var (
	states = []State{StateEmergency, StatePerson, StateOverdue, StateDebt, StateUnread, StateFailing, StateOpen, StateHeld, StateSoon, StateNew, StateOK}
	orders = []string{"name", "due", "age", "state"}
)

// query is what a request asks for. Its fields are public for the template only.
type query struct {
	Credential string
	State      State
	Text       string
	Sort       string
	Page       int
	Limit      int
	json       bool
}

// parseQuery reads the parameters. Beside an error the query says in which form to tell of it.
func parseQuery(r *http.Request) (query, error) {
	q := query{Sort: orders[0], Page: 1, Limit: defaultLimit, json: wantsJSON(r.Header)}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, fmt.Errorf("the query is not well-formed")
	}
	switch format := values.Get("format"); format {
	case "":
	case "json", "html":
		q.json = format == "json"
	default:
		return q, fmt.Errorf("format has to be json or html")
	}
	q.Credential, q.Text, q.State = values.Get("credential"), strings.TrimSpace(values.Get("q")), State(values.Get("state"))
	if len(q.Text) > maxText || len(q.Credential) > maxText || !utf8.ValidString(q.Text+q.Credential) {
		return q, fmt.Errorf("credential and q have to be texts of at most %d bytes", maxText)
	}
	if q.State != "" && !slices.Contains(states, q.State) {
		return q, fmt.Errorf("state has to be one of %s", list(states))
	}
	if order := values.Get("sort"); order != "" {
		if q.Sort = order; !slices.Contains(orders, order) {
			return q, fmt.Errorf("sort has to be one of %s", list(orders))
		}
	}
	if q.Page, err = number(values, "page", q.Page, 1_000_000); err != nil {
		return q, err
	}
	q.Limit, err = number(values, "limit", q.Limit, maxLimit)
	return q, err
}

func list[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

func number(values url.Values, name string, unset, most int) (int, error) {
	text := values.Get(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return unset, fmt.Errorf("%s has to be a number from 1 to %d", name, most)
	}
	return n, nil
}

// wantsJSON reports whether the request accepts JSON rather than HTML. A browser does not, and neither does a program that takes
// anything.
func wantsJSON(header http.Header) bool {
	var asJSON, asHTML float64
	for part := range strings.SplitSeq(strings.Join(header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		weight := 1.0
		if text, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		switch kind {
		case "application/json":
			asJSON = max(asJSON, weight)
		case "text/html", "application/xhtml+xml":
			asHTML = max(asHTML, weight)
		}
	}
	return asJSON > asHTML
}

// link is the query as a relative link, with one parameter changed. Without a value the parameter goes; another choice begins with
// the first page.
func (q query) link(name, value string) string {
	v := url.Values{}
	set := func(key, val, unset string) {
		if key == name {
			val = value
		}
		if val != "" && val != unset {
			v.Set(key, val)
		}
	}
	set("state", string(q.State), "")
	set("q", q.Text, "")
	set("sort", q.Sort, orders[0])
	set("limit", strconv.Itoa(q.Limit), strconv.Itoa(defaultLimit))
	if name == "page" {
		set("page", value, "1")
	}
	return "?" + v.Encode()
}
