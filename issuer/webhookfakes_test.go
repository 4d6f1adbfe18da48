// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// lossy does what a request asks for and breaks the connection instead of answering, for the requests that lost names.
type lossy struct {
	http.Handler
	mu   sync.Mutex
	lost []string // "POST /path", each once
}

func (l *lossy) lose(requests ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, requests...)
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	n := slices.Index(l.lost, r.Method+" "+r.URL.Path)
	if n >= 0 {
		l.lost = slices.Delete(l.lost, n, n+1)
	}
	l.mu.Unlock()
	if n < 0 {
		l.Handler.ServeHTTP(w, r)
		return
	}
	l.Handler.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// RoundTrip is the same without a network.
func (l *lossy) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			resp, err = nil, errors.New("the connection broke")
		} else if p != nil {
			panic(p)
		}
	}()
	l.ServeHTTP(w, r)
	return w.Result(), nil
}

// endpoint is a webhook that has one secret. It speaks as GitHub, GitLab and Svix do, and as a house of one's own.
type endpoint struct {
	mu     sync.Mutex
	told   []string // every secret that was set
	tests  []string // the secret that signed each test delivery
	old    []string // Svix: the ones before, which sign until their grace is over
	grace  []any
	others int // requests that nobody should make
}

func (e *endpoint) secret() string {
	if len(e.told) == 0 {
		return ""
	}
	return e.told[len(e.told)-1]
}

// set is under the lock.
func (e *endpoint) set(w http.ResponseWriter, secret any) {
	text, ok := secret.(string)
	if !ok || text == "" {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	e.told = append(e.told, text)
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := map[string]any{}
	json.NewDecoder(r.Body).Decode(&in)
	switch r.Method + " " + r.URL.Path {
	case "GET /repos/acme/web/hooks/12345/config": // GitHub shows a mask
		fmt.Fprint(w, `{"content_type":"json","insecure_ssl":"0","secret":"********","url":"https://hooks.example.com/github"}`)
	case "PATCH /repos/acme/web/hooks/12345/config":
		e.set(w, in["secret"])
		fmt.Fprint(w, `{"secret":"********"}`)
	case "PUT /projects/42/hooks/7": // GitLab requires the URL
		if in["url"] != "https://hooks.example.com/gitlab" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		e.set(w, in["token"])
	case "PATCH /webhooks/9":
		e.set(w, in["signing_secret"])
	case "GET /app/a1/endpoint/ep1/secret":
		json.NewEncoder(w).Encode(map[string]string{"key": e.secret()})
	case "POST /app/a1/endpoint/ep1/secret/rotate":
		e.rotate(w, in)
	case "POST /repos/acme/web/hooks/12345/pings", "POST /projects/42/hooks/7/test/push_events", "POST /webhooks/9/test":
		e.tests = append(e.tests, e.secret())
		w.WriteHeader(http.StatusNoContent)
	case "POST /app/a1/endpoint/ep1/send-example":
		if in["eventType"] == nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		e.tests = append(e.tests, e.secret())
		w.WriteHeader(http.StatusAccepted)
	default:
		e.others++
		w.WriteHeader(http.StatusNotFound)
	}
}

// rotate is Svix's: the present secret joins the old ones, of which there are ten at most.
func (e *endpoint) rotate(w http.ResponseWriter, in map[string]any) {
	key, _ := in["key"].(string)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil || len(raw) < 24 || len(raw) > 64 {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	if len(e.old) >= 10 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if in["gracePeriodSeconds"] != 0.0 {
		e.old = append(e.old, e.secret())
	}
	e.grace = append(e.grace, in["gracePeriodSeconds"])
	e.set(w, key)
	w.WriteHeader(http.StatusNoContent)
}

// subscription of a sender that gives each one a secret for life.
type subscription struct {
	id, secret, name, address string
	active                    bool
	events                    []string
	created                   time.Time
}

// switchboard is such a sender. It speaks as PagerDuty and as Gitea do.
type switchboard struct {
	gitea bool // the secret is given to it, there are no names, and an edit without events sets them to "push"
	mute  bool // it takes an edit and changes nothing

	mu    sync.Mutex
	made  int
	subs  map[string]*subscription
	tests []string // the secret that signed each test delivery
	log   []string // "on s1", "off s2", "delete s1"
	edits int      // requests to switch
	least int      // the fewest that were on at one time, since the first was
}

func newSwitchboard(gitea bool) *switchboard {
	return &switchboard{gitea: gitea, subs: map[string]*subscription{}, least: 1}
}

const receiver = "https://hooks.example.com/in"

// seed makes the subscription that is in use today.
func (b *switchboard) seed(secret string) *subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	s := &subscription{id: fmt.Sprint(b.made), secret: secret, name: "by hand", address: receiver, active: true, events: []string{"a", "b"}, created: time.Now()}
	b.subs[s.id] = s
	return s
}

// on are the ids of those that are switched on and deliver to the receiver.
func (b *switchboard) on() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live()
}

