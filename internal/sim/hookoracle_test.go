// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// The laws of a webhook, where the receivers accept and the sender presents.

// hookOracle is what the oracle remembers of a webhook.
type hookOracle struct {
	gated     map[*minted]bool                    // the receivers may forget it: all was in place when the first was to
	told      map[*minted]map[*receiver]time.Time // when a receiver was told to refuse a compromised secret
	storm     bool                                // an emergency is open: refused deliveries are its outage
	since     time.Time                           // it was reported
	calmSince time.Time                           // the last one has ended
	blind     bool                                // receivers were told something without a record, after its end
	repaying  bool                                // and since then what the record wants
}

// stormy reports whether an emergency has come that has not ended.
func (o *oracle) stormy() bool { return o.hook.storm }

// lookHooks is law 1 at every instant: whatever the sender would sign now, and whatever it will repeat, is verified wherever it
// may arrive.
func (o *oracle) lookHooks(why string) {
	h, now := o.w.hooks, time.Now()
	if o.hook.blind && o.hook.repaying && o.allTake(h) {
		o.hook.storm, o.hook.blind, o.hook.calmSince = false, false, now
	}
	for _, r := range h.receivers {
		if r.hidden || r.kind == Idle { // an idle one gets only tests, whose refusal the engine sees
			continue
		}
		for _, i := range r.instances {
			for edge := range edges {
				o.wouldPass(r, i, &delivery{to: r, by: h.signs(now, edge), made: now}, why)
			}
		}
	}
	for _, d := range h.failed {
		for _, i := range d.to.instances {
			if !d.to.hidden && now.Sub(d.made) < h.horizon() {
				o.wouldPass(d.to, i, d, why)
			}
		}
	}
	o.everRefused()
}

// allTake reports whether every receiver accepts what the sender signs now.
func (o *oracle) allTake(h *hooks) bool {
	for edge := range edges {
		by := h.signs(time.Now(), edge)
		for _, r := range h.receivers {
			for _, i := range r.instances {
				if !r.hidden && !slices.ContainsFunc(by, i.takes) {
					return false
				}
			}
		}
	}
	return true
}

func (o *oracle) wouldPass(r *receiver, i *listener, d *delivery, why string) {
	if !slices.ContainsFunc(d.by, i.takes) && !o.forgiven(d) && !r.astray && !o.lateDone(opDeploy) {
		o.broken("law 1", "%s refuses a delivery made at %s and signed with %s (%s)", i.name, o.w.clock(d.made), namesOf(d.by), why)
	}
}

func (w *World) clock(t time.Time) string { return t.Sub(w.began).Round(time.Second).String() }

// refusedDelivery is a delivery that was refused.
func (o *oracle) refusedDelivery(d *delivery, i *listener) {
	if d.tries == 1 {
		o.w.tell("%s refuses a delivery that is signed with %s", i.name, namesOf(d.by))
	}
	if !o.forgiven(d) && !d.to.astray && !o.lateDone(opDeploy) {
		o.broken("law 1", "%s has refused a delivery made at %s and signed with %s", i.name, o.w.clock(d.made), namesOf(d.by))
	}
}

// forgiven reports whether a delivery may be refused: it was made before or in an emergency, or bears nothing but secrets that are
// refused for good reason.
func (o *oracle) forgiven(d *delivery) bool {
	if o.stormy() || !o.hook.calmSince.IsZero() && !d.made.After(o.hook.calmSince) || o.lateDone(opActivate) {
		return true
	}
	return len(d.by) > 0 && !slices.ContainsFunc(d.by, func(m *minted) bool { return !o.innocent(m) })
}

// everRefused is law 7 for receivers: each that answers is told in time to refuse what is compromised, whatever else goes on.
func (o *oracle) everRefused() {
	for m, at := range o.compromised {
		if !o.recordedHook(m) && time.Now().Before(o.w.down["store"]) {
			o.compromised[m] = time.Now() // no record names it, and the store is silent
			continue
		}
		if o.w.met > 1 && time.Since(o.w.troubled) < emergencyLimit+restart || o.handmade[m] {
			continue
		}
		for _, r := range o.w.hooks.receivers {
			if !r.hidden && !r.left && r.takes(m) && o.hook.told[m][r].IsZero() && time.Since(at) > emergencyLimit {
				o.broken("law 7", "%s is compromised, and nobody told %s to refuse it within %v", m.key.ID, r.name, emergencyLimit)
			}
		}
	}
}

