// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"slices"
	"sync"
	"time"
)

// Config of a Rotator.
type Config struct {
	Journal     Journal      // required
	Store       SecretStore  // for credentials that name none
	Policy      Policy       // for fields that credentials leave zero
	Credentials []Credential // more can be given to Register
	Sinks       []Sink       // audit trail, notifications
	Discoverers []Discoverer // compared with the bindings by Inspect
	Logger      *slog.Logger // nil: slog.Default()
	Actor       string       // who acts, unless WithActor says; empty: user@host
	Parallel    int          // credentials advanced at the same time by Run and Sweep; zero: 8

	Lease       time.Duration // how long a process that died keeps others out; zero: 30 s. Longer than CallTimeout
	CallTimeout time.Duration // of one call to an issuer, store, consumer, verifier, sink; zero: 10 s
	IssueLimit  time.Duration // an emergency that issues before it revokes gives up issuing after this, and does not end before; zero: 30 s
	ClockSkew   time.Duration // between any two clocks of this system; zero: 5 s, negative: none
	Check       time.Duration // how often a credential is looked at, at rest, in a rotation or under a hold, see Status.CheckedAt; zero: 24 h, negative: never
}

// Rotator drives rotations. It is safe for concurrent use, and any number of them may share a Journal: a credential is
// driven by one at a time.
type Rotator struct {
	cfg Config

	mu           sync.Mutex
	registered   map[string]*registration // guarded by mu
	roster       *roster                  // guarded by mu; nil: registered has changed since it was made
	calendars    map[string]*calendar     // guarded by mu: by the texts of their windows and blackouts
	unseen       map[string]bool          // guarded by mu: registered since the last Sweep
	resting      map[string]time.Time     // guarded by mu: could not even be recorded; not looked at before
	sightings    map[string]sighting      // guarded by mu: leases of others, as first seen
	unrecorded   map[string][]late        // guarded by mu: emergencies that no journal took yet, by credential
	untold       map[string]time.Time     // guarded by mu: webhooks whose receivers were told something without a record, and until when that can land
	installation string                   // guarded by mu: of the journal; empty: not read yet
	wake         chan struct{}            // one token: Run has something new to look at
}

