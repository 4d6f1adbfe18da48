// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package apitext writes down what a package exports, for the goldens in the folder api: those of the core are compared in
// internal/repotest, those of the other modules in internal/e2e/published.
package apitext

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Of lists what a package exports, a line each, sorted: functions without the names of their parameters, structs and
// interfaces with a line for each exported field and method. Tags of fields are part of it, because they are what others parse. The
// lines name the package rel, and a package that exports nothing has none.
func Of(rel string, p *types.Package) string {
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

// Difference lists the lines of want that got has not, and the other way round.
func Difference(want, got string) []string {
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
