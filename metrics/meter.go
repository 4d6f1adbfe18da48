// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Source tells where credentials stand. A *rotation.Rotator is one, and reads its journal for it. List is safe for
// concurrent use and ends when its context does.
type Source interface {
	List(ctx context.Context) ([]rotation.Status, error)
}

var _ Source = (*rotation.Rotator)(nil)

// Config of a Meter. Its zero value is good.
type Config struct {
	Fresh   time.Duration // how long a reading serves; zero: 5 s, negative: it is never used again
	Timeout time.Duration // of one reading; zero: 5 s, half of what Prometheus waits for a scrape
	DueSoon time.Duration // a credential is due-soon this long before it is due; zero: 72 h, negative: never
	Repeats int           // events that are remembered, so that a repetition is known; zero: 4096
}

// Meter measures. It is safe for concurrent use; New makes one.
type Meter struct {
	cfg  Config
	turn chan struct{} // holds a token while somebody reads: the others wait for the same answer

	mu     sync.Mutex
	source Source   // guarded by mu
	watch  int      // guarded by mu: how often source was changed
	last   Reading  // guarded by mu
	seen   repeated // guarded by mu
}

// New returns a Meter, or an error that names every field of cfg that is wrong.
func New(cfg Config) (*Meter, error) {
	if cfg.Fresh == 0 {
		cfg.Fresh = 5 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.DueSoon == 0 {
		cfg.DueSoon = 72 * time.Hour
	}
	if cfg.Repeats == 0 {
		cfg.Repeats = 4096
	}
	var errs []error
	if cfg.Timeout < 0 {
		errs = append(errs, errors.New("metrics: Config.Timeout is negative: a reading without an end would hold up a scrape"))
	}
	if cfg.Repeats < 0 {
		errs = append(errs, errors.New("metrics: Config.Repeats is negative: events come at least once, so some have to be remembered"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Meter{cfg: cfg, turn: make(chan struct{}, 1)}, nil
}

// Watch says where to read. It comes after New because a rotation.Rotator is made with its sinks. Before Watch, Read is empty.
// Watch(nil) ends it.
func (m *Meter) Watch(s Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.source, m.last = s, Reading{}
	m.watch++
}

func (m *Meter) watched() (s Source, watch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.source, m.watch
}

// Reading is where the credentials of a Source stood at one moment.
type Reading struct {
	At          time.Time     // zero: nothing is watched
	Took        time.Duration // to read
	Credentials []Credential  // by name
	Err         error         // joins what could not be read; it may hold text that is no label
}

// Read reads the Source, or returns the reading of up to Config.Fresh ago. It blocks for Config.Timeout at most, and no longer
// than ctx. After a failure Credentials holds what could be read. The slices and maps of a Reading are shared: they are not to
// be changed.
func (m *Meter) Read(ctx context.Context) Reading {
	if source, _ := m.watched(); source == nil {
		return Reading{}
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-limited.Done():
		return Reading{At: began, Took: time.Since(began), Err: limited.Err()}
	}
	if r, ok := m.recent(); ok {
		return r
	}
	source, watch := m.watched() // it may have changed meanwhile
	if source == nil {
		return Reading{}
	}
	statuses, err := source.List(limited)
	r := Reading{At: time.Now(), Err: err}
	r.Took = r.At.Sub(began)
	lost := named(err)
	for _, s := range statuses {
		r.Credentials = append(r.Credentials, m.credential(s, r.At, lost[s.Credential]))
	}
	if ctx.Err() == nil { // else it failed for this caller, perhaps, and not for the next
		m.keep(watch, r)
	}
	return r
}

func (m *Meter) recent() (Reading, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, !m.last.At.IsZero() && time.Since(m.last.At) < m.cfg.Fresh
}

func (m *Meter) keep(watch int, r Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watch == watch {
		m.last = r
	}
}

// named are the credentials that an error of List is about.
func named(err error) map[string]bool {
	names := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case *rotation.Error:
			names[e.Credential] = true
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	return names
}
