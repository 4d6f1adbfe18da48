// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package heavy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that is pinned anew must be built anew, so its version here changes with the one there.
func TestVersions(t *testing.T) {
	required := map[string]string{
		"vault": "github.com/hashicorp/vault", "minio": "github.com/minio/minio",
		"gitea": "code.gitea.io/gitea", "kubernetes": "k8s.io/kubernetes",
	}
	for _, s := range Servers {
		mod, err := os.ReadFile(filepath.Join(s.Name, "go.mod"))
		require.NoError(t, err)
		line := regexp.MustCompile(`(?m)^\s*(require )?` + regexp.QuoteMeta(required[s.Name]) + ` v(\S+)$`).FindSubmatch(mod)
		require.NotNil(t, line, s.Name)
		version, _, _ := strings.Cut(s.Version, "-")
		assert.Contains(t, string(line[2]), version, s.Name)
	}
	_, err := Named("nothing")
	assert.ErrorContains(t, err, `"nothing"`)
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HANDOVER_SERVERS", dir)
	s, err := Named("vault")
	require.NoError(t, err)
	folder, err := s.Folder()
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "vault-"+s.Version), folder)
}
