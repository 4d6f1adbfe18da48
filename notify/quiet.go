// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Quiet returns a Sink that passes events to sink, but says the same thing at most once in a period; zero is an hour. It has
// sink's identity.
//
// Only what is repeated is left out: EventFailed, EventWaiting and EventDebt of the same credential, rotation, consumer, level and
// diagnosis; where there is no diagnosis, with the same evidence. What waits for a person has to have the same text as well, and an
// event of level Error the same phase, generation, incident and evidence. Everything else passes, and what ends a trouble makes the next one news
// again: a consumer that works, a key that is dead, an answer, and a rotation that begins, turns or ends.
//
// What was said is what sink took: an event that it failed on is said when it comes again. It is kept in memory, for the last
// 4096 things; what is forgotten, at a restart too, is said once more.
func Quiet(sink rotation.Sink, period time.Duration) rotation.Sink {
	return &quiet{sink: sink, period: cmp.Or(period, time.Hour), known: map[saying]*list.Element{}, order: list.New()}
}

const mostSaid = 4096

type quiet struct {
	sink   rotation.Sink
	period time.Duration

	mu    sync.Mutex               // not held while sink is called
	known map[saying]*list.Element // guarded by mu
	order *list.List               // guarded by mu: of said, oldest first
}

// saying is what is said, of one credential and consumer.
type saying struct {
	credential, consumer string
	what                 [sha256.Size]byte
}

type said struct {
	saying
	at time.Time
}

func (q *quiet) Deliver(ctx context.Context, e rotation.Event) error {
	if err := q.own(); err != nil {
		return err
	}
	s, repeats := sayingOf(e)
	if repeats && q.lately(s) {
		return nil
	}
	if err := q.sink.Deliver(ctx, e); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if repeats {
		q.remember(s)
	} else {
		q.forget(e)
	}
	return nil
}

// sayingOf reports false for what never is a repetition.
func sayingOf(e rotation.Event) (saying, bool) {
	switch e.Kind {
	case rotation.EventFailed, rotation.EventWaiting, rotation.EventDebt:
	default:
		return saying{}, false
	}
	parts := []any{e.Kind, e.Level, e.Rotation}
	var evidence string
	if e.Problem != nil {
		parts = append(parts, e.Problem.Diagnosis)
		evidence = e.Problem.Evidence
	}
	grave := e.Level >= slog.LevelError
	if grave {
		parts = append(parts, e.Phase, e.Generation, e.Incident)
	}
	if grave || e.Problem == nil || e.Problem.Diagnosis == "" {
		parts = append(parts, evidence)
	}
	if e.Kind == rotation.EventWaiting || evidence == "" && (e.Problem == nil || e.Problem.Diagnosis == "") {
		parts = append(parts, e.Text)
	}
	data, _ := json.Marshal(parts) // texts and numbers
	return saying{e.Credential, e.Consumer, sha256.Sum256(data)}, true
}

func (q *quiet) lately(s saying) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known, ok := q.known[s]
	return ok && time.Since(known.Value.(said).at) < q.period
}

func (q *quiet) remember(s saying) {
	if known, ok := q.known[s]; ok {
		q.remove(known)
	}
	if q.order.Len() >= mostSaid {
		q.remove(q.order.Front())
	}
	q.known[s] = q.order.PushBack(said{s, time.Now()})
}

// forget makes news of what comes after the end of a trouble.
func (q *quiet) forget(e rotation.Event) {
	all := false
	switch e.Kind {
	case rotation.EventBegan, rotation.EventEnded, rotation.EventRollBack, rotation.EventAnswered, rotation.EventDead:
		all = true
	case rotation.EventVerified:
	default:
		return
	}
	for at := q.order.Front(); at != nil; {
		next := at.Next()
		if s := at.Value.(said); s.credential == e.Credential && (all || s.consumer == e.Consumer) {
			q.remove(at)
		}
		at = next
	}
}

func (q *quiet) remove(at *list.Element) {
	delete(q.known, at.Value.(said).saying)
	q.order.Remove(at)
}

func (q *quiet) Unwrap() rotation.Sink { return q.sink }

func (q *quiet) own() error {
	var sink, period error
	if q.sink == nil {
		sink = wire.Problem("notify: Quiet: sink is required")
	}
	if q.period < 0 {
		period = wire.Problem("notify: Quiet: period is negative")
	}
	return errors.Join(sink, period)
}

func (q *quiet) Validate() error { return errors.Join(q.own(), validate(q.sink)) }
