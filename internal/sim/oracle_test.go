// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Violation is a law that was broken.
type Violation struct {
	Law  string // "law 1"
	Text string
}

func (v Violation) String() string { return v.Law + ": " + v.Text }

// oracle watches the laws. It sees what no part of the engine sees: what every presenter holds, what every edge accepts, what
// was minted, and every text. Its methods are called under the world's lock.
type oracle struct {
	w          *World
	violations []Violation

	excused     map[*minted]string // keys that a presenter may hold although they are refused, and why
	compromised map[*minted]time.Time
	accused     map[*minted]map[string]bool // by which incidents
	sent        map[*minted]time.Time       // revocations of compromised keys that were sent
	presented   map[*minted]bool            // somebody used it
	promotedAt  map[*minted]time.Time       // it became current
	replacedAt  map[*minted]time.Time       // it was current and is not any more
	late        map[string]bool             // labels of calls that land when nobody waits for them any more
	tampered    bool                        // the journal was restored or emptied: it cannot know what it does not know
	handmade    map[*minted]bool            // killed by a person
	byHand      bool                        // the write of the store that is under way is a person's
	holder      owner                       // of the lease, as the journal has it
	claimedAt   time.Time                   // the store got the stamp of another installation than before
	tookOver    time.Time                   // when the lease ran out that was taken last
	hook        hookOracle
	policy      policyOracle
}

// owner is who drives, as the journal tells.
type owner struct {
	by    *process
	saved time.Time // the last write
}

func newOracle(w *World) *oracle {
	return &oracle{
		w: w, excused: map[*minted]string{}, compromised: map[*minted]time.Time{}, sent: map[*minted]time.Time{}, accused: map[*minted]map[string]bool{},
		presented: map[*minted]bool{}, promotedAt: map[*minted]time.Time{}, replacedAt: map[*minted]time.Time{},
		late: map[string]bool{}, handmade: map[*minted]bool{},
		hook: hookOracle{gated: map[*minted]bool{}, told: map[*minted]map[*receiver]time.Time{}},
	}
}

// enough violations: the rest follows from the first.
const enough = 5

func (o *oracle) broken(law, format string, args ...any) {
	v := Violation{law, fmt.Sprintf(format, args...)}
	if len(o.violations) < enough && !slices.Contains(o.violations, v) {
		o.violations = append(o.violations, v)
		o.w.tell("%s", "!!! "+v.String())
	}
}

// excuse says that a key is refused and nobody is to blame.
func (o *oracle) excuse(id, why string) {
	if m := o.w.provider.holder(id); m != nil {
		o.excused[m] = why
	}
}

// excuseAt is excuse from a time on.
func (o *oracle) excuseAt(id string, _ time.Time, why string) { o.excuse(id, why) }

// residue says that a call will land when nobody expects it any more: what PROTOCOL C4 leaves open.
func (o *oracle) residue(label string) { o.late[label] = true }

// lateDone reports whether a call of this kind was one of the residue.
func (o *oracle) lateDone(prefix op) bool {
	for label := range o.late {
		if strings.HasPrefix(label, string(prefix)) {
			return true
		}
	}
	return false
}

// look checks what holds at every instant.
func (o *oracle) look(why string) {
	w, now := o.w, time.Now()
	p := w.provider
	for _, s := range w.services {
		for _, i := range s.instances {
			m := p.byValue(i.key.Secret)
			if m == nil || i.idle || s.hidden || o.innocent(m) {
				continue
			}
			young := w.emergency && now.Sub(m.changed()) < w.setting.Propagate // nobody waits for the new key to be known
			if !m.accepted(now, p.lag(i.edge)) && !young {
				o.broken("law 1", "%s holds %s, which the provider refuses (%s)", i.name, m.key.ID, why)
			}
		}
	}
	o.nothingLost(why)
	o.emergencyFirst()
}

// innocent reports whether a presenter may hold this key although it is refused.
func (o *oracle) innocent(m *minted) bool {
	_, bad := o.compromised[m]
	return bad || o.excused[m] != "" || o.handmade[m] || o.lateDone(opDisable) || o.lateDone(opDeploy)
}

// nothingLost is law 2: whatever was minted is in the store, or a record names it.
func (o *oracle) nothingLost(why string) {
	w := o.w
	if o.tampered {
		return
	}
	for _, m := range w.provider.keys {
		if m.foreign || m.first || !m.exists(time.Now()) || w.vault.has(m) || o.named(m) || w.setting.Untagged {
			continue
		}
		if st := w.stands; o.lateDone(opIssue) && (st.Open == nil || time.Since(m.since) < time.Minute) { // it may be ending
			continue
		}
		o.broken("law 2", "%s was minted, is not in the store, and no record names it (%s)", m.key.ID, why)
	}
}

