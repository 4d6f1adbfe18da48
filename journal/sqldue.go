// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

const (
	pageSize  = 1000 // entries of the index that are read at once
	chunkSize = 512  // names in one statement; SQLite took at most 999 parameters before version 3.32
)

// Templates of the statements of Due. The plus sign keeps the index on due out of the plans that have names to go by: what
// else is due is no measure for them.
const (
	duePage = `SELECT credential, due FROM {table} WHERE due < ?1 AND (due, credential) > (?2, ?3)
		ORDER BY due, credential LIMIT ?4`
	dueNamed   = `SELECT credential, due FROM {table} WHERE +due < ?1 AND credential IN ({names})`
	dueEntries = selectEntry + `+due < ?1 AND credential IN ({names})`
)

// Due returns the entries of names that are due before t, soonest first, at most limit of them. Two Saves at the same time
// may each be seen or not.
//
// It reads an index of what is due, and of the table only what it returns. The cost follows limit, plus the entries of
// others that are due sooner, but at most it is that of looking up each of names. Give names in order, as slices.Sort does:
// otherwise each call goes through all of them.
func (j *SQL) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	if err := errors.Join(j.setup(), ctx.Err()); err != nil || limit < 1 || len(names) == 0 {
		return nil, wrapDue(err)
	}
	entries, err := j.due(ctx, names, nanos(t), limit)
	if err != nil {
		return nil, wrapDue(j.explain(ctx, err))
	}
	return entries, nil
}

func (j *SQL) due(ctx context.Context, names []string, before int64, limit int) ([]rotation.Entry, error) {
	found, complete, err := j.dueByIndex(ctx, names, before, limit)
	if err == nil && !complete {
		found, err = j.dueByName(ctx, names, before, limit)
	}
	if err != nil {
		return nil, err
	}
	var due []rotation.Entry
	for chunk := range slices.Chunk(found, chunkSize) {
		entries, err := query(ctx, j.db, scanEntry, j.named(dueEntries, len(chunk)), namedArgs(before, chunk)...)
		if err != nil {
			return nil, err
		}
		due = append(due, entries...)
	}
	sortSoonest(due)
	return due, nil
}

// dueEntry is a line of the index.
type dueEntry struct {
	due        int64
	credential string
}

// dueByIndex walks the index from the soonest entry on and passes over what is not in names. Where names are few, or once it
// has seen more entries than there are names, it gives up (complete is false): asking by name is cheaper then.
func (j *SQL) dueByIndex(ctx context.Context, names []string, before int64, limit int) (found []string, complete bool, err error) {
	known := members{names: names}
	size := max(min(limit, pageSize), pageSize/10)
	last := dueEntry{due: math.MinInt64}
	for seen := chunkSize; seen < len(names); seen += size {
		page, err := query(ctx, j.db, scanDue, j.replace.Replace(duePage), before, last.due, last.credential, size)
		if err != nil {
			return nil, false, err
		}
		for _, e := range page {
			if known.has(e.credential) {
				found = append(found, e.credential)
			}
			if len(found) == limit {
				return found, true, nil
			}
		}
		if len(page) < size {
			return found, true, nil
		}
		last, size = page[len(page)-1], pageSize
	}
	return nil, false, nil
}

// dueByName asks for each of names.
func (j *SQL) dueByName(ctx context.Context, names []string, before int64, limit int) ([]string, error) {
	var due []dueEntry
	for chunk := range slices.Chunk(names, chunkSize) {
		chunk = slices.DeleteFunc(slices.Clone(chunk), func(name string) bool { return checkName(name) != nil })
		if len(chunk) == 0 {
			continue
		}
		some, err := query(ctx, j.db, scanDue, j.named(dueNamed, len(chunk)), namedArgs(before, chunk)...)
		if err != nil {
			return nil, err
		}
		due = append(due, some...)
	}
	slices.SortFunc(due, func(a, b dueEntry) int {
		return cmp.Or(cmp.Compare(a.due, b.due), strings.Compare(a.credential, b.credential))
	})
	due = slices.Compact(due) // names may hold a name twice
	var found []string
	for _, e := range due[:min(len(due), limit)] {
		found = append(found, e.credential)
	}
	return found, nil
}

// named makes a statement for n names: for the next power of two, in fact, so that there are few different statements for a
// driver to prepare and keep.
func (j *SQL) named(template string, n int) string {
	var list strings.Builder
	for i := range padded(n) {
		list.WriteString(",?" + strconv.Itoa(i+2))
	}
	return j.replace.Replace(strings.Replace(template, "{names}", list.String()[1:], 1))
}

// namedArgs are the parameters for named; the last name fills the list up.
func namedArgs(before int64, names []string) []any {
	args := []any{before}
	for i := range padded(len(names)) {
		args = append(args, names[min(i, len(names)-1)])
	}
	return args
}

func padded(n int) int { return 1 << bits.Len(uint(n-1)) }

func scanDue(rows *sql.Rows) (dueEntry, error) {
	var e dueEntry
	err := rows.Scan(&e.credential, &e.due)
	return e, err
}
