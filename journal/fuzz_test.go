// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
)

// table is a database with one row, that remembers the parameters of the last statement that changes something.
type table struct {
	row  []driver.Value
	read bool
	args []driver.NamedValue
}

func (t *table) Connect(context.Context) (driver.Conn, error) { return t, nil }
func (t *table) Driver() driver.Driver                        { return nil }
func (t *table) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (t *table) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (t *table) Close() error                                 { return nil }
func (t *table) Columns() []string {
	return []string{"credential", "revision", "due", "saved_at", "data"}
}

func (t *table) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	t.read = false
	return t, nil
}

func (t *table) Next(row []driver.Value) error {
	if t.read {
		return io.EOF
	}
	t.read = true
	copy(row, t.row)
	return nil
}

func (t *table) ExecContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Result, error) {
	t.args = args
	return driver.RowsAffected(1), nil
}

// FuzzRow: whatever a driver makes of a row, and whoever wrote it, it becomes the entry that it says or an error without any of
// its data. An entry that was read is written back as it was.
func FuzzRow(f *testing.F) {
	f.Fuzz(func(t *testing.T, revision, due, savedAt int64, data []byte, column int, text string, kind uint8) {
		db := &table{row: []driver.Value{"a", revision, due, savedAt, data}}
		column = max(column%5, -column%5)
		db.row[column] = []driver.Value{db.row[column], text, []byte(text), nil}[kind%4]

		j := journal.NewPostgres(sql.OpenDB(db), "journal")
		e, err := j.Load(t.Context(), "a")
		revision, ok := number(db.row[1])
		savedAt, saved := number(db.row[3])
		due, timed := number(db.row[2])
		if db.row[0] == nil || !ok || revision < 1 || !saved || db.row[2] != nil && !timed {
			require.Error(t, err, "%v", db.row)
			require.Zero(t, e)
			if len(data) > 8 && !strings.Contains(text, string(data)) {
				require.NotContains(t, err.Error(), string(data))
			}
			return
		}
		require.NoError(t, err, "%v", db.row)
		require.Equal(t, textOf(db.row[0]), e.Credential)
		require.Equal(t, revision, e.Revision)
		require.Equal(t, savedAt, e.SavedAt.UnixNano())
		require.Equal(t, textOf(db.row[4]), string(e.Data))
		require.Equal(t, timed, !e.Due.IsZero())
		require.Equal(t, time.UTC, e.SavedAt.Location())

		err = j.Save(t.Context(), e)
		if revision == math.MaxInt64 || column == 0 && err != nil {
			require.Error(t, err) // no number is left, or no such name
			return
		}
		require.NoError(t, err)
		if timed {
			require.Equal(t, due, e.Due.UnixNano())
			require.Equal(t, due, db.args[1].Value)
		} else {
			require.Nil(t, db.args[1].Value)
		}
		require.Equal(t, textOf(db.row[4]), string(db.args[2].Value.([]byte)))
		require.Equal(t, revision, db.args[3].Value)
	})
}

// number is what a column of numbers holds. Drivers may give it as text.
func number(v driver.Value) (int64, bool) {
	if n, ok := v.(int64); ok {
		return n, true
	}
	n, err := strconv.ParseInt(textOf(v), 10, 64)
	return n, err == nil
}

// textOf is what a column of text or bytes holds.
func textOf(v driver.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}
