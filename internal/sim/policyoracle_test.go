// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// policyOracle is what the oracle knows of windows, notices, looks and groups.
type policyOracle struct {
	notice    time.Time // people were last told of a rotation to come; zero: not since the last one began
	began     bool      // one did, by itself
	restarts  int       // of a shared consumer, in standard rotations
	restartAt time.Time
}

// record is what the oracle reads of a record.
type record struct {
	Current   int64       `json:"current"`
	CheckedAt time.Time   `json:"checked_at"`
	Problem   any         `json:"problem"`
	Keys      []recordKey `json:"keys"`
	Run       *struct {
		ID        string            `json:"id"`
		Strategy  rotation.Strategy `json:"strategy"`
		Phase     rotation.Phase    `json:"phase"`
		Old       int64             `json:"old"`
		Target    int64             `json:"target"`
		NoOverlap bool              `json:"no_overlap"`
		AnyTime   rotation.Phase    `json:"any_time"`
		Attempts  []struct {
			OpenedAt time.Time `json:"opened_at"`
		} `json:"attempts"`
		Consumers []struct {
			Name    string `json:"name"`
			Sent    int64  `json:"sent"`
			Offered string `json:"offered"`
			Moves   int    `json:"moves"`
		} `json:"consumers"`
	} `json:"run"`
}

// recordKey is what it reads of a key.
type recordKey struct {
	Key         rotation.Key `json:"key"`
	Condemned   bool         `json:"condemned"`
	Presented   bool         `json:"presented"`
	Ends        time.Time    `json:"ends"`
	DisableSent time.Time    `json:"disable_sent"`
	Activating  time.Time    `json:"activating"`
	DebtSince   time.Time    `json:"debt_since"`
}

func readRecord(data []byte) (r record) {
	_ = json.Unmarshal(data, &r) // an empty one says nothing
	return r
}

// record is the credential's, as the journal has it. The caller holds the lock.
func (w *World) record() record { return w.journal.record(w.name) }

// record is that of a credential. The caller holds the lock.
func (b *book) record(name string) record {
	e := b.entries[name]
	r := b.records[name]
	if r == nil || r.revision != e.Revision || e.Revision == 0 {
		r = &parsed{readRecord(e.Data), e.Revision}
		b.records[name] = r
	}
	return r.record
}

// parsed is what was read of an entry.
type parsed struct {
	record
	revision int64
}

// intends looks at what a process is about to record: what consumers notice is begun in a window.
func (p *process) intends(e rotation.Entry) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.setting.Hours == nil || e.Credential != p.w.name || p.dead || p.w.oracle.tampered {
		return
	}
	before := p.journal.entries[p.w.name]
	if before.Revision != e.Revision {
		return // it comes too late, and is refused
	}
	old, now := p.journal.record(p.w.name), readRecord(e.Data)
	if what := begins(old, now, p.w.setting.Traits); what != "" && !p.w.setting.Hours.around(time.Now()) {
		p.w.oracle.broken("law of windows", "%s begins outside of every window: %s", p.name, what)
	}
}

// tells looks at a deployment: one that is no repetition, of a consumer that was told before, is begun in a window as well.
func (p *process) tells(s *service, req rotation.DeployRequest) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	again := !slices.Contains(s.asked, req.ID) && slices.ContainsFunc(s.asked, func(id string) bool { return strings.HasPrefix(req.ID, id+"/") })
	s.asked = append(s.asked, req.ID)
	run := p.w.record().Run
	if hours := p.w.setting.Hours; hours == nil || !again || p.dead || run == nil || run.Strategy != rotation.Standard || run.NoOverlap || run.AnyTime != "" || hours.around(time.Now()) || hours.open(time.Now().Add(-restart-late)) {
		return
	}
	p.w.oracle.broken("law of windows", "%s tells %s again outside of every window", p.name, s.name)
}

// begins says what of a standard rotation consumers are going to notice that was not intended before.
func begins(old, now record, t rotation.Traits) string {
	run := now.Run
	if run == nil || run.Strategy != rotation.Standard || run.NoOverlap || run.AnyTime != "" {
		return ""
	}
	before := old.Run // of whatever run: what consumers were told lasts
	was := map[int64]int{}
	for i, k := range old.Keys {
		was[k.Key.Serial] = i
		if k.Key.Serial == run.Old && (k.Condemned || !k.Ends.IsZero() && time.Until(k.Ends) < 65*time.Minute) {
			return "" // there is only forward, or the provider does not wait
		}
	}
	for i, c := range run.Consumers {
		told, set := int64(0), ""
		if before != nil && i < len(before.Consumers) && before.Consumers[i].Name == c.Name {
			told, set = before.Consumers[i].Sent, before.Consumers[i].Offered
		}
		if c.Sent == run.Target && c.Sent != told && c.Sent != 0 || c.Offered != set && c.Offered != "" {
			return c.Name + " is told"
		}
	}
	if now.Current != old.Current && now.Current == run.Target && old.Current != 0 {
		return "the new key becomes current"
	}
	for _, k := range now.Keys {
		i, known := was[k.Key.Serial]
		switch {
		case !known:
		case k.DisableSent.After(old.Keys[i].DisableSent):
			return k.Key.ID + " is disabled"
		case k.Activating.After(old.Keys[i].Activating):
			return "the sender is told"
		case k.Condemned && !old.Keys[i].Condemned && k.Presented && k.Key.Serial != run.Target:
			return k.Key.ID + " is condemned"
		}
	}
	opened := func(r record) (at time.Time) {
		if r.Run != nil && r.Run.ID == run.ID && len(r.Run.Attempts) > 0 {
			at = r.Run.Attempts[len(r.Run.Attempts)-1].OpenedAt
		}
		return at
	}
	if (t.KillsOld || t.Grace > 0) && opened(now).After(opened(old)) {
		return "a key is issued, which ends the old one"
	}
	return ""
}

