// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/handover-go/handover/rotation"
)

// EnvFile sets one variable in a file of them, or two for the secret of a webhook, atomically, then runs a command. Everything else in the file stays as it is:
// other lines, comments, order, mode and owner. A file that is not there is made, with mode 0600; its folder must exist. A
// symbolic link is followed.
//
// The command runs again when the same deployment is asked for again, also where the file needs no change: the first run may
// have failed. It must do no harm then, as a restart does none. It runs as Command's do, without the secret.
//
// EnvFile is a rotation.Consumer, Checker and Identifier. It is safe for concurrent use, and so are EnvFiles of one file with
// other variables, in this process and (not on Windows) in others of this machine.
type EnvFile struct {
	Path     string    // required
	Variable string    // required: letters, digits and underscores
	Then     []string  // the command: systemctl restart application.service. Empty: none
	Log      io.Writer // gets what the command prints; nil: nobody

	// Older is for the secret of a webhook: the variable of the second one that is accepted while they change, beside Variable,
	// which has the newer one. It is set to nothing at other times: make sure that the application takes that as no secret,
	// and not as an empty key, which anybody can sign with. Only a set of one, or of two with Older, can be written; any other,
	// and that nothing is to be accepted, is an error that matches errors.ErrUnsupported.
	Older string

	// Docker says that docker run --env-file reads the file, which knows no quotes: values are written as they stand. Otherwise
	// a value with other characters than letters, digits and _-./:=@%+, is quoted, as systemd, docker compose and shells
	// read it.
	Docker bool
}

var (
	_ rotation.Consumer   = EnvFile{}
	_ rotation.Checker    = EnvFile{}
	_ rotation.Reloader   = EnvFile{}
	_ rotation.Validator  = EnvFile{}
	_ rotation.Identifier = EnvFile{}

	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate reports every mistake in the fields. Deploy and Check return the same error before they do anything.
func (e EnvFile) Validate() error {
	var errs []error
	if e.Path == "" {
		errs = append(errs, required("EnvFile.Path"))
	}
	switch {
	case e.Variable == "":
		errs = append(errs, required("EnvFile.Variable"))
	case !variable.MatchString(e.Variable):
		errs = append(errs, fail(nil, "EnvFile.Variable %q is no name of a variable", e.Variable))
	}
	if e.Older != "" && !variable.MatchString(e.Older) {
		errs = append(errs, fail(nil, "EnvFile.Older %q is no name of a variable", e.Older))
	}
	if e.Older != "" && e.Older == e.Variable {
		errs = append(errs, fail(nil, "EnvFile.Older is EnvFile.Variable"))
	}
	if len(e.Then) > 0 && e.Then[0] == "" {
		errs = append(errs, fail(nil, "EnvFile.Then names no program"))
	}
	return errors.Join(errs...)
}

// Check fails if the file cannot be understood, its folder is not there or there is no program to run.
func (e EnvFile) Check(context.Context) error {
	if err := e.Validate(); err != nil {
		return err
	}
	path, text, _, err := e.read()
	if err != nil {
		return err
	}
	if _, err := e.write(text, "", ""); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fail(err, "EnvFile.Path: there is no folder %s", filepath.Dir(path))
	}
	if len(e.Then) > 0 {
		return findProgram(e.Then[0])
	}
	return nil
}

// Reloads says restart: the environment of a process is what it was when it started. Whether Then starts it anew is seen by a Verifier
// or an Observer.
func (e EnvFile) Reloads() rotation.Reload { return rotation.ReloadRestart }

// Identity is the path and the variables.
func (e EnvFile) Identity() string {
	if e.Older != "" {
		return e.Variable + " and " + e.Older + " in " + e.Path
	}
	return e.Variable + " in " + e.Path
}

// Deploy writes the file and runs the command, whose exit codes mean what Command says. It refuses a value with a line end or
// a NUL, which no reader of such files takes, one that is not UTF-8, for which systemd and Docker take nothing of the file, and
// a file that it does not understand.
func (e EnvFile) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := e.Validate(); err != nil {
		return err
	}
	newer, older, err := e.values(req)
	if err != nil {
		return err
	}
	if err := alive(ctx); err != nil {
		return err
	}
	if err := e.set(ctx, newer, older); err != nil {
		return err
	}
	if len(e.Then) == 0 {
		return nil
	}
	return run(ctx, e.Then, environment(req), nil, e.Log)
}

// values are those of Variable and Older.
func (e EnvFile) values(req rotation.DeployRequest) (newer, older string, err error) {
	keys := []rotation.Key{req.Key}
	switch {
	case len(req.Accept) > 0:
		keys = req.Accept
	case e.Older != "" || req.Key.IsZero():
		return "", "", fail(errors.ErrUnsupported, "EnvFile: nothing is to be accepted, and without a secret many applications accept everything: stop the application")
	}
	most := 1
	if e.Older != "" {
		most = 2
	}
	if len(keys) > most {
		return "", "", fail(errors.ErrUnsupported, "EnvFile: %d secrets are to be accepted (%s), and there are variables for %d: see Older", len(keys), keyList(keys), most)
	}
	for _, k := range keys {
		if k.Secret.IsZero() {
			return "", "", fail(nil, "EnvFile: there is no secret to write")
		}
	}
	if len(keys) == 2 {
		older = keys[1].Secret.Reveal()
	}
	return keys[0].Secret.Reveal(), older, nil
}

// write returns text with the variables set.
func (e EnvFile) write(text, newer, older string) (string, error) {
	text, err := setVariable(text, e.Variable, newer, e.Docker)
	if err != nil || e.Older == "" {
		return text, err
	}
	return setVariable(text, e.Older, older, e.Docker)
}

func (e EnvFile) set(ctx context.Context, newer, older string) error {
	path, _, _, err := e.read()
	if err != nil {
		return err
	}
	unlock, err := lockDir(ctx, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("consumer: EnvFile: %w", err)
	}
	defer unlock()
	path, text, info, err := e.read() // again: it may have changed while others had the lock
	if err != nil {
		return err
	}
	now, err := e.write(text, newer, older)
	if err != nil || (now == text && info != nil) {
		return err
	}
	if err := replace(path, now, info); err != nil {
		return fmt.Errorf("consumer: EnvFile: %w", err)
	}
	return nil
}

// read returns the file's true path, its text and what describes it: nil if there is none.
func (e EnvFile) read() (path, text string, info fs.FileInfo, err error) {
	path, err = filepath.EvalSymlinks(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return e.Path, "", nil, nil
	}
	var data []byte
	if err == nil {
		info, err = os.Stat(path)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fail(nil, "%s is no regular file", path)
	}
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return path, "", nil, fmt.Errorf("consumer: EnvFile.Path: %w", err)
	}
	return path, string(data), info, nil
}

// replace puts text in the place of the file at path, with the mode and owner of info. Whoever reads the file meanwhile, or
// after a crash, sees all of the old text or all of the new one.
func replace(path, text string, info fs.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if info != nil {
		err = errors.Join(keepOwner(f, info), f.Chmod(info.Mode().Perm()))
	}
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
