// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a Verifier.
type Config struct {
	// Scheme of the sender. Required.
	Scheme *Scheme
	// Secrets, newest first. None yet: everything is refused with ErrNoSecret until Set.
	Secrets []Secret
	// URL is the public URL of the endpoint, for schemes that sign one, and required there: what a request says about its own
	// host is for its sender, or a proxy, to choose. It has no query, which is always the request's. With a path the sender's
	// path is that one; without, it is the request's.
	URL string
	// Tolerance is how far the signed time may be from now, both ways. Zero: the scheme's, 5 minutes as a rule. It is an
	// error where no time is signed.
	Tolerance time.Duration
	// MaxBody is the longest body in bytes. Zero: 1 MiB.
	MaxBody int64
	// Replay remembers deliveries, so that each verifies once. Nil: they may repeat. It is an error where nothing is signed.
	// If it fails, the delivery is refused with ErrReplayStore. NewReplayCache is one process's; module webhook/redisreplay
	// has one that replicas share. Where a scheme signs neither time nor id, two deliveries of the same body are one: a sender
	// whose test deliveries are all alike cannot show with a second one which secret it uses.
	Replay Replay
	// ReplayFor is how long Replay remembers. Zero: twice the tolerance, after which a repetition is stale; where no time is
	// signed 24 hours, after which a repetition verifies again.
	ReplayFor time.Duration
	// Name tells the senders of one scheme apart where they share Replay. Empty: the scheme's.
	Name string
	// Observe sees the outcome of every delivery: metrics, which secret matched. It is called by the goroutine that verifies,
	// so it must not block.
	Observe func(Match, error)
}

// Match says what verified.
type Match struct {
	SecretID  string
	MessageID string    // zero where the scheme signs none
	SignedAt  time.Time // zero where the scheme signs no time

	replay string // what Replay knows the delivery as
}

// Verifier checks deliveries against a set of secrets. It is safe for concurrent use. A verification reads the set once and
// takes no lock: while Set runs, each delivery meets the old set or the new one, and never parts of both.
type Verifier struct {
	scheme    *Scheme
	tolerance time.Duration
	maxBody   int64
	url       publicURL
	replay    Replay
	replayFor time.Duration
	name      string
	observe   func(Match, error)
	least     int // bytes of a secret
	started   time.Time

	mu  sync.Mutex // of Set
	set atomic.Pointer[set]
}

const defaultMaxBody = 1 << 20

// NewVerifier refuses secrets that are short, malformed, nameless or there twice, and a Config that contradicts its scheme.
// The errors name the field or the secret, and hold nothing of its value. With no secrets at all, or nil, the Verifier begins
// empty; with nothing but zero Values it is an error.
func NewVerifier(c Config) (*Verifier, error) { return newVerifier(c, leastSecret) }