// deadline looks, when the provider ends the old key by itself, whether somebody still uses it: no window delays that.
func (o *oracle) deadline(m *minted) {
	if o.w.setting.Hours == nil {
		return
	}
	o.w.in(time.Until(m.ends), func() {
		if o.w.outage || o.w.meddled || o.w.emergency || o.w.lied {
			return
		}
		for _, s := range o.w.services {
			for _, i := range s.instances {
				if o.w.provider.byValue(i.key.Secret) == m && !i.idle && !s.hidden && !s.brittle {
					o.broken("law of windows", "the provider ends %s, and %s still uses it", m.key.ID, i.name)
				}
			}
		}
	})
}

// stood is how a credential stands after an Advance: what waits for a window, and whether somebody still looks.
func (o *oracle) stood(p *process, st rotation.Status) {
	w := o.w
	if st.Open != nil && st.Open.Strategy != rotation.Standard {
		for _, n := range st.Needs {
			if n.Kind == rotation.NeedWindow {
				o.broken("law of windows", "%s: what is open waits for a window", st.Open.Strategy)
			}
			if strings.Contains(n.ID, "group/") {
				o.broken("law of groups", "%s: what is open waits until %s may be told again", st.Open.Strategy, n.Name)
			}
		}
	}
	if w.setting.Check == 0 || st.Open != nil || p.journal != w.journal || w.meddled {
		return
	}
	rec := w.record()
	if rec.Run != nil || rec.Current == 0 {
		return
	}
	if age := time.Since(rec.CheckedAt); age > w.setting.Check+oneLook+restart && time.Since(w.began) > w.setting.Check+oneLook+restart && rec.Problem == nil {
		o.broken("law of looks", "nobody has looked at the key for %v, and nothing says why", age)
	}
}

// idle reports that the record knows its key, and that nothing is to be done.
func (r record) idle() bool {
	return r.Run == nil && r.Current != 0 && !slices.ContainsFunc(r.Keys, func(k recordKey) bool { return !k.DebtSince.IsZero() })
}

// undisturbed is what a look at an idle credential does to the world: nothing.
func (o *oracle) undisturbed(p *process, what op, about string) {
	if o.w.setting.Check == 0 || o.w.meddled || o.w.emergency || p.journal != o.w.journal {
		return
	}
	if o.w.record().idle() {
		o.broken("law of looks", "%s begins %q, and no rotation is open", p.name, string(what)+" "+about)
	}
}

// finds are the fields of a record that a look at an idle credential may change: what it found, and who was told.
var finds = map[string]bool{
	"epoch": true, "write_id": true, "lease": true, "settle": true, "needs": true, "problem": true, "checked_at": true, "look_again": true, "seen": true, "promised": true,
	"reminded": true, "look": true, "cause": true, "retry": true, "outbox": true,
}

// withoutUse takes out of keys what is known of their use: a look asks for that, too.
func withoutUse(keys json.RawMessage) json.RawMessage {
	var all []map[string]json.RawMessage
	if json.Unmarshal(keys, &all) != nil {
		return keys
	}
	for _, k := range all {
		delete(k, "use")
	}
	out, _ := json.Marshal(all)
	return out
}

// untouched is what a look at an idle credential does to its record: nothing but what it finds.
func (o *oracle) untouched(p *process, old, e rotation.Entry) {
	if o.w.setting.Check == 0 || o.w.meddled || o.w.emergency || o.tampered || p.journal != o.w.journal {
		return
	}
	was, is := readRecord(old.Data), o.w.record()
	if !was.idle() || !is.idle() {
		return
	}
	var before, after map[string]json.RawMessage
	_ = json.Unmarshal(old.Data, &before)
	_ = json.Unmarshal(e.Data, &after)
	before["keys"], after["keys"] = withoutUse(before["keys"]), withoutUse(after["keys"])
	for field := range after {
		if !finds[field] && !bytes.Equal(before[field], after[field]) {
			o.broken("law of looks", "%s changes %q of a credential at which it only looks", p.name, field)
		}
	}
	for field := range before {
		if _, kept := after[field]; !kept && !finds[field] {
			o.broken("law of looks", "%s forgets %q of a credential at which it only looks", p.name, field)
		}
	}
	if is.CheckedAt.After(was.CheckedAt) && p.accepted.Before(p.advance) {
		o.broken("law of looks", "%s says that it has looked at the key, and has not", p.name)
	}
}

