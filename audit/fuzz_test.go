// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
)

var update = flag.Bool("update", false, "write testdata/trail.jsonl and the corpora anew")

// What Check says of any input is a finding, never a panic, and what it accepts is canonical: each line that is one is read and
// written back as the same bytes. The corpora are made of a trail of the first version of the format.
func FuzzCheckReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := audit.CheckReader(bytes.NewReader(data), audit.Expect{})
		var broken *audit.BrokenError
		if err != nil && !errors.As(err, &broken) {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(data, []byte("\n"))
		if err != nil && (broken.Line < 0 || broken.Line > len(lines)) {
			t.Fatalf("line %d of %d", broken.Line, len(lines))
		}
		if r.Lines > int64(len(lines)) || r.Events > r.Lines {
			t.Fatal(r)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Fuzz(func(t *testing.T, body string) {
		line := rehash(body)
		again, err := audit.Parse([]byte(strings.TrimSuffix(line, "\n")))
		if err == nil && string(again) != line {
			t.Fatalf("%q was read as %q", line, again)
		}
	})
}

// The trail in testdata was written once. Every later version has to read it.
func TestTheFirstFormat(t *testing.T) {
	const name = "testdata/trail.jsonl"
	if *update {
		writeTestdata(t, name)
	}
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	r, err := audit.CheckReader(bytes.NewReader(data), audit.Expect{})
	require.NoError(t, err)
	require.Equal(t, []int64{12, 7, 3, 1}, []int64{r.Lines, r.Events, r.Checkpoints, r.Healed})
	require.EqualValues(t, 12, r.Head.Sequence)
}

func writeTestdata(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	key, _ := newKey(t)
	trail := open(t, audit.Config{Dir: dir, Key: key, Every: 3})
	deliver(t, trail, 1, 4)
	require.NoError(t, trail.Close())
	p := readPages(t, dir)
	p[p.last()] = append(p[p.last()], `{"v":1,"seq":`)
	p.write(t, dir)
	trail = open(t, audit.Config{Dir: dir, Key: key, Every: 3})
	deliver(t, trail, 5, 7)
	require.NoError(t, trail.Close())
	data := joined(readPages(t, dir))
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, data, 0o644))
	seed := func(fuzz, name, literal string) {
		folder := filepath.Join("testdata", "fuzz", fuzz)
		require.NoError(t, os.MkdirAll(folder, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte("go test fuzz v1\n"+literal+"\n"), 0o644))
	}
	seed("FuzzCheckReader", "trail", fmt.Sprintf("[]byte(%q)", data))
	seed("FuzzCheckReader", "cut", fmt.Sprintf("[]byte(%q)", data[:len(data)/2]))
	seed("FuzzCheckReader", "empty", `[]byte("")`)
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if body, _, ok := strings.Cut(line, `,"hash":"`); ok {
			seed("FuzzLine", fmt.Sprintf("line%02d", i+1), fmt.Sprintf("string(%q)", body))
		}
	}
}
