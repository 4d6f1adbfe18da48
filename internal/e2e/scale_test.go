// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// BenchmarkScale is what a credential costs in a journal of a thousand, a hundred thousand and a million entries. A large journal takes
// turns with the one of a thousand, and "ratio" is how many times as much it took.
func BenchmarkScale(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run("journal="+kind, func(b *testing.B) {
			s := newScale(b, kind)
			for _, n := range []int{smallest, 100_000, 1_000_000} {
				b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
					b.Run("op=Due", func(b *testing.B) { s.compare(b, n, (*filled).due, dueAtOnce) })
					b.Run("op=Advance", func(b *testing.B) { s.compare(b, n, (*filled).advance, 1) })
				})
			}
		})
	}
}

const (
	smallest  = 1000
	dueAtOnce = 100 // entries that are due, in each journal
	askFor    = 32  // that a Rotator asks for at a time: four times Config.Parallel, which is 8
)

// scale has the journals of one kind.
type scale struct {
	b       *testing.B // of the kind: the journals live as long
	newOne  func(testing.TB) place
	records []string // two, as real rotations left them, of the credential "template"
	filled  map[int]*filled
}

func newScale(b *testing.B, kind string) *scale {
	s := &scale{b: b, newOne: newSQLiteFile, filled: map[int]*filled{}}
	if kind == "postgres" {
		s.newOne = newSchema(b, "")
	}
	s.records = []string{record(b, rotation.Policy{Overlap: -1, Quiet: -1}), record(b, rotation.Policy{})}
	return s
}

// compare runs op on the journal of n entries, and on the smallest one in turns.
func (s *scale) compare(b *testing.B, n int, op func(*filled, *testing.B) time.Duration, credentials int) {
	small, large := s.of(smallest), s.of(n)
	op(small, b)
	op(large, b)
	var smallTook, largeTook []time.Duration
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			smallTook = append(smallTook, op(small, b))
		}
		largeTook = append(largeTook, op(large, b))
		if i%2 == 1 {
			smallTook = append(smallTook, op(small, b))
		}
	}
	b.ReportMetric(0, "ns/op")                     // it would count both, and what makes them ready
	middle := func(took []time.Duration) float64 { // a disk that pauses is not what is compared
		slices.Sort(took)
		return float64(took[len(took)/2])
	}
	b.ReportMetric(middle(largeTook)/float64(credentials), "ns/credential")
	b.ReportMetric(middle(largeTook)/middle(smallTook), "ratio")
}

func (s *scale) of(n int) *filled {
	if s.filled[n] == nil {
		s.filled[n] = fillScale(s.b, s.newOne(s.b), n, s.records)
	}
	return s.filled[n]
}

// record is a journal's record of a credential after three rotations, and what the policy leaves open of a fourth one.
func record(b *testing.B, p rotation.Policy) string {
	records := journal.NewMemory()
	c := newScaleCredential(b, "template", 3)
	for range 3 {
		_, err := c.rotator(b, records, rotation.Policy{Overlap: -1, Quiet: -1}).Rotate(b.Context(), c.Name, rotation.Trigger{Reason: "scheduled"})
		require.NoError(b, err)
	}
	st, err := c.rotator(b, records, p).Rotate(b.Context(), c.Name, rotation.Trigger{Reason: "scheduled"})
	require.NoError(b, err)
	require.Equal(b, p.Overlap == 0, st.Open != nil)
	e, err := records.Load(b.Context(), c.Name)
	require.NoError(b, err)
	return string(e.Data)
}

// scaleCredential is a credential with parts in memory that answer at once, and a key that is too old.
type scaleCredential struct {
	rotation.Credential
	secrets *store.Memory
}

func newScaleCredential(b *testing.B, name string, consumers int) scaleCredential {
	provider := rotationtest.NewProvider()
	c := scaleCredential{rotation.Credential{Name: name, Type: rotation.APIKey, Issuer: provider}, store.NewMemory()}
	key := provider.Mint()
	key.IssuedAt = time.Now().Add(-100 * 24 * time.Hour)
	require.NoError(b, store.Seed(b.Context(), c.secrets, name, key))
	for i := range consumers {
		c.Consumers = append(c.Consumers, rotation.Binding{Name: fmt.Sprint("consumer-", i), Consumer: rotationtest.NewConsumer(provider)})
	}
	return c
}

