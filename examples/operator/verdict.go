// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/statuspage"
)

// Result is what -json prints.
type Result struct {
	Credentials int      `json:"credentials"`
	Rotated     int      `json:"rotated"` // one generation higher, with one live key at the provider
	Journal     string   `json:"journal"`
	Replicas    int      `json:"replicas"`
	Kills       []kill   `json:"kills"`
	CarriedOn   int      `json:"carried_on"` // rotations that more than one replica worked on
	Issued      int64    `json:"issued"`     // requests for a key; more than credentials where a kill lost the answer of one
	Requests    int      `json:"requests"`   // of the services, with their keys
	Rejected    int      `json:"rejected"`
	Lost        int      `json:"lost"` // requests without any answer
	Events      int      `json:"events"`
	Notices     int      `json:"notices"` // deliveries of them; an event may come twice
	Trails      []trails `json:"trails"`
	Seconds     float64  `json:"seconds"`
	Broken      []string `json:"broken"` // promises
}

// trails is what an audit trail was found to hold.
type trails struct {
	Replica     string `json:"replica"`
	Events      int64  `json:"events"`
	Checkpoints int64  `json:"checkpoints"`
	Healed      int64  `json:"healed"` // lines that a kill cut off
}

// promise notes a promise that was not kept.
func (r *Result) promise(kept bool, format string, args ...any) {
	if !kept {
		r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
	}
}

// verdict looks at every place where something could have gone wrong.
func (s *stage) verdict(ctx context.Context) (Result, error) {
	sleep(ctx, max(time.Second, 3*s.world.Pause)) // every service goes on with its new key
	r := Result{
		Credentials: s.n, Replicas: len(replicas), Kills: s.kills, Seconds: s.took.Seconds(), Journal: "sqlite",
		Issued: s.provider.issues.Load() - int64(s.n), Broken: []string{},
	}
	if s.world.Postgres != "" {
		r.Journal = "postgres"
	}
	r.promise(len(s.kills) == 2, "two replicas are killed: %d", len(s.kills))
	for _, k := range s.kills {
		r.promise(k.Open > 0, "%s is killed in the middle of rotations", k.Replica)
	}
	for _, judge := range []func(context.Context, *Result) error{s.judgeKeys, s.judgeTraffic, s.judgeEvents, s.judgePage} {
		if err := judge(ctx, &r); err != nil {
			return r, err
		}
	}
	return r, ctx.Err()
}

// judgeKeys compares the journal, the secret stores and the provider: they agree on the one key that there is.
func (s *stage) judgeKeys(ctx context.Context, r *Result) error {
	all, err := s.watcher.List(ctx)
	if err != nil {
		return err
	}
	r.promise(len(all) == s.n, "the journal knows every credential: %d", len(all))
	for _, st := range all {
		secrets, err := s.world.openStore(st.Credential, s.secrets[storeKeyVar])
		if err != nil {
			return err
		}
		stored, err := secrets.Load(ctx, st.Credential)
		if err != nil {
			return err
		}
		live, current := s.provider.accounts[st.Credential].Live(), stored.Key(rotation.RoleCurrent)
		ended := st.Open == nil && st.Last != nil && st.Last.Outcome == rotation.Rotated
		once := st.Generation == 2 && current.Generation == 2
		one := len(stored.Keys) == 1 && slices.Equal(live, []string{current.ID})
		if ended && once && one && len(st.Debts) == 0 {
			r.Rotated++
		}
		r.promise(ended, "%s: its rotation has ended", st.Credential)
		r.promise(once, "%s: one generation higher: %d in the journal, %d in the store", st.Credential, st.Generation, current.Generation)
		r.promise(one, "%s: the one live key is that of the store: %v, %s", st.Credential, live, current)
		r.promise(len(st.Debts) == 0, "%s: no key is left over: %v", st.Credential, st.Debts)
	}
	return nil
}