// recordedHook reports whether the journal knows the secret.
func (o *oracle) recordedHook(m *minted) bool {
	for _, p := range o.w.processes {
		data := string(p.journal.entries[p.w.name].Data)
		id := o.w.hooks.shown(m).ID
		if m.key.Name != "" && strings.Contains(data, m.key.Name) || id != "" && (id != endpoint || m.first) && strings.Contains(data, `"`+id+`"`) {
			return true
		}
	}
	return false
}

// unrecorded ends the label of a deployment of an emergency that no journal took.
const unrecorded = " unrecorded"

// offered are the receiver and the secrets that a label of a deployment names.
func (w *World) offered(about string) (*receiver, []*minted) {
	name, set, _ := strings.Cut(strings.TrimSuffix(about, unrecorded), " ")
	var ms []*minted
	for id := range strings.SplitSeq(set, "+") {
		if m := w.labelled(id); m != nil {
			ms = append(ms, m)
		}
	}
	for _, r := range w.hooks.receivers {
		if r.name == name {
			return r, ms
		}
	}
	return nil, ms
}

// toldOff notes which receivers were told to refuse compromised secrets, reachable or not.
func (o *oracle) toldOff(what op, about string) (urgent bool) {
	if what != opDeploy {
		return false
	}
	r, set := o.w.offered(about)
	for m := range o.compromised {
		if slices.Contains(set, m) || r == nil {
			continue
		}
		if o.hook.told[m] == nil {
			o.hook.told[m] = map[*receiver]time.Time{}
		}
		if o.hook.told[m][r].IsZero() {
			o.hook.told[m][r] = time.Now()
		}
		urgent = urgent || r.takes(m)
	}
	return urgent
}

// beforeHook is the beginning of a call.
func (o *oracle) beforeHook(p *process, what op, about string) {
	urgent := o.toldOff(what, about)
	if strings.HasSuffix(about, unrecorded) { // neither journal nor store need say that it is over
		o.hook.blind, o.hook.repaying = o.hook.blind || !o.stormy(), false
		o.hook.storm = true
		return
	}
	if what == opDeploy {
		o.hook.repaying = true
		o.offering(p, about)
	}
	if urgent || what == opDeploy && o.stormy() {
		return // no lease is needed
	}
	if m := o.w.labelled(about); what == opRevoke && m != nil {
		if _, bad := o.compromised[m]; bad {
			return
		}
	}
	o.exclusive(p, string(what)+" "+about)
	o.intendedHook(p, what, about)
	if what != opDeploy {
		return
	}
	r, set := o.w.offered(about)
	for _, m := range o.w.provider.keys {
		if r != nil && r.takes(m) && !slices.Contains(set, m) {
			o.forgetting(p, p.advance, m, set, r.name+" is told to forget it")
		}
	}
}

// offering is what a receiver may be told to accept.
func (o *oracle) offering(p *process, about string) {
	r, set := o.w.offered(about)
	for _, m := range set {
		if since, bad := o.compromised[m]; bad && time.Since(since) > 2*callTimeout && o.recordedHook(m) && !o.tampered && !p.stood(since) {
			o.broken("law 7", "%s is told to accept %s, which is compromised", r.name, m.key.ID)
		}
		if !o.w.vault.has(m) && !o.w.meddled {
			o.broken("law 2", "%s is told to accept %s, which the store does not have", r.name, m.key.ID)
		}
	}
	if len(set) == 0 && !o.stormy() && !o.w.meddled {
		o.broken("law 3", "%s is told to accept nothing", r.name)
	}
}

// stood reports whether the process stood still at some time after another.
func (p *process) stood(since time.Time) bool {
	return slices.ContainsFunc(p.stalls, func(t time.Time) bool { return t.Add(lease + 5*time.Second).After(since) })
}

// hookRecord is as much of the journal's record as the laws ask for.
type hookRecord struct {
	Current int64 `json:"current"`
	Keys    []struct {
		Key        rotation.Key `json:"key"`
		Named      string       `json:"named"`
		Condemned  bool         `json:"condemned"`
		Activating time.Time    `json:"activating"`
		Incidents  []string     `json:"incidents"`
	} `json:"keys"`
	Hold struct {
		Until time.Time `json:"until"`
	} `json:"hold"`
	Run struct {
		Strategy  rotation.Strategy `json:"strategy"`
		NoOverlap bool              `json:"no_overlap"`
		Attempts  []struct {
			Fate string `json:"fate"`
		} `json:"attempts"`
		Consumers []struct {
			Name    string `json:"name"`
			Sent    int64  `json:"sent"`
			Offered string `json:"offered"`
		} `json:"consumers"`
	} `json:"run"`
}

