// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package apitext

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOf(t *testing.T) {
	const source = `package p

const Answer = 42
const hidden = 1

type Word string
const Hello Word = "hello"

var Err error

type Config struct {
	Name string ` + "`json:\"name\"`" + `
	Word
	private int
}

func New(cfg Config, more ...Word) (p *Part[int], err error) { return nil, nil }
func As[T any](v any) (T, bool) { var zero T; return zero, false }

type Part[T any] struct{}

func (p *Part[T]) Get(name string) T { var zero T; return zero }
func (p Part[T]) private()           {}

type Doer interface {
	Do(req Config) error
	secretly()
}

type Short = Config
type Func func(a int) error
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", source, 0)
	require.NoError(t, err)
	p, err := (&types.Config{Importer: importer.Default()}).Check("example.com/p", fset, []*ast.File{f}, nil)
	require.NoError(t, err)
	assert.Equal(t, `pkg p, const Answer untyped int = 42
pkg p, const Hello Word = "hello"
pkg p, func As[T any](any) (T, bool)
pkg p, func New(Config, ...Word) (*Part[int], error)
pkg p, method (*Part[T]) Get(string) T
pkg p, type Config struct
pkg p, type Config struct, Name string `+"`json:\"name\"`"+`
pkg p, type Config struct, embedded Word
pkg p, type Doer interface
pkg p, type Doer interface, Do(Config) error
pkg p, type Doer interface, unexported methods
pkg p, type Func func(a int) error
pkg p, type Part[T any] struct
pkg p, type Short = Config
pkg p, type Word string
pkg p, var Err error
`, Of("p", p))
}

func TestDifference(t *testing.T) {
	assert.Empty(t, Difference("a\nb\n", "b\na\n"))
	assert.Equal(t, []string{"gone: b", "new: c"}, Difference("a\nb\n", "a\nc\n"))
}
