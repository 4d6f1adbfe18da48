// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

var _ rotation.Validator = rotationtest.JournalSuite{}

func TestJournalSuiteRun(t *testing.T) {
	rotationtest.JournalSuite{Journal: rotationtest.NewJournal(), Name: "conformance"}.Run(t)
}

func TestJournalSuiteAcceptsWhatIsRight(t *testing.T) {
	for name, build := range map[string]func(*rotationtest.Journal) rotation.Journal{
		"journal":       func(j *rotationtest.Journal) rotation.Journal { return j },
		"no abilities":  func(j *rotationtest.Journal) rotation.Journal { return onlyJournal{j} },
		"all abilities": func(j *rotationtest.Journal) rotation.Journal { return goodJournal(j) },
		"wrapped":       func(j *rotationtest.Journal) rotation.Journal { return wrappedJournal{wrappedJournal{goodJournal(j)}} },
		"coarse times": func(j *rotationtest.Journal) rotation.Journal {
			return tells(j, func(e *rotation.Entry) {
				e.SavedAt = e.SavedAt.Truncate(time.Second)
				if !e.Due.IsZero() {
					e.Due = e.Due.Truncate(time.Millisecond).In(time.FixedZone("", -3600))
				}
			})
		},
		"another clock": func(j *rotationtest.Journal) rotation.Journal {
			return tells(j, func(e *rotation.Entry) { e.SavedAt = e.SavedAt.AddDate(5, 0, 0) })
		},
		"empty, not nil": func(j *rotationtest.Journal) rotation.Journal {
			return tells(j, func(e *rotation.Entry) { e.Data = slices.Concat([]byte{}, e.Data) })
		},
		"in another order": func(j *rotationtest.Journal) rotation.Journal {
			return badJournal{Journal: j, due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
				due, err := j.Due(ctx, names, t, 1<<30)
				slices.Reverse(due)
				slices.SortStableFunc(due, func(a, b rotation.Entry) int { return a.Due.Compare(b.Due) })
				return due[:min(len(due), max(limit, 0))], err
			}}
		},
		"reads whatever the context": func(j *rotationtest.Journal) rotation.Journal {
			return badJournal{
				Journal: j,
				load: func(ctx context.Context, name string) (rotation.Entry, error) {
					return j.Load(context.WithoutCancel(ctx), name)
				},
				due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
					return j.Due(context.WithoutCancel(ctx), names, t, limit)
				},
			}
		},
		"own memory": func(*rotationtest.Journal) rotation.Journal {
			return &openJournal{entries: map[string]rotation.Entry{}, in: true, out: true, dues: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := build(rotationtest.NewJournal())
				foreign := rotation.Entry{Credential: "payments", Due: time.Unix(1e9, 0), Data: []byte("theirs")}
				require.NoError(t, j.Save(t.Context(), foreign))
				s := rotationtest.JournalSuite{
					Journal: j, Name: "conformance", Reopen: func(context.Context) (rotation.Journal, error) { return j, nil },
				}
				for range 2 {
					require.NoError(t, s.Check(t.Context()), "it can be repeated")
				}
				e, err := j.Load(t.Context(), "payments")
				require.NoError(t, err)
				assert.Equal(t, int64(1), e.Revision, "what is another's is left alone")
				assert.Equal(t, "theirs", string(e.Data))
			})
		})
	}
}

// What the suite leaves is never due and holds nothing.
func TestJournalSuiteCleansUp(t *testing.T) {
	for name, fault := range map[string]rotationtest.Fault{
		"all is well": {Op: "Load", Call: 1 << 30},
		"Save fails":  {Op: "Save", Call: 40},
		"Load fails":  {Op: "Load", Call: 60},
		"Due fails":   {Op: "Due", Call: 30},
	} {
		t.Run(name, func(t *testing.T) {
			j := rotationtest.NewJournal()
			j.Inject(fault)
			written := map[string]bool{}
			noting := badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
				err := j.Save(ctx, e)
				if err == nil && !strings.Contains(e.Credential, "-race") {
					written[e.Credential] = true
				}
				return err
			}}
			err := rotationtest.JournalSuite{Journal: noting, Name: "conformance"}.Check(t.Context())
			assert.Equal(t, fault.Call < 1<<30, err != nil)
			require.NotEmpty(t, written)
			for name := range written {
				e, err := j.Load(t.Context(), name)
				require.NoError(t, err)
				assert.True(t, e.Due.IsZero(), name)
				assert.Empty(t, e.Data, name)
				assert.Equal(t, "conformance-", strings.TrimPrefix(name, "handover/")[:len("conformance-")])
				assert.NotContains(t, name, "-absent-", "what was absent is absent")
			}
			due, err := j.Due(t.Context(), []string{"conformance-race"}, time.Now().AddDate(1000, 0, 0), 10)
			require.NoError(t, err)
			assert.Empty(t, due)
		})
	}
}

func TestJournalSuiteValidates(t *testing.T) {
	err := rotationtest.JournalSuite{Entries: -1}.Check(t.Context())
	require.ErrorContains(t, err, "JournalSuite.Journal is required")
	require.ErrorContains(t, err, "JournalSuite.Name is required")
	require.ErrorContains(t, err, "JournalSuite.Entries is negative")
}

func TestJournalSuiteStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stuck := tells(rotationtest.NewJournal(), func(e *rotation.Entry) { e.SavedAt = start })
		err := rotationtest.JournalSuite{Journal: stuck, Name: "conformance"}.Check(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestJournalSuiteRejectsMutants(t *testing.T) {
	tested := map[string]bool{}
	for name, m := range journalMutants() {
		tested[m.clause] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // mutants that lose a race sleep
				j := rotationtest.NewJournal()
				s := rotationtest.JournalSuite{Journal: m.build(j), Name: "conformance"}
				if m.reopen != nil {
					s.Reopen = func(context.Context) (rotation.Journal, error) { return m.reopen(j) }
				}
				requireOnly(t, s.Check(t.Context()), append([]string{m.clause}, m.also...)...)
			})
		})
	}
	for _, clause := range (rotationtest.JournalSuite{}).Clauses() {
		assert.True(t, tested[clause], "no mutant for %s", clause)
	}
}

// requireOnly wants exactly these clauses to have failed.
func requireOnly(t *testing.T, err error, clauses ...string) {
	t.Helper()
	require.Error(t, err)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok, "%v", err)
	var failed []string
	for _, e := range joined.Unwrap() {
		clause, _, _ := strings.Cut(e.Error(), ": ")
		failed = append(failed, clause)
	}
	assert.ElementsMatch(t, clauses, failed, "%v", err)
}

func TestJournalSuiteSurvivesPanics(t *testing.T) {
	j := rotationtest.NewJournal()
	bad := badJournal{Journal: j, due: func(context.Context, []string, time.Time, int) ([]rotation.Entry, error) {
		panic(errors.New("what is in here is not told"))
	}}
	err := rotationtest.JournalSuite{Journal: bad, Name: "conformance"}.Check(t.Context())
	requireOnly(t, err, "J2", "J3", "SavedAt")
	require.NotContains(t, err.Error(), "what is in here")
}
