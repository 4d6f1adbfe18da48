// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// service is something that uses the credential all the time, with one or more instances.
type service struct {
	w      *World
	name   string
	kind   Kind
	hidden bool // not in the inventory (yet, or any more), and nobody's business
	left   bool // not in the inventory any more, although it was told a key and goes on

	brittle   bool            // it breaks with every key but the first
	instances []*instance     // guarded by w.mu, like all that follows
	done      map[string]bool // ids of deployments that are done
	restarts  map[string]bool // ids of those under way
	asked     []string        // ids of all that were asked for
	partner   *service        // the same process, as the other credential knows it
	main      *service        // of the two the one that counts its restarts; nil: this one
}

// instance is one running copy. It presents its key at an edge of its own.
type instance struct {
	name string
	edge int
	key  rotation.Key
	at   time.Time // since when
	late bool      // a reader that looks at the store as rarely as it may
	due  bool      // a look is under way
	idle bool      // between two runs of a job
}

func newService(w *World, i int, kind Kind) *service {
	s := &service{w: w, name: fmt.Sprintf("%s%d", kind, i), kind: kind, done: map[string]bool{}, restarts: map[string]bool{}}
	copies := 1
	if kind == Reader || kind == Restart || kind == Shared {
		copies = 2
	}
	for n := range copies {
		s.instances = append(s.instances, &instance{name: fmt.Sprintf("%s/%d", s.name, n), edge: n + i, late: n == 1})
	}
	return s
}

// readsCurrent reports whether it takes what is current in the store, so that it cannot be a canary.
func (s *service) readsCurrent() bool {
	return s.kind == Restart || s.kind == Reader || s.kind == Job || s.kind == Shared
}

// hold makes an instance use a key from now on. The caller holds the lock.
func (s *service) hold(i *instance, k rotation.Key) {
	p, now := s.w.provider, time.Now()
	if i.key.Secret.Equal(k.Secret) && !i.key.Secret.IsZero() {
		i.key = k
		return
	}
	s.drop(i)
	i.key, i.at = k, now
	if m := p.byValue(k.Secret); m != nil {
		p.uses = append(p.uses, use{id: m.key.ID + m.key.Attributes["held"], from: now})
		s.w.oracle.presented[m] = true
	}
	s.w.look(i.name + " uses " + k.String())
}

// drop ends the use of what an instance holds. The caller holds the lock.
func (s *service) drop(i *instance) {
	p := s.w.provider
	m := p.byValue(i.key.Secret)
	if m == nil {
		return
	}
	for n, u := range p.uses {
		if u.id == m.key.ID+m.key.Attributes["held"] && u.from.Equal(i.at) && u.to.IsZero() && !u.probe {
			p.uses[n].to = time.Now()
			return
		}
	}
}

// leave ends a service for good. The caller holds the lock.
func (s *service) leave() {
	s.hidden = true
	for _, i := range s.instances {
		s.drop(i)
	}
}

// current is what the store serves; a service that starts and finds nothing is down. The caller holds the lock.
func (s *service) current(who string) rotation.Key {
	k := s.w.vault.served()
	if k.Secret.IsZero() && !s.w.emergency && !s.w.atOnce { // nor where a person has put a dead key there
		s.w.oracle.broken("law 3", "%s starts, and the store serves no key", who)
	}
	return k
}

// seed gives every instance the first key.
func (s *service) seed(k rotation.Key) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, i := range s.instances {
		s.hold(i, k)
	}
}

// deploy is what reaches the service of a deployment.
func (s *service) deploy(req rotation.DeployRequest) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch s.kind {
	case Pushed, Blind:
		if req.Key.Secret.IsZero() {
			return errors.New("no value to use")
		}
		s.hold(s.instances[0], req.Key)
	case Caching:
		s.w.in(s.kind.lag()-time.Second, func() { s.hold(s.instances[0], req.Key) })
	case Restart:
		return s.restart(req.ID)
	case Shared:
		return s.restartShared(req.ID)
	}
	return nil
}

// restart replaces one instance after the other. The same request again does nothing.
func (s *service) restart(id string) error {
	if s.done[id] {
		return nil
	}
	if !s.restarts[id] {
		s.restarts[id] = true
		for n, i := range s.instances {
			s.w.in(time.Duration(n+1)*2*time.Second, func() {
				if k := s.current(i.name); !k.Secret.IsZero() {
					s.hold(i, k)
				}
				if n == len(s.instances)-1 {
					clear(s.done) // only the last one counts: a key may come back under its id
					s.done[id] = true
					delete(s.restarts, id)
				}
			})
		}
	}
	return fmt.Errorf("restarting: %w", rotation.ErrNotYet)
}

// storeChanged lets those look that look at the store by themselves. The caller holds the lock.
func (s *service) storeChanged() {
	if s.kind != Reader {
		return
	}
	for _, i := range s.instances {
		refresh := func() {
			i.due = false
			if k := s.w.vault.served(); !k.Secret.IsZero() {
				s.hold(i, k)
			}
		}
		if !i.late {
			refresh()
		} else if !i.due {
			i.due = true
			s.w.in(s.kind.lag()-time.Second, refresh)
		}
	}
}

// runJobs starts a run now and then. The caller holds the lock.
func (s *service) runJobs() {
	i := s.instances[0]
	i.idle = false
	if k := s.current(i.name); !k.Secret.IsZero() {
		s.hold(i, k)
	}
	s.w.in(jobRuns-time.Second, func() {
		s.drop(i)
		i.idle = true
	})
	s.w.in(jobEvery, s.runJobs)
}

// observe is what can be seen of the instances.
func (s *service) observe() []rotation.Instance {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var seen []rotation.Instance
	for _, i := range s.instances {
		k := i.key
		seen = append(seen, rotation.Instance{Name: i.name, AsOf: time.Now().UTC().Round(0), Key: rotation.Key{
			ID: k.ID, Serial: k.Serial, Generation: k.Generation, Name: k.Name,
		}})
	}
	return seen
}

// Verify asks whether every instance works with the key.
func (s *service) Verify(_ context.Context, k rotation.Key) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, i := range s.instances {
		if s.kind != Blind && !i.key.Secret.Equal(k.Secret) && !k.Secret.IsZero() {
			return fmt.Errorf("%s uses %v: %w", i.name, i.key, rotation.ErrNotYet)
		}
		if m := s.w.provider.byValue(i.key.Secret); s.brittle && m != nil && !m.first {
			return errors.New("crash loop " + answerText)
		}
		if err := s.w.provider.present(i.key, i.edge, false); err != nil {
			return err
		}
	}
	return nil
}
