// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const header = "// Copyright The handover Authors\n// SPDX-License-Identifier: Apache-2.0\n\n"

func TestGoFilesBeginWithTheLicence(t *testing.T) {
	for name, text := range textFiles(t, ".go") {
		assert.Truef(t, strings.HasPrefix(text, header), "%s does not begin with the two lines and a blank one", name)
	}
}

// No text may hold what these match: it would mean nothing to a reader elsewhere.
var foreign = map[string]*regexp.Regexp{
	"a path of one machine":                 regexp.MustCompile(`(?m)(^|[^\w.\-])/(work|tmp|root)/`),
	"a page that is not here":               regexp.MustCompile(`\b(PROTOCOL|DECISIONS?|FIELD|STYLE|DESIGN|WEBHOOKS) §?[0-9]`),
	"work that is not done (TO" + "DO ...)": regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`),
}

var markdownName = regexp.MustCompile(`\b[A-Z]+\.md\b`)

func TestTextsAreOfThisRepository(t *testing.T) {
	files := textFiles(t)
	require.Contains(t, files, "internal/repotest/files_test.go")
	for name, text := range files {
		for _, complaint := range textComplaints(files, name, text) {
			assert.Fail(t, complaint)
		}
	}
}

func textComplaints(files map[string]string, name, text string) []string {
	var out []string
	if name == "LICENSE" {
		return nil
	}
	for what, re := range foreign {
		if at := re.FindStringIndex(text); at != nil {
			out = append(out, fmt.Sprintf("%s:%d names %s", name, lineOf(text, at[0]), what))
		}
	}
	for _, at := range markdownName.FindAllStringIndex(text, -1) {
		page := text[at[0]:at[1]]
		_, atRoot := files[page]
		_, beside := files[path.Join(path.Dir(name), page)]
		if !atRoot && !beside && !strings.HasPrefix(name, "internal/repotest/") {
			out = append(out, fmt.Sprintf("%s:%d names %s, which is not here", name, lineOf(text, at[0]), page))
		}
	}
	return out
}

func TestTextComplaints(t *testing.T) {
	files := map[string]string{"README.md": "", "x/GUIDE.md": ""}
	for text, want := range map[string]string{
		"see /wo" + "rk/main/x":                  "a.go:1 names a path",
		"\n\"/tm" + "p/x\"":                      "a.go:2 names a path",
		"file:///tm" + "p/x":                     "a.go:1 names a path",
		"https://example.com/tm" + "p/x/work":    "",
		"as in PROTO" + "COL 4":                  "a.go:1 names a page",
		"// TO" + "DO: later":                    "a.go:1 names work",
		"see README.md":                          "",
		"see GUIDE.md":                           "a.go:1 names GUIDE.md",
		"the protocol says 4, and a field has 7": "",
	} {
		got := strings.Join(textComplaints(files, "a.go", text), "\n")
		if want == "" {
			assert.Empty(t, got, text)
		} else {
			assert.Contains(t, got, want, text)
		}
	}
}

func lineOf(text string, at int) int { return 1 + strings.Count(text[:at], "\n") }

// The core keeps to the older of the two supported releases of Go; modules with an SDK or a driver may ask for the newer one,
// and the workspace needs what its members need.
func TestGoLines(t *testing.T) {
	const older, newer = "1.25.0", "1.26.0"
	dir := root(t)
	var work struct {
		Go, Toolchain string
		Use           []struct{ DiskPath string }
	}
	require.NoError(t, json.Unmarshal(goCommand(t, dir, nil, "work", "edit", "-json", "go.work"), &work))
	assert.Equal(t, newer, work.Go, "go.work")
	assert.Empty(t, work.Toolchain, "go.work")

	var used, found []string
	for _, u := range work.Use {
		used = append(used, path.Clean(u.DiskPath))
	}
	for name := range textFiles(t, "go.mod") {
		module := path.Dir(name)
		m := readMod(t, filepath.Join(dir, filepath.FromSlash(module)))
		assert.Empty(t, m.Toolchain, name)
		assert.Equal(t, path.Join(core, module), m.Module.Path, name)
		// The servers that are built ask for what they ask for, and the tools are nobody's requirement either.
		if strings.HasPrefix(module, "internal/servers/heavy/") {
			continue
		}
		if module != "internal/tools" {
			found = append(found, module)
		}
		if module == "." {
			assert.Equal(t, older, m.Go, name)
		} else {
			assert.Contains(t, []string{older, newer}, m.Go, name)
		}
	}
	assert.ElementsMatch(t, used, found, "go.work names every other module: what it leaves out is tested by nobody")
}

// The modules of the repository meet through what the core exports, as they would if they lay elsewhere: what is internal may
// change with every release of the core. The exception is what starts servers for their tests.
func TestModulesMeetThroughExports(t *testing.T) {
	var nested []string
	for name := range textFiles(t, "go.mod") {
		if module := path.Dir(name); module != "." && !strings.HasPrefix(module, "internal/") {
			nested = append(nested, module)
		}
	}
	for name, text := range textFiles(t, ".go") {
		at := slices.IndexFunc(nested, func(module string) bool { return strings.HasPrefix(name, module+"/") })
		if at < 0 {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if imported == core+"/internal/servers" && strings.HasSuffix(name, "_test.go") {
				continue
			}
			assert.Falsef(t, strings.HasPrefix(imported, core+"/internal/"), "%s imports %s", name, imported)
		}
	}
}

// Sizes are advice: they are shown with -v and fail nothing.
func TestSizes(t *testing.T) {
	const lines, funcLines = 400, 60
	for name, text := range textFiles(t, ".go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if n := strings.Count(text, "\n"); n > lines {
			t.Logf("%s has %d lines: one thing, or two?", name, n)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; n > funcLines {
				t.Logf("%s: %s has %d lines", name, f.Name.Name, n)
			}
		}
	}
}
