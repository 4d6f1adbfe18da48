// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package published

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	core    = "github.com/handover-go/handover"
	version = "v0.1.0" // of every module here
)

// sdks are what is beneath the adapters, by the beginning of the paths, and who may bring each into a program. What an adapter
// requires itself is named here; what that requires is in the golden files.
var sdks = map[string][]string{
	"code.gitea.io/":               {"issuer/gitea"},
	"github.com/aws/":              {"issuer/awsiam", "store/awssecrets"},
	"github.com/go-asn1-ber/":      {"issuer/ldap"},
	"github.com/go-ldap/":          {"issuer/ldap"},
	"github.com/go-sql-driver/":    {"issuer/mysqlusers"},
	"github.com/hashicorp/vault/":  {"issuer/vaultdb", "store/vaultkv"},
	"github.com/jackc/":            {"issuer/pgusers"},
	"github.com/minio/":            {"issuer/minio"},
	"github.com/prometheus/":       {"metrics/prometheus"},
	"github.com/redis/":            {"issuer/redisacl", "webhook/redisreplay"},
	"github.com/secure-io/":        {"issuer/minio"},
	"github.com/stretchr/testify/": {}, // tests are nobody's program
	"go.opentelemetry.io/":         {"metrics/otel"},
	"k8s.io/":                      {"consumer/k8s", "store/k8ssecret"},
	core + "/internal/":            {},
}

// A program that imports an adapter links its SDK and nobody else's, and the core links no SDK at all.
func TestModules(t *testing.T) {
	modules := workspace(t)
	published := newProxy(t, modules)
	for _, m := range modules {
		if !m.offered() {
			continue
		}
		t.Run(m.name(), func(t *testing.T) {
			linked, others := published.program(t, m)
			text := fmt.Sprintf("# A program that imports %s links\n%s\n\n# and has in its module graph beside them\n%s\n",
				imported(m), strings.Join(linked, "\n"), strings.Join(others, "\n"))
			golden(t, filepath.Join("testdata", strings.ReplaceAll(m.name(), "/", "-")+".txt"), text)
			for _, path := range m.requires() {
				if m.Path == core {
					break // internal/repotest has what the core may require
				}
				assert.NotEmpty(t, beginnings(path), "add %s to sdks", path)
			}
			for _, line := range linked {
				for _, sdk := range beginnings(line) {
					assert.Contains(t, sdks[sdk], m.name(), "it brings %s", line)
				}
			}
		})
	}
}

// module is a module of the workspace.
type module struct {
	Path, Dir string
	mod       *modfile.File
}

// name is its folder, or "core".
func (m module) name() string {
	if m.Path == core {
		return "core"
	}
	return strings.TrimPrefix(m.Path, core+"/")
}

// offered reports whether the module is there for users. The others are for the repository's own tests and examples.
func (m module) offered() bool {
	return !strings.HasPrefix(m.name(), "internal/") && m.name() != "examples"
}

// requires are the modules of others that m itself asks for. Those of the Go project are everybody's.
func (m module) requires() []string {
	var out []string
	for _, r := range m.mod.Require {
		if !r.Indirect && !strings.HasPrefix(r.Mod.Path, core) && !strings.HasPrefix(r.Mod.Path, "golang.org/x/") {
			out = append(out, r.Mod.Path)
		}
	}
	return out
}

// beginnings are those of sdks that a module is of.
func beginnings(path string) []string {
	path, _, _ = strings.Cut(path, " ")
	return slices.DeleteFunc(slices.Sorted(maps.Keys(sdks)), func(sdk string) bool { return !strings.HasPrefix(path+"/", sdk) })
}

// workspace returns the modules that go.work names, sorted by path.
func workspace(t *testing.T) []module {
	t.Helper()
	root := filepath.Join("..", "..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.work")); errors.Is(err, os.ErrNotExist) {
		t.Skip("not in a checkout of the repository")
	}
	var modules []module
	out := goCommand(t, root, []string{"GOWORK=", "GOFLAGS="}, "list", "-m", "-json")
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m module
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		name := filepath.Join(m.Dir, "go.mod")
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		m.mod, err = modfile.Parse(name, text, nil)
		require.NoError(t, err)
		modules = append(modules, m)
	}
	require.NotEmpty(t, modules)
	return modules
}

func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "-update writes it")
	assert.Equal(t, string(want), text, "%s: see why, then -update", path)
}

func goCommand(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoErrorf(t, err, "go %s\n%s", strings.Join(args, " "), stderr.Bytes())
	return out
}