func (p *process) record() (rec hookRecord, err error) {
	err = json.Unmarshal(p.journal.entries[p.w.name].Data, &rec)
	return rec, err
}

// serialOf is the number of a secret in the record.
func (o *oracle) serialOf(rec hookRecord, m *minted) int64 {
	if m == nil {
		return 0
	}
	serial := int64(0)
	for _, k := range rec.Keys {
		named := k.Key.Name != "" && k.Key.Name == m.key.Name
		if named && k.Named != "" {
			return k.Key.Serial
		}
		if named || (m.first || m.person) && k.Key.Name == "" && k.Key.ID == o.w.hooks.shown(m).ID {
			serial = k.Key.Serial // or a value that was chosen for the same try and stored when that had been given up
		}
	}
	return serial
}

// intendedHook is the order of the protocol: the journal knows of an effect before it begins.
func (o *oracle) intendedHook(p *process, what op, about string) {
	rec, err := p.record()
	if o.tampered || what == opStore || err != nil {
		return
	}
	if rec.Hold.Until.After(time.Now().Add(clockSkew)) && !o.w.emergency && o.w.journalOf(p).by == p {
		o.broken("law 5", "%s begins %q, although a person holds it", p.name, string(what)+" "+about)
	}
	known := false
	switch what {
	case opIssue:
		for _, a := range rec.Run.Attempts {
			known = known || a.Fate == "open"
		}
	case opActivate:
		serial := o.serialOf(rec, o.w.labelled(about))
		for _, k := range rec.Keys {
			known = known || k.Key.Serial == serial && !k.Activating.IsZero()
			if k.Key.Serial == serial && k.Condemned && o.w.journalOf(p).by == p {
				o.broken("law 3", "the sender is to sign with %s, which is condemned", about)
			}
		}
	case opDeploy:
		r, set := o.w.offered(about)
		var serials []string
		for _, m := range set {
			serials = append(serials, fmt.Sprint(o.serialOf(rec, m)))
		}
		for _, c := range rec.Run.Consumers {
			known = known || c.Name == r.name && c.Sent != 0 && c.Offered == strings.Join(serials, "+")
		}
		if len(rec.Run.Consumers) == 0 && slices.Equal(serials, []string{fmt.Sprint(rec.Current)}) {
			known = true // told again what the record has told them
		}
		for _, k := range rec.Keys { // a debt: whoever accepts it is told to forget it
			known = known || k.Condemned && !slices.Contains(serials, fmt.Sprint(k.Key.Serial))
		}
	case opRevoke:
		m := o.w.labelled(about)
		known = m == nil
		for _, k := range rec.Keys {
			known = known || k.Condemned && k.Key.Serial == o.serialOf(rec, m)
		}
	}
	if !known {
		o.broken("law 9", "%s begins %q, of which the journal knows nothing", p.name, string(what)+" "+about)
	}
}

// forgetting is laws 3, 4 and 10: the receivers are about to forget a secret, or those that read the store are, and others stay.
func (o *oracle) forgetting(p *process, begun time.Time, m *minted, stay []*minted, what string) {
	w, h := o.w, o.w.hooks
	if _, bad := o.compromised[m]; bad || o.innocent(m) || o.stormy() {
		return
	}
	if !w.meddledAt.Before(begun) {
		o.excused[m] = "an intervention beside the kill"
		return
	}
	if m.person && !w.answered {
		o.broken("law 10", "%s is none of ours, and %s", m.key.ID, what)
	}
	if unseen := !slices.ContainsFunc(h.receivers, func(r *receiver) bool { return r.needed[m].After(h.back) }); !h.back.IsZero() && unseen {
		o.excused[m] = "nothing has shown that the sender was put back"
		return
	}
	if h.needs(m, stay) {
		o.broken("law 4", "the sender signs with %s, and %s", m.key.ID, what)
	}
	if !o.presented[m] || o.hook.gated[m] {
		return
	}
	o.hook.gated[m] = true
	if ago := time.Since(o.tookOver); ago < callTimeout {
		o.broken("law 5", "%s is forgotten %v after a takeover: a call of the former owner can still land", m.key.ID, ago)
	}
	for _, r := range h.receivers {
		if !r.hidden {
			o.leaving(p, begun, m, stay, r)
		}
	}
	brief := o.replacedAt[m].Sub(w.meddledAt).Abs() < callTimeout // put back by hand in the middle of a write: that counts as a late write of ours
	if at, ok := o.replacedAt[m]; ok && !brief && !o.newer(m, w.provider.byValue(w.vault.served().Secret)) && time.Since(at) < w.setting.Policy.Overlap-2*clockSkew && !w.atOnce {
		o.broken("law 4", "%s is forgotten %v after it was replaced; the overlap is %v", m.key.ID, time.Since(at), w.setting.Policy.Overlap)
	}
}

