// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func TestReloadBySignal(t *testing.T) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // a child inherits an ignored signal, and not a handled one
	defer signal.Stop(hangup)
	for _, c := range []struct {
		signal os.Signal
		want   syscall.Signal
	}{{nil, syscall.SIGHUP}, {syscall.SIGUSR1, syscall.SIGUSR1}} {
		cmd := exec.Command("sleep", "60")
		require.NoError(t, cmd.Start())
		file := filepath.Join(t.TempDir(), "pid")
		require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600))
		r := consumer.Reload{PIDFile: file, Signal: c.signal}
		require.NoError(t, r.Check(t.Context()))
		require.NoError(t, r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.Equal(t, c.want, exit.Sys().(syscall.WaitStatus).Signal())

		require.ErrorContains(t, r.Check(t.Context()), "cannot be signalled")
		require.ErrorContains(t, r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)), "cannot be signalled")
		require.Contains(t, r.Identity(), file)
		for _, text := range []string{"", "0", "-1", "x", "99999999999"} {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			require.ErrorContains(t, r.Deploy(t.Context(), deploy("", 1)), "no process number")
		}
		require.NoError(t, os.Remove(file))
		require.ErrorIs(t, r.Check(t.Context()), os.ErrNotExist)
	}
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestCommandGetsTheIdentityAndTheSecretOnlyByStdin(t *testing.T) {
	t.Setenv("FROM_PARENT", "1")
	for _, stdin := range []bool{false, true} {
		var log bytes.Buffer
		c := consumer.Command{
			Args: shell(`env | grep -E '^(HANDOVER|MINE|FROM_PARENT)' | grep -v SERVERS= | sort; echo "[$(cat)]"; env | grep -c hush`), Stdin: stdin,
			Env: []string{"MINE=2"}, Log: &log,
		}
		require.NoError(t, c.Check(t.Context()))
		err := c.Deploy(t.Context(), deploy("", 1))
		require.ErrorContains(t, err, "exit code 1") // of grep: nothing in the environment
		input := "[]"
		if stdin {
			input = "[hush-b]"
		}
		require.Equal(t, "FROM_PARENT=1\nHANDOVER_CONSUMER=app\nHANDOVER_CREDENTIAL=payments\nHANDOVER_DEPLOY_ID=d-1\n"+
			"HANDOVER_EMERGENCY=false\nHANDOVER_GENERATION=1\nHANDOVER_KEY_ID=id-b\nHANDOVER_ROLE=current\nHANDOVER_SERIAL=1\n"+
			"MINE=2\n"+input+"\n0\n", log.String())
	}
}

func TestCommandExitCodes(t *testing.T) {
	require.NoError(t, consumer.Command{Args: shell("exit 0")}.Deploy(t.Context(), deploy("", 1)))
	err := consumer.Command{Args: shell("exit 75")}.Deploy(t.Context(), deploy("", 1))
	require.ErrorIs(t, err, rotation.ErrNotYet)
	err = consumer.Command{Args: shell("echo hush >&2; exit 3")}.Deploy(t.Context(), deploy("", 1))
	require.EqualError(t, err, "consumer: sh ended with exit code 3")
	err = consumer.Command{Args: shell("kill -9 $$")}.Deploy(t.Context(), deploy("", 1))
	require.ErrorContains(t, err, "killed by somebody else")
	missing := consumer.Command{Args: []string{"/no/such-program", "hush"}}
	for _, err := range []error{missing.Check(t.Context()), missing.Deploy(t.Context(), deploy("", 1))} {
		require.ErrorIs(t, err, os.ErrNotExist)
		require.NotContains(t, err.Error(), "hush")
	}
	noSecret := consumer.Command{Args: shell("exit 0"), Stdin: true}
	require.ErrorContains(t, noSecret.Deploy(t.Context(), rotation.DeployRequest{Key: identityOf(key(1))}), "no secret")
	ignores := consumer.Command{Args: shell("exit 0"), Stdin: true} // does not read its input
	big := deploy("", 1)
	big.Key.Secret = secret.New(strings.Repeat("x", 1<<20))
	require.NoError(t, ignores.Deploy(t.Context(), big))
}

func TestCommandIsKilledWithItsGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer // a pipe that the grandchild holds open
	done := make(chan error)
	go func() {
		c := consumer.Command{Args: shell(`sleep 60 & echo $! > ` + file + `.new; mv ` + file + `.new ` + file + `; wait`), Log: &log}
		done <- c.Deploy(ctx, deploy("", 1))
	}()
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return gone(pid) }, time.Minute, time.Millisecond)
}

// gone reports whether the process has ended; whoever inherited it may not have taken note yet.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