// live is on, under the lock.
func (b *switchboard) live() []string {
	var ids []string
	for _, s := range b.subs {
		if s.active && s.address == receiver {
			ids = append(ids, s.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (b *switchboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := map[string]any{}
	json.NewDecoder(r.Body).Decode(&in)
	path := strings.TrimPrefix(r.URL.Path, "/repos/acme/web/hooks")
	if !b.gitea {
		path = strings.TrimPrefix(r.URL.Path, "/webhook_subscriptions")
		if inner, ok := in["webhook_subscription"].(map[string]any); ok {
			in = inner
		} else if len(in) > 0 { // without its wrapper nothing is understood
			in = map[string]any{}
		}
	}
	id, test, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	s := b.subs[id]
	switch {
	case id == "" && r.Method == http.MethodPost:
		b.create(w, in)
	case id == "" && r.Method == http.MethodGet:
		b.list(w)
	case s == nil:
		w.WriteHeader(http.StatusNotFound)
	case test != "" && r.Method == http.MethodPost:
		b.tests = append(b.tests, s.secret)
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodDelete:
		delete(b.subs, id)
		b.log = append(b.log, "delete "+id)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPatch && b.gitea, r.Method == http.MethodPut && !b.gitea:
		b.edit(s, in)
		json.NewEncoder(w).Encode(b.shown(s, ""))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (b *switchboard) create(w http.ResponseWriter, in map[string]any) {
	b.made++
	s := &subscription{id: fmt.Sprint(b.made), active: true, created: time.Now()}
	if active, ok := in["active"].(bool); ok || b.gitea {
		s.active = active
	}
	if b.gitea {
		config, _ := in["config"].(map[string]any)
		s.secret, s.address = fmt.Sprint(config["secret"]), fmt.Sprint(config["url"])
	} else {
		method, _ := in["delivery_method"].(map[string]any)
		s.secret, s.address, s.name = fmt.Sprintf("made-by-the-sender-%d", b.made), fmt.Sprint(method["url"]), fmt.Sprint(in["description"])
	}
	s.events = texts(in["events"])
	b.subs[s.id] = s
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(b.shown(s, s.secret))
}

func (b *switchboard) edit(s *subscription, in map[string]any) {
	b.edits++
	if b.mute {
		return
	}
	if b.gitea {
		if s.events = texts(in["events"]); len(s.events) == 0 {
			s.events = []string{"push"}
		}
	}
	if active, ok := in["active"].(bool); ok && active != s.active {
		s.active = active
		b.log = append(b.log, map[bool]string{true: "on ", false: "off "}[active]+s.id)
	}
	b.least = min(b.least, len(b.live()))
}

func (b *switchboard) list(w http.ResponseWriter) {
	list := []any{}
	for _, s := range b.subs {
		list = append(list, b.shown(s, ""))
	}
	if b.gitea {
		w.Header().Set("X-Total-Count", fmt.Sprint(len(list)))
		json.NewEncoder(w).Encode(list)
		return
	}
	for n, item := range list {
		list[n] = item.(map[string]any)["webhook_subscription"]
	}
	json.NewEncoder(w).Encode(map[string]any{"webhook_subscriptions": list, "limit": 25, "offset": 0, "total": nil, "more": false})
}

// shown is a subscription as an answer has it. The secret is shown once, and by Gitea never.
func (b *switchboard) shown(s *subscription, secret string) map[string]any {
	if b.gitea {
		return map[string]any{
			"id": json.Number(s.id), "type": "gitea", "active": s.active, "events": s.events, "created_at": s.created.UTC().Format(time.RFC3339),
			"config": map[string]any{"url": s.address, "content_type": "json"}, "authorization_header": "",
		}
	}
	method := map[string]any{"id": "PF9", "secret": nil, "type": "http_delivery_method", "url": s.address}
	if secret != "" {
		method["secret"] = secret
	}
	return map[string]any{"webhook_subscription": map[string]any{
		"id": s.id, "type": "webhook_subscription", "active": s.active, "description": s.name, "delivery_method": method, "events": s.events,
	}}
}

func texts(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, t := range list {
		out = append(out, fmt.Sprint(t))
	}
	return out
}
