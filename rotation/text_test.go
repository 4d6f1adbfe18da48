// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"crypto/sha1" //nolint:gosec // as in the code
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzText: the short texts that come back from a store, and the names that people choose. A stamp is read as it was written
// or not at all; a name is taken if every store can hold it, and the names made of it are no longer than providers take.
func FuzzText(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string, attempt int, epoch int64) {
		got, ok := parseStamp(text)
		if ok {
			again, ok := parseStamp(got.String())
			require.True(t, ok)
			require.Equal(t, got, again)
			require.Equal(t, 4, strings.Count(text, ":"))
			require.True(t, strings.HasPrefix(text, "handover1:"+got.Installation+":"+got.Rotation+":"))
			require.True(t, got.Installation != "" && got.Attempt >= 0 && got.Epoch >= 0)
		} else {
			require.Zero(t, got)
		}
		made := stamp{Installation: text, Attempt: attempt & math.MaxInt, Epoch: epoch & math.MaxInt64}
		got, ok = parseStamp(made.String())
		require.Equal(t, text != "" && !strings.Contains(text, ":"), ok)
		if ok {
			require.Equal(t, made, got)
		}

		wrong := nameMistake(text)
		require.Equal(t, usableName(text), wrong == "", "%q: %s", text, wrong)
		if wrong == "" {
			name := successorName(text, made.Attempt%100_000, sha1.Sum([]byte(text)))
			require.LessOrEqual(t, len(name), 64)
			require.Contains(t, name, "-v")
		}
	})
}

// usableName is the rule in other words.
func usableName(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "handover" || strings.IndexByte("._-", segment[0]) >= 0 {
			return false
		}
		for _, c := range []byte(segment) {
			letter := 'a' <= c|0x20 && c|0x20 <= 'z'
			if !letter && (c < '0' || c > '9') && strings.IndexByte("._-", c) < 0 {
				return false
			}
		}
	}
	return len(name) <= 200
}

// A sentinel is told once, however often its error was wrapped and hidden on the way.
func TestASentinelIsToldOnce(t *testing.T) {
	once := hide(fmt.Errorf("POST: 409: %w", ErrConflict))
	for what, err := range map[string]error{
		"hidden":          once,
		"hidden twice":    hide(once),
		"wrapped, hidden": hide(fmt.Errorf("save: %w", once)),
		"in an Error":     hide(&Error{Evidence: "it was not revoked", Err: once}),
	} {
		require.ErrorIs(t, err, ErrConflict, what)
		require.Equal(t, 1, strings.Count(err.Error(), ErrConflict.Error()), "%s: %s", what, err)
	}
}

// What several errors say each by itself is not said before them again.
func TestASentinelOfJoinedErrorsIsToldByEach(t *testing.T) {
	one := &Error{Evidence: "the robot's key was not revoked", Err: fmt.Errorf("%w", ErrDenied)}
	require.Equal(t, publicText(one)+", "+publicText(one), publicText(errors.Join(one, one)))
	require.Equal(t, 1, strings.Count(publicText(one), ErrDenied.Error()), publicText(one))
	require.Equal(t, publicText(one), publicText(errors.Join(one)))
	require.Equal(t, "permission denied: "+publicText(&Error{Evidence: "down"}), publicText(errors.Join(ErrDenied, &Error{Evidence: "down"})))
}