// announced is an event that people got: they are told of a rotation before it begins by itself, and it begins in a window.
func (o *oracle) announced(e rotation.Event) {
	s := o.w.setting
	switch {
	case !s.ByItself || o.tampered:
	case e.Kind == rotation.EventNotice:
		o.policy.notice = e.At
		if time.Since(e.At) > oneLook+restart && !o.w.outage {
			o.broken("law of notices", "people are told %v after they were to be told", time.Since(e.At))
		}
	case e.Kind == rotation.EventBegan && e.Strategy == rotation.Standard && o.w.scheduled:
		told := o.policy.notice
		first := !o.policy.began
		o.policy.notice, o.policy.began = time.Time{}, true
		due := o.w.seeded.key.IssuedAt.Add(s.Policy.MaxAge)
		switch {
		case o.w.meddled || o.w.emergency:
		case told.IsZero() || e.At.Sub(told) < s.Policy.Notice-2*clockSkew:
			o.broken("law of notices", "it begins %v after people were told; they were to have %v", e.At.Sub(told), s.Policy.Notice)
		case !s.Hours.around(e.At):
			o.broken("law of windows", "it begins at %v by itself", e.At)
		case e.At.Before(due.Add(-s.Policy.Jitter)):
			o.broken("law of windows", "it begins at %v, and is due at %v", e.At, due)
		case first && e.At.After(due.Add(24*time.Hour)):
			o.broken("law 6", "it begins at %v, and was due at %v", e.At, due)
		}
	}
}

// brief reports whether the run met nothing but what passes, or a process that died: nothing in it says that the new key is no good.
func (w *World) brief() bool {
	return !w.meddled && !w.emergency && !slices.ContainsFunc(w.schedule, func(f Fault) bool {
		switch f.Trouble {
		case Fails, Lost, Lags, Hangs, Panics, Exits, DiesFirst, DiesAfter, Late, Stalls:
			return false
		}
		return true
	}) && len(w.schedule) < 2
}

// covered is the end of a rotation whose consumer is shared: nobody is left out, and without a fault one restart is enough for all.
func (o *oracle) covered(s Script) {
	w := o.w
	if w.twin == nil {
		return
	}
	brief := w.brief() && w.twin.brief()
	if got := w.last.Last.Outcome; got != s.outcome && brief && !s.Brittle && !s.BrittleFirst {
		o.broken("law of groups", "the rotation of %s ended %q although nothing was wrong with its key", w.name, got)
	}
	main := w
	if w.mark != "" {
		main = w.twin
	}
	if n, calm := main.oracle.policy.restarts, len(w.schedule) == 0 && brief; w == main && calm && !s.Brittle && !s.BrittleFirst {
		if want := 1 + min(int(w.setting.After/time.Minute), 1); n != want {
			o.broken("law of groups", "%s was restarted %d times, and %d would have done", group, n, want)
		}
	}
}

// asking reports whether nothing goes wrong in a run but questions to the provider.
func (w *World) asking() bool {
	return !w.meddled && !slices.ContainsFunc(w.schedule, func(f Fault) bool {
		return opOf(f.Label) != opList || f.Trouble == DiesFirst || f.Trouble == Stalls || f.Trouble == Down // these are not about the question alone
	})
}

// unhindered is law 7 for the question of who used a compromised key: its revocation is not sent any later for it.
func (o *oracle) unhindered(m *minted) {
	limit := time.Second
	if !o.w.revokeFirst {
		limit += issueLimit
	}
	if ago := time.Since(o.compromised[m]); o.w.asking() && ago > limit {
		o.broken("law 7", "the revocation of %s was sent after %v: it waited for an answer that it does not need", m.key.ID, ago)
	}
}

// used is what the end of an emergency tells of the use of a compromised key, where the provider has told it in time.
func (o *oracle) used(s Script) {
	w := o.w
	if s.Table != rotation.Emergency || w.hooks != nil || w.meddled {
		return
	}
	if w.setting.Hurried && len(w.last.Last.Usage) == 0 && len(w.schedule) == 0 && !w.revokeFirst {
		o.broken("law 9", "the emergency has ended, and nothing tells who used what was compromised")
	}
	if w.setting.Hurried {
		return // the figures are nonsense
	}
	for _, u := range w.last.Last.Usage {
		if m := w.provider.holder(u.Key); m == nil || u.AsOf.IsZero() || u.LastUsed.After(u.AsOf) || o.compromised[m].IsZero() {
			o.broken("law 9", "of %s it is told that it was last used at %v, as of %v", u.Key, u.LastUsed, u.AsOf)
		}
	}
}
