// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// universe is one schedule: the world as it is, whatever processes believe.
type universe struct {
	sim   Simulation
	plot  plot
	fault fault
	World
	pace pace

	issuer     rotation.Issuer
	verifier   rotation.Verifier
	journal    rotation.Journal
	traits     rotation.Traits
	presenters []*presenter
	strangers  map[string]bool // ids that were listed before the first key was made
	began      time.Time
	work       sync.WaitGroup // what runs besides the processes
	looking    chan struct{}  // one look at the presenters at a time; a mutex would keep a bubble's clock from going on
	late       chan struct{}  // closed when what is held up may land
	landing    sync.WaitGroup // what is held up
	dropped    atomic.Bool    // it never lands
	calls      []call         // of the first process
	said       transcript
	writes     atomic.Int64 // calls of Save that began, and that ended

	mu       sync.Mutex                   // guards the fields below
	made     []rotation.Key               // every key that was made, with its value
	excused  map[digest]bool              // keys that may die under whoever holds them
	declared bool                         // the emergency
	versions map[string]rotation.Versions // what the store said it saved; absent: not known
	saved    map[string]int64             // the revisions that the journal said it saved; absent: not known
	trace    []string
	broken   []string
	until    int // so many lines of trace when the first law was broken
	persons  int
	skipped  string
}

// pace are the times of a schedule.
type pace struct {
	overlap, quiet, lag, look, patience time.Duration
	call, lease, skew, nap, limit       time.Duration
}

func (s Simulation) pace() pace {
	if !s.RealClock {
		return pace{
			overlap: time.Second, quiet: time.Second, lag: 8 * time.Second, look: 6 * time.Second, patience: 12 * time.Second,
			call: 10 * time.Second, lease: 30 * time.Second, skew: 5 * time.Second, nap: time.Second, limit: 60 * 24 * time.Hour,
		}
	}
	call := cmp.Or(s.CallTimeout, 250*time.Millisecond)
	return pace{
		overlap: 100 * time.Millisecond, quiet: 50 * time.Millisecond, look: 10 * time.Millisecond, patience: 4 * call,
		call: call, lease: call + call/5, skew: call, nap: call / 50, limit: 2 * time.Minute,
	}
}

func newUniverse(s Simulation, p plot, f fault) *universe {
	return &universe{
		sim: s, plot: p, fault: f, pace: s.pace(), began: time.Now(),
		World:   World{Credential: "handover-simulation-" + strings.ToLower(rand.Text()[:10])},
		looking: make(chan struct{}, 1), late: make(chan struct{}), strangers: map[string]bool{},
		excused:  map[digest]bool{},
		versions: map[string]rotation.Versions{}, saved: map[string]int64{},
	}
}

// know remembers a key by its value, and what is told of it later.
func (u *universe) know(key rotation.Key) {
	if key.Secret.IsZero() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, k := range u.made {
		if k.Secret.Equal(key.Secret) {
			u.made[i].Serial = cmp.Or(key.Serial, k.Serial)
			u.made[i].Generation = cmp.Or(key.Generation, k.Generation)
			u.made[i].ID = cmp.Or(k.ID, key.ID)
			return
		}
	}
	u.made = append(u.made, key)
}

// keys are all that were made.
func (u *universe) keys() []rotation.Key {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.made)
}

// whole finds the value of a key of which only something is known.
func (u *universe) whole(key rotation.Key) (rotation.Key, bool) {
	for _, k := range slices.Backward(u.keys()) {
		same := false
		switch {
		case !key.Secret.IsZero():
			same = k.Secret.Equal(key.Secret)
		case key.Serial != 0 && k.Serial != 0:
			same = k.Serial == key.Serial
		case key.Name != "" && k.Name != "":
			same = k.Name == key.Name
		case key.ID != "":
			same = k.ID == key.ID && (key.Generation == 0 || key.Generation == k.Generation)
		default:
			same = key.Generation != 0 && k.Generation == key.Generation
		}
		if same {
			return k, true
		}
	}
	return key, !key.Secret.IsZero()
}

// excuse lets every key that was made die under whoever holds it, but for one that was chosen and is not issued yet.
func (u *universe) excuse(but rotation.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range u.made {
		if !k.Secret.Equal(but.Secret) {
			u.excused[digestOf(k.Secret)] = true
		}
	}
}

func (u *universe) isExcused(key rotation.Key) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.excused[digestOf(key.Secret)]
}

// note adds a line to the trace.
func (u *universe) note(line string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := "+" + time.Since(u.began).Round(time.Millisecond).String()
	u.trace = append(u.trace, fmt.Sprintf("%-13s %s", at, line))
}

// violate takes down that a law was broken. Later ones are mostly its consequences.
func (u *universe) violate(law, format string, args ...any) {
	text := law + ": " + fmt.Sprintf(format, args...)
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.broken) == 0 {
		u.until = len(u.trace)
	}
	if len(u.broken) < 4 && !slices.Contains(u.broken, text) {
		u.broken = append(u.broken, text)
	}
}

func (u *universe) isBroken() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.broken) > 0
}

// safe is the text of an error, or a substitute if it shows a value.
func (u *universe) safe(err error) string {
	if leaks(err, u.secrets()) {
		return "an error that carries a secret; its text is withheld"
	}
	return err.Error()
}

func (u *universe) secrets() []secret.Value {
	var all []secret.Value
	for _, k := range u.keys() {
		all = append(all, k.Secret)
	}
	return all
}

func (u *universe) result() run {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := run{calls: u.calls, plot: u.plot, fault: u.fault, broken: u.broken, persons: u.persons, skipped: u.skipped, trace: u.trace}
	if len(u.broken) > 0 {
		r.trace = u.trace[:u.until]
	}
	return r
}

// transcript is everything that processes said. It is an io.Writer for a logger.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// shows reports whether one of the values is in it.
func (t *transcript) shows(s secret.Value) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(forms(s.Reveal()), func(form string) bool { return bytes.Contains(t.text.Bytes(), []byte(form)) })
}
