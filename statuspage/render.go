// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

//go:embed page.gohtml
var pageText string

//go:embed style.css
var styleText string

// On the overview no more than these are drawn; all of them are in the table.
const (
	shownEmergencies = 12
	shownOpen        = 12
	shownDebts       = 20
)

// renderer makes pages.
type renderer struct {
	templates *template.Template
	policy    string // Content-Security-Policy: the one style sheet, by its hash, and nothing else
}

func newRenderer() *renderer {
	sum := sha256.Sum256([]byte(styleText))
	return &renderer{
		templates: template.Must(template.New("page").Funcs(funcs()).Parse(pageText)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
	}
}

func funcs() template.FuncMap {
	return template.FuncMap{
		"style":   func() template.CSS { return template.CSS(styleText) },
		"when":    newWhen,
		"span":    span,
		"ago":     func(a, b time.Time) string { return offset(b.Sub(a)) },
		"label":   func(s State) string { return labels[s].label },
		"glyph":   func(s State) string { return labels[s].glyph },
		"meaning": func(verb string) string { return meanings[verb] },
		"life":    life,
		"after":   after,
		"card":    func(now time.Time, c Credential, r *Rotation) card { return card{now, c, r, false} },
		"whole":   func(now time.Time, c Credential, r *Rotation) card { return card{now, c, r, true} },
		"ended":   ended,
		"one":     one,
		"count":   count,
	}
}

// view is what the template of the overview and of one credential's page gets.
type view struct {
	Document
	Query       query
	Refresh     int // seconds; zero: never
	Tiles       []tile
	Emergencies []Credential
	MoreAlarms  int
	Open        []Credential
	MoreOpen    int
	Debts       []Credential // that have some
	MoreDebts   int
	One         *Credential // the page of this one
	Columns     []column
	States      []State
	From, To    int // of the credentials on this page, from 1
	Previous    string
	Next        string
	JSON        string // a link to the same as JSON
	Failure     string
}

// tile is one number of the summary, and the link to what it counts.
type tile struct {
	State  State
	Label  string
	Count  int
	Link   string
	Active bool
}

// column is a column of the inventory, sortable where it has a link.
type column struct {
	Label  string
	Link   string
	Sorted string // ascending, or empty
}

// card is one rotation to draw.
type card struct {
	Now        time.Time
	Credential Credential
	Rotation   *Rotation
	Whole      bool // on a page of its own
}

// ended is the last rotation of c, for which nothing is waited any more.
func ended(now time.Time, c Credential) card {
	c.Needs = nil
	return card{now, c, c.Last, true}
}

// Needs are what the rotation waits for, and first what it waits for from a person.
func (c card) Needs() []Need {
	needs := slices.Clone(c.Credential.Needs)
	asks := func(n Need) int {
		if n.Kind == string(rotation.NeedPerson) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(needs, func(a, b Need) int { return asks(a) - asks(b) })
	return needs
}

// Problem is what stands in the rotation's way, unless a need says the same.
func (c card) Problem() *Problem {
	p := c.Rotation.Problem
	if p == nil || slices.ContainsFunc(c.Credential.Needs, func(n Need) bool { return strings.HasPrefix(n.Text, p.Text) }) {
		return nil
	}
	return p
}

func (r *renderer) page(cfg Config, doc Document, q query, s *snapshot) ([]byte, error) {
	v := view{Document: doc, Query: q, Refresh: int(cfg.Refresh / time.Second), Tiles: tiles(doc.Summary, q), States: states, JSON: q.asJSON()}
	if q.Credential != "" {
		v.One = &doc.Credentials[0]
		return r.run("credential", v)
	}
	for _, c := range s.all {
		if c.Has(StateEmergency) {
			v.Emergencies = append(v.Emergencies, c)
		}
	}
	v.MoreAlarms = max(0, len(v.Emergencies)-shownEmergencies)
	v.Emergencies = v.Emergencies[:len(v.Emergencies)-v.MoreAlarms]
	if q.Page == 1 {
		v.attention(s.matching(q))
	}
	v.From, v.To = (doc.Page-1)*doc.Limit+1, (doc.Page-1)*doc.Limit+len(doc.Credentials)
	if doc.Page > 1 {
		v.Previous = q.link("page", strconv.Itoa(doc.Page-1))
	}
	if doc.Page < doc.Pages {
		v.Next = q.link("page", strconv.Itoa(doc.Page+1))
	}
	v.columns()
	return r.run("overview", v)
}

// attention picks what is drawn above the inventory: open rotations, those that need somebody first, and debts.
func (v *view) attention(found []Credential) {
	for _, c := range found {
		if c.Has(StateOpen) && !c.Has(StateEmergency) {
			v.Open = append(v.Open, c)
		}
		if c.Has(StateDebt) {
			v.Debts = append(v.Debts, c)
		}
	}
	slices.SortStableFunc(v.Open, byUrgency)
	v.MoreOpen, v.MoreDebts = max(0, len(v.Open)-shownOpen), max(0, len(v.Debts)-shownDebts)
	v.Open, v.Debts = v.Open[:len(v.Open)-v.MoreOpen], v.Debts[:len(v.Debts)-v.MoreDebts]
}

// OwnDebts is v with the debts of its one credential.
func (v view) OwnDebts() view {
	v.Debts = []Credential{*v.One}
	return v
}

func (v *view) columns() {
	for _, c := range []struct{ label, order string }{
		{"Credential", "name"}, {"Type", ""}, {"Issuer and store", ""}, {"Key", "age"}, {"Due", "due"}, {"State", "state"}, {"Last rotation", ""},
	} {
		col := column{Label: c.label}
		if c.order != "" {
			col.Link = v.Query.link("sort", c.order)
		}
		if c.order == v.Query.Sort {
			col.Sorted = "ascending"
		}
		v.Columns = append(v.Columns, col)
	}
}

func (r *renderer) failure(cfg Config, status int, text string) ([]byte, error) {
	return r.run("failure", view{
		Document: Document{Title: clean(cfg.Title)}, Failure: fmt.Sprintf("%d %s: %s", status, http.StatusText(status), text),
	})
}

// run makes the whole page before any of it is sent.
func (r *renderer) run(name string, v view) ([]byte, error) {
	var b bytes.Buffer
	err := r.templates.ExecuteTemplate(&b, name, v)
	return b.Bytes(), err
}

func tiles(s Summary, q query) []tile {
	out := []tile{
		{State: "", Label: "credentials", Count: s.Credentials},
		{State: StateEmergency, Label: count(s.Emergencies, "emergency", "emergencies"), Count: s.Emergencies},
		{State: StatePerson, Label: "waiting for a person", Count: s.Person},
		{State: StateOverdue, Label: "overdue", Count: s.Overdue},
		{State: StateSoon, Label: "due within 14 days", Count: s.Soon},
		{State: StateOpen, Label: count(s.Open, "rotation open", "rotations open"), Count: s.Open},
		{State: StateFailing, Label: "failing", Count: s.Failing},
		{State: StateDebt, Label: count(s.Debts, "debt", "debts"), Count: s.Debts},
		{State: StateHeld, Label: "held", Count: s.Held},
	}
	if s.Unread > 0 {
		out = append(out, tile{State: StateUnread, Label: "not read", Count: s.Unread})
	}
	for i := range out {
		out[i].Link = query{State: out[i].State, Limit: defaultLimit}.link("", "")
		out[i].Active = q.Credential == "" && out[i].State == q.State
	}
	return out
}

// asJSON is a link to what the query asks for, as JSON.
func (q query) asJSON() string {
	link := q.link("page", strconv.Itoa(max(q.Page, 1)))
	if q.Credential != "" {
		link = one(q.Credential)
	}
	if link != "?" {
		link += "&"
	}
	return link + "format=json"
}
