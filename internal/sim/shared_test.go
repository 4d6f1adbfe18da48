// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// A consumer that two credentials share is one process, which reads both keys from their stores when it starts.

// group is the name under which both credentials register it, and groupEntries what the journal's entries of groups begin with.
const (
	group        = "front"
	groupEntries = "handover/group/"
)

func (s *service) group() string {
	if s.kind == Shared {
		return group
	}
	return ""
}

// with makes a service the same process as that of another credential.
func (s *service) with(first *World) {
	for _, other := range first.services {
		if other.kind == Shared {
			s.partner, other.partner, s.main = other, s, other
		}
	}
}

// restartShared replaces one instance after the other: each reads both keys. The caller holds the lock.
func (s *service) restartShared(id string) error {
	main := s
	if s.main != nil {
		main = s.main
	}
	if s.done[id] {
		return nil
	}
	if !main.restarts[id] {
		main.restarts[id] = true
		main.w.oracle.restarted(s.w, id)
		for n := range s.instances {
			s.w.in(time.Duration(n+1)*2*time.Second, func() {
				for _, reads := range []*service{main, main.partner} {
					if k := reads.current(reads.instances[n].name); !k.Secret.IsZero() && !reads.hidden {
						reads.hold(reads.instances[n], k)
					}
				}
				if n == len(s.instances)-1 {
					clear(s.done) // of this credential: what the other one asked for is known apart from it
					s.done[id] = true
					delete(main.restarts, id)
				}
			})
		}
	}
	return fmt.Errorf("restarting: %w", rotation.ErrNotYet)
}

// restarted is a restart of the shared consumer that a rotation of one of the credentials has asked for.
func (o *oracle) restarted(by *World, id string) {
	run := by.record().Run
	standard := run != nil && run.Strategy == rotation.Standard && !run.NoOverlap && !by.emergency
	last := o.policy.restartAt
	by.tell("%s is restarted", group)
	if !standard {
		return
	}
	o.policy.restarts++
	o.policy.restartAt = time.Now()
	strange := by.meddled || by.twin.meddled || by.oracle.lateDone(opDeploy) || by.twin.oracle.lateDone(opDeploy)
	if ago := time.Since(last); !last.IsZero() && ago < by.setting.Policy.MinInterval-2*clockSkew && !strange {
		o.broken("law of groups", "%s is restarted by %s (%s), %v after its last restart", group, by.name, id, ago)
	}
}

// of is the world of a credential, or the first.
func (w *World) of(name string) *World {
	if w.twin != nil && w.twin.name == name {
		return w.twin
	}
	return w
}

// through is closed when the scripts of all credentials are through.
func (w *World) through() <-chan struct{} {
	if w.twin == nil {
		return w.end
	}
	both := make(chan struct{})
	go func() {
		defer close(both)
		stop := time.NewTimer(horizon)
		defer stop.Stop()
		for _, end := range []chan struct{}{w.end, w.twin.end} {
			select {
			case <-end:
			case <-stop.C:
				stop.Reset(0)
			}
		}
	}()
	return both
}
