// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package fakesm is a fake of AWS Secrets Manager for this module's tests: its JSON protocol, and the rules of versions and staging
// labels as the API reference states them. It is not AWS: nothing is encrypted, no signature is checked, and every call sees every
// call before it, where AWS is eventually consistent.
package fakesm

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Canary is in the message of every error: none of it may come out of the code under test.
const Canary = "canary-in-the-answer"

// Server is one region of one account. The zero Server is empty and ready. It is an http.Handler, and a client of the SDK that needs
// no network.
type Server struct {
	Versions int // how many versions of a secret can be younger than a day or have a label; zero: no limit

	mu      sync.Mutex
	secrets map[string]*Secret
	calls   []string
	hook    func(op string, in map[string]any) *Failure
}

// Secret is one secret.
type Secret struct {
	Deleted       bool   // scheduled for deletion
	PrimaryRegion string // set on a replica
	Owner         string // the service that manages it
	Rotates       bool   // AWS calls a function on a schedule
	versions      map[string]*version
}

type version struct {
	text    *string
	binary  []byte
	stages  []string
	created time.Time
	empty   bool // made by RotateSecret, before the function has put its value
}

// Failure is an answer that is no success.
type Failure struct {
	Status int    // zero: 400
	Code   string // ResourceNotFoundException ...
	Header http.Header
	After  bool // the call has its effect first
	Detail string
}

// Hook has f look at each call before it has an effect. nil: no hook.
func (s *Server) Hook(f func(op string, in map[string]any) *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// Calls are the operations so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Change changes a secret, which it makes if there is none.
func (s *Server) Change(name string, f func(*Secret)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.make(name))
}

func (s *Server) make(name string) *Secret {
	if s.secrets == nil {
		s.secrets = map[string]*Secret{}
	}
	if s.secrets[name] == nil {
		s.secrets[name] = &Secret{versions: map[string]*version{}}
	}
	return s.secrets[name]
}

// Edit is what a person does at the console: a new version becomes current.
func (s *Server) Edit(name, id, text string) { s.Put(name, "AWSCURRENT", id, text) }

// Put is what another program does: a new version gets a label.
func (s *Server) Put(name, stage, id, text string) {
	s.Change(name, func(sec *Secret) {
		sec.versions[id] = &version{text: &text, created: time.Now()}
		sec.move(stage, id)
	})
}

// EditBinary is Edit with bytes.
func (s *Server) EditBinary(name, id string, value []byte) {
	s.Change(name, func(sec *Secret) {
		sec.versions[id] = &version{binary: value, created: time.Now()}
		sec.move("AWSCURRENT", id)
	})
}

// Begin is what RotateSecret does before it calls the function: a version without a value is pending.
func (s *Server) Begin(name, token string) {
	s.Change(name, func(sec *Secret) {
		sec.Rotates = true
		sec.versions[token] = &version{empty: true, created: time.Now()}
		sec.move("AWSPENDING", token)
	})
}

// Label moves a label by hand; an empty id takes it away.
func (s *Server) Label(name, stage, id string) {
	s.Change(name, func(sec *Secret) { sec.move(stage, id) })
}

// Read returns what the version with a label holds, and its id; empty strings if there is none.
func (s *Server) Read(name, stage string) (text, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.secrets[name]
	if sec == nil {
		return "", ""
	}
	id = sec.holder(stage)
	if v := sec.versions[id]; v != nil && v.text != nil {
		text = *v.text
	}
	return text, id
}

// Count is how many versions a secret has, with a label or without.
func (s *Server) Count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets[name] == nil {
		return 0
	}
	return len(s.secrets[name].versions)
}

// Collect is what Secrets Manager may do at any time a day later: versions without a label go.
func (s *Server) Collect(name string) {
	s.Change(name, func(sec *Secret) {
		maps.DeleteFunc(sec.versions, func(_ string, v *version) bool { return len(v.stages) == 0 })
	})
}

func (sec *Secret) holder(stage string) string {
	for id, v := range sec.versions {
		if slices.Contains(v.stages, stage) {
			return id
		}
	}
	return ""
}

// move has AWSPREVIOUS follow AWSCURRENT.
func (sec *Secret) move(stage, to string) {
	from := sec.holder(stage)
	if from == to {
		return
	}
	if v := sec.versions[from]; v != nil {
		v.stages = slices.DeleteFunc(v.stages, func(s string) bool { return s == stage })
	}
	if v := sec.versions[to]; v != nil {
		v.stages = append(v.stages, stage)
	}
	if stage == "AWSCURRENT" && from != "" {
		sec.move("AWSPREVIOUS", from)
	}
}

// Do is a round trip without a network.
func (s *Server) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, header, body := s.answer(r.Header.Get("X-Amz-Target"), data)
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// ServeHTTP is the same over a network.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status, header, body := s.answer(r.Header.Get("X-Amz-Target"), data)
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *Server) answer(target string, data []byte) (int, http.Header, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := strings.TrimPrefix(target, "secretsmanager.")
	s.calls = append(s.calls, op)
	var in map[string]any
	if json.Unmarshal(data, &in) != nil {
		return failed(&Failure{Code: "SerializationException"})
	}
	var injected *Failure
	if s.hook != nil {
		injected = s.hook(op, in)
	}
	if injected != nil && !injected.After {
		return failed(injected)
	}
	out, err := s.run(op, in)
	switch {
	case injected != nil:
		return failed(injected)
	case err != nil:
		return failed(err)
	}
	body, _ := json.Marshal(out) // maps of strings and numbers
	return http.StatusOK, http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"req-1"}}, body
}

func failed(f *Failure) (int, http.Header, []byte) {
	header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"req-1"}}
	maps.Copy(header, f.Header)
	status := f.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	body, _ := json.Marshal(map[string]string{"__type": f.Code, "message": strings.TrimSpace(f.Detail + " " + Canary)})
	return status, header, body
}