// newVerifier takes the least number of bytes of a secret: the vectors that senders publish have short ones.
func newVerifier(c Config, least int) (*Verifier, error) {
	if c.Scheme == nil {
		return nil, errors.New("webhook: Config.Scheme is required")
	}
	if c.Scheme.name == "" {
		return nil, errors.New("webhook: Config.Scheme is none: NewScheme makes one")
	}
	v := &Verifier{
		scheme: c.Scheme, tolerance: c.Tolerance, maxBody: c.MaxBody, replay: c.Replay, replayFor: c.ReplayFor,
		name: c.Name, observe: c.Observe, least: least, started: time.Now(),
	}
	if err := errors.Join(
		c.Scheme.config.Algorithm.probeScheme(), v.setURL(c.URL), v.setTolerance(), v.setMaxBody(), v.setReplay(),
	); err != nil {
		return nil, err
	}
	if len(c.Secrets) > 0 {
		if err := v.Set(c.Secrets...); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func wrongConfig(field, format string, args ...any) error {
	return fmt.Errorf("webhook: Config.%s: %s", field, fmt.Sprintf(format, args...))
}

func (v *Verifier) setTolerance() error {
	switch {
	case v.tolerance < 0:
		return wrongConfig("Tolerance", "is negative")
	case v.tolerance > 0 && !v.scheme.timed:
		return wrongConfig("Tolerance", "is set, and scheme %s signs no time", v.scheme)
	}
	if v.tolerance == 0 && v.scheme.timed {
		v.tolerance = cmp.Or(v.scheme.config.Tolerance, defaultTolerance)
	}
	return nil
}

func (v *Verifier) setMaxBody() error {
	if v.maxBody == 0 {
		v.maxBody = defaultMaxBody
	}
	if v.maxBody < 0 {
		return wrongConfig("MaxBody", "is negative")
	}
	return nil
}

// Set replaces the secrets, newest first: all of them or, with an error, none. A secret that stays, with its ID and its value,
// keeps its Usage.
func (v *Verifier) Set(secrets ...Secret) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	next, err := v.scheme.newSet(v.set.Load(), secrets, v.least)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, sl := range next.slots {
		sl.usage.begin(now)
	}
	v.set.Store(next)
	return nil
}

// Verify checks a body that is already read. The names in h are as http.Header.Set writes them. ctx is for Replay. Schemes that
// sign something of the request beside headers and body need VerifyRequest.
//
// The match comes without an error, and with ErrReplayed or ErrReplayStore, which say that the delivery is genuine but not new,
// or perhaps not. Where the scheme is an HMAC of body, time and id, Verify allocates nothing.
//
// Time and memory: what has no plausible signature is refused before anything is hashed; a forgery costs one pass over the
// body for each live secret. The secret that matched last is tried first and the first that matches ends it, so the time of a
// success tells whoever holds a valid signature which secret made it, which they knew. The time of a refusal tells nothing
// about any secret.
func (v *Verifier) Verify(ctx context.Context, h http.Header, body []byte) (m Match, err error) {
	var d delivery
	k, err := v.verify(ctx, &d, h, body)
	if k != nil {
		d.match(&m, k)
	}
	if v.observe != nil {
		v.observe(m, err)
	}
	return m, err
}

var errNeedsRequest = errors.New("webhook: the scheme signs more than headers and body: use VerifyRequest or Middleware")

// verify returns the key that matched: without an error, and with those of Replay.
func (v *Verifier) verify(ctx context.Context, d *delivery, h http.Header, body []byte) (*key, error) {
	if v.scheme.request {
		return nil, errNeedsRequest
	}
	if int64(len(body)) > v.maxBody {
		return nil, ErrTooLarge
	}
	current, err := v.open(d, h)
	if err != nil {
		return nil, err
	}
	return v.check(ctx, current, d, body)
}

// match sets m to what there is to say about a delivery that k has signed.
func (d *delivery) match(m *Match, k *key) {
	m.SecretID, m.MessageID, m.SignedAt, m.replay = k.id, d.id, d.at, d.replay
}

// open checks what can be checked before the body is known.
func (v *Verifier) open(d *delivery, h http.Header) (*set, error) {
	current := v.live(d)
	if current == nil {
		return nil, ErrNoSecret
	}
	return current, v.scheme.parse(d, h, v.tolerance)
}

// reopen checks what has changed with time since open.
func (v *Verifier) reopen(d *delivery) (*set, error) {
	current := v.live(d)
	switch {
	case current == nil:
		return nil, ErrNoSecret
	case d.stamp == "":
		return current, nil
	}
	return current, v.scheme.parseTime(d, v.tolerance)
}

// live returns the set, or nil if there is no secret in it that has not ended.
func (v *Verifier) live(d *delivery) *set {
	current := v.set.Load()
	if current == nil {
		return nil
	}
	if v.scheme.timed || current.ends {
		d.now = time.Now()
		if current.ends && !current.live(d.now) {
			return nil
		}
	}
	return current
}

// check checks the rest.
func (v *Verifier) check(ctx context.Context, current *set, d *delivery, body []byte) (*key, error) {
	k := v.scheme.find(current, d, body)
	if k == nil {
		return nil, ErrMismatch
	}
	if name := v.scheme.config.TimestampJSON; name != "" {
		var ok bool
		if d.stamp, ok = member(body, name); !ok {
			return nil, ErrMalformed
		}
		if err := v.scheme.parseTime(d, v.tolerance); err != nil {
			return nil, err
		}
	}
	if v.replay != nil {
		d.replay = v.replayID(d, body)
		if err := v.seen(ctx, d.replay); err != nil {
			return k, err
		}
	}
	k.usage.count(v.elapsed(d.now))
	return k, nil
}

// find returns the key that made one of d's signatures, or nil. A sender that signs with several secrets needs none of the older
// ones: then the newest that matches counts, or the older would look needed for as long as both sign.
func (s *Scheme) find(current *set, d *delivery, body []byte) *key {
	recent := 0
	if d.count == 1 {
		recent = int(current.recent.Load())
	}
	if current.matches(s, recent, d, body) {
		return current.slots[recent].key
	}
	for i := range current.slots {
		if i != recent && current.matches(s, i, d, body) {
			current.recent.Store(int32(i))
			return current.slots[i].key
		}
	}
	return nil
}

func (n *set) matches(s *Scheme, i int, d *delivery, body []byte) bool {
	sl := &n.slots[i]
	if n.ends && sl.ended(d.now) {
		return false
	}
	if sl.public == nil && s.config.Algorithm == Token {
		sum := sha256.Sum256([]byte(d.candidates[0]))
		return subtle.ConstantTimeCompare(sum[:], sl.token[:]) == 1
	}
	if !d.has(sl.public != nil) {
		return false
	}
	st := sl.get()
	var ok bool
	if sl.public != nil {
		s.join(st, d, body)
		ok = s.verifyPublic(sl.key, st, d)
	} else {
		ok = s.verifyMAC(st, d, body)
	}
	sl.put(st)
	return ok
}

// has reports whether there is a candidate of that kind: a key of the other kind has nothing to do.
func (d *delivery) has(public bool) bool {
	if public {
		return d.public != 0
	}
	return d.public != 1<<d.count-1
}

// verifyMAC compares with all candidates, as text: there is one text for one MAC.
func (s *Scheme) verifyMAC(st *state, d *delivery, body []byte) bool {
	mac := s.authenticate(st, d, body)
	isHex, found := s.config.Encoding == Hex, false
	var text []byte
	if !isHex {
		text = s.config.Encoding.append(st.text[:0], mac)
	}
	for i, candidate := range d.candidates[:d.count] {
		switch {
		case d.isPublic(i):
		case isHex && sameHex(mac, candidate), !isHex && same(text, candidate):
			found = true
		}
	}
	return found
}
