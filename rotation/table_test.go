// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// phases reads the constants from the source: one that is added there has to have its place in a table.
func phases(t *testing.T) []Phase {
	file, err := parser.ParseFile(token.NewFileSet(), "status.go", nil, 0)
	require.NoError(t, err)
	var all []Phase
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Phase") {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			all = append(all, Phase(text))
		}
		return true
	})
	require.Greater(t, len(all), 10)
	return all
}

var (
	provider = &registration{}              // its keys are accepted by a provider
	receiver = &registration{webhook: true} // and these by the consumers
)

// The tables: no phase twice, in the order of the constants, the last one finishes, and every constant is somewhere. Those of
// webhook secrets have an order of their own.
func TestTables(t *testing.T) {
	all := phases(t)
	used := map[Phase]bool{}
	for _, s := range []Strategy{Standard, RollBack, Emergency} {
		steps := provider.table(s)
		run := &run{Strategy: s, Phase: steps[0].phase}
		before := -1
		for _, line := range steps {
			require.NotNil(t, line.do, "%s of %s", line.phase, s)
			place := slices.Index(all, line.phase)
			require.Greater(t, place, before, "%s of %s stands twice, or out of order", line.phase, s)
			require.Equal(t, line.phase, run.Phase, s)
			before, used[line.phase] = place, true
			run.next(provider)
		}
		require.Equal(t, PhaseFinish, run.Phase, "there is nothing after the end")
	}
	for _, s := range []Strategy{Standard, RollBack, Emergency} {
		steps := receiver.table(s)
		run := &run{Strategy: s, Phase: steps[0].phase}
		seen := map[Phase]bool{}
		for _, line := range steps {
			require.Contains(t, all, line.phase)
			require.False(t, seen[line.phase], "%s of %s stands twice", line.phase, s)
			require.Equal(t, line.phase, run.Phase, s)
			seen[line.phase], used[line.phase] = true, true
			run.next(receiver)
		}
		require.Equal(t, PhaseFinish, run.Phase)
	}
	for _, p := range all {
		require.True(t, used[p], "no strategy has %s", p)
	}
	for _, p := range []Phase{PhaseIssue, PhaseProve, PhaseCanary, PhaseDisable, "", "nonsense"} {
		require.Error(t, provider.stepOf(RollBack, p).do(nil), "a phase that the strategy does not have")
	}
	require.Error(t, provider.stepOf(Emergency, PhaseSoak).do(nil), "an emergency waits for no window")
}
