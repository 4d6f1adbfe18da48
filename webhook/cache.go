// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// NewReplayCache remembers the last max deliveries of this process; it panics if max is less than 1. When it is full, what has
// expired goes first, and then what has been there longest: max has to be more than the deliveries of one ttl, or a repetition
// can come through. Each costs about 200 bytes. The cache may serve several verifiers. It is a Forgetter.
func NewReplayCache(max int) Replay {
	if max < 1 {
		panic("webhook: NewReplayCache: max is less than 1")
	}
	return &replayCache{max: max, entries: map[string]*list.Element{}, queues: map[time.Duration]*list.List{}}
}

// replayCache keeps a queue for each ttl, of which there are as many as verifiers that differ in it. In a queue the oldest is
// also the first to expire, so every step looks at the heads only.
type replayCache struct {
	max int

	mu      sync.Mutex // guards all below
	entries map[string]*list.Element
	queues  map[time.Duration]*list.List
	added   uint64
}

type replayEntry struct {
	id    string
	ttl   time.Duration
	since time.Time
	order uint64
}

func (e *replayEntry) expired(now time.Time) bool { return now.Sub(e.since) > e.ttl }

// Seen never fails.
func (c *replayCache) Seen(_ context.Context, id string, ttl time.Duration) (bool, error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.entries[id]; ok {
		if !known.Value.(*replayEntry).expired(now) {
			return true, nil
		}
		c.remove(known)
	}
	c.expire(now)
	if len(c.entries) >= c.max {
		c.remove(c.oldest())
	}
	queue := c.queues[ttl]
	if queue == nil {
		queue = list.New()
		c.queues[ttl] = queue
	}
	c.added++
	c.entries[id] = queue.PushBack(&replayEntry{id, ttl, now, c.added})
	return false, nil
}

// Forget removes id.
func (c *replayCache) Forget(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.entries[id]; ok {
		c.remove(known)
	}
	return nil
}

// expire removes what has expired: over all calls, each entry once.
func (c *replayCache) expire(now time.Time) {
	for _, queue := range c.queues {
		for head := queue.Front(); head != nil && head.Value.(*replayEntry).expired(now); head = queue.Front() {
			c.remove(head)
		}
	}
}

func (c *replayCache) oldest() *list.Element {
	var oldest *list.Element
	for _, queue := range c.queues {
		head := queue.Front()
		if oldest == nil || head.Value.(*replayEntry).order < oldest.Value.(*replayEntry).order {
			oldest = head
		}
	}
	return oldest
}

// remove leaves no empty queue behind.
func (c *replayCache) remove(e *list.Element) {
	entry := e.Value.(*replayEntry)
	delete(c.entries, entry.id)
	queue := c.queues[entry.ttl]
	queue.Remove(e)
	if queue.Len() == 0 {
		delete(c.queues, entry.ttl)
	}
}