// named reports whether a journal's record has the key's id or name.
func (o *oracle) named(m *minted) bool {
	for _, p := range o.w.processes {
		data := p.journal.entries[p.w.name].Data
		if m.key.Name != "" && bytes.Contains(data, []byte(m.key.Name)) || bytes.Contains(data, []byte(`"`+m.key.ID+`"`)) {
			return true
		}
	}
	return false
}

// Deadline of the simulation for sending the revocation of a compromised key: the time limit of issuing first, and two calls.
const emergencyLimit = issueLimit + 3*callTimeout

// emergencyFirst is law 7: a compromised key is revoked in time, whatever else goes on.
func (o *oracle) emergencyFirst() {
	for m, at := range o.compromised {
		unknown := !o.recorded(m) && time.Now().Before(o.w.down["store"]) // no record names it, and the store is silent
		if unknown {
			o.compromised[m] = time.Now()
			continue
		}
		if o.w.met > 1 && time.Since(o.w.troubled) < emergencyLimit+restart {
			continue // both processes may be dead: whoever is started next sends it
		}
		if _, sent := o.sent[m]; !sent && m.exists(time.Now()) && time.Since(at) > emergencyLimit && !o.handmade[m] {
			o.broken("law 7", "%s is compromised, and nobody tried to revoke it within %v", m.key.ID, emergencyLimit)
		}
	}
}

// minted is a new key.
func (o *oracle) minted(m *minted) { o.w.tell("the provider mints %s", m.key.ID) }

// stored compares two documents of the store.
func (o *oracle) stored(old, now rotation.Versions) {
	if installation(old.Stamp) != installation(now.Stamp) {
		o.claimedAt = time.Now()
	}
	was, is := o.w.provider.byValue(old.Key(rotation.RoleCurrent).Secret), o.w.provider.byValue(now.Key(rotation.RoleCurrent).Secret)
	if was != is {
		if was != nil {
			o.replacedAt[was] = time.Now()
		}
		if is == nil && !o.w.meddled && !o.w.emergency {
			o.broken("law 3", "the store serves no key any more")
		}
		if is != nil {
			o.canaryFirst(is)
			if calm := !o.byHand && !o.tampered && !o.w.emergency; calm && !is.gone.IsZero() && time.Since(is.gone) > callTimeout {
				o.broken("law 3", "%s is made current, and is dead since %v", is.key.ID, time.Since(is.gone))
			}
			o.promotedAt[is] = time.Now()
			o.presented[is] = true
		}
	}
	for _, k := range old.Keys {
		m := o.w.provider.byValue(k.Key.Secret)
		gone := !slices.ContainsFunc(now.Keys, func(n rotation.StoredKey) bool { return n.Key.Secret.Equal(k.Key.Secret) })
		if m != nil && gone && !o.byHand && !(o.handmade[m] && !m.gone.IsZero()) && (m.accepted(time.Now(), 0) || m.accepted(time.Now(), o.w.provider.lag(1))) {
			o.broken("law 2", "the value of %s leaves the store while the key is accepted", k.Key.ID)
		}
	}
	if was != nil && was.person && was != is && was.exists(time.Now()) && !o.byHand && !o.w.emergency && !o.w.answered {
		o.broken("law 10", "%s, which a person made current, was replaced without asking", was.key.ID)
	}
	var roles []string
	for _, k := range now.Keys {
		role := string(k.Role)
		if k.Compromised {
			role += "!"
		}
		roles = append(roles, k.Key.ID+" "+role)
		o.serving(k)
		if m := o.w.provider.byValue(k.Key.Secret); m != nil && k.Role == rotation.RoleCurrent && !k.Compromised && !o.byHand {
			if since, bad := o.compromised[m]; bad && is == m && was != m && time.Since(since) > callTimeout {
				o.broken("law 3", "%s is compromised, and was made current", k.Key.ID)
			}
		}
	}
	o.w.tell("the store holds %s", strings.Join(roles, ", "))
}

// stamped is law 5 for the store: nobody writes over another installation, or over what is newer than the own journal, unless a
// person said so. What came after the writer had looked cannot be known to it.
func (o *oracle) stamped(p *process, old, now string) {
	was, is := strings.Split(old, ":"), strings.Split(now, ":")
	if o.w.answered || len(was) != 5 || len(is) != 5 || !o.claimedAt.Before(p.advance) {
		return
	}
	before, _ := strconv.Atoi(was[4])
	after, _ := strconv.Atoi(is[4])
	switch {
	case was[1] != is[1]:
		o.broken("law 5", "%s writes over another installation in the store", p.name)
	case after < before:
		o.broken("law 5", "%s writes over a store that is newer than its journal: epoch %d over %d", p.name, after, before)
	}
}

