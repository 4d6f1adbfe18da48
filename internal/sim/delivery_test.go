// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// delivery is one genuine delivery to one receiver. It keeps the signatures that it was made with, however often it is repeated.
type delivery struct {
	to       *receiver
	by       []*minted
	made     time.Time
	n        int
	tries    int
	stubborn bool // it does not get through before its last try
	refused  bool // it got through, and was refused
}

// horizon is how long the sender repeats a delivery.
func (h *hooks) horizon() time.Duration {
	switch d := h.w.setting.Traits.RetryHorizon; {
	case d == 0:
		return 72 * time.Hour
	default:
		return max(d, 0)
	}
}

// deliverTo makes deliveries to a receiver, at intervals of its own. The caller holds the lock.
func (h *hooks) deliverTo(r *receiver, every time.Duration) {
	if r.hidden {
		return
	}
	d := h.sign(r)
	d.stubborn = r.sent%stubborn == 1
	r.sent++
	_ = h.attempt(d) // the sender repeats it
	h.w.in(every, func() { h.deliverTo(r, every) })
}

const (
	stubborn = 4               // one in so many deliveries gets through at its last try
	lastTry  = 2 * time.Second // before the horizon
)

// lastBefore makes a delivery just before the slower edge of the sender learns of a change, and it gets through just before the
// sender gives it up. The caller holds the lock.
func (h *hooks) lastBefore(r *receiver) {
	if r.hidden || r.kind != Renewed { // the others must not keep the gate shut for it
		return
	}
	d := h.sign(r)
	d.by, d.stubborn = h.signs(d.made, 1), true
	_ = h.attempt(d) // the sender repeats it
}

// sign makes a delivery, at one edge of the sender after the other.
func (h *hooks) sign(r *receiver) *delivery {
	h.made++
	return &delivery{to: r, by: h.signs(time.Now(), h.made%3%edges), made: time.Now(), n: h.made}
}

var errUnreached = errors.New("the receiver is not reached")

// attempt is one try of a delivery. The caller holds the lock.
func (h *hooks) attempt(d *delivery) error {
	d.tries++
	now := time.Now()
	last := now.Sub(d.made) >= h.horizon()-lastTry
	if d.stubborn && !last && h.horizon() > 0 || !d.to.up() {
		h.again(d)
		return errUnreached
	}
	i := d.to.instances[d.n%len(d.to.instances)]
	for _, k := range i.accepts {
		m := h.w.provider.byValue(k.Secret)
		if m == nil || !slices.Contains(d.by, m) {
			continue
		}
		i.matched[m] = append(i.matched[m], now)
		d.to.saw[m] = latest(d.to.saw[m], d.made)
		if others := d.to.others(m); !slices.ContainsFunc(d.by, func(b *minted) bool { return slices.Contains(others, b) }) {
			d.to.needed[m] = now
			if keepLogs {
				h.w.tell("%s needs %s for a delivery made at %s", i.name, m.key.ID, h.w.clock(d.made))
			}
		}
		h.forget(d)
		return nil
	}
	h.w.oracle.refusedDelivery(d, i)
	if !d.refused {
		d.refused = true
		h.refused++
		h.from, h.to = earliest(h.from, now), now
	}
	h.again(d)
	return fmt.Errorf("simulated receiver: %w", rotation.ErrRejected)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// again plans the next try, less and less often, the last one just before the horizon.
func (h *hooks) again(d *delivery) {
	h.forget(d)
	now, end := time.Now(), d.made.Add(h.horizon()-lastTry)
	if !now.Before(end) {
		return
	}
	next := now.Add(time.Duration(d.tries*d.tries) * 3 * time.Minute)
	if next.After(end) || d.stubborn {
		next = end
	}
	h.failed = append(h.failed, d)
	h.w.in(next.Sub(now), func() { _ = h.attempt(d) }) // it is repeated again
}

func (h *hooks) forget(d *delivery) {
	h.failed = slices.DeleteFunc(h.failed, func(f *delivery) bool { return f == d })
}

// names of secrets, for a trace.
func namesOf(ms []*minted) string {
	text := ""
	for _, m := range ms {
		if text != "" {
			text += "+"
		}
		text += m.key.ID
	}
	if text == "" {
		return "nothing"
	}
	return text
}
