// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Two runs that come to the same state by different ways go on alike. A state is what the journal, the store, the provider,
// the services and the processes are in, without what differs at random or does not matter: unguessable ids, numbers that
// only grow, which of the keys is called k3, tries that came to nothing, and times but for how far off they are, roughly.

// state is the hash of the world as a process finds it, and what a call is called there. The caller holds the lock.
func (w *World) state(p *process, label string) (uint64, string) {
	h := fnv.New64a()
	names := naming{}
	w.digest(h, p, names)
	if w.twin != nil {
		w.twin.digest(h, p.twin, naming{})
		w.journal.digest(h, groupEntries+group, naming{})
	}
	words := strings.Fields(label)
	for i, word := range words {
		parts := strings.Split(word, "+")
		for j, part := range parts {
			if keyID.MatchString(part) {
				parts[j] = names.of(part)
			}
		}
		words[i] = strings.Join(parts, "+")
	}
	return h.Sum64(), strings.Join(words, " ")
}

// digest writes what the world of one credential is in.
func (w *World) digest(h io.Writer, p *process, names naming) {
	var others []string // alike, whatever they are called
	for _, q := range w.processes {
		if q.journal != w.journal || q == p {
			q.journal.digest(h, w.name, names)
		}
		if q != p && !q.dead { // what the dead left behind is pending
			others = append(others, fmt.Sprint(ago(q.wake)))
		}
	}
	slices.Sort(others)
	fmt.Fprintf(h, "|%v %v", ago(p.wake), others)
	for _, k := range w.vault.doc.Keys {
		fmt.Fprintf(h, "|%s %s %v", names.of(w.idOf(k.Key)), k.Role, k.Compromised)
	}
	live := ""
	if w.hooks == nil {
		live = w.provider.text(names)
	}
	fmt.Fprintf(h, "|%s|%d %d", live, w.pending, min(p.calls, 1))
	for _, s := range w.services {
		fmt.Fprintf(h, "|%v", s.hidden)
		for _, i := range s.instances {
			fmt.Fprintf(h, " %s %v", names.of(i.key.ID), i.idle)
		}
		fmt.Fprintf(h, " %d", len(s.restarts)-len(s.done))
	}
	if w.hooks != nil {
		w.hooks.digest(h, names)
	}
	for _, m := range w.provider.keys {
		if _, bad := w.oracle.compromised[m]; bad && m.exists(time.Now()) {
			fmt.Fprintf(h, "|!%s", names.of(m.key.ID))
		}
	}
}

// idOf is the id of a stored key. Of a webhook the engine may know none.
func (w *World) idOf(k rotation.Key) string {
	if w.hooks != nil {
		return w.nameOfLocked(k)
	}
	return k.ID
}

// digest writes what of the secrets is signed with, accepted and counted where.
func (h *hooks) digest(out io.Writer, names naming) {
	now := time.Now()
	of := func(ms []*minted) (text []string) {
		for _, m := range ms {
			text = append(text, names.of(m.key.ID))
		}
		return text
	}
	for edge := range edges {
		fmt.Fprintf(out, "|%v", of(h.signs(now, edge)))
	}
	for _, r := range h.receivers {
		fmt.Fprintf(out, "|%v %v", r.hidden, r.up())
		for _, i := range r.instances {
			fmt.Fprintf(out, " %v %d", of(h.w.secrets(i.accepts)), ago(i.since))
			for _, m := range h.w.provider.keys {
				if at := i.matched[m]; len(at) > 0 {
					fmt.Fprintf(out, " %s %d", names.of(m.key.ID), ago(at[len(at)-1]))
				}
			}
		}
	}
	waiting := map[string]bool{}
	for _, d := range h.failed {
		waiting[fmt.Sprint(d.to.name, of(d.by))] = true
	}
	fmt.Fprint(out, "|", slices.Sorted(maps.Keys(waiting)))
}

// naming calls keys by the order in which they are met.
type naming map[string]string

