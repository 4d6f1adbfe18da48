// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Every block of Go in a page is the body of a function that is compiled, an Example as a rule. The line before the block
// says which, in a comment that readers of the page do not see:
//
//	<!-- example: rotation/example_test.go ExampleRotator -->
//
// Indentation and the expected output at the end of the function are left out of the page.
func TestCodeInPagesIsCompiled(t *testing.T) {
	files := textFiles(t, ".go")
	for name, text := range textFiles(t, ".md") {
		for _, b := range goBlocks(text) {
			if err := b.check(files); err != nil {
				assert.Fail(t, fmt.Sprintf("%s:%d: %v", name, b.line, err))
			}
		}
	}
}

// block is a block of Go in a page.
type block struct {
	line       int    // of its fence
	file, name string // the function that it shows; empty: not said
	code       string
}

var marker = regexp.MustCompile(`^<!-- example: (\S+) (\S+) -->$`)

func goBlocks(page string) []block {
	var (
		out   []block
		last  string // the last line that is not blank
		lines = strings.Split(page, "\n")
	)
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" {
			continue
		}
		if fence, ok := strings.CutPrefix(line, "```"); ok && fence != "" {
			end := i + 1
			for end < len(lines) && strings.TrimSpace(lines[end]) != "```" {
				end++
			}
			if lang, _, _ := strings.Cut(fence, " "); lang == "go" || lang == "golang" {
				b := block{line: i + 1, code: strings.Join(lines[i+1:end], "\n")}
				if m := marker.FindStringSubmatch(last); m != nil {
					b.file, b.name = m[1], m[2]
				}
				out = append(out, b)
			}
			i = end
		}
		last = line
	}
	return out
}

// check compares b with the function it names in files, whose names are relative to the root.
func (b block) check(files map[string]string) error {
	if b.file == "" {
		return errors.New("a block of Go that names no Example")
	}
	source, ok := files[b.file]
	if !ok {
		return fmt.Errorf("there is no %s", b.file)
	}
	body, err := functionBody(b.file, source, b.name)
	if err != nil {
		return err
	}
	if got := dedent(b.code); got != body {
		return fmt.Errorf("the block differs from %s of %s, which is:\n%s\nand not:\n%s", b.name, b.file, body, got)
	}
	return nil
}

var output = regexp.MustCompile(`(?i)^\s*//\s*(unordered )?output:`)

// functionBody returns what stands between the braces of a function, without the output that an Example expects.
func functionBody(file, source, name string) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
			body := source[fset.Position(fn.Body.Lbrace).Offset+1 : fset.Position(fn.Body.Rbrace).Offset]
			lines := strings.Split(body, "\n")
			if i := slices.IndexFunc(lines, output.MatchString); i >= 0 {
				lines = lines[:i]
			}
			return dedent(strings.Join(lines, "\n")), nil
		}
	}
	return "", fmt.Errorf("there is no func %s in %s", name, file)
}

// dedent cuts the tabs that all lines share, blank lines at both ends and blanks at the end of lines.
func dedent(code string) string {
	lines := strings.Split(code, "\n")
	shared := -1
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
		if tabs := len(lines[i]) - len(strings.TrimLeft(lines[i], "\t")); lines[i] != "" && (shared < 0 || tabs < shared) {
			shared = tabs
		}
	}
	for i, line := range lines {
		if line != "" {
			lines[i] = line[shared:]
		}
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

func TestGoBlocks(t *testing.T) {
	files := map[string]string{"x/example_test.go": `package x_test

func ExampleNew() {
	p := New()
	if p != nil {
		// Said inside.
		p.Do()
	}
	// Output:
	// done
}
`}
	const good = "Text.\n\n<!-- example: x/example_test.go ExampleNew -->\n\n```go\n" +
		"p := New()\nif p != nil {\n\t// Said inside.\n\tp.Do()\n}\n```\n"
	for name, c := range map[string]struct{ page, want string }{
		"same":           {good, ""},
		"other language": {"```sh\ngo test\n```\n\n```\nplain\n```\n", ""},
		"no marker":      {strings.Replace(good, "<!--", "<!", 1), "names no Example"},
		"changed":        {strings.Replace(good, "p.Do()", "p.Done()", 1), "the block differs"},
		"no function":    {strings.Replace(good, "ExampleNew", "ExampleOld", 1), "there is no func ExampleOld"},
		"no file":        {strings.Replace(good, "x/", "y/", 1), "there is no y/example_test.go"},
		"after another":  {"```sh\nls\n```\n" + strings.Replace(good, "p.Do()", "p.Undo()", 1), "the block differs"},
	} {
		t.Run(name, func(t *testing.T) {
			var errs []error
			for _, b := range goBlocks(c.page) {
				errs = append(errs, b.check(files))
			}
			if c.want == "" {
				assert.NoError(t, errors.Join(errs...))
			} else {
				assert.ErrorContains(t, errors.Join(errs...), c.want)
			}
		})
	}
}

var (
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	elsewhere   = regexp.MustCompile(`^(https?|mailto):`)
	endpoint    = regexp.MustCompile(`"(HANDOVER_[A-Z_]+)"`)
	packageName = regexp.MustCompile(`(https://)?` + regexp.QuoteMeta(core) + `/([\w\-/]*\w)`)
)

func TestLinksInPagesLeadSomewhere(t *testing.T) {
	dir := root(t)
	for name, text := range textFiles(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || elsewhere.MatchString(target) {
				continue
			}
			_, err := os.Stat(filepath.Join(dir, path.Dir(name), filepath.FromSlash(target)))
			assert.NoErrorf(t, err, "%s links to %s", name, m[1])
		}
	}
}

// Who looks for an adapter finds it on the front page.
func TestReadmeNamesEveryModule(t *testing.T) {
	readme := textFiles(t, "README.md")["README.md"]
	for _, module := range offered(t) {
		assert.Contains(t, readme, "]("+module+")", "README.md has no link to it")
	}
}

// Who has an endpoint that an adapter can be tested against finds the variables that name it.
func TestContributingNamesEveryEndpoint(t *testing.T) {
	page := textFiles(t, "CONTRIBUTING.md")["CONTRIBUTING.md"]
	adapters := append(offered(t), "issuer/kosli")
	for name, text := range textFiles(t, "_test.go") {
		adapter := slices.ContainsFunc(adapters, func(dir string) bool { return strings.HasPrefix(name, dir+"/") })
		for _, m := range endpoint.FindAllStringSubmatch(text, -1) {
			if adapter {
				assert.Contains(t, page, "`"+m[1], "%s reads it", name)
			}
		}
	}
}

// A page, or the front page in doc.go, that sends a reader to a package sends them to one that exists.
func TestPackagesNamedInPagesExist(t *testing.T) {
	dir := root(t)
	for name, text := range textFiles(t, ".md", "doc.go") {
		for _, m := range packageName.FindAllStringSubmatch(text, -1) {
			if m[1] != "" { // an address of the forge
				continue
			}
			_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(m[2])))
			assert.NoErrorf(t, err, "%s names package %s", name, m[0])
		}
	}
}