// New checks cfg and returns a Rotator. It does no I/O. The error joins every mistake found, each naming its field.
func New(cfg Config) (*Rotator, error) {
	var errs []error
	if isNil(cfg.Journal) {
		errs = append(errs, errors.New("rotation: Config.Journal is required"))
	} else {
		if c, ok := As[Conditional](cfg.Journal); ok && !c.Conditional() {
			errs = append(errs, errors.New("rotation: Config.Journal: it lies in a store that does not compare revisions, so two processes could drive one rotation"))
		}
		errs = append(errs, validate("Config.Journal", cfg.Journal))
	}
	for i, s := range cfg.Sinks {
		field := fmt.Sprintf("Config.Sinks[%d]", i)
		if isNil(s) {
			errs = append(errs, fmt.Errorf("rotation: %s is nil", field))
			continue
		}
		errs = append(errs, validate(field, s))
	}
	for i, d := range cfg.Discoverers {
		if isNil(d) {
			errs = append(errs, fmt.Errorf("rotation: Config.Discoverers[%d] is nil", i))
		}
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	cfg.Actor = cmp.Or(cfg.Actor, processActor())
	cfg.Parallel = cmp.Or(cfg.Parallel, 8)
	cfg.Lease = cmp.Or(cfg.Lease, 30*time.Second)
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, 10*time.Second)
	cfg.Check = max(cmp.Or(cfg.Check, day), 0)
	cfg.IssueLimit = cmp.Or(cfg.IssueLimit, 30*time.Second)
	cfg.ClockSkew = orNone(cfg.ClockSkew, 5*time.Second)
	if cfg.Parallel < 0 {
		errs = append(errs, fmt.Errorf("rotation: Config.Parallel is %d; at least one credential has to be advanced at a time", cfg.Parallel))
	}
	if cfg.CallTimeout < 0 || cfg.IssueLimit < 0 {
		errs = append(errs, errors.New("rotation: Config.CallTimeout and Config.IssueLimit cannot be negative: a call without an end would never be given up"))
	}
	if cfg.Lease <= cfg.CallTimeout {
		errs = append(errs, fmt.Errorf("rotation: Config.Lease (%v) has to be longer than Config.CallTimeout (%v): a call ends before the lease it was begun under", cfg.Lease, cfg.CallTimeout))
	}
	r := &Rotator{
		cfg:        cfg,
		registered: map[string]*registration{},
		calendars:  map[string]*calendar{},
		unseen:     map[string]bool{},
		resting:    map[string]time.Time{},
		sightings:  map[string]sighting{},
		unrecorded: map[string][]late{},
		wake:       make(chan struct{}, 1),
	}
	errs = append(errs, r.Register(cfg.Credentials...))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// Register adds or replaces credentials, all or none. Replacing one never rotates it. The error joins every mistake
// found, each naming its field.
func (r *Rotator) Register(cs ...Credential) error {
	var errs []error
	fresh := map[string]*registration{}
	for i, c := range cs {
		reg, err := r.resolve(c)
		if c.Name == "" {
			err = errors.Join(fmt.Errorf("rotation: Credentials[%d].Name is required", i), err)
		} else if fresh[c.Name] != nil {
			err = errors.Join(fmt.Errorf("rotation: %s: Name is given to two credentials", c.Name), err)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fresh[c.Name] = reg
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, reg := range fresh {
		r.registered[name] = reg
		r.unseen[name] = true
	}
	r.roster = nil
	r.nudge()
	return nil
}

// Credentials returns the inventory, by name.
func (r *Rotator) Credentials() []Credential {
	r.mu.Lock()
	defer r.mu.Unlock()
	cs := make([]Credential, 0, len(r.registered))
	for _, name := range r.ordered().names {
		cs = append(cs, r.registered[name].given)
	}
	return cs
}

// Remove forgets definitions; what was begun stays in the journal until the name is registered again.
func (r *Rotator) Remove(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		delete(r.registered, name)
		delete(r.unseen, name)
	}
	r.roster = nil
}

// registration returns the definition of name.
func (r *Rotator) registration(name string) (*registration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reg := r.registered[name]; reg != nil {
		return reg, nil
	}
	return nil, &Error{Credential: name, Evidence: "no such credential is registered", Action: "register it", Err: ErrNotFound}
}

// roster is the inventory in order. It is never changed, only made anew: whoever has got it may read it without the lock.
type roster struct {
	names   []string            // sorted
	watched []string            // they and the entry of the incidents, sorted: what a Sweep asks the journal for
	groups  map[string][]string // names with a binding of the group, sorted
}

// ordered returns the roster. The caller has the lock.
func (r *Rotator) ordered() *roster {
	if r.roster != nil {
		return r.roster
	}
	r.roster = &roster{names: slices.Sorted(maps.Keys(r.registered)), groups: map[string][]string{}}
	r.roster.watched = slices.Sorted(slices.Values(append(slices.Clone(r.roster.names), pendingName)))
	for _, name := range r.roster.names {
		for _, b := range r.registered[name].Bindings {
			if b.Group != "" { // a group is given to one binding of a credential
				r.roster.groups[b.Group] = append(r.roster.groups[b.Group], name)
			}
		}
	}
	return r.roster
}

// names returns the registered names, sorted. They are not the caller's to change.
func (r *Rotator) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ordered().names
}

// nudge makes a sleeping Run look again.
func (r *Rotator) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

type actorKey struct{}

// WithActor returns a context that says who asks: it is recorded with whatever is called under it.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// actor is who asks under ctx.
func (r *Rotator) actor(ctx context.Context) string {
	if a, ok := ctx.Value(actorKey{}).(string); ok && a != "" {
		return a
	}
	return r.cfg.Actor
}

func processActor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return name + "@" + host
}
