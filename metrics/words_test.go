// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/metrics"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/webhook"
)

// The closed sets are all that package rotation has: a word that is added there and not here would be counted as "other".
func TestWordsAreComplete(t *testing.T) {
	words := constants(t, filepath.Join("..", "rotation"))
	for _, word := range words["EventKind"] {
		m := meter(t, metrics.Config{})
		c := m.Count(rotation.Event{ID: word, Kind: rotation.EventKind(word)})
		assert.Equal(t, word, string(c.Kind))
	}
	assert.ElementsMatch(t, append(words["NeedKind"], metrics.Other), texts(metrics.NeedKinds()))
	assert.ElementsMatch(t, words["Strategy"], texts(metrics.Strategies()))
	assert.ElementsMatch(t, words["Outcome"], append(texts(metrics.Outcomes()), ""))
	assert.ElementsMatch(t, append(words["Diagnosis"], metrics.Other), texts(metrics.Diagnoses()))
	require.NotEmpty(t, words["Phase"])
	for _, word := range words["Phase"] {
		s := rotation.Status{Credential: "a", Open: &rotation.Record{Strategy: rotation.Standard, Phase: rotation.Phase(word)}}
		assert.Equal(t, word, string(read(t, s).Credentials[0].Open.Phase))
	}
}

// constants are the texts of the constants of each named type of a package, read from its source.
func constants(t *testing.T, dir string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !spec.Names[0].IsExported() {
				return true
			}
			name, isName := spec.Type.(*ast.Ident)
			value, isText := spec.Values[0].(*ast.BasicLit)
			if isName && isText && value.Kind == token.STRING {
				text, err := strconv.Unquote(value.Value)
				require.NoError(t, err)
				found[name.Name] = append(found[name.Name], text)
			}
			return true
		})
	}
	return found
}

func texts[T ~string](words []T) []string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return out
}

// What others put into the words does not become a label.
func TestForeignWords(t *testing.T) {
	const canary = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
	rec := &rotation.Record{Strategy: canary, Phase: canary, Outcome: canary, Problem: &rotation.Error{Diagnosis: canary, Evidence: canary}, Reason: canary}
	r := read(t, rotation.Status{Credential: "a", Open: rec, Last: rec, Needs: []rotation.Need{{ID: canary, Kind: canary, Text: canary}}})
	assert.NotContains(t, fmt.Sprintf("%+v %+v %+v", r, *r.Credentials[0].Open, *r.Credentials[0].Last), canary)
	assert.Equal(t, map[rotation.NeedKind]int{metrics.Other: 1}, r.Credentials[0].Needs)

	m := meter(t, metrics.Config{})
	c := m.Count(rotation.Event{ID: "1", Kind: canary, Strategy: canary, Text: canary, Problem: rec.Problem})
	assert.Equal(t, metrics.Counted{Kind: metrics.Other, Strategy: metrics.Other, Level: "info", Diagnosis: metrics.Other}, c)
}

func TestRefusal(t *testing.T) {
	all := map[string]error{
		"unsigned": webhook.ErrUnsigned, "malformed": webhook.ErrMalformed, "mismatch": webhook.ErrMismatch, "stale": webhook.ErrStale,
		"replayed": webhook.ErrReplayed, "too-large": webhook.ErrTooLarge, "no-secret": webhook.ErrNoSecret,
		"replay-store": fmt.Errorf("%w: %w", webhook.ErrReplayStore, webhook.ErrStale), "other": errors.New("something else"),
	}
	for reason, err := range all {
		assert.Equal(t, reason, metrics.Refusal(err))
		assert.Equal(t, reason, metrics.Refusal(fmt.Errorf("wrapped: %w", err)))
		assert.Contains(t, metrics.Refusals(), reason)
		assert.Zero(t, testing.AllocsPerRun(10, func() { metrics.Refusal(err) }), reason)
	}
	assert.Len(t, metrics.Refusals(), len(all))
	assert.Empty(t, metrics.Refusal(nil))
}
