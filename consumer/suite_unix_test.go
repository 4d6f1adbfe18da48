// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package consumer_test

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// lines counts the lines of a file.
func lines(path string) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		text, err := os.ReadFile(path)
		return strings.Count(string(text), "\n"), err
	}
}

func TestConsumerSuiteCommand(t *testing.T) {
	for name, script := range map[string]string{
		"at once": `cat > new && test -s new && mv new key`,
		"an operator that takes its time, and stamps": `cat > new && test -s new || exit 1
			test "$HANDOVER_DEPLOY_ID" = "$(cat done)" && exit 0
			test "$HANDOVER_DEPLOY_ID" = "$(cat begun)" || { echo "$HANDOVER_DEPLOY_ID" > begun; exit 75; }
			mv new key && cp begun done && echo >> restarts`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{"begun", "done", "restarts"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), nil, 0o600))
			}
			rotationtest.ConsumerSuite{
				Consumer: consumer.Command{Args: []string{"/bin/sh", "-c", "cd '" + dir + "'; " + script}, Stdin: true},
				Uses: func(context.Context) (rotation.Key, error) {
					text, err := os.ReadFile(filepath.Join(dir, "key"))
					return rotation.Key{Secret: secret.New(string(text))}, err
				},
				Restarts: lines(filepath.Join(dir, "restarts")),
				Patience: 20 * time.Second,
			}.Run(t)
		})
	}
}

func TestConsumerSuiteEnvFile(t *testing.T) {
	for name, docker := range map[string]bool{"for a shell": false, "for docker": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "app.env")
			rotationtest.ConsumerSuite{
				Consumer: consumer.EnvFile{Path: path, Variable: "TOKEN", Docker: docker},
				Uses: func(ctx context.Context) (rotation.Key, error) {
					out, err := exec.CommandContext(ctx, "/bin/sh", "-c", `. "$0"; printf %s "$TOKEN"`, path).Output()
					return rotation.Key{Secret: secret.New(string(out))}, err
				},
			}.Run(t)
		})
	}
	t.Run("with a restart", func(t *testing.T) {
		dir := t.TempDir()
		path, running := filepath.Join(dir, "app.env"), filepath.Join(dir, "running")
		rotationtest.ConsumerSuite{ // the service reads its file when it starts
			Consumer: consumer.EnvFile{Path: path, Variable: "TOKEN", Then: shell(`cp '` + path + `' '` + running + `'`)},
			Uses: func(context.Context) (rotation.Key, error) {
				text, err := os.ReadFile(running)
				value, _ := strings.CutPrefix(strings.TrimSpace(string(text)), "TOKEN=")
				return rotation.Key{Secret: secret.New(value)}, err
			},
		}.Run(t)
	})
}

// signalled is a Reload that waits until the process has done what the signal says: on a busy machine that takes a while.
type signalled struct {
	consumer.Reload
	handled chan struct{}
}

func (s signalled) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	err := s.Reload.Deploy(ctx, req)
	if err == nil {
		<-s.handled
	}
	return err
}

func TestConsumerSuiteReloadBySignal(t *testing.T) {
	s := seeded(t)
	var now atomic.Pointer[rotation.Key]
	told, handled := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(told, syscall.SIGUSR2)
	defer signal.Stop(told)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // the process
		defer close(done)
		for {
			select {
			case <-told:
				if v, err := s.Load(ctx, credential); err == nil {
					key := v.Key(rotation.RoleCurrent)
					now.Store(&key)
				}
				handled <- struct{}{}
			case <-ctx.Done():
				return
			}
		}
	}()
	file := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o600))
	rotationtest.ConsumerSuite{
		Consumer: signalled{consumer.Reload{PIDFile: file, Signal: syscall.SIGUSR2}, handled},
		Uses: func(context.Context) (rotation.Key, error) {
			if key := now.Load(); key != nil {
				return *key, nil
			}
			return rotation.Key{}, nil
		},
		Store: s, Credential: credential, Lag: time.Millisecond,
	}.Run(t)
	cancel()
	<-done
}
