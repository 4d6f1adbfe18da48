// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// Who brings one key says no to a set, and does nothing: not with the newest of it, and not where it is of one or of none.
func TestWhoBringsOneKeyRefusesASet(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	pid := filepath.Join(t.TempDir(), "pid")
	s := newStore(as(current, 2), as(previous, 1))
	ran := func(context.Context) (time.Time, time.Time, error) { asked++; return time.Now(), time.Now(), nil }
	for name, c := range map[string]rotation.Consumer{
		"Handle":  consumer.Static(hook(2)),
		"Polling": consumer.Polling{Every: time.Minute},
		"NextRun": consumer.NextRun{Store: s, Credential: credential, LastRun: ran, Longest: time.Hour},
		"Reload":  consumer.Reload{URL: server.URL},
		"Command": consumer.Command{Args: []string{"/nothing/runs"}, Stdin: true},
		"EnvFile": consumer.EnvFile{Path: pid, Variable: "SECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			sets := [][]int{{2, 1}, {2}, {}}
			switch name {
			case "EnvFile": // can write one
				sets = [][]int{{2, 1}, {}}
			case "Handle":
				sets = [][]int{{2, 1}, {2}}
			}
			for _, set := range sets {
				for _, role := range []rotation.Role{current, pending} {
					req := accept(set...)
					req.Role = role
					err := c.Deploy(t.Context(), req)
					require.ErrorIs(t, err, errors.ErrUnsupported, "%v", set)
					var public rotation.PublicError
					require.ErrorAs(t, err, &public)
					require.NotContains(t, err.Error(), "hush")
				}
			}
			require.Zero(t, asked)
			require.Zero(t, s.count())
			require.NoFileExists(t, pid)
		})
	}
}

func TestManualTellsOfTheWholeSet(t *testing.T) {
	for instructions, want := range map[string]map[int]string{
		"Set {credential} to {generation}.": {
			0: "Set payments to 0. It has to accept nothing, and nothing else.",
			1: "Set payments to 2. It has to accept hook-12345 (generation 2), and nothing else.",
			2: "Set payments to 2. It has to accept hook-12345 (generation 2), hook-12345 (generation 1), and nothing else.",
		},
		"Accept {accept} at {credential}.": {
			0: "Accept nothing at payments.",
			2: "Accept hook-12345 (generation 2), hook-12345 (generation 1) at payments.",
		},
	} {
		for n, text := range want {
			req := accept([]int{2, 1}[:n]...)
			err := consumer.Manual{Instructions: instructions}.Deploy(t.Context(), req)
			require.ErrorIs(t, err, rotation.ErrManual)
			require.EqualError(t, err, text)
		}
	}
	err := consumer.Manual{Instructions: "Use {id}."}.Deploy(t.Context(), deploy(current, 1))
	require.EqualError(t, err, "Use id-b.")
}

func TestEnvFileWritesTheOlderSecretBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(path, []byte("# mine\nOLD=x\nMODE=fast\n"), 0o600))
	e := consumer.EnvFile{Path: path, Variable: "NEW", Older: "OLD"}
	require.NoError(t, e.Check(t.Context()))
	require.Equal(t, "NEW and OLD in "+path, e.Identity())
	for _, step := range []struct {
		set  []int
		want string
	}{
		{[]int{1}, "# mine\nOLD=\nMODE=fast\nNEW=\"hush, a webhook's secret number 1\"\n"},
		{[]int{2, 1}, "# mine\nOLD=\"hush, a webhook's secret number 1\"\nMODE=fast\nNEW=\"hush, a webhook's secret number 2\"\n"},
		{[]int{2, 1}, "# mine\nOLD=\"hush, a webhook's secret number 1\"\nMODE=fast\nNEW=\"hush, a webhook's secret number 2\"\n"},
		{[]int{2}, "# mine\nOLD=\nMODE=fast\nNEW=\"hush, a webhook's secret number 2\"\n"},
		{[]int{3, 2, 1}, ""},
		{[]int{}, ""},
		{[]int{1}, "# mine\nOLD=\nMODE=fast\nNEW=\"hush, a webhook's secret number 1\"\n"},
	} {
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		err = e.Deploy(t.Context(), accept(step.set...))
		text, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		if step.want == "" {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.NotContains(t, err.Error(), "hush")
			require.Equal(t, string(before), string(text))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, step.want, string(text))
	}
	require.ErrorIs(t, e.Deploy(t.Context(), deploy(current, 1)), errors.ErrUnsupported, "with Older it is for sets")

	one := consumer.EnvFile{Path: path, Variable: "NEW"}
	require.NoError(t, one.Deploy(t.Context(), accept(4)), "one is a set that it can write")
	require.ErrorIs(t, one.Deploy(t.Context(), accept(5, 4)), errors.ErrUnsupported)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "number 4")
	require.ErrorContains(t, consumer.EnvFile{Path: path, Variable: "NEW", Older: "NEW"}.Validate(), "EnvFile.Older")
	require.ErrorContains(t, consumer.EnvFile{Path: path, Variable: "NEW", Older: "O-L-D"}.Validate(), "EnvFile.Older")
}