func TestCommandNamesItsMistakes(t *testing.T) {
	c := consumer.Command{Env: []string{"A=b", "hush"}}
	for _, err := range []error{c.Validate(), c.Check(t.Context()), c.Deploy(t.Context(), deploy("", 1))} {
		assert.ErrorContains(t, err, "Command.Args is required")
		assert.ErrorContains(t, err, "Command.Env[1]")
		assert.NotContains(t, err.Error(), "hush")
	}
	a, b := consumer.Command{Args: []string{"/bin/x", "a"}}, consumer.Command{Args: []string{"/bin/x", "b"}}
	require.NotEqual(t, a.Identity(), b.Identity())
	require.Equal(t, a.Identity(), a.Identity())
	require.Contains(t, a.Identity(), "command x (")
}

func TestEnvFileKeepsEverythingElse(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"missing", "", "TOKEN=hush-b\n"},
		{"appended", "A=1\n# end", "A=1\n# end\nTOKEN=hush-b\n"},
		{"replaced", "# TOKEN=x\nA=1\nTOKEN=old\n\nB='2'\n", "# TOKEN=x\nA=1\nTOKEN=hush-b\n\nB='2'\n"},
		{"each of several", "TOKEN=a\nB=1\n export TOKEN = \"b\"\n", "TOKEN=hush-b\nB=1\n export TOKEN=hush-b\n"},
		{"windows", "TOKEN=a\r\nB=1\r\n", "TOKEN=hush-b\r\nB=1\r\n"},
		{"no line end", "TOKEN=a", "TOKEN=hush-b\n"},
		{"similar names", "TOKEN2=a\nMY_TOKEN=b\n;TOKEN=c\nTOKEN\n", "TOKEN2=a\nMY_TOKEN=b\n;TOKEN=c\nTOKEN\nTOKEN=hush-b\n"},
		{"old value over lines", "TOKEN=\"a\nb\\\"\nc\"\nB=1\n", "TOKEN=hush-b\nB=1\n"},
		{"old value continued", "TOKEN=a\\\nb\nB=1\n", "TOKEN=hush-b\nB=1\n"},
		{"inside another value", "A='1\nTOKEN=2\n3'\n", "A='1\nTOKEN=2\n3'\nTOKEN=hush-b\n"},
		{"continued at the end", "A=b\\\n", "A=b\\\n\nTOKEN=hush-b\n"},
		{"a comment that old readers continue", "# C:\\\n", "# C:\\\n\nTOKEN=hush-b\n"},
		{"quotes inside a word", "A=it's\nTOKEN=a\"b\nB=1\n", "A=it's\nTOKEN=hush-b\nB=1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := consumer.EnvFile{Path: filepath.Join(t.TempDir(), "app.env"), Variable: "TOKEN"}
			mode := os.FileMode(0o600)
			if c.before != "" {
				mode = 0o640
				require.NoError(t, os.WriteFile(e.Path, []byte(c.before), mode))
				require.NoError(t, os.Chmod(e.Path, mode))
			}
			require.NoError(t, e.Check(t.Context()))
			require.NoError(t, e.Deploy(t.Context(), deploy("", 1)))
			text, err := os.ReadFile(e.Path)
			require.NoError(t, err)
			require.Equal(t, c.after, string(text))
			info, err := os.Stat(e.Path)
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode())

			require.NoError(t, e.Deploy(t.Context(), deploy("", 1)))
			again, err := os.Stat(e.Path)
			require.NoError(t, err)
			require.True(t, os.SameFile(info, again), "nothing to change, nothing written")
			files, err := os.ReadDir(filepath.Dir(e.Path))
			require.NoError(t, err)
			require.Len(t, files, 1, "nothing left behind")
		})
	}
}

// A shell reads quotes as systemd does, for these values.
func TestEnvFileQuotesForShells(t *testing.T) {
	for _, value := range []string{
		"plain-1_2./:=@%+,", "two words", " edges ", "#no comment", `back\slash`, `\`, `"`, `'`, `"'`, `it's $HOME`, "`id`", "$(id)", "a;b&c|d",
		"ümläut", "\t", "a=b", `\n`, "!", "~", "*", `'\''`, `end\`, `'end\`, `'a\\b`, `'\$x`,
	} {
		e := consumer.EnvFile{Path: filepath.Join(t.TempDir(), "app.env"), Variable: "TOKEN"}
		req := deploy("", 1)
		req.Key.Secret = secret.New(value)
		require.NoError(t, os.WriteFile(e.Path, []byte("A=1\nTOKEN=x\nB=2\n"), 0o600))
		for range 2 { // also when it has to read its own quotes
			require.NoError(t, e.Deploy(t.Context(), req))
			out, err := exec.Command("/bin/sh", "-c", `. "$0"; printf '%s|%s|%s' "$A" "$TOKEN" "$B"`, e.Path).Output()
			require.NoError(t, err)
			require.Equal(t, "1|"+value+"|2", string(out))
			req.Key.Secret = secret.New(value) // and back
			other := deploy("", 2)
			require.NoError(t, e.Deploy(t.Context(), other))
		}

		e.Docker = true
		require.NoError(t, e.Deploy(t.Context(), req))
		text, err := os.ReadFile(e.Path)
		require.NoError(t, err)
		require.Equal(t, "A=1\nTOKEN="+value+"\nB=2\n", string(text))
	}
}

