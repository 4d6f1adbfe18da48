// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"time"
)

// process is a child of this program that plays one role: it is this program again, with the role as its first argument.
//
// A child lives only as long as its standard input is open. The parent holds the other end, so however the parent ends,
// killed even, its children end too.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	log    *tail
	done   chan struct{} // closed when the process has ended; err may be read then
	err    error
}

// start begins a child. Its settings, the parts of w that are no secret, come with the arguments' environment; secrets come
// in env, and only those that the role needs.
func start(w world, env []string, role string, args ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{log: &tail{}, done: make(chan struct{})}
	p.cmd = exec.Command(program, append([]string{role}, args...)...)
	p.cmd.Env = append(append(os.Environ(), w.environment()), env...)
	p.cmd.Stderr = p.log
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, write := io.Pipe() // and not StdoutPipe, which Wait closes under the reader
	p.stdin, p.cmd.Stdout, p.stdout = stdin, write, bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		write.Close()
		close(p.done)
	}()
	return p, nil
}

// line returns the next line of the child's output, without its end.
func (p *process) line() (string, error) {
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		return "", err
	}
	return line[:len(line)-1], nil
}

// wait blocks until the child has ended by itself, or stops it when ctx ends.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	case <-p.done:
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Args[1], p.err, p.log)
	}
	return nil
}

// stop asks the child to end, which it does after the requests at hand, and waits for it.
func (p *process) stop() {
	p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.kill()
	}
}

// kill is SIGKILL: the child gets no chance to tidy anything up.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// exitCode of a child that has ended.
func (p *process) exitCode() int { return p.cmd.ProcessState.ExitCode() }

// whileParentLives returns the context of a child: it ends when the parent closes the child's standard input, or is gone.
func whileParentLives() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signal.Ignore(os.Interrupt) // a terminal sends Ctrl-C to the children too; they are the parent's to stop
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// tail keeps the end of what a child says on its standard error, for when it fails.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - 1<<14; extra > 0 {
		t.text = bytes.Clone(t.text[extra:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// exitError is how a role ends with a code of its own.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// exitCodeOf is the exit code for what a role returned.
func exitCodeOf(err error) int {
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		return 1
	}
}
