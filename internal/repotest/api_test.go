// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"flag"
	"go/importer"
	"go/token"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/apitext"
)

var update = flag.Bool("update", false, "write the goldens in the folder api anew")

// A difference here is a change of what users compile against. If it is meant, run the test with -update and say it in
// the changelog. The modules beside the core have theirs compared in internal/e2e/published, with a newer Go and their SDKs.
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
		got := apitext.Of(p.rel(), compiled)
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
			assert.Emptyf(t, apitext.Difference(string(want), got), "package %s exports other things; if that is meant, use -update", p.rel())
		}
	}
	modules := offered(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	for _, file := range files {
		if goldens[file] || slices.ContainsFunc(modules, func(module string) bool { return isOf(file, module) }) {
			continue
		}
		if *update {
			require.NoError(t, os.Remove(file))
		} else {
			assert.Failf(t, "a golden of no package", "api/%s; -update removes it", filepath.Base(file))
		}
	}
}

// isOf reports whether a golden is of a package of a module that is not the core; internal/e2e/published compares it.
func isOf(golden, module string) bool {
	name, dashed := strings.TrimSuffix(filepath.Base(golden), ".txt"), strings.ReplaceAll(module, "/", "-")
	return name == dashed || strings.HasPrefix(name, dashed+"-")
}

// offered are the folders of the modules beside the core that are there for users.
func offered(t *testing.T) []string {
	t.Helper()
	var out []string
	for name := range textFiles(t, "go.mod") {
		if dir := path.Dir(name); dir != "." && dir != "examples" && !strings.HasPrefix(dir, "internal/") {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}
