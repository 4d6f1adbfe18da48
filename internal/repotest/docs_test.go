// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In every module, with the files of all systems.
func TestEverythingExportedIsDocumented(t *testing.T) {
	fset := token.NewFileSet()
	folders := map[string][]*ast.File{}
	for name, text := range textFiles(t, ".go") {
		dir := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") || slices.Contains(strings.Split(dir, "/"), "testdata") {
			continue
		}
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		folders[dir] = append(folders[dir], f)
	}
	for dir, files := range folders {
		for _, name := range undocumented(fset, files) {
			assert.Fail(t, dir+": "+name)
		}
	}
}

// undocumented lists what has no comment of the files of one package: the package, and the exported names in it.
// Constants and variables may share the comment of their group.
func undocumented(fset *token.FileSet, files []*ast.File) []string {
	var out []string
	missing := func(n ast.Node, format string, args ...any) {
		at := fset.Position(n.Pos())
		out = append(out, fmt.Sprintf("%s:%d: ", filepath.Base(at.Filename), at.Line)+fmt.Sprintf(format, args...))
	}
	if !slices.ContainsFunc(files, func(f *ast.File) bool { return says(f.Doc) }) && len(files) > 0 {
		missing(files[0], "the package has no comment")
	}
	for _, f := range files {
		if f.Name.Name == "main" {
			continue
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if name, exported := funcName(d); exported && !says(d.Doc) {
					missing(d, "func %s has no comment", name)
				}
			case *ast.GenDecl:
				for _, name := range undocumentedSpecs(d) {
					missing(name, "%s %s has no comment", d.Tok, name.Name)
				}
			}
		}
	}
	return out
}

func undocumentedSpecs(d *ast.GenDecl) []*ast.Ident {
	var out []*ast.Ident
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && !says(s.Doc) && !says(d.Doc) {
				out = append(out, s.Name)
			}
		case *ast.ValueSpec:
			if says(s.Doc) || says(s.Comment) || says(d.Doc) {
				continue
			}
			for _, name := range s.Names {
				if name.IsExported() {
					out = append(out, name)
				}
			}
		}
	}
	return out
}

// says reports whether the comment has words and not only directives.
func says(c *ast.CommentGroup) bool { return c != nil && strings.TrimSpace(c.Text()) != "" }

// funcName is the name of a function, or Type.Method, and whether users can see it.
func funcName(d *ast.FuncDecl) (name string, exported bool) {
	if d.Recv == nil {
		return d.Name.Name, d.Name.IsExported()
	}
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name + "." + d.Name.Name, e.IsExported() && d.Name.IsExported()
		default:
			return d.Name.Name, d.Name.IsExported()
		}
	}
}

func TestUndocumented(t *testing.T) {
	const source = `package p

// Grouped say something.
const (
	A = 1
	B = 2
)

const C = 3

const (
	D = 4 // D is four.
	E = 5
	f = 6
)

//go:generate true
var V, w int

// T is a type.
type T[K any] struct{ Field int }

func (T[K]) M()    {}
func (t *T[K]) m() {}

// N is said to do something.
func (T[K]) N() {}

type hidden struct{}

func (hidden) Shown() {}

func F() {}

type (
	U int
)
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, parser.ParseComments)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"p.go:1: the package has no comment",
		"p.go:9: const C has no comment",
		"p.go:13: const E has no comment",
		"p.go:18: var V has no comment",
		"p.go:23: func T.M has no comment",
		"p.go:33: func F has no comment",
		"p.go:36: type U has no comment",
	}, undocumented(fset, []*ast.File{f}))
}
