// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// core is the path of the core module.
const core = "github.com/handover-go/handover"

// root returns the absolute folder of the repository. In a module cache, where the nested modules are cut off, there is no
// repository to test.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(dir, "internal", "tools", "go.mod")); errors.Is(err, fs.ErrNotExist) {
		t.Skip("not in a checkout of the repository")
	}
	return dir
}

// goCommand runs the go command in dir, outside the workspace, and returns its standard output. Each of env is "NAME=value".
func goCommand(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = slices.Concat(os.Environ(), []string{"GOWORK=off", "GOFLAGS="}, env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoErrorf(t, err, "go %s\n%s", strings.Join(args, " "), stderr.Bytes())
	return out
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	Dir            string
	ImportPath     string
	Name           string
	Standard       bool
	Export         string // the file of export data
	Module         *struct{ Path string }
	GoFiles        []string
	IgnoredGoFiles []string // of other systems
	TestGoFiles    []string
	XTestGoFiles   []string
	Imports        []string
	Deps           []string // all of them, not only the direct ones
}

// rel is the import path within the core module, "." for its root.
func (p pkg) rel() string {
	if p.ImportPath == core {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, core+"/")
}

// forTests reports whether p is meant for tests: only such a package may import testing.
func (p pkg) forTests() bool { return strings.HasSuffix(p.Name, "test") }

// internal reports whether nobody outside the module can import p.
func (p pkg) internal() bool { return slices.Contains(strings.Split(p.rel(), "/"), "internal") }

// listed is one reading of the packages; several tests share it.
type listed struct {
	all map[string]pkg // by import path, dependencies too
	own []pkg          // of the core module, sorted by import path
}

var (
	listOnce sync.Once
	list     listed
)

// packages returns the packages of the core module and all that they link, tests excluded.
func packages(t *testing.T) listed {
	t.Helper()
	dir := root(t)
	listOnce.Do(func() {
		fields := "-json=Dir,ImportPath,Name,Standard,Export,Module,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Imports,Deps"
		out := goCommand(t, dir, nil, "list", "-deps", "-export", fields, "./...")
		list.all = map[string]pkg{}
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p pkg
			err := dec.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			list.all[p.ImportPath] = p
			if p.Module != nil && p.Module.Path == core {
				list.own = append(list.own, p)
			}
		}
		slices.SortFunc(list.own, func(a, b pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	})
	require.NotEmpty(t, list.own, "the packages were not listed: see the first test that failed")
	return list
}

// textFiles returns the files of the repository that hold text and whose name ends in one of the suffixes (none: all),
// with slashes and relative to the root.
func textFiles(t *testing.T, suffixes ...string) map[string]string {
	t.Helper()
	dir := root(t)
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == ".bin" {
				return fs.SkipDir
			}
			return nil
		}
		// In another worktree .git is a file.
		if !d.Type().IsRegular() || d.Name() == ".git" || !hasSuffix(path, suffixes) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(data, 0) >= 0 {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	require.NoError(t, err)
	return files
}

func hasSuffix(name string, suffixes []string) bool {
	return len(suffixes) == 0 || slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}