// installation is the part of a stamp that says whose it is.
func installation(stamp string) string {
	_, rest, _ := strings.Cut(stamp, ":")
	id, _, _ := strings.Cut(rest, ":")
	return id
}

// canaryFirst is the order of a rotation that has something to protect: who can be given the new key before the others is, and
// works with it.
func (o *oracle) canaryFirst(is *minted) {
	var rec struct {
		Run struct {
			Strategy  rotation.Strategy `json:"strategy"`
			NoOverlap bool              `json:"no_overlap"`
		} `json:"run"`
	}
	calm := len(o.w.services) > 2 && !o.byHand && !o.w.meddled && !o.w.emergency && !o.w.atOnce && !o.lateDone(opDeploy)
	if !calm || is.first || o.w.services[0].readsCurrent() || o.w.setting.Traits.KillsOld {
		return
	}
	_ = json.Unmarshal(o.w.journal.entries[o.w.name].Data, &rec) // an empty one says nothing
	if rec.Run.Strategy != rotation.Standard || rec.Run.NoOverlap {
		return
	}
	if s := o.w.services[0]; !s.instances[0].key.Secret.Equal(is.key.Secret) || s.brittle {
		o.broken("law 4", "%s is made current, and %s, which is first, does not work with it", is.key.ID, s.name)
	}
}

// touched reports whether the open rotation has told a consumer a key, or is about to.
func (o *oracle) touched(name string) bool {
	var rec struct {
		Run struct {
			Consumers []struct {
				Name string `json:"name"`
				Sent int64  `json:"sent"`
			} `json:"consumers"`
		} `json:"run"`
	}
	_ = json.Unmarshal(o.w.journal.entries[o.w.name].Data, &rec) // an empty one says nothing
	for _, c := range rec.Run.Consumers {
		if c.Name == name && c.Sent != 0 {
			return true
		}
	}
	return false
}

// serving is law 7 for the store: what is compromised is served to nobody, once the incident can be known to whoever writes.
func (o *oracle) serving(k rotation.StoredKey) {
	m := o.w.provider.byValue(k.Key.Secret)
	if m == nil || o.byHand || o.tampered || k.Compromised || k.Role == rotation.RoleRetiring {
		return
	}
	if since, bad := o.compromised[m]; bad && time.Since(since) > 2*callTimeout && o.recorded(m) {
		o.broken("law 7", "%s is compromised, and stays %s in the store", m.key.ID, k.Role)
	}
}

// over is law 7 for the end of an emergency: no key that it was about is alive.
func (o *oracle) over(e rotation.Event) {
	if o.w.hooks != nil {
		o.overHook(e)
		return
	}
	if e.Kind != rotation.EventEnded || e.Strategy != rotation.Emergency || o.tampered {
		return
	}
	for m, since := range o.compromised {
		alive := m.exists(time.Now()) || m.accepted(time.Now(), o.w.provider.lag(1))
		if alive && since.Before(e.At) && !o.handmade[m] {
			o.broken("law 7", "the emergency has ended, and %s is compromised and alive", m.key.ID)
		}
	}
}

// tried notes the revocation of a compromised key.
func (o *oracle) tried(what op, about string) {
	if o.w.hooks != nil {
		o.toldOff(what, about)
		return
	}
	for _, m := range o.w.provider.keys {
		if _, bad := o.compromised[m]; bad && what == opRevoke && o.w.label(m) == about && o.sent[m].IsZero() {
			o.sent[m] = time.Now()
		}
	}
}

// believe takes over what the record counts as compromised: the engine decides that when it records an incident, and not when
// somebody reports it.
func (o *oracle) believe(p *process) {
	if !o.w.emergency {
		return
	}
	var rec struct {
		Keys []struct {
			Key       rotation.Key `json:"key"`
			Incidents []string     `json:"incidents"`
		} `json:"keys"`
	}
	_ = json.Unmarshal(p.journal.entries[p.w.name].Data, &rec) // an empty one at the beginning
	for _, k := range rec.Keys {
		m := o.w.provider.holder(k.Key.ID)
		if o.w.hooks != nil {
			m = o.w.hooks.find(k.Key)
		}
		if _, known := o.compromised[m]; m != nil && !known && len(k.Incidents) > 0 && !o.w.setting.Slots && o.w.label(m) == m.key.ID {
			o.compromised[m] = time.Now()
		}
	}
}

