// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// childFile makes the test binary one of TestSQLiteProcesses' children.
const childFile = "HANDOVER_TEST_CHILD_FILE"

// TestSQLiteProcesses has several processes make one journal and write to one entry of it.
func TestSQLiteProcesses(t *testing.T) {
	const each = 15
	if path := os.Getenv(childFile); path != "" {
		p := sqliteFile{path, documented}
		require.NoError(t, increment(t.Context(), migrated(t, p, p.open(t)), each))
		return
	}
	p := newSQLiteFile(t).(sqliteFile)
	const processes = 3
	results := make(chan error)
	for range processes {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSQLiteProcesses$")
		child.Env = append(os.Environ(), childFile+"="+p.path)
		child.Stdout, child.Stderr = os.Stderr, os.Stderr
		go func() { results <- child.Run() }()
	}
	for range processes {
		assert.NoError(t, <-results)
	}
	e, err := p.journal(p.open(t)).Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, int64(processes*each), e.Revision)
}

// TestSQLiteBusy holds the file's lock: that is trouble for a while, and no conflict.
func TestSQLiteBusy(t *testing.T) {
	p := sqliteFile{filepath.Join(t.TempDir(), "journal.db"), "?_pragma=busy_timeout(0)"}
	j := migrated(t, p, p.open(t))
	fresh := journal.NewSQLite(p.open(t), "other")
	holder, err := p.open(t).Conn(t.Context())
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	e := rotation.Entry{Credential: "a", Data: []byte("canary")}
	for _, err := range []error{j.Save(t.Context(), e), fresh.Migrate(t.Context())} {
		require.ErrorContains(t, err, "SQLITE_BUSY")
		assert.NotErrorIs(t, err, rotation.ErrConflict)
		assert.NotContains(t, err.Error(), "canary")
	}
	_, err = holder.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.NoError(t, holder.Close())
	require.NoError(t, j.Save(t.Context(), e))
	require.NoError(t, fresh.Migrate(t.Context()))
}

func TestSQLiteReadOnly(t *testing.T) {
	p := newSQLiteFile(t).(sqliteFile)
	require.NoError(t, migrated(t, p, p.open(t)).Save(t.Context(), rotation.Entry{Credential: "a", Due: due}))
	p.pragmas = "?mode=ro"
	j := p.journal(p.open(t))
	readOnly(t, j)
	require.NoError(t, j.Migrate(t.Context())) // there is nothing to do
}

func TestSQLiteReadOnlyFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root writes anywhere")
	}
	p := newSQLiteFile(t).(sqliteFile)
	p.pragmas = "" // WAL needs a folder that it can write to even to read
	db := p.open(t)
	require.NoError(t, migrated(t, p, db).Save(t.Context(), rotation.Entry{Credential: "a", Due: due}))
	require.NoError(t, db.Close())
	require.NoError(t, os.Chmod(filepath.Dir(p.path), 0o555))
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(p.path), 0o755) })
	readOnly(t, p.journal(p.open(t)))
}

// readOnly wants a journal that reads its entry "a" and says plainly that it cannot write it.
func readOnly(t *testing.T, j *journal.SQL) {
	t.Helper()
	e, err := j.Load(t.Context(), "a")
	require.NoError(t, err)
	for _, e := range []rotation.Entry{e, {Credential: "b"}} {
		err = j.Save(t.Context(), e)
		require.ErrorContains(t, err, "journal: save")
		assert.NotErrorIs(t, err, rotation.ErrConflict)
	}
	again, err := j.Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, e, again)
}

func TestSQLiteNoFolder(t *testing.T) {
	p := sqliteFile{filepath.Join(t.TempDir(), "absent", "journal.db"), documented}
	j := p.journal(p.open(t))
	require.Error(t, j.Migrate(t.Context()))
	require.Error(t, j.Check(t.Context()))
	_, err := j.Load(t.Context(), "a")
	require.ErrorContains(t, err, `journal: load "a": `)
}

func TestSQLiteDurability(t *testing.T) {
	for pragmas, durable := range map[string]bool{
		documented: true,
		"":         true,
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(EXTRA)":     true,
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)":    false,
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)":       false,
		"?_pragma=journal_mode(DELETE)&_pragma=synchronous(NORMAL)": true,
		"?_pragma=journal_mode(DELETE)&_pragma=synchronous(OFF)":    false,
	} {
		p := sqliteFile{filepath.Join(t.TempDir(), "journal.db"), pragmas}
		err := migrated(t, p, p.open(t)).Check(t.Context())
		if durable {
			require.NoError(t, err, pragmas)
		} else {
			require.ErrorContains(t, err, "synchronous", pragmas)
		}
	}
}

// TestSQLiteCancelledMigrate cancels at every point: that leaves the whole schema or nothing, and no transaction open.
func TestSQLiteCancelledMigrate(t *testing.T) {
	p := newSQLiteFile(t).(sqliteFile)
	db := p.open(t)
	db.SetMaxOpenConns(1)
	for n := range 100 {
		ctx := &countdown{Context: t.Context(), left: n, done: make(chan struct{})}
		if p.journal(db).Migrate(ctx) == nil {
			require.NoError(t, p.journal(db).Check(t.Context()))
			return
		}
		if err := p.journal(db).Check(t.Context()); err != nil {
			require.ErrorContains(t, err, "call Migrate")
		}
		other := journal.NewSQLite(p.open(t), fmt.Sprintf("other%d", n))
		require.NoError(t, other.Migrate(t.Context()), "point %d", n)
	}
	t.Fatal("Migrate did not end")
}

// countdown is a context that ends when it is asked for its error for the left-th time, by whichever goroutine.
type countdown struct {
	context.Context
	mu   sync.Mutex // guards left and the closing of done
	left int
	done chan struct{}
}

func (c *countdown) Done() <-chan struct{} { return c.done }

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left >= 0 {
		return nil
	}
	if c.left == -1 {
		close(c.done)
	}
	return context.Canceled
}

// TestSQLiteSimulate rotates in real time with a file that every schedule shares.
func TestSQLiteSimulate(t *testing.T) {
	p := newSQLiteFile(t).(sqliteFile)
	j := migrated(t, p, p.open(t))
	rotationtest.Simulate(t, rotationtest.Simulation{
		Journal:   func(context.Context, *rotationtest.World) (rotation.Journal, error) { return j, nil },
		RealClock: true, Sample: 6,
	})
}
