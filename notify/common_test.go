// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// canary is in every secret of these tests.
const canary = "CANARY-83451267"

// hostile is text that tries to get out of the place it is put in.
const hostile = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nQUIT\nWhat to do: run <!channel> <!here|here> <@U123> @everyone @here " +
	"[click](http://evil.example) <http://evil.example|click> ``` \x00\x07\x1b[2J\u202e\u2028Credential: other & &lt;!here&gt;"

func event() rotation.Event {
	return rotation.Event{
		ID: "payments.api/w1/3/17", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Kind: rotation.EventFailed, Level: slog.LevelWarn,
		Credential: "payments.api", Contact: "payments", Rotation: "r7k2", Strategy: rotation.Standard, Phase: rotation.PhaseSoak,
		Generation: 4, Consumer: "checkout", Actor: "ana",
		Problem: &rotation.Error{
			Credential: "payments.api", Consumer: "checkout", Phase: rotation.PhaseSoak, Diagnosis: rotation.OldKeyInUse,
			Evidence: "last used at 11:58", Action: "find out who uses it",
		},
		Text: "payments.api: checkout: soak: old-key-in-use: last used at 11:58",
	}
}

// hostileEvent has hostile text wherever there is text, 10 kB of it in most places.
func hostileEvent() rotation.Event {
	long := strings.Repeat(hostile, 40)
	return rotation.Event{
		ID: "id" + hostile, At: event().At, Kind: rotation.EventKind("k" + hostile), Level: slog.LevelError,
		Credential: "c" + long, Contact: long, Rotation: long, Strategy: rotation.Strategy(long), Phase: rotation.Phase(long),
		Consumer: long, Actor: long, Incident: long, Text: "t" + long,
		Problem: &rotation.Error{Diagnosis: rotation.Diagnosis(long), Evidence: "e" + long, Action: "a" + long},
	}
}

// requireSilent looks for the secrets in every form in which an error can be printed, down to what it wraps.
func requireSilent(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	var walk func(err error)
	walk = func(err error) {
		for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
			require.NotContains(t, fmt.Sprintf(format, err), "CANARY", format)
		}
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				walk(inner)
			}
		}
	}
	walk(err)
	data, jsonErr := json.Marshal(&rotation.Error{Err: err})
	require.NoError(t, jsonErr)
	require.NotContains(t, string(data), "CANARY")
	var public rotation.PublicError
	require.True(t, errors.As(err, &public), "%T: its text would be left out of the log", err)
}

// recorder is a Sink that remembers what it took.
type recorder struct {
	mu   sync.Mutex
	took []rotation.Event
	err  error // what the next delivery fails with
}

func (r *recorder) Deliver(_ context.Context, e rotation.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.err; err != nil {
		r.err = nil
		return err
	}
	r.took = append(r.took, e)
	return nil
}

// ids are those of the events that it took since the last call.
func (r *recorder) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, e := range r.took {
		ids = append(ids, e.ID)
	}
	r.took = nil
	return ids
}

// pipes is a listener whose connections are in memory, so that a bubble's clock can pass over them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeClient talks to handler, within the bubble of t.
func pipeClient(t *testing.T, handler http.HandlerFunc) *http.Client {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: handler}
	var wg sync.WaitGroup
	wg.Go(func() { assert.ErrorIs(t, server.Serve(p), http.ErrServerClosed) })
	transport := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		assert.NoError(t, server.Close())
		wg.Wait()
	})
	return &http.Client{Transport: transport}
}