func (c scaleCredential) rotator(b *testing.B, j rotation.Journal, p rotation.Policy) *rotation.Rotator {
	r, err := rotation.New(rotation.Config{
		Journal: j, Store: c.secrets, Credentials: []rotation.Credential{c.Credential}, Policy: p, ClockSkew: -1,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(b, err)
	return r
}

// filled is a journal with entries, and their names in order.
type filled struct {
	db    *sql.DB
	j     *journal.SQL
	names []string
	reset string // statement that makes as many due as there were
	made  int    // credentials that advance has rotated
}

// fillScale makes n entries, in the table that Migrate made and by the database itself: through Save a million would take an hour. One in
// ten has an open rotation; every n/100th is due, in an order that is not that of the names.
func fillScale(b *testing.B, p place, n int, records []string) *filled {
	began := time.Now()
	file, inFile := p.(sqliteFile)
	if inFile { // what a crash would leave of the filling does not matter
		p = sqliteFile{file.path, "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-200000)"}
	}
	db := p.open(b)
	migrated(b, p, db)
	f := &filled{names: make([]string, n)}
	for i := range f.names {
		f.names[i] = fmt.Sprintf("credential-%07d", i)
	}
	step, now := n/dueAtOnce, time.Now().UnixNano()
	const series = `WITH RECURSIVE number (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < %d) `
	insert := series + `INSERT INTO handover (credential, revision, due, saved_at, data)
		SELECT printf('credential-%%07d', i), 40, %d + (i * 7919 %% %d) * 1000000, %d,
		CAST(replace(CASE WHEN i %% 10 = 3 THEN ?2 ELSE ?1 END, 'template', printf('credential-%%07d', i)) AS BLOB) FROM number`
	f.reset = `UPDATE handover SET due = %d - revision * 1000000 WHERE credential IN (` + series + `SELECT printf('credential-%%07d', i * %d) FROM number)`
	if !inFile {
		insert = `WITH number (i) AS (SELECT generate_series(0, %d - 1)) INSERT INTO handover (credential, revision, due, saved_at, data)
			SELECT 'credential-' || to_char(i, 'FM0000000'), 40, %d + (i::bigint * 7919 %% %d) * 1000000, %d,
			convert_to(replace(CASE WHEN i %% 10 = 3 THEN $2::text ELSE $1::text END, 'template', 'credential-' || to_char(i, 'FM0000000')), 'UTF8') FROM number`
		f.reset = `UPDATE handover SET due = %d - revision * 1000000 WHERE credential IN (SELECT 'credential-' || to_char(i * %[3]d, 'FM0000000') FROM generate_series(0, %[2]d - 1) AS i)`
	}
	later := now + int64(24*time.Hour)
	_, err := db.ExecContext(b.Context(), fmt.Sprintf(insert, n, later, n, now), records[0], records[1])
	require.NoError(b, err)
	f.reset = fmt.Sprintf(f.reset, now, dueAtOnce, step)
	if inFile {
		require.NoError(b, db.Close())
		db = file.open(b)
	} else {
		execute(b, db, "ANALYZE handover", "CHECKPOINT") // what autovacuum does in time
	}
	f.db, f.j = db, p.journal(db)
	b.Logf("%d entries of %d bytes (one in ten: %d) took %v", n, len(records[0]), len(records[1]), time.Since(began).Round(time.Millisecond))
	return f
}

// due asks for what is due as a Sweep does: so many at a time, until there are no more, all of the names being registered. What it was
// given is due no longer when it asks again: that is not measured.
func (f *filled) due(b *testing.B) (took time.Duration) {
	execute(b, f.db, f.reset)
	found := 0
	for {
		began := time.Now()
		entries, err := f.j.Due(b.Context(), f.names, began, askFor)
		took += time.Since(began)
		require.NoError(b, err)
		if len(entries) == 0 {
			require.Equal(b, dueAtOnce, found)
			return took
		}
		found += len(entries)
		for _, e := range entries {
			e.Due = began.Add(24 * time.Hour)
			require.NoError(b, f.j.Save(b.Context(), e))
		}
	}
}

// advance is one Advance that does a whole rotation, of a credential whose name lies between those of the journal.
func (f *filled) advance(b *testing.B) time.Duration {
	f.made++
	name := fmt.Sprintf("%s-%06d", f.names[f.made*7919%len(f.names)], f.made)
	c := newScaleCredential(b, name, 1)
	r := c.rotator(b, f.j, rotation.Policy{Overlap: -1, Quiet: -1})
	began := time.Now()
	st, err := r.Advance(context.Background(), name)
	took := time.Since(began)
	require.NoError(b, err)
	require.Nil(b, st.Open)
	require.NotNil(b, st.Last)
	require.Equal(b, rotation.Rotated, st.Last.Outcome)
	return took
}
