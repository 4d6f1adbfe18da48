// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package fakeiam is a fake of the access keys of AWS IAM, and of GetCallerIdentity of STS, for this module's tests: their query
// protocol, signatures that are checked, two keys for a user, and eventual consistency where it is asked for. It is not AWS: there are
// no policies, only an administrator and actions that are denied.
package fakeiam

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Canary is in the message of every error: none of it may come out of the code under test.
const Canary = "canary-in-the-answer"

// The administrator, and the account.
const (
	AdminID     = "AKIAADMINADMINADMIN0"
	AdminSecret = "administrators-own-secret"
	Account     = "123456789012"
)

// Server is IAM and STS of one account. It is an http.Handler, and a client of the SDK that needs no network.
type Server struct {
	Lag      time.Duration // until a new or ended key is seen by STS and in lists; zero: at once
	UsageLag time.Duration // until a use is told
	Page     int           // keys in one answer of ListAccessKeys; zero: 100
	Skew     time.Duration // how far this clock is before the callers'

	mu    sync.Mutex
	users map[string]*user
	calls []string
	hook  func(action string, in url.Values) *Failure
}

type user struct {
	path string
	keys []*key
}

type key struct {
	id, secret string
	inactive   bool
	made       time.Time
	changed    time.Time // Inactive or Active, or ended
	ended      bool
	uses       []time.Time
}

// Failure is an answer that is no success.
type Failure struct {
	Status int // zero: 400
	Code   string
	Detail string
	Header http.Header
	After  bool   // the call has its effect first
	Body   string // instead of the XML
}

// AddUser makes a user; path is "/" or "/x/".
func (s *Server) AddUser(path, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil {
		s.users = map[string]*user{}
	}
	s.users[name] = &user{path: path}
}

// ARN is that of a user.
func (s *Server) ARN(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return arn(s.users[name].path, name)
}

func arn(path, name string) string { return "arn:aws:iam::" + Account + ":user" + path + name }

// Hook has f look at each call before it has an effect. nil: no hook.
func (s *Server) Hook(f func(action string, in url.Values) *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// Calls are the actions so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Mint is what a person does at the console: the user gets a key. It is counted by the limit, and not refused by it.
func (s *Server) Mint(name string) (id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := mint()
	s.users[name].keys = append(s.users[name].keys, k)
	return k.id, k.secret
}

// End is what a person does at the console: a key of the user is deleted.
func (s *Server) End(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.users[name].keys {
		if k.id == id {
			k.ended, k.changed = true, time.Now()
		}
	}
}

// Live are the ids of the keys that a user has.
func (s *Server) Live(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, k := range s.users[name].keys {
		if !k.ended {
			ids = append(ids, k.id)
		}
	}
	return ids
}

func mint() *key {
	id, secret := make([]byte, 8), make([]byte, 20)
	_, _ = rand.Read(id) // never fails
	_, _ = rand.Read(secret)
	return &key{id: "AKIA" + strings.ToUpper(hex.EncodeToString(id)), secret: hex.EncodeToString(secret), made: time.Now()}
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
	status, header, body := s.answer(r, data)
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// ServeHTTP is the same over a network.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status, header, body := s.answer(r, data)
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (s *Server) answer(r *http.Request, data []byte) (int, http.Header, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, err := url.ParseQuery(string(bytes.TrimSpace(data)))
	if err != nil {
		return s.failed(&Failure{Code: "MalformedQueryString"})
	}
	action := in.Get("Action")
	s.calls = append(s.calls, action)
	var injected *Failure
	if s.hook != nil {
		injected = s.hook(action, in)
	}
	if injected != nil && !injected.After {
		return s.failed(injected)
	}
	who, failure := s.authenticate(r, data)
	var result string
	if failure == nil {
		result, failure = s.run(action, in, who)
	}
	switch {
	case injected != nil:
		return s.failed(injected)
	case failure != nil:
		return s.failed(failure)
	}
	body := fmt.Sprintf("<%sResponse><%sResult>%s</%sResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></%sResponse>", action, action, result, action, action)
	return http.StatusOK, s.header(), body
}

func (s *Server) header() http.Header {
	return http.Header{
		"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {"req-1"}, "Date": {time.Now().Add(s.Skew).UTC().Format(http.TimeFormat)},
	}
}

func (s *Server) failed(f *Failure) (int, http.Header, string) {
	header := s.header()
	maps.Copy(header, f.Header)
	status := f.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if f.Body != "" {
		return status, header, f.Body
	}
	return status, header, fmt.Sprintf("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s %s</Message></Error><RequestId>req-1</RequestId></ErrorResponse>", f.Code, f.Detail, Canary)
}
