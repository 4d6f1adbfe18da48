// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
)

var shared struct {
	sync.Mutex
	main     bool                 // guarded by Mutex, as all of them
	started  map[reflect.Type]any // what Shared has started
	cleanups []func()
}

// Main is the TestMain of a package that calls [Shared]: it runs the tests, ends the shared servers and exits.
//
//	func TestMain(m *testing.M) { servers.Main(m) }
func Main(m *testing.M) {
	shared.Lock()
	shared.main, shared.started = true, map[reflect.Type]any{}
	shared.Unlock()
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	for _, f := range slices.Backward(shared.cleanups) {
		f()
	}
	os.Exit(code)
}

// Shared returns the server that the tests of this package share, and has start start it for the first of them:
//
//	s := servers.Shared(t, servers.Kubernetes)
//
// A test that stops or pauses a shared server starts or resumes it again before it ends, and does not run in parallel with
// others. The package needs [Main].
func Shared[S any](t testing.TB, start func(testing.TB) S) S {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.main {
		t.Fatal("servers.Shared needs func TestMain(m *testing.M) { servers.Main(m) }")
	}
	kind := reflect.TypeFor[S]()
	if s, ok := shared.started[kind].(S); ok {
		return s
	}
	s := start(outliving{t})
	shared.started[kind] = s
	return s
}

// outliving is a test whose cleanup is done after the last test. Its lock is held by whoever starts a server for it.
type outliving struct{ testing.TB }

func (outliving) Cleanup(f func()) { shared.cleanups = append(shared.cleanups, f) }

func (outliving) Context() context.Context { return context.Background() }

func (outliving) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
