// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Command runs a command with the identity of the key in its environment and, if Stdin is set, the secret on its input: never
// as an argument and never in the environment, where other processes can see it. It is a rotation.Consumer, Checker and
// Identifier, and safe for concurrent use if the command is.
//
// The environment is that of this process, then Env, then HANDOVER_CREDENTIAL, HANDOVER_CONSUMER, HANDOVER_KEY_ID,
// HANDOVER_SERIAL, HANDOVER_GENERATION, HANDOVER_DEPLOY_ID, HANDOVER_ROLE (current or pending) and HANDOVER_EMERGENCY (true or
// false). The same HANDOVER_DEPLOY_ID can come again, and the command must then do no harm.
type Command struct {
	Args  []string // required: the program and its arguments. No shell is involved
	Stdin bool     // the secret, and nothing else, is written to the standard input
	Env   []string // more of the environment: "NAME=value"

	// Accept says that the command brings the secrets of a webhook to a receiver, all that are to be accepted and no others, and
	// knows the following. HANDOVER_ACCEPT has their serials, newest first, with commas between them, and is empty if nothing
	// is to be accepted; with Stdin each is a line of the input, in that order. Without Accept such a request is an error that
	// matches errors.ErrUnsupported.
	Accept bool
	Log    io.Writer // gets what the command prints, as it is; nil: nobody. Never part of an error
}

var (
	_ rotation.Consumer   = Command{}
	_ rotation.Checker    = Command{}
	_ rotation.Reloader   = Command{}
	_ rotation.Validator  = Command{}
	_ rotation.Identifier = Command{}
)

const (
	exitNotYet = 75              // EX_TEMPFAIL of sysexits.h
	pipeWait   = 2 * time.Second // for pipes that a child of a command that has ended holds open
)

// Validate reports every mistake in the fields. Deploy and Check return the same error before they do anything.
func (c Command) Validate() error {
	var errs []error
	if len(c.Args) == 0 || c.Args[0] == "" {
		errs = append(errs, required("Command.Args"))
	}
	for i, e := range c.Env {
		if strings.IndexByte(e, '=') <= 0 {
			errs = append(errs, fail(nil, "Command.Env[%d] is not of the form NAME=value", i))
		}
	}
	return errors.Join(errs...)
}

// Check fails if there is no such program.
func (c Command) Check(context.Context) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return findProgram(c.Args[0])
}

// Reloads says nothing: only the command knows what it does. Embed the Command in a type of yours whose method says it.
func (c Command) Reloads() rotation.Reload { return rotation.ReloadUnknown }

// Identity is the name of the program and a digest of its arguments.
func (c Command) Identity() string { return "command " + argsID(c.Args) }

// Deploy runs the command. Exit code 0 is nil, 75 (EX_TEMPFAIL) matches rotation.ErrNotYet. When ctx ends the command is
// killed, with all the processes of its group where there are groups (not on Windows).
func (c Command) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := c.Validate(); err != nil {
		return err
	}
	env := append(c.Env[:len(c.Env):len(c.Env)], environment(req)...)
	if c.Accept {
		env = append(env, "HANDOVER_ACCEPT="+serials(req.Accept))
	} else if err := oneKey("Command without Accept", req); err != nil {
		return err
	}
	var stdin io.Reader
	if c.Stdin {
		text, err := c.input(req)
		if err != nil {
			return err
		}
		stdin = strings.NewReader(text)
	}
	return run(ctx, c.Args, env, stdin, c.Log)
}

// input is what Stdin writes.
func (c Command) input(req rotation.DeployRequest) (string, error) {
	if !c.Accept {
		if req.Key.Secret.IsZero() {
			return "", fail(nil, "Command.Stdin: there is no secret to write")
		}
		return req.Key.Secret.Reveal(), nil
	}
	var lines strings.Builder
	for _, k := range req.Accept {
		text := k.Secret.Reveal()
		if text == "" || strings.ContainsAny(text, "\r\n") {
			return "", fail(nil, "Command.Stdin: %v has no value, or one that is no line", k)
		}
		lines.WriteString(text + "\n")
	}
	return lines.String(), nil
}

func serials(keys []rotation.Key) string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = strconv.FormatInt(k.Serial, 10)
	}
	return strings.Join(texts, ",")
}

func environment(req rotation.DeployRequest) []string {
	role := req.Role
	if role == "" {
		role = rotation.RoleCurrent
	}
	return []string{
		"HANDOVER_CREDENTIAL=" + req.Credential,
		"HANDOVER_CONSUMER=" + req.Consumer,
		"HANDOVER_KEY_ID=" + req.Key.ID,
		"HANDOVER_SERIAL=" + strconv.FormatInt(req.Key.Serial, 10),
		"HANDOVER_GENERATION=" + strconv.Itoa(req.Key.Generation),
		"HANDOVER_DEPLOY_ID=" + req.ID,
		"HANDOVER_ROLE=" + string(role),
		"HANDOVER_EMERGENCY=" + strconv.FormatBool(req.Emergency),
	}
}

// run runs a command. Its errors name the program and never the arguments, which are the caller's and may hold anything.
func run(ctx context.Context, args, env []string, stdin io.Reader, log io.Writer) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, log, log
	cmd.WaitDelay = pipeWait
	ownGroup(cmd)
	err := cmd.Run()
	name := filepath.Base(args[0])
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return nil
	case ctx.Err() != nil:
		return fail(ctx.Err(), "%s was killed: its time was up", name)
	case errors.As(err, &exit) && exit.ExitCode() == exitNotYet:
		return fail(rotation.ErrNotYet, "%s ended with exit code %d", name, exitNotYet)
	case errors.As(err, &exit) && exit.Exited():
		return fail(nil, "%s ended with exit code %d", name, exit.ExitCode())
	case errors.As(err, &exit):
		return fail(nil, "%s was killed by somebody else", name)
	}
	return fail(err, "%s could not be run", name)
}

func findProgram(name string) error {
	if _, err := exec.LookPath(name); err != nil {
		return fail(err, "there is no program %s that can be run", filepath.Base(name))
	}
	return nil
}

// argsID tells commands apart without showing their arguments.
func argsID(args []string) string {
	if len(args) == 0 {
		return "none"
	}
	sum := sha256.Sum256([]byte(strings.Join(args, "\x00")))
	return fmt.Sprintf("%s (%x)", filepath.Base(args[0]), sum[:4])
}
