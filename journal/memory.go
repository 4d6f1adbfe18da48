// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Memory is a journal for tests: what is in it is lost with the process, and with it every rotation that was under way. The
// zero Memory is empty and ready. It is safe for concurrent use, never blocks for long, and its clock is time.Now.
//
// Save costs O(log n). Due costs O(k log k) for the k entries that it returns or passes over, and what [SQL.Due] says of
// names.
type Memory struct {
	mu sync.Mutex // guards all of it

	items map[string]*item
	queue queue // items with a Due, as a heap
}

// NewMemory returns an empty journal.
func NewMemory() *Memory { return &Memory{} }

// Load returns the entry of credential, or a zero Entry.
func (j *Memory) Load(ctx context.Context, credential string) (rotation.Entry, error) {
	if err := checkLoad(ctx, credential); err != nil {
		return rotation.Entry{}, wrap(err, "load", credential)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	it := j.items[credential]
	if it == nil {
		return rotation.Entry{}, nil
	}
	return it.copy(), nil
}

// Save writes e if its Revision is the one that is stored, and fails with rotation.ErrConflict if it is not.
func (j *Memory) Save(ctx context.Context, e rotation.Entry) error {
	if err := checkSave(ctx, e); err != nil {
		return wrap(err, "save", e.Credential)
	}
	e.Data = bytes.Clone(e.Data)
	e.Due = instant(e.Due)
	j.mu.Lock()
	defer j.mu.Unlock()
	it := j.items[e.Credential]
	if it == nil {
		it = &item{place: -1}
	}
	if it.entry.Revision != e.Revision {
		return wrap(rotation.ErrConflict, "save", e.Credential)
	}
	e.Revision++
	e.SavedAt = time.Now().UTC().Round(0)
	it.entry = e
	if j.items == nil {
		j.items = make(map[string]*item)
	}
	j.items[e.Credential] = it
	j.queue.put(it)
	return nil
}

// Due returns the entries of names that are due before t, soonest first, at most limit of them.
func (j *Memory) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, wrapDue(err)
	}
	known := members{names: names}
	var due []rotation.Entry
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue.walk(func(it *item) bool {
		if len(due) >= limit || !it.entry.Due.Before(t) {
			return false
		}
		if known.has(it.entry.Credential) {
			due = append(due, it.copy())
		}
		return true
	})
	return due, nil
}

// item is one entry of a Memory.
type item struct {
	entry rotation.Entry
	place int // in the queue; -1: not in it
}

func (it *item) copy() rotation.Entry {
	e := it.entry
	e.Data = nil
	if len(it.entry.Data) > 0 {
		e.Data = bytes.Clone(it.entry.Data)
	}
	return e
}

// queue is a heap of items, the soonest first.
type queue []*item

func (q queue) Len() int { return len(q) }

func (q queue) Less(a, b int) bool {
	return soonest(q[a].entry.Due, q[b].entry.Due, q[a].entry.Credential, q[b].entry.Credential) < 0
}

func (q queue) Swap(a, b int) {
	q[a], q[b] = q[b], q[a]
	q[a].place, q[b].place = a, b
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	it := x.(*item)
	it.place = len(*q)
	*q = append(*q, it)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	it := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	it.place = -1
	return it
}

// put moves it to where its Due belongs, in or out of the queue.
func (q *queue) put(it *item) {
	switch due := !it.entry.Due.IsZero(); {
	case due && it.place < 0:
		heap.Push(q, it)
	case due:
		heap.Fix(q, it.place)
	case it.place >= 0:
		heap.Remove(q, it.place)
	}
}

// walk calls visit with the items in order until it returns false, and changes nothing. An item can only come after its
// parent in the heap, so the candidates for the next one are the children of those visited.
func (q queue) walk(visit func(*item) bool) {
	next := &frontier{queue: q}
	if len(q) > 0 {
		next.places = []int{0}
	}
	for len(next.places) > 0 {
		place := heap.Pop(next).(int)
		if !visit(q[place]) {
			return
		}
		for child := 2*place + 1; child <= 2*place+2 && child < len(q); child++ {
			heap.Push(next, child)
		}
	}
}

// frontier is a heap of places in a queue.
type frontier struct {
	queue  queue
	places []int
}

func (f *frontier) Len() int           { return len(f.places) }
func (f *frontier) Less(a, b int) bool { return f.queue.Less(f.places[a], f.places[b]) }
func (f *frontier) Swap(a, b int)      { f.places[a], f.places[b] = f.places[b], f.places[a] }

// Push is for container/heap.
func (f *frontier) Push(x any) { f.places = append(f.places, x.(int)) }

// Pop is for container/heap.
func (f *frontier) Pop() any {
	last := len(f.places) - 1
	place := f.places[last]
	f.places = f.places[:last]
	return place
}
