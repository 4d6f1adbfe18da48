// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/statuspage"
)

var update = flag.Bool("update", false, "write the goldens anew")

const day = 24 * time.Hour

// inventory is one of everything that a page can show.
func inventory(now time.Time) *source {
	s := &source{}
	record := func(id string, strategy rotation.Strategy, phase rotation.Phase, began time.Time) *rotation.Record {
		return &rotation.Record{
			ID: id, Credential: "soaking", Strategy: strategy, Phase: phase, Generation: 4, OldID: "key-3", NewID: "key-4", Reason: "due", Actor: "ana",
			BeganAt: began, Timeline: []rotation.Moment{{At: began, Phase: rotation.PhasePrepare, Actor: "ana", Text: "it began"}, {At: began.Add(time.Minute), Phase: phase, Text: "it goes on"}},
		}
	}
	fresh := func(name string) rotation.Status {
		return rotation.Status{Credential: name, Generation: 3, IssuedAt: now.Add(-10 * day), Due: now.Add(80 * day), Next: now.Add(80 * day)}
	}
	soaking := fresh("soaking")
	soaking.Open = record("AAAA", rotation.Standard, rotation.PhaseSoak, now.Add(-3*time.Hour))
	soaking.Open.RollbackUntil = now.Add(21 * time.Hour)
	soaking.Open.Trigger, soaking.Open.IssuedAt, soaking.Open.DeployedAt = "run-17", now.Add(-3*time.Hour), now.Add(-2*time.Hour)
	soaking.Open.Consumers = []rotation.ConsumerRecord{
		{Name: "web", DeployedAt: now.Add(-2 * time.Hour), ObservedAt: now.Add(-2 * time.Hour), VerifiedAt: now.Add(-2 * time.Hour), Proof: "observed"},
		{Name: "batch", Outage: 90 * time.Second, Problem: &rotation.Error{Credential: "soaking", Consumer: "batch", Diagnosis: rotation.Unproven, Evidence: "nothing sees it", Action: "look"}},
	}
	soaking.Needs = []rotation.Need{{ID: "AAAA.4/overlap", Kind: rotation.NeedTime, Text: "both keys live until the overlap has passed", Until: now.Add(21 * time.Hour), Verbs: []rotation.Verb{rotation.VerbExtend}}}
	s.add(soaking, func(c *rotation.Credential) {
		c.Risk, c.Scope, c.Contact, c.Store = rotation.HighRisk, rotation.ScopeBroad, "#payments", part{identity: "vault.example.com/kv"}
		c.Consumers = []rotation.Binding{{Name: "web", Consumer: part{identity: "kubernetes: web"}}, {Name: "batch", Consumer: part{}}}
	})

	asking := fresh("asking")
	asking.Open = record("BBBB", rotation.Standard, rotation.PhaseVerify, now.Add(-time.Hour))
	asking.Open.Problem = &rotation.Error{Credential: "asking", Phase: rotation.PhaseVerify, Diagnosis: rotation.Unproven, Evidence: "nothing sees it", Err: errors.New("hidden")}
	asking.Needs = []rotation.Need{{ID: "BBBB.4/attest/batch", Kind: rotation.NeedPerson, Name: "batch", Text: "batch: look at it", Verbs: []rotation.Verb{rotation.VerbAttest, rotation.VerbForget, "invented"}}}
	s.add(asking)

	burning := fresh("burning")
	burning.Open = record("CCCC", rotation.Emergency, rotation.PhaseDeploy, now.Add(-5*time.Minute))
	burning.Open.Incident, burning.Open.Deadline, burning.Open.RevokedAt, burning.Open.DeadlineMet = "INC-7", now.Add(10*time.Minute), now.Add(-4*time.Minute), true
	s.add(burning)

	failing := fresh("failing")
	failing.Open = record("DDDD", rotation.RollBack, rotation.PhaseRestore, now.Add(-time.Hour))
	failing.Open.Problem = &rotation.Error{Credential: "failing", Evidence: "it is refused", Err: rotation.ErrDenied}
	s.add(failing)

	owing := fresh("owing")
	owing.Last = record("EEEE", rotation.Standard, rotation.PhaseFinish, now.Add(-2*day))
	owing.Last.Outcome, owing.Last.EndedAt = rotation.Rotated, now.Add(-day)
	owing.Debts = []rotation.Debt{
		{ID: "debt/1", Key: rotation.Key{ID: "key-1", Generation: 1}, Since: now.Add(-day), Problem: &rotation.Error{Credential: "owing", Diagnosis: rotation.RevocationNotEffective, Evidence: "it is accepted", Action: "end it there"}},
		{ID: "debt/2", Key: rotation.Key{Generation: 2}, Since: now.Add(-day)},
	}
	s.add(owing)

	overdue := fresh("overdue")
	overdue.IssuedAt, overdue.Due = now.Add(-100*day), now.Add(-10*day)
	s.add(overdue)
	undated := fresh("undated")
	undated.IssuedAt, undated.Due = time.Time{}, time.Time{}
	s.add(undated)
	soon := fresh("soon")
	soon.IssuedAt, soon.Due = now.Add(-77*day), now.Add(13*day)
	s.add(soon)
	held := fresh("held")
	held.HeldUntil = now.Add(day)
	held.Needs = []rotation.Need{{ID: "hold", Kind: rotation.NeedRelease, Until: held.HeldUntil, Text: "held by bo: quarter end"}}
	s.add(held)
	s.add(rotation.Status{Credential: "unknown", Next: now})
	s.add(fresh("well"))
	return s
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := document(t, newPage(t, statuspage.Config{Rotator: inventory(time.Now())}), "")
		got := map[string][]statuspage.State{}
		for _, c := range doc.Credentials {
			got[c.Name] = c.States
		}
		require.Equal(t, map[string][]statuspage.State{
			"soaking": {statuspage.StateOpen},
			"asking":  {statuspage.StatePerson, statuspage.StateOpen},
			"burning": {statuspage.StateEmergency, statuspage.StateOpen},
			"failing": {statuspage.StateFailing, statuspage.StateOpen},
			"owing":   {statuspage.StateDebt},
			"overdue": {statuspage.StateOverdue},
			"undated": {statuspage.StateOverdue},
			"soon":    {statuspage.StateSoon},
			"held":    {statuspage.StateHeld},
			"unknown": {statuspage.StateNew},
			"well":    {statuspage.StateOK},
		}, got)
		require.Equal(t, statuspage.Summary{
			Credentials: 11, Emergencies: 1, Person: 1, Overdue: 2, Soon: 1, Open: 4, Failing: 1, Held: 1, Debts: 2,
		}, doc.Summary)
	})
}

func TestSoonEndsWhereOverdueBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for due, want := range map[time.Duration]statuspage.State{
			14 * day: statuspage.StateOK, 14*day - 1: statuspage.StateSoon, 1: statuspage.StateSoon, 0: statuspage.StateOverdue, -1: statuspage.StateOverdue,
		} {
			s := &source{}
			s.add(rotation.Status{Credential: "a", Generation: 1, IssuedAt: now.Add(-50 * day), Due: now.Add(due)})
			doc := document(t, newPage(t, statuspage.Config{Rotator: s}), "")
			assert.Equal(t, []statuspage.State{want}, doc.Credentials[0].States, due)
		}
	})
}

func TestGoldenJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPage(t, statuspage.Config{Rotator: inventory(time.Now())})
		for file, query := range map[string]string{"list": "?format=json&limit=7", "soaking": "?format=json&credential=soaking", "owing": "?format=json&credential=owing"} {
			w := get(t, h, query)
			require.Equal(t, http.StatusOK, w.Code)
			golden := "testdata/" + file + ".json"
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(golden, w.Body.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), w.Body.String(), "%s: others parse these names; -update writes it anew", golden)
		}
	})
}

func TestFilterSortAndPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPage(t, statuspage.Config{Rotator: inventory(time.Now())})
		for query, want := range map[string][]string{
			"state=open":               {"asking", "burning", "failing", "soaking"},
			"state=overdue":            {"overdue", "undated"},
			"state=debt":               {"owing"},
			"state=held":               {"held"},
			"state=person":             {"asking"},
			"state=new":                {"unknown"},
			"state=unread":             {},
			"q=WEL":                    {"well"},
			"q=%23payments":            {"soaking"},
			"q=vault.example":          {"soaking"},
			"q=nothing":                {},
			"state=open&q=king":        {"asking", "soaking"},
			"limit=2":                  {"asking", "burning"},
			"limit=2&page=2":           {"failing", "held"},
			"limit=2&page=99":          {"well"},
			"sort=due&limit=3":         {"undated", "overdue", "soon"},
			"sort=age&limit=2":         {"undated", "overdue"},
			"sort=state&limit=3":       {"burning", "asking", "overdue"},
			"sort=due&page=11&limit=1": {"unknown"},
		} {
			assert.Equal(t, want, names(document(t, h, "?"+query)), query)
			assert.Equal(t, http.StatusOK, get(t, h, "?"+query).Code, query)
		}
		doc := document(t, h, "?limit=4&page=3")
		require.Equal(t, []int{11, 3, 3, 4, 3}, []int{doc.Total, doc.Page, doc.Pages, doc.Limit, len(doc.Credentials)})
		doc = document(t, h, "?state=overdue")
		require.Equal(t, 11, doc.Summary.Credentials, "the summary is of everything")
	})
}

