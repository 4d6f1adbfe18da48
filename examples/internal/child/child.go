// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package child lets an example play several roles, each in a process of its own: the same program again, with the role as its
// first argument. A process can then be killed, as processes are.
package child

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"time"
)

// stopPatience is how long a child may take to end when it is asked to.
const stopPatience = 15 * time.Second

// Role is what a child does: it ends with ctx, and args are the arguments behind its name.
type Role func(ctx context.Context, args []string) error

// Play plays the role that this process was started for, and exits. It returns where there is none, which is the parent. It
// belongs at the beginning of main and of TestMain.
func Play(roles map[string]Role) {
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		return
	}
	os.Exit(code(roles[os.Args[1]](whileParentLives(), os.Args[2:])))
}

// Exit is how a role ends with an exit code of its own. Every other error is 1.
type Exit int

// Error says how it ended.
func (e Exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// code is the exit code for what a role returned.
func code(err error) int {
	var exit Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Process is a child. It lives only as long as its standard input is open. The parent holds the other end, so however the
// parent ends, killed even, its children end too.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	log    *tail
	done   chan struct{} // closed when the process has ended; err may be read then
	err    error
}

// Start begins a child. What it is told that is no secret comes in args; secrets come in env ("NAME=value"), and only those
// that the role needs.
func Start(env []string, role string, args ...string) (*Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{log: &tail{}, done: make(chan struct{})}
	p.cmd = exec.Command(program, append([]string{role}, args...)...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	read, write, err := os.Pipe() // and not StdoutPipe, which Wait closes under the reader
	if err != nil {
		return nil, err
	}
	defer write.Close() // the child has its own
	p.cmd.Stdout, p.stdout = write, bufio.NewReader(read)
	if err := p.cmd.Start(); err != nil {
		read.Close()
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Line returns the next line of the child's output, without its end. It blocks until there is one or the child has ended.
func (p *Process) Line() (string, error) {
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		<-p.done
		return "", fmt.Errorf("%s ended: %w\n%s", p.cmd.Args[1], errors.Join(p.err, err), p.log)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is the end of what the child said on its standard error.
func (p *Process) Log() string { return p.log.String() }

// Wait blocks until the child has ended by itself, and kills it when ctx ends.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	case <-p.done:
		return p.ended()
	}
}

// ended is how the child ended.
func (p *Process) ended() error {
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.cmd.Args[1], p.err, p.log)
	}
	return nil
}

// ExitCode of a child that has ended; -1 if it was killed.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Stop asks the child to end, waits for it, and returns how it ended. One that takes too long is killed.
func (p *Process) Stop() error {
	p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		p.Kill()
	}
	return p.ended()
}

// Kill is SIGKILL: the child gets no chance to tidy anything up. It returns when it is gone.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // the only error is that it has ended already
	<-p.done
}

// Release lets the child go on that waits in Released.
func (p *Process) Release() error {
	_, err := p.stdin.Write([]byte{'\n'})
	return err
}

// Listen serves on a free port of this machine until the server is closed.
func Listen(handler http.Handler) (server *http.Server, base string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server = &http.Server{Handler: handler}
	go server.Serve(listener) // its error is that it was closed
	return server, "http://" + listener.Addr().String(), nil
}

// Serve serves on a free port of this machine, says which on standard output, and ends when ctx ends, after the requests at
// hand.
func Serve(ctx context.Context, handler http.Handler) error {
	server, base, err := Listen(handler)
	if err != nil {
		return err
	}
	fmt.Println(base)
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.Background(), stopPatience/3)
	defer cancel()
	return server.Shutdown(last)
}

// whileParentLives returns the context of a child: it ends when the parent closes the child's standard input, or is gone.
func whileParentLives() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signal.Ignore(os.Interrupt) // a terminal sends Ctrl-C to the children too; they are the parent's to stop
	go func() {
		if _, err := os.Stdin.Read(make([]byte, 1)); err == nil {
			close(released)
		}
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

var released = make(chan struct{})

// Released blocks, in a child, until its parent calls Release: so that several children begin at the same moment. It returns
// at once afterwards, and when ctx ends.
func Released(ctx context.Context) {
	select {
	case <-released:
	case <-ctx.Done():
	}
}

// tail keeps the end of what a child says on its standard error, for when it fails.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
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