func TestEnvFileRefuses(t *testing.T) {
	dir := t.TempDir()
	e := consumer.EnvFile{Path: filepath.Join(dir, "app.env"), Variable: "TOKEN"}
	for _, value := range []string{"hush\n", "hu\rsh", "hush\x00", "hush\xff", ""} {
		for _, docker := range []bool{true, false} {
			req := deploy("", 1)
			req.Key.Secret = secret.New(value)
			e.Docker = docker
			err := e.Deploy(t.Context(), req)
			require.ErrorContains(t, err, "EnvFile")
			require.NotContains(t, err.Error(), "hu")
			require.NoFileExists(t, e.Path)
		}
	}
	e.Docker = false
	require.NoError(t, os.WriteFile(e.Path, []byte("A='hush\n"), 0o600))
	require.ErrorContains(t, e.Check(t.Context()), "inside a quoted value")
	require.ErrorContains(t, e.Deploy(t.Context(), deploy("", 1)), "inside a quoted value")

	require.NoError(t, os.WriteFile(e.Path, []byte("A=hush\rTOKEN=1\n"), 0o600))
	require.ErrorContains(t, e.Check(t.Context()), "carriage return")

	e.Path = dir
	require.ErrorContains(t, e.Check(t.Context()), "no regular file")
	e.Path = filepath.Join(dir, "no", "app.env")
	require.ErrorContains(t, e.Check(t.Context()), "no folder")
	require.ErrorIs(t, e.Deploy(t.Context(), deploy("", 1)), os.ErrNotExist)
	bad := consumer.EnvFile{Variable: "A B", Then: []string{""}}
	for _, err := range []error{bad.Validate(), bad.Check(t.Context()), bad.Deploy(t.Context(), deploy("", 1))} {
		for _, field := range []string{"Path", "Variable", "Then"} {
			require.ErrorContains(t, err, "EnvFile."+field)
		}
	}
	require.ErrorContains(t, consumer.EnvFile{}.Validate(), "EnvFile.Variable is required")
}

func TestEnvFileFollowsALink(t *testing.T) {
	real, link := filepath.Join(t.TempDir(), "real.env"), filepath.Join(t.TempDir(), "link.env")
	require.NoError(t, os.WriteFile(real, []byte("A=1\n"), 0o600))
	require.NoError(t, os.Symlink(real, link))
	require.NoError(t, consumer.EnvFile{Path: link, Variable: "TOKEN"}.Deploy(t.Context(), deploy("", 1)))
	text, err := os.ReadFile(real)
	require.NoError(t, err)
	require.Equal(t, "A=1\nTOKEN=hush-b\n", string(text))
	target, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, real, target)
}

func TestEnvFileRunsTheCommandAgain(t *testing.T) {
	dir := t.TempDir()
	e := consumer.EnvFile{
		Path: filepath.Join(dir, "app.env"), Variable: "TOKEN",
		Then: shell(`echo "$HANDOVER_DEPLOY_ID" >> ` + dir + `/runs; grep -q TOKEN=hush-b ` + dir + `/app.env && test -e ` + dir + `/ready`),
	}
	require.NoError(t, e.Check(t.Context()))
	require.ErrorContains(t, e.Deploy(t.Context(), deploy("", 1)), "exit code 1")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600))
	require.NoError(t, e.Deploy(t.Context(), deploy("", 1)))
	runs, err := os.ReadFile(filepath.Join(dir, "runs"))
	require.NoError(t, err)
	require.Equal(t, "d-1\nd-1\n", string(runs))
}

func TestEnvFilesOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.env")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			e := consumer.EnvFile{Path: path, Variable: fmt.Sprintf("TOKEN_%d", i)}
			assert.NoError(t, e.Deploy(t.Context(), deploy("", 1)))
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 20, bytes.Count(text, []byte("\n")))
	for i := range 20 {
		require.Contains(t, string(text), fmt.Sprintf("TOKEN_%d=hush-b\n", i))
	}
}

// FuzzPIDFile: a file names one process or is refused. A number that the kernel would cut to 32 bits could be that of a group
// of processes, or of all of them.
func FuzzPIDFile(f *testing.F) {
	one := regexp.MustCompile(`^\+?0*([1-9][0-9]{0,9})$`)
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "pid")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		err := consumer.Reload{PIDFile: file}.Check(t.Context()) // asks with signal 0, which does nothing
		m := one.FindStringSubmatch(strings.TrimSpace(text))
		named := m != nil && (len(m[1]) < 10 || m[1] <= "2147483647")
		refused := err != nil && strings.Contains(err.Error(), "holds no process number")
		require.Equal(t, named, !refused, "%q: %v", text, err)
	})
}
