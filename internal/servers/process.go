// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	patience = 2 * time.Minute // for a server to answer: the machine may be busy
	grace    = 20 * time.Second
	look     = 20 * time.Millisecond
)

// Process is a program that serves a test. It is running when the test gets it, and its methods change that. They block until
// it is so, and fail the test if it does not come to be. They are safe for concurrent use, one after the other.
type Process struct {
	t     testing.TB
	dir   string // its folder, which is its working directory too
	path  string
	args  []string
	env   []string             // beside the environment of the test
	as    *syscall.SysProcAttr // nil: as whoever runs the test
	term  os.Signal            // what ends it in good order; nil: SIGTERM
	ready func(context.Context) error
	after func() error // what a start takes beside an answer, such as unsealing; nil: nothing

	mu      sync.Mutex
	cmd     *exec.Cmd     // guarded by mu; nil: it does not run
	done    chan struct{} // guarded by mu; closed when cmd has ended
	waitErr error         // written before done is closed
}

// newProcess makes the folder of a server, which goes with the test, and nothing else. The program runs as the first of users
// that there is, if the test is root's and users are given: several servers refuse to run as root. With -short there are none.
func newProcess(t testing.TB, name, path string, users ...string) *Process {
	t.Helper()
	if testing.Short() {
		t.Skipf("skipped: -short starts no %s", name)
	}
	// Not the test's own folder: another user must be able to reach it, and the path of a socket must be short.
	dir, err := os.MkdirTemp("", "handover-"+name)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, dir: dir, path: path}
	t.Cleanup(func() {
		p.Stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as, uid, gid, err := unprivileged(users)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if as != nil {
		p.as = as
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// Start starts a process that was stopped or killed again: with the same files, on the same port. It does nothing if the
// process runs.
func (p *Process) Start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.start(); err != nil {
		p.t.Fatalf("%s: %v\n%s", filepath.Base(p.path), err, p.tail())
	}
}

func (p *Process) start() error {
	if p.runs() {
		return nil
	}
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		p.waitErr = cmd.Wait()
		close(done)
	}()
	if err := p.await(); err != nil {
		return err
	}
	if p.after != nil {
		return p.after()
	}
	return nil
}

// command is a program of the server, as its user and in its folder.
func (p *Process) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), p.env...)
	cmd.SysProcAttr = dieWithParent(p.as)
	return cmd
}

// run runs a program that prepares the server. Its output goes to a file: what it leaves running would keep a pipe open.
func (p *Process) run(path string, args ...string) {
	p.t.Helper()
	out, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd := p.command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("%s: %v\n%s", filepath.Base(path), err, p.tail())
	}
}

func (p *Process) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done, ended := p.done, make(chan struct{}) // a later start has another p.done
	defer close(ended)
	go func() {
		select {
		case <-done:
			cancel()
		case <-ended:
		}
	}()
	if err := poll(ctx, func() error { return p.ready(ctx) }); err != nil {
		if !p.runs() {
			return fmt.Errorf("it ended at once: %w", p.waitErr)
		}
		return fmt.Errorf("it does not answer: %w", err)
	}
	return nil
}

// poll calls f until it returns nil or ctx ends, and returns its last error then.
func poll(ctx context.Context, f func() error) error {
	again := time.NewTicker(look)
	defer again.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (p *Process) runs() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop ends the process in good order, a paused one too. It does nothing if the process does not run.
func (p *Process) Stop() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.runs() {
		return
	}
	term := p.term
	if term == nil {
		term = syscall.SIGTERM
	}
	if err := p.cmd.Process.Signal(term); err == nil {
		resume(p.cmd.Process.Pid)
		select {
		case <-p.done:
			return
		case <-time.After(grace):
			p.t.Logf("%s did not end on %v: it is killed", filepath.Base(p.path), term)
		}
	}
	p.kill()
}

// Kill ends the process at once, as a crash does, and all that it started. It does nothing if the process does not run.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs() {
		p.kill()
	}
}

func (p *Process) kill() {
	kill(p.cmd.Process)
	<-p.done
}

// Pause makes the process and all that it started stand still: connections stay open and nothing answers.
func (p *Process) Pause() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.runs() {
		p.t.Fatalf("%s does not run", filepath.Base(p.path))
	}
	if err := pause(p.cmd.Process.Pid); err != nil {
		p.t.Fatalf("%s: %v", filepath.Base(p.path), err)
	}
}

// Resume lets a paused process go on.
func (p *Process) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs() {
		resume(p.cmd.Process.Pid)
	}
}

// Dir is the folder of the server, which goes with the test.
func (p *Process) Dir() string { return p.dir }

func (p *Process) log() string { return filepath.Join(p.dir, "log") }

// file writes a file of the server's folder that nobody but its user can read, and returns its path.
func (p *Process) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.own(path)
	return path
}

// folder makes a folder in the server's, for its user, and returns its path.
func (p *Process) folder(name string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.own(path)
	return path
}

func (p *Process) own(path string) {
	p.t.Helper()
	if err := own(path, p.as); err != nil {
		p.t.Fatal(err)
	}
}

// tail is the end of the log.
func (p *Process) tail() []byte {
	const most = 4096
	text, err := os.ReadFile(p.log())
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(text[max(0, len(text)-most):])
}
