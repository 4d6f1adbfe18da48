// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireServers turns the skip for what is not installed into a failure.
const requireServers = "HANDOVER_REQUIRE_SERVERS"

// install returns a folder with the packages, or skips the test with one line. It is outside of the repository and kept for the
// next time.
func install(t *testing.T) string {
	t.Helper()
	dir, err := installed(t.Context())
	if err != nil {
		if os.Getenv(requireServers) == "1" {
			t.Fatalf("%s=1: %v", requireServers, err)
		}
		t.Skipf("skipped: %v", err)
	}
	return dir
}

// leastNode is what the packages ask for.
const leastNode = 20

func present(ctx context.Context) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not in PATH", program)
		}
	}
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return fmt.Errorf("node --version: %w", err)
	}
	var major int
	if _, err := fmt.Sscanf(string(out), "v%d.", &major); err != nil || major < leastNode {
		return fmt.Errorf("node says it is %q, and %d is the least", bytes.TrimSpace(out), leastNode)
	}
	return nil
}

// installed gives each lock file a folder of its own.
func installed(ctx context.Context) (string, error) {
	if err := present(ctx); err != nil {
		return "", err
	}
	names := []string{"package.json", "package-lock.json"}
	files := map[string][]byte{}
	sum := sha256.New()
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		files[name] = data
		sum.Write(data)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "handover-e2e")
	dir := filepath.Join(cache, "node-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	// Whoever sees the folder sees all of it.
	making, err := os.MkdirTemp(cache, "making")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(making, name), data, 0o600); err != nil {
			return "", err
		}
	}
	if err := npmCI(ctx, making); err != nil {
		return "", err
	}
	if err := os.Rename(making, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr != nil { // else another process was faster
			return "", err
		}
	}
	return dir, nil
}

func npmCI(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Errorf("npm ci: %w: %s", err, lines[len(lines)-1])
	}
	return nil
}

// job is something for Node to do: to verify if there are headers, else to sign.
type job struct {
	Package string            `json:"package"`
	Secrets []string          `json:"secrets"`
	ID      string            `json:"id"`
	At      int64             `json:"at"`
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers,omitempty"`
}

// runNode does all jobs in one process of Node, and returns their results in order.
func runNode[T any](t *testing.T, jobs []job) []T {
	t.Helper()
	dir := install(t)
	script, err := os.ReadFile("agree.mjs")
	require.NoError(t, err)
	input, err := json.Marshal(jobs)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", string(script))
	cmd.Dir = dir // where the script finds its packages
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoErrorf(t, err, "%s", stderr.Bytes())
	var results []T
	require.NoError(t, json.Unmarshal(out, &results))
	require.Len(t, results, len(jobs))
	return results
}
