// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runtimeModules are all that the core may link beside the standard library. go-multierror brings errwrap.
var runtimeModules = []string{
	"github.com/cenkalti/backoff/v4",
	"github.com/hashicorp/errwrap",
	"github.com/hashicorp/go-multierror",
	"golang.org/x/sync",
}

// testModules may be required too. testify brings yaml.
var testModules = []string{
	"github.com/stretchr/testify",
	"go.yaml.in/yaml/v3",
}

// ownImports are the packages of this module that a package may link. Arrows run one way, adapters -> rotation -> secret, and
// what stands alone stays so. A package that is not here may link any that is not meant for tests.
var ownImports = map[string][]string{
	".":                     {},
	"secret":                {},
	"rotation":              {"secret"},
	"rotation/rotationtest": {"rotation", "secret"},
	"webhook":               {"secret"},
}

// importsModules are the packages that import modules themselves: the engine, and the live handle, which retries and shares
// looks at the store. It links the engine's modules anyway. All others get by with the standard library.
var importsModules = []string{"rotation", "consumer"}

func TestCoreLinks(t *testing.T) {
	pkgs := packages(t)
	for _, p := range pkgs.own {
		for _, complaint := range linkComplaints(p, pkgs.all) {
			assert.Fail(t, p.rel()+" "+complaint)
		}
	}
}

// linkComplaints says what p links and must not.
func linkComplaints(p pkg, all map[string]pkg) []string {
	var out []string
	allowed, restricted := ownImports[p.rel()]
	for _, path := range p.Deps {
		d := all[path]
		switch {
		case path == "testing" || strings.HasPrefix(path, "testing/"):
			if !p.forTests() {
				out = append(out, "links "+path+" into the programs of its users")
			}
		case d.Standard || d.Module == nil:
		case d.Module.Path != core:
			if !slices.Contains(runtimeModules, d.Module.Path) {
				out = append(out, "links "+path+" of module "+d.Module.Path)
			} else if slices.Contains(p.Imports, path) && !slices.Contains(importsModules, p.rel()) {
				out = append(out, "imports "+path+": it gets by with the standard library")
			}
		case d.forTests():
			out = append(out, "links "+path+", which is for tests")
		case restricted && !slices.Contains(allowed, d.rel()):
			out = append(out, "links "+path+": arrows run from adapters to rotation to secret")
		}
	}
	return out
}

func TestLinkComplaints(t *testing.T) {
	module := func(path string) *struct{ Path string } { return &struct{ Path string }{path} }
	own := func(rel, name string) pkg { return pkg{ImportPath: core + "/" + rel, Name: name, Module: module(core)} }
	all := map[string]pkg{
		"testing":                        {ImportPath: "testing", Standard: true},
		"net/http":                       {ImportPath: "net/http", Standard: true},
		"golang.org/x/sync/errgroup":     {Module: module("golang.org/x/sync")},
		"example.com/sdk":                {Module: module("example.com/sdk")},
		core + "/store":                  own("store", "store"),
		core + "/rotation/rotationtest":  own("rotation/rotationtest", "rotationtest"),
		core + "/secret":                 own("secret", "secret"),
		"github.com/stretchr/testify/a":  {Module: module("github.com/stretchr/testify")},
		"github.com/hashicorp/errwrap":   {Module: module("github.com/hashicorp/errwrap")},
		"github.com/cenkalti/backoff/v4": {Module: module("github.com/cenkalti/backoff/v4")},
	}
	for _, c := range []struct {
		p    pkg
		dep  string
		want string // empty: no complaint
	}{
		{own("store", "store"), "net/http", ""},
		{own("store", "store"), core + "/secret", ""},
		{own("store", "store"), "testing", "links testing"},
		{own("store", "store"), "example.com/sdk", "of module example.com/sdk"},
		{own("store", "store"), "golang.org/x/sync/errgroup", "gets by with the standard library"},
		{own("store", "store"), core + "/rotation/rotationtest", "which is for tests"},
		{own("rotation", "rotation"), "golang.org/x/sync/errgroup", ""},
		{own("rotation", "rotation"), core + "/secret", ""},
		{own("rotation", "rotation"), core + "/store", "arrows"},
		{own("rotation/rotationtest", "rotationtest"), "testing", ""},
		{own("rotation/rotationtest", "rotationtest"), "github.com/stretchr/testify/a", "of module github.com/stretchr/testify"},
	} {
		c.p.Imports, c.p.Deps = []string{c.dep}, []string{c.dep}
		got := strings.Join(linkComplaints(c.p, all), "; ")
		if c.want == "" {
			assert.Empty(t, got)
		} else {
			assert.Contains(t, got, c.want)
		}
	}
}

// What the go.mod of the core asks for is what every user of it gets to see in theirs.
func TestCoreRequirements(t *testing.T) {
	mod := readMod(t, root(t))
	assert.Equal(t, core, mod.Module.Path)
	assert.Empty(t, mod.Replace, "a replace has no effect for users")
	assert.Empty(t, mod.Tool, "tools belong into internal/tools")
	for _, r := range mod.Require {
		assert.Contains(t, slices.Concat(runtimeModules, testModules), r.Path)
	}
}

// The build list of a program that embeds the engine, as its owner sees it.
func TestBuildListOfAnEmbedder(t *testing.T) {
	repo, dir := root(t), t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/embedder\n\ngo 1.25.0\n\nrequire "+core+" v0.0.0\n\nreplace "+core+" => "+repo+"\n")
	write("main.go", "package main\n\nimport _ \""+core+"/rotation\"\n\nfunc main() {}\n")
	sums, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	require.NoError(t, err)
	write("go.sum", string(sums))

	// The module cache has all of it; what the sums of the core do not cover is not looked up either.
	env := []string{"GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off"}
	list := strings.Fields(string(goCommand(t, dir, env, "list", "-m", "-f", "{{.Path}}", "all")))
	t.Logf("build list: %s", strings.Join(list, " "))
	assert.Less(t, len(list), 20)

	linked := strings.Fields(string(goCommand(t, dir, env, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")))
	for _, path := range linked {
		assert.Contains(t, append(runtimeModules, core, "example.com/embedder"), path)
	}
	assert.Contains(t, linked, core)
}

// modFile is what `go mod edit -json` says.
type modFile struct {
	Module    struct{ Path string }
	Go        string
	Toolchain string
	Require   []struct{ Path, Version string }
	Replace   []struct {
		Old, New struct{ Path, Version string }
	}
	Tool []struct{ Path string }
}

func readMod(t *testing.T, dir string) modFile {
	t.Helper()
	var m modFile
	require.NoError(t, json.Unmarshal(goCommand(t, dir, nil, "mod", "edit", "-json"), &m))
	return m
}
