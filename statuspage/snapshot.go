// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// soon is how long before a credential is due it is told of, but for the first half of its key's life.
const soon = 14 * 24 * time.Hour

// snapshot is what one reading found, ready to be shown. It is not modified once it is made.
type snapshot struct {
	at       time.Time
	all      []Credential // by name, everything that is known
	summary  Summary
	problems []string
}

func newSnapshot(at time.Time, inventory []rotation.Credential, statuses []rotation.Status, err error) *snapshot {
	s := &snapshot{at: at.UTC().Round(0)}
	trouble := newTrouble(err)
	s.problems = trouble.texts
	listed := make(map[string]rotation.Status, len(statuses))
	for _, st := range statuses {
		listed[st.Credential] = st
	}
	for _, c := range inventory {
		st, ok := listed[c.Name]
		delete(listed, c.Name)
		unread := !ok || blank(st) && trouble.meets(c.Name)
		s.add(newCredential(c, st), unread)
	}
	for name, st := range listed { // removed from the inventory since
		s.add(newCredential(rotation.Credential{Name: name}, st), blank(st) && trouble.meets(name))
	}
	slices.SortFunc(s.all, func(a, b Credential) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// blank reports that a status tells nothing: either there is nothing to tell, or it was not read.
func blank(st rotation.Status) bool {
	return st.Generation == 0 && st.Open == nil && st.Last == nil && len(st.Debts) == 0 && st.HeldUntil.IsZero()
}

func (s *snapshot) add(c Credential, unread bool) {
	c.States = statesOf(c, unread, s.at)
	s.all = append(s.all, c)
	sum := &s.summary
	sum.Credentials++
	sum.Debts += len(c.Debts)
	for state, n := range map[State]*int{
		StateEmergency: &sum.Emergencies, StatePerson: &sum.Person, StateOverdue: &sum.Overdue, StateSoon: &sum.Soon,
		StateOpen: &sum.Open, StateFailing: &sum.Failing, StateHeld: &sum.Held, StateUnread: &sum.Unread,
	} {
		if c.Has(state) {
			*n++
		}
	}
}

// Has reports whether s is one of c's states.
func (c Credential) Has(s State) bool { return slices.Contains(c.States, s) }

// Waits reports whether the next rotation begins after the key is due: a window, a notice or a hold is in its way.
func (c Credential) Waits(now time.Time) bool { return c.Begins.After(c.Due) && c.Begins.After(now) }

// statesOf are the states of c, the most urgent first.
func statesOf(c Credential, unread bool, now time.Time) []State {
	if unread {
		return []State{StateUnread}
	}
	person := slices.ContainsFunc(c.Needs, func(n Need) bool { return n.Kind == string(rotation.NeedPerson) })
	overdue := c.Generation > 0 && !c.Due.After(now)
	is := map[State]bool{
		StateEmergency: c.Open != nil && c.Open.Strategy == string(rotation.Emergency),
		StatePerson:    person,
		StateOverdue:   overdue,
		StateDebt:      len(c.Debts) > 0,
		StateFailing:   c.Problem != nil || c.Open != nil && c.Open.Problem != nil && !person,
		StateOpen:      c.Open != nil,
		StateHeld:      c.HeldUntil.After(now),
		StateSoon:      c.Generation > 0 && !overdue && c.Due.Before(now.Add(soon)) && !now.Before(c.IssuedAt.Add(c.Due.Sub(c.IssuedAt)/2)),
		StateNew:       c.Generation == 0 && c.Open == nil,
	}
	out := slices.DeleteFunc(slices.Clone(states), func(s State) bool { return !is[s] })
	if len(out) == 0 {
		return []State{StateOK}
	}
	return out
}

// document is what the query asks for; false: it asks for a credential that is not there.
func (s *snapshot) document(q query) (Document, bool) {
	doc := Document{AsOf: s.at, Summary: s.summary, Problems: s.problems, Page: 1, Pages: 1, Limit: q.Limit, Credentials: []Credential{}}
	if q.Credential != "" {
		i, ok := slices.BinarySearchFunc(s.all, q.Credential, func(c Credential, name string) int { return strings.Compare(c.Name, name) })
		if ok {
			doc.Total, doc.Credentials = 1, s.all[i:i+1:i+1]
		}
		return doc, ok
	}
	found := s.matching(q)
	doc.Total, doc.Pages = len(found), max(1, (len(found)+q.Limit-1)/q.Limit)
	doc.Page = min(q.Page, doc.Pages)
	from := (doc.Page - 1) * q.Limit
	for _, c := range found[from:min(from+q.Limit, len(found))] {
		doc.Credentials = append(doc.Credentials, c.brief())
	}
	return doc, true
}

// matching are the credentials that a query asks for, in its order.
func (s *snapshot) matching(q query) []Credential {
	text := strings.ToLower(q.Text)
	found := slices.DeleteFunc(slices.Clone(s.all), func(c Credential) bool {
		if q.State != "" && !c.Has(q.State) {
			return true
		}
		return !slices.ContainsFunc([]string{c.Name, c.Contact, c.Type, c.Issuer, c.Store}, func(field string) bool {
			return strings.Contains(strings.ToLower(field), text)
		})
	})
	switch q.Sort {
	case "due":
		slices.SortStableFunc(found, func(a, b Credential) int { return compareTimes(a, b, a.Due, b.Due) })
	case "age":
		slices.SortStableFunc(found, func(a, b Credential) int { return compareTimes(a, b, a.IssuedAt, b.IssuedAt) })
	case "state":
		slices.SortStableFunc(found, byUrgency)
	}
	return found
}

// compareTimes puts the earlier time first. A key of an unknown age comes before all others, and what has no key after them.
func compareTimes(a, b Credential, at, bt time.Time) int {
	if c := cmp.Compare(min(b.Generation, 1), min(a.Generation, 1)); c != 0 {
		return c
	}
	return at.Compare(bt)
}

func byUrgency(a, b Credential) int {
	return cmp.Compare(slices.Index(states, a.States[0]), slices.Index(states, b.States[0]))
}

// brief is c without what only its own page shows.
func (c Credential) brief() Credential {
	c.Bindings = nil
	for _, r := range []**Rotation{&c.Open, &c.Last} {
		if *r != nil {
			short := **r
			short.Consumers, short.Timeline = nil, nil
			*r = &short
		}
	}
	return c
}

// trouble is what an error of List tells.
type trouble struct {
	texts   []string
	named   map[string]bool
	unnamed bool // something went wrong, and it is not told with what
}

// shownTroubles is how many texts are shown: one cause usually makes them all.
const shownTroubles = 10

func newTrouble(err error) trouble {
	t := trouble{named: map[string]bool{}}
	left := 0
	for _, e := range leaves(err) {
		text, name := troubleText(e)
		t.named[name] = true
		t.unnamed = t.unnamed || name == ""
		if len(t.texts) < shownTroubles {
			t.texts = append(t.texts, clean(text))
		} else {
			left++
		}
	}
	if left > 0 {
		t.texts = append(t.texts, fmt.Sprintf("and %d more", left))
	}
	return t
}

func (t trouble) meets(name string) bool { return t.unnamed || t.named[name] }

// troubleText is what may be told of err, and which credential it is about. Only the texts of errors that promise to hold no secret
// are told.
func troubleText(err error) (text, credential string) {
	var own *rotation.Error
	var public rotation.PublicError
	switch {
	case errors.As(err, &own):
		return strings.TrimPrefix(own.Error(), "rotation: "), own.Credential
	case errors.As(err, &public):
		return public.Public(), ""
	default:
		return "where some credentials stand could not be read", ""
	}
}

// leaves are the errors that err joins.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	if _, own := err.(*rotation.Error); own {
		return []error{err}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e)...)
	}
	return out
}
