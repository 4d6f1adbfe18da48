// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

var update = flag.Bool("update", false, "write what was seen into docs/troubleshooting.md")

// rows are those of the page, in its order. The test of each is named after it.
var rows = []string{
	"ConsumerNotUpdated", "KeyCached", "PartialRollout", "NewKeyRejected", "OldKeyInUse", "StoreDenied", "EnvironmentMismatch",
	"SenderOnOldSecret", "VerificationTimeout", "MonitoringOnOldKey", "IssuerRateLimited", "JobHoldsOldKey", "RevocationNotEffective",
	"FormatChanged",
}

// line of the table: a comment names the row, and the two columns in the middle are what a test saw.
var line = regexp.MustCompile(`^\| <!-- (\w+) -->(.*?) \| (.*?) \| (.*?) \| (.*) \|$`)

func page(t *testing.T) (path string, lines []string) {
	t.Helper()
	path = filepath.Join("..", "..", "docs", "troubleshooting.md")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !*update {
		t.Skip("not in a checkout of the repository")
	}
	require.NoError(t, err)
	return path, strings.Split(string(data), "\n")
}

// shows compares the row of the running test with what it saw, one problem after the other; -update writes it.
func shows(t *testing.T, problems ...*rotation.Error) {
	t.Helper()
	var diagnoses, says []string
	for _, e := range problems {
		if d := code(string(e.Diagnosis)); len(diagnoses) == 0 || diagnoses[len(diagnoses)-1] != d {
			diagnoses = append(diagnoses, d)
		}
		require.NotEmpty(t, e.Action, "%s: it does not say what to do", e)
		says = append(says, code(e.Error())+"<br>do: "+code(e.Action))
	}
	want := [2]string{strings.Join(diagnoses, ", then "), strings.Join(says, "<br>then:<br>")}

	row := strings.TrimPrefix(t.Name(), "Test")
	path, lines := page(t)
	found := false
	for i, l := range lines {
		m := line.FindStringSubmatch(l)
		if m == nil || m[1] != row {
			continue
		}
		found = true
		if *update {
			lines[i] = fmt.Sprintf("| <!-- %s -->%s | %s | %s | %s |", m[1], m[2], want[0], want[1], m[5])
			require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
			continue
		}
		require.Equal(t, want, [2]string{m[3], m[4]}, "the page says something else; go test ./internal/troubleshooting -update writes what was seen")
	}
	require.True(t, found, "the page has no row %s", row)
}

// code is a text as the page quotes it.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

func TestPageHasEveryRow(t *testing.T) {
	_, lines := page(t)
	var found []string
	for _, l := range lines {
		if m := line.FindStringSubmatch(l); m != nil {
			found = append(found, m[1])
			require.NotEmpty(t, strings.TrimSpace(m[2]), "%s: what is seen", m[1])
			require.NotEmpty(t, strings.TrimSpace(m[5]), "%s: what to do", m[1])
		}
	}
	require.Equal(t, rows, found)
}
