// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one thing that goes wrong with a fake. Where several faults fit a call the first injected one counts. Err comes
// back as it is, so that errors.Is works. A fault that no call met is not an error by itself, though the test then tests less
// than it says: Unmet of each fake returns those, and a test ends with require.Empty of it.
type Fault struct {
	Op    string        // required: the method, "Issue"
	Call  int           // which call of Op, from 1, counted since the fake was made; zero: every one
	From  time.Time     // not before; zero: no limit
	Until time.Time     // not at or after; zero: no limit
	After bool          // the effect happens and its answer is lost; false: nothing happens
	Delay time.Duration // before the answer; a caller whose context ends first gets the context's error
	Err   error         // nil: a timeout, which matches context.DeadlineExceeded; with only a Delay: none, the call is slow
}

// slow reports whether the call succeeds, late. Its effect comes before the wait: a caller that gives up has lost the answer
// of something that happened, which is the harder case.
func (f Fault) slow() bool { return f.Err == nil && f.Delay > 0 && !f.After }

func (f Fault) fits(op string, call int, now time.Time) bool {
	return f.Op == op && (f.Call == 0 || f.Call == call) &&
		!now.Before(f.From) && (f.Until.IsZero() || now.Before(f.Until))
}

// err is what the caller gets.
func (f Fault) err() error {
	if f.Err == nil {
		return timeout{f.Op}
	}
	return f.Err
}

// timeout is the default error of a Fault: like an HTTP client's, it has Timeout and matches context.DeadlineExceeded.
type timeout struct{ op string }

func (e timeout) Error() string        { return "rotationtest: " + e.op + " timed out (injected)" }
func (e timeout) Timeout() bool        { return true }
func (e timeout) Is(target error) bool { return target == context.DeadlineExceeded }

// script counts the calls of one fake and holds its faults.
type script struct {
	mu     sync.Mutex // guards the fields below
	faults []Fault
	met    []bool // of faults
	calls  map[string]int
}

// inject adds f. A wrong Op would make a test pass that tests nothing, hence the panic.
func (s *script) inject(fake, ops string, f Fault) {
	known(fake, ops, f.Op)
	if f.Call < 0 || f.Delay < 0 {
		panic("rotationtest: " + fake + ": a Fault counts calls from 1 and its Delay is not negative")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.met = append(s.faults, f), append(s.met, false)
}

func (s *script) unmet() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []Fault
	for i, f := range s.faults {
		if !s.met[i] {
			left = append(left, f)
		}
	}
	return left
}

func (s *script) count(fake, ops, op string) int {
	known(fake, ops, op)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

func known(fake, ops, op string) {
	if !slices.Contains(strings.Fields(ops), op) {
		panic(fmt.Sprintf("rotationtest: %s has no %q; it has %s", fake, op, ops))
	}
}

// next counts a call of op and returns its fault, if there is one.
func (s *script) next(op string) (Fault, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = make(map[string]int)
	}
	s.calls[op]++
	for i, f := range s.faults {
		if f.fits(op, s.calls[op], now) {
			s.met[i] = true
			return f, true
		}
	}
	return Fault{}, false
}

// act is one call of a fake: its fault, if it has one, around its effect. A context that has ended prevents the effect.
func act[T any](ctx context.Context, s *script, op string, effect func() (T, error)) (T, error) {
	var none T
	f, faulty := s.next(op)
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if !faulty {
		return effect()
	}
	answer, answerErr := none, error(nil)
	if f.After || f.slow() {
		answer, answerErr = effect()
	}
	if err := wait(ctx, f.Delay); err != nil {
		return none, err
	}
	if f.slow() {
		return answer, answerErr
	}
	return none, f.err()
}

// do is act for effects that have no answer but an error.
func do(ctx context.Context, s *script, op string, effect func() error) error {
	_, err := act(ctx, s, op, func() (struct{}, error) { return struct{}{}, effect() })
	return err
}

// wait sleeps for d or until ctx ends, which is an error.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now is the wall clock, as something outside this process would tell it.
func now() time.Time { return time.Now().UTC().Round(0) }

// identity makes the identity of a fake: two of them in one test are two places.
func identity(fake string) string {
	return "rotationtest " + fake + " " + strings.ToLower(rand.Text()[:8])
}