// A key that lives for ten days is not due soon from its first day on.
func TestShortLivedKeysAreNotAlwaysDueSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for age, want := range map[time.Duration]statuspage.State{5*day - 1: statuspage.StateOK, 5 * day: statuspage.StateSoon} {
			s := &source{}
			s.add(rotation.Status{Credential: "a", Generation: 1, IssuedAt: now.Add(-age), Due: now.Add(10*day - age)})
			assert.Equal(t, []statuspage.State{want}, document(t, newPage(t, statuspage.Config{Rotator: s}), "").Credentials[0].States, age)
		}
	})
}

// Two thousand credentials are a page that a browser shows at once, and an emergency is on top of each.
func TestManyCredentials(t *testing.T) {
	now := time.Now()
	s := inventory(now)
	base := inventory(now)
	for i := range 2000 {
		n := i % len(base.statuses)
		st := base.statuses[n]
		st.Credential = fmt.Sprintf("service-%04d-%s", i, st.Credential)
		c := base.credentials[n]
		c.Name = st.Credential
		s.credentials, s.statuses = append(s.credentials, c), append(s.statuses, st)
	}
	h := newPage(t, statuspage.Config{Rotator: s})
	for _, query := range []string{"", "?page=9", "?state=open", "?sort=state&limit=1000"} {
		w := get(t, h, query)
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), "Emergencies are open", query)
		t.Logf("%q: %d kB", query, w.Body.Len()/1000)
		if query == "" {
			require.Less(t, w.Body.Len(), 600_000)
		}
	}
	require.Equal(t, 2011, document(t, h, "").Total)
}

// The cost of a view of 2,000 credentials whose reading is fresh.
func BenchmarkView(b *testing.B) {
	now := time.Now()
	s, base := &source{}, inventory(now)
	for i := range 2000 {
		st := base.statuses[i%len(base.statuses)]
		st.Credential = fmt.Sprintf("service-%04d", i)
		s.add(st)
	}
	h := newPage(b, statuspage.Config{Rotator: s, Fresh: time.Hour})
	for name, query := range map[string]string{"page": "", "json": "?format=json", "credential": "?credential=service-0003"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if w := get(b, h, query); w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
