// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/webhook"
)

// Store remembers deliveries in Redis. Client is required; a Store is safe for concurrent use, and its fields are not to be
// changed while it is used. Several processes that share Redis and Prefix share what they remember.
type Store struct {
	// Client is not closed by Store. Its option ContextTimeoutEnabled has to be set: without it a Redis that hangs would hold
	// deliveries up beyond their deadlines.
	Client redis.UniversalClient
	// Prefix of keys. Empty: "handover:replay:".
	Prefix string
	// Timeout of one call, within the deadline that it comes with. Zero: one second.
	Timeout time.Duration

	mu     sync.Mutex
	unsure map[string]attempt // deliveries of which nobody knows whether they are written
}

var (
	_ webhook.Replay    = (*Store)(nil)
	_ webhook.Forgetter = (*Store)(nil)
)

const (
	defaultPrefix  = "handover:replay:"
	defaultTimeout = time.Second
	mostUnsure     = 4096
)

// attempt is a writing whose answer was lost. Its token in Redis tells it from those of others.
type attempt struct {
	token string
	until time.Time // when the key is gone in any case
}

// Validate reports every mistake in the fields. All other methods return the same error before they do anything.
func (s *Store) Validate() error {
	var errs []error
	switch c := s.Client.(type) {
	case nil:
		errs = append(errs, errors.New("redisreplay: Store.Client is required"))
	case *redis.Client:
		errs = append(errs, bounded(c != nil && c.Options().ContextTimeoutEnabled))
	case *redis.ClusterClient:
		errs = append(errs, bounded(c != nil && c.Options().ContextTimeoutEnabled))
	case *redis.Ring:
		errs = append(errs, bounded(c != nil && c.Options().ContextTimeoutEnabled))
	}
	if s.Timeout < 0 {
		errs = append(errs, errors.New("redisreplay: Store.Timeout is negative"))
	}
	return errors.Join(errs...)
}

func bounded(enabled bool) error {
	if !enabled {
		return errors.New("redisreplay: Store.Client is nil, or its option ContextTimeoutEnabled is not set")
	}
	return nil
}

// Check asks whether Redis answers and lets the client write, with a key of its own that it removes again.
func (s *Store) Check(ctx context.Context) error {
	id := "check:" + rand.Text()
	if _, err := s.Seen(ctx, id, time.Minute); err != nil {
		return err
	}
	return s.Forget(ctx, id)
}

// Seen writes id for ttl, to the millisecond, unless it is there, and reports whether it was. It blocks for Timeout at most. An
// answer is awaited even if ctx is cancelled meanwhile, because the writing cannot be taken back; the deadline of ctx holds.
func (s *Store) Seen(ctx context.Context, id string, ttl time.Duration) (bool, error) {
	if err := s.Validate(); err != nil {
		return false, err
	}
	if ttl < time.Millisecond {
		return false, fmt.Errorf("redisreplay: a ttl of %v is too short", ttl)
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("redisreplay: %w", err)
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	token := s.take(id)
	seen, err := s.write(ctx, s.key(id), token, ttl)
	if err != nil {
		s.keep(id, token, ttl)
		return false, failure(ctx, err)
	}
	return seen, nil
}

// write finds out whose the key is if it is there already: the client repeats a command by itself if the answer is lost, and
// then it is our own.
func (s *Store) write(ctx context.Context, key, token string, ttl time.Duration) (seen bool, err error) {
	written, err := s.Client.SetNX(ctx, key, token, ttl).Result()
	if err != nil || written {
		return false, err
	}
	holder, err := s.Client.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return true, nil // it has expired since
	}
	return holder != token, err
}

// Forget removes id. An id that is not there is no error.
func (s *Store) Forget(ctx context.Context, id string) error {
	if err := s.Validate(); err != nil {
		return err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	if err := s.Client.Del(ctx, s.key(id)).Err(); err != nil {
		return failure(ctx, err)
	}
	return nil
}

func (s *Store) key(id string) string {
	if s.Prefix == "" {
		return defaultPrefix + id
	}
	return s.Prefix + id
}

func (s *Store) timeout() time.Duration {
	if s.Timeout == 0 {
		return defaultTimeout
	}
	return s.Timeout
}

// bound keeps the deadline of ctx, or sets an earlier one, and drops its cancellation.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(s.timeout())
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// take returns the token that id may have been written with, or a new one. Of two callers only one gets the old one.
func (s *Store) take(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.unsure[id]
	delete(s.unsure, id)
	if !ok || time.Now().After(a.until) {
		return rand.Text()
	}
	return a.token
}

// keep remembers a token for the next try. When there are too many the sender's next tries are taken for repetitions.
func (s *Store) keep(id, token string, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.unsure == nil {
		s.unsure = map[string]attempt{}
	}
	if len(s.unsure) >= mostUnsure {
		for old, a := range s.unsure {
			if now.After(a.until) {
				delete(s.unsure, old)
			}
		}
	}
	if len(s.unsure) < mostUnsure {
		s.unsure[id] = attempt{token, now.Add(ttl)}
	}
}

// failure tells an error without what Redis said: of its answer only the code, such as OOM or NOAUTH.
func failure(ctx context.Context, err error) error {
	var answer redis.Error
	switch {
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded): // of ctx, or of the client
		return fmt.Errorf("redisreplay: no answer in time: %w", context.DeadlineExceeded)
	case errors.As(err, &answer):
		code, _, _ := strings.Cut(answer.Error(), " ")
		if code == "" || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			code = "an error"
		}
		return fmt.Errorf("redisreplay: Redis answers %s", code)
	default:
		return fmt.Errorf("redisreplay: %w", err)
	}
}