// judgeTraffic asks whether anybody noticed anything.
func (s *stage) judgeTraffic(ctx context.Context, r *Result) error {
	t := s.provider.take(s.items)
	r.Requests, r.Rejected = t.requests, t.rejected
	r.promise(t.rejected == 0, "no request is rejected: %d, of %v", t.rejected, t.refused)
	r.promise(len(t.silent) == 0, "every service calls the provider: not %v", t.silent)
	for _, host := range s.world.Hosts {
		var l losses
		if err := getJSON(ctx, "http://"+host+"/lost", &l); err != nil {
			return err
		}
		r.Lost += l.Lost
		r.promise(l.Lost == 0, "no request gets lost: %d, the first: %s", l.Lost, l.First)
	}
	return nil
}

// milestones are in the record of every rotation. That a key was issued, promoted or revoked is not: where the process died
// between the act and its record, whoever carries on finds it done.
var milestones = []rotation.EventKind{rotation.EventBegan, rotation.EventDead, rotation.EventEnded}

// judgeEvents compares the audit trails with the notices: each event is in one of the trails at least, and was told at least
// once; and each rotation has its beginning and its end.
func (s *stage) judgeEvents(_ context.Context, r *Result) error {
	told, came, unsigned := s.notices.seen()
	r.Events, r.Notices = len(told), came
	r.promise(unsigned == 0, "every notice is signed: %d are not", unsigned)
	key, err := audit.PublicKey(s.secrets[auditVar])
	if err != nil {
		return err
	}
	recorded := map[string]rotation.Event{}
	for _, replica := range replicas {
		if err := s.judgeTrail(r, replica, audit.Expect{Keys: []ed25519.PublicKey{key}}, recorded); err != nil {
			return err
		}
	}
	untold, unrecorded := missing(recorded, told), missing(told, recorded)
	r.promise(len(untold) == 0, "every event is told: not %v", untold)
	r.promise(len(unrecorded) == 0, "every event is recorded: not %v", unrecorded)
	type story struct {
		kinds, actors map[string]bool
	}
	stories := map[string]story{}
	for _, e := range recorded {
		st, ok := stories[e.Credential]
		if !ok {
			st = story{map[string]bool{}, map[string]bool{}}
			stories[e.Credential] = st
		}
		st.kinds[string(e.Kind)], st.actors[e.Actor] = true, true
	}
	for _, item := range s.items {
		st := stories[item.name]
		for _, kind := range milestones {
			r.promise(st.kinds[string(kind)], "%s: the record says %s", item.name, kind)
		}
		if len(st.actors) > 1 {
			r.CarriedOn++
		}
	}
	return nil
}

// judgeTrail checks the trail of one replica, and adds its events to those recorded.
func (s *stage) judgeTrail(r *Result, replica string, want audit.Expect, recorded map[string]rotation.Event) error {
	dir := s.world.trail(replica)
	if s.replicas[replica] == nil { // it is dead, and may have died in the middle of a line: whoever opens the trail says so in it
		trail, err := audit.Open(audit.Config{Dir: dir, Key: s.secrets[auditVar]})
		if err != nil {
			return err
		}
		if err := trail.Close(); err != nil {
			return err
		}
	}
	report, err := audit.Check(os.DirFS(dir), want)
	r.promise(err == nil, "the trail of %s is whole: %v", replica, err)
	r.Trails = append(r.Trails, trails{replica, report.Events, report.Checkpoints, report.Healed})
	for e, err := range audit.Events(os.DirFS(dir), want) {
		if err != nil {
			return nil // that was said
		}
		recorded[e.ID] = e
	}
	return nil
}

// missing are the ids of events that the one has and the other has not.
func missing(has, hasNot map[string]rotation.Event) (ids []string) {
	for id := range has {
		if _, ok := hasNot[id]; !ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// judgePage asks the status page, as a dashboard would.
func (s *stage) judgePage(ctx context.Context, r *Result) error {
	var page statuspage.Document
	sleep(ctx, time.Second) // what it has read it shows for that long
	if err := getJSON(ctx, s.page()+"?format=json", &page); err != nil {
		return err
	}
	c := page.Summary
	calm := c.Credentials == s.n && c.Open+c.Overdue+c.Debts+c.Failing+c.Unread+c.Person == 0
	r.promise(calm, "the status page has nothing to report: %+v", c)
	return nil
}

// page is the status page of a replica that lives.
func (s *stage) page() string {
	for _, name := range replicas {
		if r := s.replicas[name]; r != nil {
			return r.page
		}
	}
	return ""
}

func getJSON(ctx context.Context, url string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(url + ": " + resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
