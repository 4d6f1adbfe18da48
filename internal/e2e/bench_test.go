// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
)

// BenchmarkDue asks for 100 due entries, of a thousand and of a million, and reports how many times longer the second takes.
// The inventory is all of the entries: its names in order, as Due recommends, and not.
func BenchmarkDue(b *testing.B) {
	few, fewNames := benchJournal(b, 1_000)
	many, manyNames := benchJournal(b, 1_000_000)
	reversed := func(names []string) []string {
		names = slices.Clone(names)
		slices.Reverse(names)
		return names
	}
	for name, names := range map[string][2][]string{
		"ordered":   {fewNames, manyNames},
		"unordered": {reversed(fewNames), reversed(manyNames)},
	} {
		b.Run(name, func(b *testing.B) {
			var fewTook, manyTook time.Duration
			for b.Loop() {
				fewTook += benchDue(b, few, names[0])
				manyTook += benchDue(b, many, names[1])
			}
			b.ReportMetric(float64(manyTook)/float64(fewTook), "ratio")
			b.ReportMetric(float64(fewTook.Microseconds())/float64(b.N), "µs/1000")
			b.ReportMetric(float64(manyTook.Microseconds())/float64(b.N), "µs/1000000")
		})
	}
}

func benchDue(b *testing.B, j *journal.SQL, names []string) time.Duration {
	began := time.Now()
	entries, err := j.Due(b.Context(), names, due, 200) // no more than 100 come
	took := time.Since(began)
	if err != nil || len(entries) != 100 {
		b.Fatalf("Due returned %d entries and %v", len(entries), err)
	}
	return took
}

// TestMain removes what the benchmark keeps for the process.
func TestMain(m *testing.M) {
	code := m.Run()
	if benchDir != "" {
		_ = os.RemoveAll(benchDir)
	}
	os.Exit(code)
}

var (
	benchMu    sync.Mutex // guards what follows
	benchDir   string
	benchFiles = make(map[int]sqliteFile)
)

// benchJournal returns a journal of n entries, 100 of which are due, and their names in order. The file is made once.
func benchJournal(b *testing.B, n int) (*journal.SQL, []string) {
	b.Helper()
	benchMu.Lock()
	defer benchMu.Unlock()
	p, made := benchFiles[n]
	if !made {
		if benchDir == "" {
			dir, err := os.MkdirTemp("", "journal")
			require.NoError(b, err)
			benchDir = dir
		}
		p = sqliteFile{filepath.Join(benchDir, fmt.Sprint(n)), documented}
		fill(b, p, n)
		benchFiles[n] = p
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("credential-%07d", i)
	}
	return p.journal(p.open(b)), names
}

// fill makes n entries in one transaction: every n/100th is due, at a time of its own, the others are not.
func fill(b *testing.B, p sqliteFile, n int) {
	db := p.open(b)
	migrated(b, p, db)
	tx, err := db.BeginTx(b.Context(), nil)
	require.NoError(b, err)
	_, err = tx.ExecContext(b.Context(), `
		WITH RECURSIVE number (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < ?1)
		INSERT INTO handover (credential, revision, due, saved_at, data)
		SELECT printf('credential-%07d', i), 1, CASE WHEN i % (?1 / 100) = 0 THEN ?2 - 1 - i ELSE ?2 + i END, ?2, randomblob(200)
		FROM number`, n, due.UnixNano())
	require.NoError(b, err)
	require.NoError(b, tx.Commit())
}
