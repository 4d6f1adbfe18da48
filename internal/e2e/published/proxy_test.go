// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package published

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	modpkg "golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/zip"
)

// proxy is a folder that serves the modules of the workspace as a module proxy does, and the environment of a go command that
// asks it. What it has not comes from the module cache, and what that has not from wherever go finds modules.
type proxy struct {
	dir string
	env []string
}

func newProxy(t *testing.T, modules []module) proxy {
	t.Helper()
	p := proxy{dir: t.TempDir()}
	for _, m := range modules {
		if m.offered() || m.name() == "internal/servers" { // which the tests of those offered require
			p.publish(t, m)
		}
	}
	was := strings.Fields(string(goCommand(t, ".", nil, "env", "GOMODCACHE", "GOPROXY")))
	require.Len(t, was, 2)
	// Their own cache: these versions exist nowhere else.
	p.env = []string{
		"GOWORK=off", "GOFLAGS=-mod=mod -modcacherw", "GOTOOLCHAIN=local", "GOMODCACHE=" + t.TempDir(), "GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=",
		"GOPROXY=" + fileURL(p.dir) + "," + fileURL(filepath.Join(was[0], "cache", "download")) + "," + was[1],
		"GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", // everywhere the same answer
	}
	return p
}

func fileURL(dir string) string {
	return "file://" + strings.TrimSuffix("/"+strings.TrimPrefix(filepath.ToSlash(dir), "/"), "/")
}

// publish adds a module: as it is here, but with the versions of the others in its go.mod, as a release has them.
func (p proxy) publish(t *testing.T, m module) {
	t.Helper()
	dir := filepath.Join(p.dir, filepath.FromSlash(m.Path), "@v")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	write := func(suffix string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, version+suffix), content, 0o644))
	}
	mod := released(t, m)
	write(".mod", mod)
	write(".info", fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version))
	checked, err := zip.CheckDir(m.Dir)
	require.NoError(t, err)
	var files []zip.File
	for _, name := range checked.Valid {
		name, err := filepath.Rel(m.Dir, name)
		require.NoError(t, err)
		if name = filepath.ToSlash(name); !strings.HasPrefix(name, ".bin/") { // the tools, which are not in the repository
			files = append(files, treeFile{path: name, dir: m.Dir, mod: mod})
		}
	}
	out, err := os.Create(filepath.Join(dir, version+".zip"))
	require.NoError(t, err)
	require.NoError(t, zip.Create(out, modpkg.Version{Path: m.Path, Version: version}, files), "it cannot be published")
	require.NoError(t, out.Close())
}

// released is the go.mod of a release.
func released(t *testing.T, m module) []byte {
	t.Helper()
	text, err := m.mod.Format()
	require.NoError(t, err)
	mod, err := modfile.Parse("go.mod", text, nil)
	require.NoError(t, err)
	for _, r := range slices.Clone(mod.Replace) {
		require.NoError(t, mod.DropReplace(r.Old.Path, r.Old.Version))
	}
	for _, r := range slices.Clone(mod.Require) {
		if strings.HasPrefix(r.Mod.Path, core) {
			require.NoError(t, mod.AddRequire(r.Mod.Path, version))
		}
	}
	mod.Cleanup()
	text, err = mod.Format()
	require.NoError(t, err)
	return text
}

// treeFile is a file of a module.
type treeFile struct {
	path string // with slashes, from dir
	dir  string
	mod  []byte // what go.mod holds
}

func (f treeFile) Path() string { return f.path }

func (f treeFile) Lstat() (os.FileInfo, error) { return os.Lstat(filepath.Join(f.dir, f.path)) }

func (f treeFile) Open() (io.ReadCloser, error) {
	if f.path == "go.mod" {
		return io.NopCloser(strings.NewReader(string(f.mod))), nil
	}
	return os.Open(filepath.Join(f.dir, f.path))
}

// program makes a program that imports m, which is all that it asks for. It returns the modules that are linked into it, and
// those that its module graph has beside them; each is "path version".
func (p proxy) program(t *testing.T, m module) (linked, others []string) {
	t.Helper()
	dir := t.TempDir()
	// The checksums of the module: what the repository was tested with is what the program gets.
	sums, err := os.ReadFile(filepath.Join(m.Dir, "go.sum"))
	require.NoError(t, err)
	for name, content := range map[string]string{
		"go.mod":  "module example.org/program\n\ngo 1.26.0\n",
		"go.sum":  string(sums),
		"main.go": fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", imported(m)),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	goCommand(t, dir, p.env, "get", m.Path+"@"+version)
	const line = "{{.Path}} {{.Version}}"
	linked = lines(goCommand(t, dir, p.env, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}"+line+"{{end}}{{end}}", "."))
	for path, v := range selected(goCommand(t, dir, p.env, "mod", "graph")) {
		if s := path + " " + v; !slices.Contains(linked, s) {
			others = append(others, s)
		}
	}
	slices.Sort(others)
	return linked, others
}

// selected are the versions of the modules in a graph, as the go command selects them: the highest. To list them would ask a proxy
// for more than the go.mod files.
func selected(graph []byte) map[string]string {
	versions := map[string]string{}
	for node := range strings.FieldsSeq(string(graph)) {
		path, v, found := strings.Cut(node, "@")
		if found && path != "go" && path != "toolchain" && semver.Compare(v, versions[path]) > 0 {
			versions[path] = v
		}
	}
	return versions
}

// imported is the package that stands for a module: its root, or, for the core, the one that does the work.
func imported(m module) string {
	if m.Path == core {
		return core + "/rotation"
	}
	return m.Path
}

func lines(out []byte) []string {
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	slices.Sort(all)
	return slices.Compact(all)
}
