// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutant is a fault of the engine.
type mutant struct {
	name  string
	rule  string // what the protocol asks for, and what this does instead
	where string // it shows: as -sim.in takes it; empty: anywhere, without a fault
	edits []edit
}

// edit replaces a text that occurs once in a file of package rotation.
type edit struct {
	file     string
	old, new string
}

func all() []mutant {
	return slices.Concat(writing(), adoption(), takeover(), issuing(), emergencies(), records(), evidence(), calls(), webhooks(), policies())
}

// selection is the flag: which mutants are hunted, none without it.
type selection struct{ names *regexp.Regexp }

func (s *selection) IsBoolFlag() bool { return true }

func (s *selection) String() string {
	if s.names == nil {
		return ""
	}
	return s.names.String()
}

func (s *selection) Set(v string) (err error) {
	if v == "true" {
		v = "" // without a value: all
	}
	s.names, err = regexp.Compile(v)
	return err
}

var wanted selection

func init() {
	flag.Var(&wanted, "sim.mutants", "hunt the mutants; with a value those whose name it matches")
}

// Every mutant fits the engine as it is now: whoever changes a rule comes by here.
func TestMutantsFit(t *testing.T) {
	names := map[string]bool{}
	for _, m := range all() {
		assert.False(t, names[m.name], "two mutants are called %q", m.name)
		names[m.name] = true
		assert.NotEmpty(t, m.rule, m.name)
		_, err := m.files()
		assert.NoError(t, err)
	}
	assert.GreaterOrEqual(t, len(names), 30)
}

// TestMutants builds the simulation with each mutant and lets it hunt where the mutant shows. The engine as it is goes to the
// same places first: it has to come home with nothing, or the others prove nothing.
func TestMutants(t *testing.T) {
	if wanted.names == nil {
		t.Skip("hunting all mutants takes minutes: give -sim.mutants")
	}
	var selected []mutant
	for _, m := range all() {
		if wanted.names.MatchString(m.name) {
			selected = append(selected, m)
		}
	}
	var mu sync.Mutex
	kills := map[string]kill{}
	began := time.Now()
	t.Run("hunt", func(t *testing.T) {
		for _, m := range selected {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				k := run(t, m.build(t), "-test.run=^TestHunt$", "-sim.hunt", "-sim.in="+m.place())
				t.Logf("%s, after %v", cmp.Or(k.by, "nothing found"), k.took.Round(time.Second)) // the way it goes
				assert.NotEmpty(t, k.by, "it survives: %s\n%s", m.rule, k.output)
				mu.Lock()
				defer mu.Unlock()
				kills[m.name] = k
			})
		}
	})
	none(t, selected, kills)
	var table strings.Builder
	for _, m := range selected {
		if k, ok := kills[m.name]; ok {
			fmt.Fprintf(&table, "%-60s %5.1f s  %s\n", m.name, k.took.Seconds(), cmp.Or(k.by, "SURVIVES"))
		}
	}
	t.Logf("%d mutants in %v\n%s", len(kills), time.Since(began).Round(time.Second), table.String())
}

// none sends the engine as it is where the mutants were: the beginning of each hunt, and every run that killed one.
func none(t *testing.T, selected []mutant, kills map[string]kill) {
	bin := mutant{}.build(t)
	clean := func(t *testing.T, args ...string) {
		t.Parallel()
		k := run(t, bin, args...)
		assert.Empty(t, k.by, "the engine as it is breaks a law here: what is found here means nothing\n%s", k.output)
	}
	t.Run("none", func(t *testing.T) {
		places := map[string]bool{}
		for _, m := range selected {
			if place := m.place(); !places[place] {
				places[place] = true
				t.Run(place, func(t *testing.T) {
					clean(t, "-test.run=^TestHunt$", "-sim.hunt", "-sim.in="+place, "-sim.most="+beginning)
				})
			}
			if at := kills[m.name].at; at != nil {
				t.Run(m.name, func(t *testing.T) {
					clean(t, "-test.run=^TestReplay$", "-sim.setting="+at[1], "-sim.script="+at[2], "-sim.replay="+at[3])
				})
			}
		}
	})
}

// beginning is how much of each hunt the engine as it is has to stand.
const beginning = "50"

// kill is how a hunt ended.
type kill struct {
	by     string   // the check; empty: nothing was found
	at     []string // setting, script and schedule, if there was one
	took   time.Duration
	output string
}