// leaving is what has to be known of one receiver before a secret is forgotten.
func (o *oracle) leaving(p *process, begun time.Time, m *minted, stay []*minted, r *receiver) {
	w, h := o.w, o.w.hooks
	verified := slices.ContainsFunc(stay, func(s *minted) bool { return !r.saw[s].Before(h.switched(s)) && !r.saw[s].IsZero() })
	if !verified && !w.atOnce {
		o.broken("law 3", "%s is forgotten, and %s has verified no delivery that was signed with another secret", m.key.ID, r.name)
	}
	quiet := max(w.setting.Policy.Quiet, h.horizon()) - 2*clockSkew
	if ago := time.Since(r.needed[m]); ago < quiet && !w.atOnce {
		o.broken("law 4", "%s is forgotten %v after %s needed it; it has to be quiet for %v", m.key.ID, ago, r.name, quiet)
	}
	for _, d := range h.failed {
		still := time.Since(d.made) < h.horizon() && !slices.ContainsFunc(d.by, func(b *minted) bool { return slices.Contains(stay, b) })
		if d.to == r && still && !o.forgiven(d) {
			o.broken("law 4", "%s is forgotten, and %s has yet to get a delivery made at %s that bears it", m.key.ID, r.name, w.clock(d.made))
		}
	}
	if r.kind == Unseen {
		return
	}
	if p.seen[r.name].Before(begun) {
		o.broken("law 4", "%s is forgotten: what %s accepts was not looked at in this Advance", m.key.ID, r.name)
	}
	if p.told[r.name].Before(begun) && !w.atOnce {
		o.broken("law 4", "%s is forgotten: %s was not asked for its deliveries in this Advance", m.key.ID, r.name)
	}
}

// accepts is a change of what a process of a receiver accepts.
func (o *oracle) accepts(r *receiver, i *listener, before []rotation.Key) {
	w := o.w
	for _, m := range w.secrets(i.accepts) {
		since, bad := o.compromised[m]
		was := slices.ContainsFunc(before, func(k rotation.Key) bool { return k.Secret.Equal(m.key.Secret) })
		if at := o.hook.told[m][r]; bad && !was && !at.IsZero() && len(before) > 0 {
			delete(o.hook.told[m], r) // it is to be told again
			o.compromised[m] = latest(since, time.Now())
			o.w.tell("%s accepts %s again, which is compromised", i.name, m.key.ID)
		}
	}
	for _, k := range before {
		m := w.provider.byValue(k.Secret)
		if m == nil || i.takes(m) || o.innocent(m) || o.stormy() || o.byHand || !o.presented[m] && !m.first || r.hidden || r.astray || w.atOnce {
			continue
		}
		if !slices.ContainsFunc(w.secrets(i.accepts), func(s *minted) bool { return !r.saw[s].IsZero() || s.first }) && !o.lateDone(opDeploy) {
			o.broken("law 3", "%s drops %s, and has verified no delivery with another secret", i.name, m.key.ID)
		}
	}
}

// storedHook compares two documents of the store.
func (o *oracle) storedHook(p *process, begun time.Time, old, now rotation.Versions) {
	w := o.w
	if installation(old.Stamp) != installation(now.Stamp) {
		o.claimedAt = time.Now()
	}
	was, is := w.provider.byValue(old.Key(rotation.RoleCurrent).Secret), w.provider.byValue(now.Key(rotation.RoleCurrent).Secret)
	if was != is {
		if was != nil {
			o.replacedAt[was] = time.Now()
		}
		if is == nil && !w.meddled && !w.emergency {
			o.broken("law 3", "the store serves no secret any more")
		}
	}
	if was != nil && was.person && was != is && !o.byHand && !w.emergency && !w.answered {
		o.broken("law 10", "%s, which a person made current, was replaced without asking", was.key.ID)
	}
	stay := w.secrets(now.Accepted())
	for _, m := range w.secrets(old.Accepted()) {
		if !slices.Contains(stay, m) && !o.byHand {
			o.forgetting(p, begun, m, stay, "the store does not serve it any more")
		}
	}
	var roles []string
	for _, k := range now.Keys {
		role := string(k.Role)
		if k.Compromised {
			role += "!"
		}
		roles = append(roles, w.nameOfLocked(k.Key)+" "+role)
		o.servingHook(k)
	}
	for _, k := range old.Keys {
		m := w.provider.byValue(k.Key.Secret)
		left := !slices.ContainsFunc(now.Keys, func(n rotation.StoredKey) bool { return n.Key.Secret.Equal(k.Key.Secret) })
		if m != nil && left && !o.byHand && w.meddledAt.Before(begun) && !o.handmade[m] && (len(w.hooks.accepting(m)) > 0 || w.hooks.needs(m, stay) && !o.innocent(m)) {
			o.broken("law 2", "the value of %s leaves the store while it is accepted by %d receivers, or signed with", m.key.ID, len(w.hooks.accepting(m)))
		}
	}
	w.tell("the store holds %s", strings.Join(roles, ", "))
}

