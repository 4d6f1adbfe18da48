// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

var (
	suiteLive = rotation.Key{ID: "k2", Serial: 2, Generation: 2, Secret: secret.New("value of the living key")}
	suiteDead = rotation.Key{ID: "k1", Serial: 1, Generation: 1, Secret: secret.New("value of the dead key")}
)

// answers is a transport to servers that always say the same.
func answers(status int, body string) *http.Client {
	return &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})}
}

// outages are the ways in which a page can give no answer; not all of them look like one.
func outages() []*http.Client {
	return []*http.Client{
		answers(http.StatusForbidden, "blocked by the firewall"),
		answers(http.StatusNotFound, ""),
		answers(http.StatusTooManyRequests, ""),
		answers(http.StatusBadGateway, "<html>"),
		answers(http.StatusProxyAuthRequired, ""),
		answers(http.StatusFound, ""),
		{Transport: tripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })},
	}
}

func TestProbeSuite(t *testing.T) {
	p := verify.Probe{URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+suiteLive.Secret.Reveal() {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})}
	rotationtest.VerifierSuite{Verifier: p, Live: suiteLive, Dead: suiteDead, Down: down(p)}.Run(t)
}

func down(p verify.Probe) []rotation.Verifier {
	closed := p
	closed.URL = "http://127.0.0.1:1/"
	all := []rotation.Verifier{closed}
	for _, client := range outages() {
		p.Client = client
		all = append(all, p)
	}
	return all
}

// TestProbeAnswerSuite has a server that answers 200 to everybody and says in the body what it thinks of the key.
func TestProbeAnswerSuite(t *testing.T) {
	p := verify.Probe{
		Auth: func(r *http.Request, key rotation.Key) { r.SetBasicAuth(key.ID, key.Secret.Reveal()) },
		Answer: func(resp *http.Response) error {
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) == "welcome" {
				return err
			}
			if string(body) == "who are you" {
				return rotation.ErrRejected
			}
			return errors.New("another page")
		},
		URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user == suiteLive.ID && password == suiteLive.Secret.Reveal() {
				io.WriteString(w, "welcome")
				return
			}
			io.WriteString(w, "who are you")
		}),
	}
	suite := rotationtest.VerifierSuite{Verifier: p, Live: suiteLive, Dead: suiteDead, Down: down(p)}
	portal := p
	portal.Client = answers(http.StatusOK, "please accept the terms of this network")
	suite.Down = append(suite.Down, portal)
	suite.Run(t)
}

// passwords is a database with one user for each key.
type passwords struct{ users map[string]secret.Value }

func (p passwords) open(key rotation.Key) (driver.Connector, error) { return login{p, key}, nil }

type login struct {
	db  passwords
	key rotation.Key
}

func (l login) Driver() driver.Driver { return nil }

func (l login) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if password, ok := l.db.users[l.key.ID]; !ok || !password.Equal(l.key.Secret) {
		return nil, errPassword
	}
	return connection{&database{open: 1}}, nil
}

func TestLoginSuite(t *testing.T) {
	db := passwords{map[string]secret.Value{suiteLive.ID: suiteLive.Secret}}
	full := &database{connect: errors.New("too many connections for " + suiteLive.Secret.Reveal())}
	rotationtest.VerifierSuite{
		Verifier: verify.Login{Open: db.open, Rejected: wrong},
		Live:     suiteLive,
		Dead:     suiteDead,
		Down:     []rotation.Verifier{full.login(), (&database{ping: driver.ErrBadConn}).login()},
	}.Run(t)
}

// TestLoginSuiteHangs has a database that does not answer until the caller gives up.
func TestLoginSuiteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := passwords{map[string]secret.Value{suiteLive.ID: suiteLive.Secret}}
		hangs := (&database{hang: true}).login()
		err := rotationtest.VerifierSuite{
			Verifier: verify.Login{Open: db.open, Rejected: wrong}, Live: suiteLive, Dead: suiteDead,
			Down: []rotation.Verifier{rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return hangs.Verify(ctx, key)
			})},
		}.Check(t.Context())
		if err != nil {
			t.Error(err)
		}
	})
}

func TestHealthSuite(t *testing.T) {
	h := verify.Health{
		URL:    serve(t, answer(200, `{"status":"up","key":{"id":"k2","generation":2},"pod":"web-0"}`)),
		Expect: map[string]string{"status": "up"}, KeyID: "key.id", Generation: "key.generation", Instance: "pod",
	}
	var broken []rotation.Verifier
	for _, client := range append(outages(), answers(200, `{"status":"down","key":{"id":"k2","generation":2}}`), answers(200, "up")) {
		b := h
		b.Client = client
		broken = append(broken, b)
	}
	rotationtest.VerifierSuite{Verifier: h, Live: suiteLive, Other: suiteDead, Down: broken}.Run(t)
}