// before is the beginning of a call.
func (o *oracle) before(p *process, what op, about string) {
	if !what.effect() || what == opJournal {
		return
	}
	o.believe(p)
	o.undisturbed(p, what, about)
	if o.w.hooks != nil {
		o.beforeHook(p, what, about)
		return
	}
	if what == opRevoke {
		for _, m := range o.w.provider.keys {
			if _, bad := o.compromised[m]; bad && o.w.label(m) == about {
				if first := len(o.sent) == 0; first && len(o.w.schedule) == 0 && o.w.counts[string(opIssue)] == 0 && !o.w.setting.Traits.Independent && !o.w.revokeFirst && o.w.setting.Traits.MaxKeys == 0 {
					o.broken("law 7", "%s is revoked before a successor was tried, which may need it", m.key.ID)
				}
				if calling := p.issuing; o.sent[m].IsZero() && !calling.IsZero() && time.Since(calling) < callTimeout && time.Since(o.compromised[m]) < callTimeout &&
					!o.w.setting.Traits.Independent && !o.w.revokeFirst && !o.w.meddled {
					o.broken("law 7", "%s is revoked while its successor is being issued, which may need it", m.key.ID)
				}
				if o.sent[m].IsZero() {
					o.sent[m] = time.Now()
					o.unhindered(m)
				}
				return // no lease is needed
			}
		}
	}
	if what == opIssue && o.w.revokeFirst && !o.w.meddled && len(o.sent) == 0 {
		for m := range o.compromised {
			if o.recorded(m) && m.exists(time.Now()) {
				o.broken("law 7", "a key is issued before the revocation of %s was sent, which was to be first", m.key.ID)
			}
		}
	}
	o.exclusive(p, string(what)+" "+about)
	m := o.w.labelled(about)
	o.intended(p, what, about, m)
	if m == nil || !m.exists(time.Now()) {
		return
	}
	switch what {
	case opRevoke, opDisable:
		o.killing(p, m, what)
	}
}

// intended is the order of the protocol: the journal knows of an effect before it begins.
func (o *oracle) intended(p *process, what op, about string, m *minted) {
	var rec struct {
		Keys []struct {
			Key       rotation.Key `json:"key"`
			Condemned bool         `json:"condemned"`
			Disable   time.Time    `json:"disable_sent"`
		} `json:"keys"`
		Hold struct {
			Until time.Time `json:"until"`
		} `json:"hold"`
		Run struct {
			Attempts []struct {
				Fate string `json:"fate"`
			} `json:"attempts"`
			Consumers []struct {
				Name string `json:"name"`
				Sent int64  `json:"sent"`
			} `json:"consumers"`
		} `json:"run"`
	}
	if o.tampered || what == opStore || json.Unmarshal(p.journal.entries[p.w.name].Data, &rec) != nil {
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
	case opDeploy:
		name, id, _ := strings.Cut(about, " ")
		for _, c := range rec.Run.Consumers {
			known = known || c.Name == name && c.Sent != 0
		}
		for _, k := range rec.Keys {
			if k.Key.ID == id && k.Condemned && o.w.journalOf(p).by == p { // not between its intent and now, by somebody else
				o.broken("law 3", "%s is given %s, which is condemned", name, id)
			}
		}
	default:
		for _, k := range rec.Keys {
			byValue := k.Key.ID == "" && what == opRevoke // of a value that was chosen here
			if m == nil || m.key.ID != k.Key.ID && !byValue {
				known = known || m == nil
				continue
			}
			known = known || what == opRevoke && k.Condemned || what == opDisable && !k.Disable.IsZero() || what == opEnable
		}
	}
	if !known {
		o.broken("law 9", "%s begins %q, of which the journal knows nothing", p.name, string(what)+" "+about)
	}
}

// exclusive is law 5: whoever begins an effect wrote the journal last, with success, and not too long ago.
func (o *oracle) exclusive(p *process, effect string) {
	h := o.w.journalOf(p)
	switch {
	case h.by != p && (p.sawLoss || time.Since(h.saved) > time.Second):
		o.broken("law 5", "%s begins %q although %s drives", p.name, effect, h.by.nameOr("nobody"))
	case time.Since(p.savedAt) > lease:
		o.broken("law 5", "%s begins %q, and wrote its intent %v before", p.name, effect, time.Since(p.savedAt))
	}
}

func (p *process) nameOr(none string) string {
	if p == nil {
		return none
	}
	return p.name
}

// journalOf is who wrote a process's journal last.
func (w *World) journalOf(p *process) owner {
	if p.journal != w.journal {
		return owner{by: p, saved: p.savedAt}
	}
	return w.oracle.holder
}

