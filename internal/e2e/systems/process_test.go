// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
)

// What a rotating process is told: which of wirings it is, and where its world is. Both come in its environment, as secrets do.
const (
	wiringVar = "HANDOVER_SYSTEMS_WIRING"
	worldVar  = "HANDOVER_SYSTEMS_WORLD"
)

// wiring is what a program has in main that rotates credentials with this library. The world is JSON. What it opens it closes when
// ctx ends.
type wiring func(ctx context.Context, world []byte) (rotation.Config, error)

// How the rotating processes of these tests are set. In production nothing of this is needed: the defaults, a day of overlap, a day of
// silence, and two days of notice before anything is restarted, suit services; these suit tests.
var quick = rotation.Policy{Overlap: time.Second, Quiet: time.Second, Patience: 5 * time.Minute, Notice: -1}

const (
	lease       = 6 * time.Second // how long a process that was killed keeps the next one waiting
	callTimeout = 5 * time.Second
	clockSkew   = 50 * time.Millisecond // everybody lives on one machine
	pollEvery   = 20 * time.Millisecond // between two looks of a test
)

// wirings are what a rotating process can be.
var wirings = map[string]wiring{}

// wire adds a wiring whose world is a T.
func wire[T any](name string, make func(world T, ctx context.Context) (rotation.Config, error)) {
	wirings[name] = func(ctx context.Context, text []byte) (rotation.Config, error) {
		var world T
		if err := json.Unmarshal(text, &world); err != nil {
			return rotation.Config{}, err
		}
		return make(world, ctx)
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv(wiringVar); name != "" {
		if err := rotate(wirings[name]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	servers.Main(m)
}

// rotate is the whole of a rotating process: it rotates what is due until its standard input is closed, which it is when its
// parent ends, too. It logs as much as it can, and prints each event.
func rotate(make wiring) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	slog.SetDefault(logger)
	cfg, err := make(ctx, []byte(os.Getenv(worldVar)))
	if err != nil {
		return err
	}
	cfg.Logger, cfg.Actor = logger, fmt.Sprintf("rotator %d", os.Getpid())
	cfg.Sinks = append(cfg.Sinks, printer{})
	r, err := rotation.New(cfg)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// printer prints events.
type printer struct{}

func (printer) Deliver(_ context.Context, e rotation.Event) error {
	return json.NewEncoder(os.Stdout).Encode(e)
}

// stage is a test's view of the rotating processes: what they are told, what they say, and the journal that they share.
type stage struct {
	name    string
	world   []byte
	rotator *rotation.Rotator // only asked for the status

	said text // by all of them
}

// newStage is for processes that are the wiring name, in that world.
func newStage(t *testing.T, name string, world any) *stage {
	t.Helper()
	s := &stage{name: name}
	var err error
	s.world, err = json.Marshal(world)
	require.NoError(t, err)
	cfg, err := wirings[name](t.Context(), s.world)
	require.NoError(t, err)
	s.rotator, err = rotation.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the rotating processes said:\n%s", s.said.end())
		}
	})
	return s
}

// process is a rotating process.
type process struct {
	stdin io.Closer
	cmd   *exec.Cmd
	done  chan struct{}
}

// start starts a rotating process. It lives until it is killed or stopped, or the test ends.
func (s *stage) start(t *testing.T) *process {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	p := &process{cmd: exec.Command(program), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), wiringVar+"="+s.name, worldVar+"="+string(s.world))
	p.cmd.Stdout, p.cmd.Stderr = &s.said, &s.said
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.stop)
	return p
}

// kill is SIGKILL: the process gets no chance to tidy anything up.
func (p *process) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill()) // else it had ended by itself
	<-p.done
}

// stop asks the process to end, and kills it if it takes too long.
func (p *process) stop() {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// await returns the status of the credential when it is as it should be.
func (s *stage) await(t *testing.T, credential, what string, is func(rotation.Status) bool) rotation.Status {
	t.Helper()
	var st rotation.Status
	var err error
	if !assertEventually(func() bool {
		var now rotation.Status
		if now, err = s.rotator.Status(t.Context(), credential); err == nil {
			st = now
		}
		return err == nil && is(st)
	}) {
		t.Fatalf("never came: %s; the last error: %v; the status:\n%v", what, err, st)
	}
	return st
}

// begun says that a rotation stands in one of these phases.
func begun(phases ...rotation.Phase) func(rotation.Status) bool {
	return func(st rotation.Status) bool {
		for _, p := range phases {
			if st.Open != nil && st.Open.Phase == p {
				return true
			}
		}
		return false
	}
}

// deployed says that n of the consumers were told of the new key and use it, and not more.
func deployed(n int) func(rotation.Status) bool {
	return func(st rotation.Status) bool {
		if st.Open == nil {
			return false
		}
		have := 0
		for _, c := range st.Open.Consumers {
			if !c.DeployedAt.IsZero() {
				have++
			}
		}
		return have == n
	}
}

// ended says that no rotation is open any more.
func ended(st rotation.Status) bool { return st.Open == nil && st.Last != nil }

// assertEventually is for conditions whose failure has more to tell than require.Eventually knows.
func assertEventually(condition func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !condition() {
		if !wait(ctx, pollEvery) {
			return false
		}
	}
	return true
}

// openJournal opens a journal in a SQLite file, which several processes may do.
func openJournal(ctx context.Context, dir string) (rotation.Journal, error) {
	options := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "journal.db")+"?"+options.Encode())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = db.Close() })
	j := journal.NewSQLite(db, "handover")
	return j, j.Migrate(ctx)
}

// journalText is what lies in the files of the journal.
func journalText(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "journal.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var all strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		all.Write(data)
	}
	return all.String()
}

// text is what several processes write.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// end is the last of it, for a test that failed.
func (t *text) end() string {
	all := t.String()
	return all[max(0, len(all)-8<<10):]
}
