// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Two runs that come to the same state by different ways go on alike. A state is what the journal, the store, the provider,
// the services and the processes are in, without what differs at random or does not matter: unguessable ids, numbers that
// only grow, and times but for how far off they are, roughly.

// state is the hash of the world as a process finds it. The caller holds the lock.
func (w *World) state(p *process) uint64 {
	h := fnv.New64a()
	for _, q := range w.processes {
		if q.journal != w.journal || q == p {
			q.journal.digest(h)
		}
		fmt.Fprintf(h, "|%v %v %v", q == p, q.dead, ago(q.wake))
	}
	for _, k := range w.vault.doc.Keys {
		fmt.Fprintf(h, "|%s %s %v", k.Key.ID, k.Role, k.Compromised)
	}
	fmt.Fprintf(h, "|%s|%d %d", w.provider.text(), w.pending, min(p.calls, 1))
	for _, s := range w.services {
		fmt.Fprintf(h, "|%v", s.hidden)
		for _, i := range s.instances {
			fmt.Fprintf(h, " %s %v", i.key.ID, i.idle)
		}
		fmt.Fprintf(h, " %d", len(s.restarts)-len(s.done))
	}
	for _, m := range w.provider.keys {
		if _, bad := w.oracle.compromised[m]; bad {
			fmt.Fprintf(h, "|!%s", m.key.ID)
		}
	}
	return h.Sum64()
}

// ago is how far off a time is, roughly: to come, just now, a while, long past.
func ago(t time.Time) int {
	if t.IsZero() {
		return -100
	}
	switch d := time.Since(t); {
	case d < -time.Second:
		return -1
	case d < time.Minute:
		return 0
	case d < 30*time.Minute:
		return 1
	default:
		return 2
	}
}

// digest writes the record of the credential, as far as it decides anything.
func (b *book) digest(h io.Writer) {
	e := b.entries[credential]
	if b.digested != e.Revision || b.template == "" {
		b.template, b.times, b.digested = normal(e)
	}
	offsets := make([]byte, len(b.times))
	for i, t := range b.times {
		offsets[i] = byte(ago(t))
	}
	io.WriteString(h, b.template)
	_, _ = h.Write(offsets)
}

// passed over in a digest: what only tells, and what differs at random or only grows.
var passedOver = map[string]bool{
	"write_id": true, "timeline": true, "outbox": true, "ended": true, "triggers": true, "owner": true, "id": true, "token": true,
	"epoch": true, "store_epoch": true, "actor": true, "name_suffix": true, "cause": true, "problem": true, "look": true, "text": true,
	"evidence": true, "error": true, "failures": true,
}

// normal is a record without what is passed over, its times apart. It scans the JSON once, since this is done for every
// revision of every run.
func normal(e rotation.Entry) (template string, times []time.Time, revision int64) {
	d := digester{in: e.Data}
	d.value(true)
	return d.out.String(), d.times, e.Revision
}

type digester struct {
	in    []byte
	at    int
	out   strings.Builder
	times []time.Time
}

// value reads one JSON value, and keeps it or not.
func (d *digester) value(keep bool) {
	if d.at >= len(d.in) {
		return
	}
	switch c := d.in[d.at]; c {
	case '{', '[':
		d.at++
		for d.at < len(d.in) && d.in[d.at] != '}' && d.in[d.at] != ']' {
			within := keep
			if c == '{' {
				key := d.text()
				d.at++ // the colon
				long := d.at+17 < len(d.in) && d.in[d.at] == '"' && d.in[d.at+17] == '"'
				within = keep && (!passedOver[key] || key == "id" && !long)
				if within {
					d.out.WriteString(key)
				}
			}
			d.value(within)
			if within {
				d.out.WriteByte(',')
			}
			if d.at < len(d.in) && d.in[d.at] == ',' {
				d.at++
			}
		}
		d.at++
	case '"':
		if text := d.text(); keep {
			d.string(text)
		}
	default:
		from := d.at
		for d.at < len(d.in) && !strings.ContainsRune(",]}", rune(d.in[d.at])) {
			d.at++
		}
		if keep {
			d.out.Write(d.in[from:d.at])
		}
	}
}

// text reads a string, without undoing its escapes.
func (d *digester) text() string {
	from := d.at + 1
	for d.at = from; d.at < len(d.in) && d.in[d.at] != '"'; d.at++ {
		if d.in[d.at] == '\\' {
			d.at++
		}
	}
	text := string(d.in[from:min(d.at, len(d.in))])
	d.at++
	return text
}

func (d *digester) string(text string) {
	switch {
	case len(text) > 18 && text[4] == '-' && text[10] == 'T':
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			d.times = append(d.times, t)
			return
		}
	case strings.HasPrefix(text, credential):
		return // a key's name: it ends in random letters
	}
	d.out.WriteString(text)
}
