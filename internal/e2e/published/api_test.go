// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package published

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/importer"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/apitext"
)

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Name string
	Export           string // the file of export data
	Module           *struct{ Path string }
	Deps             []string
}

// A difference here is a change of what users compile against, as in internal/repotest for the core. What they import must not
// bring package testing into their programs.
func TestExportedAPI(t *testing.T) {
	offered := map[string]bool{}
	args := []string{"list", "-deps", "-export", "-json=ImportPath,Name,Export,Module,Deps"}
	for _, m := range workspace(t) {
		if m.offered() && m.Path != core {
			offered[m.Path] = true
			args = append(args, m.Path+"/...")
		}
	}
	exports, own := map[string]string{}, []pkg(nil)
	out := goCommand(t, filepath.Join("..", "..", ".."), []string{"GOWORK=", "GOFLAGS="}, args...)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		exports[p.ImportPath] = p.Export
		if p.Module != nil && offered[p.Module.Path] && p.Name != "main" && !strings.Contains(p.ImportPath+"/", "/internal/") {
			own = append(own, p)
		}
	}
	require.NotEmpty(t, own)
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range own {
		name := strings.TrimPrefix(p.ImportPath, core+"/")
		assert.False(t, slices.Contains(p.Deps, "testing"), "%s links package testing", name)
		compiled, err := imp.Import(p.ImportPath)
		require.NoError(t, err)
		golden(t, filepath.Join("..", "..", "..", "api", strings.ReplaceAll(name, "/", "-")+".txt"), apitext.Of(name, compiled))
	}
}