// How long a hunt may take, and then what it takes to build one.
const (
	huntLimit  = 10 * time.Minute
	buildLimit = 5 * time.Minute
)

// run lets a simulation do something.
func run(t *testing.T, bin string, args ...string) kill {
	ctx, cancel := context.WithTimeout(t.Context(), huntLimit+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(args, "-test.v", "-test.timeout="+huntLimit.String())...)
	cmd.Dir = simulation(t)
	// Each hunt has a processor: so many of them run at the same time.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	began := time.Now()
	output, err := cmd.CombinedOutput()
	k := kill{took: time.Since(began), output: lastOf(output)}
	k.by, err = verdict(output, err)
	require.NoError(t, err, "the hunt said nothing\n%s", k.output)
	if at := schedule.FindStringSubmatch(k.by); at != nil {
		k.at = at
	}
	return k
}

func simulation(t *testing.T) string {
	folder, err := filepath.Abs("..")
	require.NoError(t, err)
	return folder
}

// build makes the simulation's test binary with the mutant in it.
func (m mutant) build(t *testing.T) string {
	dir := t.TempDir()
	files, err := m.files()
	require.NoError(t, err)
	replace := map[string]string{}
	for path, text := range files {
		changed := filepath.Join(dir, filepath.Base(path))
		require.NoError(t, os.WriteFile(changed, []byte(text), 0o600))
		replace[path] = changed
	}
	overlay := filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, data, 0o600))
	bin := filepath.Join(dir, "hunt")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-p=1", "-ldflags=-s -w", "-overlay="+overlay, "-o", bin, ".")
	cmd.Dir = simulation(t)
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "the mutant does not compile\n%s", output)
	return bin
}

// place is where it is hunted.
func (m mutant) place() string { return cmp.Or(m.where, ".*") }

// files are the changed files of the engine, by their path.
func (m mutant) files() (map[string]string, error) {
	engine, err := filepath.Abs("../../../rotation")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(engine, e.file)
		text, ok := files[path]
		if !ok {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = strings.ReplaceAll(string(data), "\r\n", "\n")
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s: the engine has changed: its text occurs %d times in %s, not once: make the mutant anew\n%s", m.name, n, e.file, e.old)
		}
		files[path] = strings.Replace(text, e.old, e.new, 1)
	}
	for path, text := range files {
		if _, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return files, nil
}

var (
	killedBy = regexp.MustCompile(`(?m)killed by: (.*)$`)
	schedule = regexp.MustCompile(`\(([^/()]*)/([^/()]*): ([^()]+)\)$`)
	violated = regexp.MustCompile(`(?m)^    \S+_test.go:\d+: (law .*)$`)
	stopped  = regexp.MustCompile(`(?m)^panic: test timed out`)
	crashed  = regexp.MustCompile(`(?m)^(?:panic|fatal error): (.*)$`)
)

// verdict reads which check a hunt ended with.
func verdict(output []byte, err error) (by string, _ error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case killedBy.Match(output):
		return string(killedBy.FindSubmatch(output)[1]), nil
	case violated.Match(output): // a replay
		return string(violated.FindSubmatch(output)[1]), nil
	case stopped.Match(output):
		return "no end", nil
	case crashed.Match(output):
		return "panic: " + string(crashed.FindSubmatch(output)[1]), nil
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		return "no end", nil // it did not even stop by itself
	}
	return "", err
}

// lastOf is as much of an output as a person reads.
func lastOf(output []byte) string {
	const most = 6000
	output = bytes.TrimSpace(output)
	return string(output[max(0, len(output)-most):])
}

// A hunt's end is read right.
func TestVerdict(t *testing.T) {
	failed := errors.New("exit status 1")
	for output, want := range map[string]string{
		"    hunt_test.go:9: killed by: law 4: revoke of k2\n    a schedule": "law 4: revoke of k2",
		"panic: test timed out after 5m0s\n":                                 "no end",
		"panic: boom [recovered]\n\ngoroutine":                               "panic: boom [recovered]",
		"fatal error: all goroutines are asleep - deadlock!":                 "panic: all goroutines are asleep - deadlock!",
	} {
		by, err := verdict([]byte(output), failed)
		require.NoError(t, err)
		assert.Equal(t, want, by)
	}
	by, err := verdict([]byte("PASS"), nil)
	require.NoError(t, err)
	assert.Empty(t, by)
	_, err = verdict([]byte("flag provided but not defined: -sim.hunt"), failed)
	assert.Error(t, err, "a hunt that did not take place kills nothing")
}
