// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the goldens in the folder api anew")

// A difference here is a change of what users compile against. If it is meant, run the test with -update and say it in
// the changelog.
func TestExportedAPI(t *testing.T) {
	dir := filepath.Join(root(t), "api")
	pkgs := packages(t)
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(pkgs.all[path].Export)
	})
	goldens := map[string]bool{}
	for _, p := range pkgs.own {
		if p.internal() {
			continue
		}
		compiled, err := imp.Import(p.ImportPath)
		require.NoError(t, err)
		got := apiText(p.rel(), compiled)
		if got == "" {
			continue
		}
		golden := filepath.Join(dir, strings.ReplaceAll(p.rel(), "/", "-")+".txt")
		goldens[golden] = true
		if *update {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			continue
		}
		want, err := os.ReadFile(golden)
		if assert.NoErrorf(t, err, "%s has no golden; write it with -update", p.rel()) {
			assert.Emptyf(t, difference(string(want), got), "package %s exports other things; if that is meant, use -update", p.rel())
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	for _, file := range files {
		if goldens[file] {
			continue
		}
		if *update {
			require.NoError(t, os.Remove(file))
		} else {
			assert.Failf(t, "a golden of no package", "api/%s; -update removes it", filepath.Base(file))
		}
	}
}

// difference lists the lines of want that got has not, and the other way round.
func difference(want, got string) []string {
	wanted, gotten := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for _, line := range wanted {
		if !slices.Contains(gotten, line) {
			out = append(out, "gone: "+line)
		}
	}
	for _, line := range gotten {
		if !slices.Contains(wanted, line) {
			out = append(out, "new: "+line)
		}
	}
	return out
}

// apiText lists what a package exports, a line each, sorted: functions without the names of their parameters, structs and
// interfaces with a line for each exported field and method. Tags of fields are part of it, because they are what others parse.
func apiText(rel string, p *types.Package) string {
	short := func(q *types.Package) string {
		if q == p {
			return ""
		}
		return q.Name()
	}
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, fmt.Sprintf("pkg %s, ", rel)+fmt.Sprintf(format, args...)+"\n")
	}
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			add("const %s %s = %s", name, types.TypeString(obj.Type(), short), obj.Val().ExactString())
		case *types.Var:
			add("var %s %s", name, types.TypeString(obj.Type(), short))
		case *types.Func:
			add("func %s%s", name, signature(obj, short))
		case *types.TypeName:
			addType(obj, short, add)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func addType(obj *types.TypeName, short types.Qualifier, add func(string, ...any)) {
	if obj.IsAlias() {
		add("type %s = %s", obj.Name(), types.TypeString(types.Unalias(obj.Type()), short))
		return
	}
	named := obj.Type().(*types.Named)
	name := types.TypeString(types.NewPointer(named), short)[1:] // with its type parameters
	switch u := named.Underlying().(type) {
	case *types.Struct:
		add("type %s struct", name)
		for i := range u.NumFields() {
			if f := u.Field(i); f.Exported() {
				add("type %s struct, %s", name, field(f, u.Tag(i), short))
			}
		}
	case *types.Interface:
		add("type %s interface", name)
		for m := range u.Methods() {
			if m.Exported() {
				add("type %s interface, %s%s", name, m.Name(), signature(m, short))
			} else {
				add("type %s interface, unexported methods", name)
			}
		}
	default:
		add("type %s %s", name, types.TypeString(u, short))
	}
	for m := range named.Methods() {
		if m.Exported() {
			receiver := types.TypeString(m.Signature().Recv().Type(), short)
			add("method (%s) %s%s", receiver, m.Name(), signature(m, short))
		}
	}
}

func field(f *types.Var, tag string, short types.Qualifier) string {
	text := f.Name() + " " + types.TypeString(f.Type(), short)
	if f.Embedded() {
		text = "embedded " + types.TypeString(f.Type(), short)
	}
	if tag != "" {
		text += " `" + tag + "`"
	}
	return text
}

// signature is the signature of f without "func" and without names: a new name of a parameter changes nothing for a caller.
func signature(f *types.Func, short types.Qualifier) string {
	s := f.Signature()
	unnamed := types.NewSignatureType(nil, nil, nil, nameless(s.Params()), nameless(s.Results()), s.Variadic())
	text := strings.TrimPrefix(types.TypeString(unnamed, short), "func")
	if s.TypeParams().Len() == 0 {
		return text
	}
	var params []string
	for p := range s.TypeParams().TypeParams() {
		params = append(params, p.Obj().Name()+" "+types.TypeString(p.Constraint(), short))
	}
	return "[" + strings.Join(params, ", ") + "]" + text
}

func nameless(t *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range t.Variables() {
		vars = append(vars, types.NewParam(token.NoPos, nil, "", v.Type()))
	}
	return types.NewTuple(vars...)
}