// journaled is a write of the journal.
func (o *oracle) journaled(p *process, old, e rotation.Entry) {
	o.untouched(p, old, e)
	before, after := leaseOwner(old), leaseOwner(e)
	now := time.Now()
	if p.journal == o.w.journal {
		if before != "" && after != "" && after != before && !o.tampered && p.ahead().Abs() <= clockSkew {
			if left := lease - time.Since(o.holder.saved); left > clockSkew && !p.forcing() {
				o.broken("law 5", "%s takes the lease of %s, which has %v to go", p.name, o.holder.by.nameOr("nobody"), left)
			}
			if o.tookOver = o.holder.saved.Add(lease); p.forcing() {
				o.tookOver = time.Time{} // an emergency waits for nothing
			}
		}
		o.holder = owner{by: p, saved: now}
	}
	p.savedAt, p.sawLoss = now, false
}

// leaseOwner is who has the lease in an entry; empty: nobody.
func leaseOwner(e rotation.Entry) string {
	_, rest, ok := bytes.Cut(e.Data, []byte(`"lease":{"owner":"`))
	if !ok {
		return ""
	}
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}

// forcing reports whether the process is in an emergency, which may take the lease from anybody.
func (p *process) forcing() bool { return p.w.emergency }

// killing is laws 3, 4 and 10: a key is about to be revoked or disabled.
func (o *oracle) killing(p *process, m *minted, what op) {
	w, now := o.w, time.Now()
	if m.foreign || m.person {
		o.broken("law 10", "%s of %s, which is none of ours", what, m.key.ID)
	}
	if _, bad := o.compromised[m]; bad {
		return
	}
	if !w.meddledAt.Before(p.advance) { // the facts were observed before somebody changed them: no order of calls helps
		o.excused[m] = "an intervention beside the kill"
		return
	}
	current := w.provider.byValue(w.vault.served().Secret)
	if m == current {
		o.broken("law 3", "%s of %s, which is current in the store", what, m.key.ID)
	} else if current != nil && !w.provider.everywhere(current) && !o.innocent(current) {
		o.broken("law 3", "%s of %s, while the current key %s is not accepted everywhere", what, m.key.ID, current.key.ID)
	}
	for _, s := range w.services {
		for _, i := range s.instances {
			if !i.idle && w.provider.byValue(i.key.Secret) == m && !s.hidden {
				o.broken("law 4", "%s of %s, while %s uses it", what, m.key.ID, i.name)
			}
		}
		if seen := p.seen[s.name]; s.kind != Blind && !s.hidden && o.presented[m] && seen.Before(p.advance) {
			o.broken("law 4", "%s of %s: %s was not observed in this Advance", what, m.key.ID, s.name)
		}
	}
	if !o.presented[m] {
		return
	}
	if ago := now.Sub(o.tookOver); ago < callTimeout {
		o.broken("law 5", "%s of %s %v after a takeover: a call of the former owner can still land", what, m.key.ID, ago)
	}
	policy := w.setting.Policy
	if at, ok := o.replacedAt[m]; ok && !o.newer(m, current) && now.Sub(at) < policy.Overlap-2*clockSkew && !w.setting.Traits.KillsOld && !w.atOnce {
		o.broken("law 4", "%s of %s %v after it was replaced; the overlap is %v", what, m.key.ID, now.Sub(at), policy.Overlap)
	}
	if last := w.provider.lastUse(m, now, false); !w.setting.NoUsage && now.Sub(last) < policy.Quiet-2*clockSkew && !w.atOnce {
		o.broken("law 4", "%s of %s %v after its last use; it has to be quiet for %v", what, m.key.ID, now.Sub(last), policy.Quiet)
	}
}

// newer reports whether a was minted after b: then it dies in a roll-back, and needs no overlap.
func (o *oracle) newer(a, b *minted) bool {
	return b != nil && slices.Index(o.w.provider.keys, a) > slices.Index(o.w.provider.keys, b)
}

// after is the end of a call that reached the world.
func (o *oracle) after(p *process, what op, about string, err error) {
	if err == nil && (what == opRevoke || what == opDisable) {
		o.w.tell("%s %s: done (asked by %s)", what, about, p.name)
	}
}

// label is what a key is called in the labels of calls.
func (w *World) label(m *minted) string {
	if w.setting.Slots {
		return m.key.ID + "/" + m.key.Attributes["held"]
	}
	return m.key.ID
}

func (w *World) labelled(label string) *minted {
	for _, m := range w.provider.keys {
		if w.label(m) == label {
			return m
		}
	}
	return nil
}