// servingHook is law 7 for the store.
func (o *oracle) servingHook(k rotation.StoredKey) {
	m := o.w.provider.byValue(k.Key.Secret)
	if m == nil || o.byHand || o.tampered || k.Compromised || k.Role == rotation.RoleRetiring {
		return
	}
	if since, bad := o.compromised[m]; bad && time.Since(since) > 2*callTimeout && o.recordedHook(m) {
		o.broken("law 7", "%s is compromised, and stays %s in the store", m.key.ID, k.Role)
	}
}

// overHook is the end of an emergency: nothing that it was about is accepted, and the outage is over.
func (o *oracle) overHook(e rotation.Event) {
	if e.Kind != rotation.EventEnded || e.Strategy != rotation.Emergency || strings.HasSuffix(e.Text, string(rotation.TakenOver)) {
		return // another one takes its place
	}
	unseen := func(r *receiver) bool { return r.astray && o.w.meddledAt.After(e.At.Add(-time.Minute)) }
	for m, since := range o.compromised {
		if rs := slices.DeleteFunc(o.w.hooks.accepting(m), unseen); len(rs) > 0 && since.Before(e.At) && !o.handmade[m] && !o.tampered {
			o.broken("law 7", "the emergency has ended, and %s is compromised and accepted by %s", m.key.ID, rs[0].name)
		}
	}
	if o.hook.since.Before(e.At) {
		o.hook.storm, o.hook.blind, o.hook.calmSince = false, false, time.Now()
		h := o.w.hooks
		o.w.tell("the outage: %d of %d deliveries refused, from %s to %s", h.refused, h.made, o.w.clock(h.from), o.w.clock(h.to))
	}
}

// verdictHook is what holds at the end.
func (w *World) verdictHook(s Script) {
	o, h := w.oracle, w.hooks
	last := w.last.Last
	if got := last.Outcome; got != s.outcome && !w.meddled && !(s.Table != rotation.Emergency && w.met > 0) {
		o.broken("law 6", "it ended %q instead of %q", got, s.outcome)
	}
	current := w.provider.byValue(w.vault.served().Secret)
	if w.meddled && w.meddledAt.After(last.EndedAt.Add(-time.Minute)) {
		return // it was changed when nobody looked any more: that is for Inspect
	}
	if current == nil || o.handmade[current] {
		o.broken("law 3", "at the end the store serves %v", w.vault.served())
		return
	}
	if len(w.vault.doc.Keys) != 1 && !w.meddled {
		o.broken("law 2", "at the end the store holds %d secrets", len(w.vault.doc.Keys))
	}
	for edge := range edges {
		by := h.signs(time.Now(), edge)
		alone := w.setting.Signing == AtOnce && time.Since(h.switched(current)) < w.setting.Traits.Grace || len(by) == 1
		if (!slices.Contains(by, current) || !alone) && !o.lateDone(opActivate) {
			o.broken("law 1", "at the end the sender signs with %s, and %s is current", namesOf(by), current.key.ID)
		}
	}
	for _, r := range h.receivers {
		for _, i := range r.instances {
			if ms := w.secrets(i.accepts); !r.hidden && (len(ms) != 1 || ms[0] != current || len(i.accepts) != 1) && !o.lateDone(opDeploy) {
				o.broken("law 1", "at the end %s accepts %s, and %s is current", i.name, namesOf(ms), current.key.ID)
			}
		}
	}
	for m := range o.compromised {
		if len(h.accepting(m)) > 0 && !o.lateDone(opDeploy) {
			o.broken("law 7", "at the end %s is compromised and accepted", m.key.ID)
		}
	}
	if o.stormy() && !o.tampered {
		o.broken("law 9", "at the end the emergency has not ended")
	}
	w.complete()
}