var keyID = regexp.MustCompile(`^k\d+(/.*)?$`)

func (n naming) of(id string) string {
	if n[id] == "" {
		n[id] = fmt.Sprint("key ", len(n))
	}
	return n[id]
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

// digest writes the record of a credential, as far as it decides anything.
func (b *book) digest(h io.Writer, name string, names naming) {
	e := b.entries[name]
	d := b.digests[name]
	if d == nil || d.revision != e.Revision || d.template == "" {
		d = &digested{}
		d.template, d.times, d.names, d.revision = normal(e)
		b.digests[name] = d
	}
	maps.Copy(names, d.names)
	offsets := make([]byte, len(d.times))
	for i, t := range d.times {
		offsets[i] = byte(ago(t))
	}
	io.WriteString(h, d.template)
	_, _ = h.Write(offsets)
}

// passed over in a digest: what only tells, and what differs at random or only grows.
var passedOver = map[string]bool{
	"write_id": true, "timeline": true, "outbox": true, "ended": true, "triggers": true, "owner": true, "id": true, "token": true,
	"epoch": true, "store_epoch": true, "actor": true, "name_suffix": true, "cause": true, "problem": true, "look": true, "text": true,
	"evidence": true, "error": true, "failures": true, "needs": true, "n": true, "asked": true, "last_serial": true, "before": true,
	"generation": true, "Generation": true, "last_generation": true, "began_at": true, "opened_at": true, "deployed_at": true,
	"observed_at": true, "verified_at": true, "roll_back_at": true, "back_takes": true, "confirmed": true, "moves": true, "moved": true, "proof": true,
}

// serials are the fields that name keys by number.
var serials = map[string]bool{
	"Serial": true, "serial": true, "current": true, "old": true, "new": true, "target": true, "victims": true, "sent": true,
	"acked": true, "done": true, "observed": true, "verified": true, "attested": true,
}

// normal is a record without what is passed over, its times apart. It scans the JSON once, since this is done for every
// revision of every run.
func normal(e rotation.Entry) (template string, times []time.Time, names naming, revision int64) {
	d := digester{in: e.Data, names: naming{}, serials: naming{}}
	d.value("", true)
	return string(d.out), d.times, d.names, e.Revision
}

type digester struct {
	in      []byte
	at      int
	out     []byte
	times   []time.Time
	names   naming // of keys, by their ids
	serials naming // and by their numbers
}

// value reads one JSON value, and keeps it or not.
func (d *digester) value(field string, keep bool) {
	if d.at >= len(d.in) {
		return
	}
	switch c := d.in[d.at]; c {
	case '{', '[':
		d.at++
		for d.at < len(d.in) && d.in[d.at] != '}' && d.in[d.at] != ']' {
			within, inner, out, times := keep, field, len(d.out), len(d.times)
			if c == '{' {
				inner = d.text()
				d.at++ // the colon
				long := d.at+17 < len(d.in) && d.in[d.at] == '"' && d.in[d.at+17] == '"'
				within = keep && (!passedOver[inner] || inner == "id" && !long)
				if within {
					d.out = append(d.out, inner...)
				}
			}
			d.value(inner, within)
			if within {
				d.out = append(d.out, ',')
			}
			if c == '[' && field == "attempts" && vain.Match(d.out[out:]) {
				d.out, d.times = d.out[:out], d.times[:times]
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
		switch number := string(d.in[from:d.at]); {
		case keep && serials[field]:
			d.out = append(d.out, d.serials.of(number)...)
		case keep:
			d.out = append(d.out, number...)
		}
	}
}

// vain is a try that is over, and made a key of no use: nobody needs to know any more. One that made none is looked for at the end.
var vain = regexp.MustCompile(`fate(condemned|refused),`)

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
	case strings.HasPrefix(text, credential), strings.HasPrefix(text, second):
		return // a key's name: it ends in random letters
	case keyID.MatchString(text):
		text = d.names.of(text)
	}
	d.out = append(d.out, text...)
}
