// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Alerts reports whether a person has to act on e, or to be ready to: everything of level Warn and Error, what failed, what
// waits for a person, a key that is not proven dead, a roll-back, and the beginning of an emergency.
func Alerts(e rotation.Event) bool {
	switch e.Kind {
	case rotation.EventFailed, rotation.EventWaiting, rotation.EventDebt, rotation.EventRollBack:
		return true
	case rotation.EventBegan:
		return e.Strategy == rotation.Emergency || e.Level >= slog.LevelWarn
	}
	return e.Level >= slog.LevelWarn
}

// Outcomes reports whether e is the end of a rotation: what to tell those who only want to know that it was done, by whom and
// when.
func Outcomes(e rotation.Event) bool { return e.Kind == rotation.EventEnded }

// If returns a Sink that passes to sink what keep is true for, and takes everything else. It has sink's identity. Both are
// required, which rotation.New checks. keep may be called by several goroutines at a time.
func If(sink rotation.Sink, keep func(rotation.Event) bool) rotation.Sink { return &filter{sink, keep} }

type filter struct {
	sink rotation.Sink
	keep func(rotation.Event) bool
}

func (f *filter) Deliver(ctx context.Context, e rotation.Event) error {
	if err := f.own(); err != nil {
		return err
	}
	if !f.keep(e) {
		return nil
	}
	return f.sink.Deliver(ctx, e)
}

func (f *filter) Unwrap() rotation.Sink { return f.sink }

func (f *filter) own() error {
	var sink, keep error
	if f.sink == nil {
		sink = wire.Problem("notify: If: sink is required")
	}
	if f.keep == nil {
		keep = wire.Problem("notify: If: keep is required")
	}
	return errors.Join(sink, keep)
}

func (f *filter) Validate() error { return errors.Join(f.own(), validate(f.sink)) }

// validate asks a sink for its own mistakes.
func validate(s rotation.Sink) error {
	if v, ok := rotation.As[rotation.Validator](s); ok {
		return v.Validate()
	}
	return nil
}

// Route says which events go where.
type Route struct {
	Contact string                    // Credential.Contact, compared as it is; empty: everybody's, and events without one
	Level   slog.Level                // the least; zero is slog.LevelInfo, which is everything
	Keep    func(rotation.Event) bool // a further condition, such as Alerts; nil: none
	To      []string                  // required: names of Router.Sinks
}

func (r *Route) takes(e rotation.Event) bool {
	return (r.Contact == "" || r.Contact == e.Contact) && e.Level >= r.Level && (r.Keep == nil || r.Keep(e))
}

// Router decides who is told of what. It is filled in, and its All goes into rotation.Config.Sinks. The zero Router is not
// valid.
type Router struct {
	Sinks  map[string]rotation.Sink // required: the destinations, by a name of your own that does not change
	Routes []Route                  // an event goes to every destination that one of them leads it to, once

	// Default is required, and has no Contact: it takes what no route with a Contact takes, such as the events of a credential whose
	// contact is misspelt, has left, or was never said; routes without one, to a trail or a pager, go beside it. With Level
	// slog.LevelWarn no warning is lost, and routine goes nowhere.
	Default Route
}

// All returns one Sink for each destination, by name, so that one that fails is tried again alone. The identity of each is that
// of its destination and its name. The error joins every mistake, each naming its field.
func (r Router) All() ([]rotation.Sink, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	t := &routes{def: r.Default.clone()}
	for _, route := range r.Routes {
		t.list = append(t.list, route.clone())
	}
	var all []rotation.Sink
	for _, name := range slices.Sorted(maps.Keys(r.Sinks)) {
		all = append(all, &routed{r.Sinks[name], name, t})
	}
	return all, nil
}

func (r Route) clone() Route {
	r.To = slices.Clone(r.To)
	return r
}

// Validate names every field that is missing or wrong, of the destinations too. It does no I/O.
func (r Router) Validate() error {
	var errs []error
	mistake := func(format string, args ...any) {
		errs = append(errs, wire.Problem("notify: Router."+fmt.Sprintf(format, args...)))
	}
	if len(r.Sinks) == 0 {
		mistake("Sinks is required")
	}
	led := map[string]bool{}
	leads := func(field string, route Route) {
		if len(route.To) == 0 {
			mistake("%s.To is required", field)
		}
		for _, name := range route.To {
			led[name] = true
			if _, ok := r.Sinks[name]; !ok {
				mistake("%s.To names %q, which is not in Sinks", field, name)
			}
		}
	}
	for i, route := range r.Routes {
		leads(fmt.Sprintf("Routes[%d]", i), route)
	}
	leads("Default", r.Default)
	if r.Default.Contact != "" {
		mistake("Default.Contact has to be empty: it takes what no route with a Contact takes")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sinks)) {
		switch s := r.Sinks[name]; {
		case s == nil:
			mistake("Sinks[%q] is nil", name)
		case !led[name]:
			mistake("Sinks[%q]: no route leads there", name)
		default:
			if err := validate(s); err != nil {
				errs = append(errs, fmt.Errorf("notify: Router.Sinks[%q]: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// routes is what the destinations of one Router share. It is not changed any more.
type routes struct {
	list []Route
	def  Route
}

func (t *routes) lead(e rotation.Event, name string) bool {
	taken := false
	for i := range t.list {
		if r := &t.list[i]; r.takes(e) {
			taken = taken || r.Contact != ""
			if slices.Contains(r.To, name) {
				return true
			}
		}
	}
	return !taken && t.def.takes(e) && slices.Contains(t.def.To, name)
}

// routed is one destination of a Router.
type routed struct {
	sink   rotation.Sink
	name   string
	routes *routes
}

func (d *routed) Deliver(ctx context.Context, e rotation.Event) error {
	if !d.routes.lead(e, d.name) {
		return nil
	}
	return d.sink.Deliver(ctx, e)
}

func (d *routed) Unwrap() rotation.Sink { return d.sink }

// Identity tells two destinations on one host apart.
func (d *routed) Identity() string {
	if id, ok := rotation.As[rotation.Identifier](d.sink); ok {
		return id.Identity() + " as " + d.name
	}
	return fmt.Sprintf("%T as %s", d.sink, d.name)
}
