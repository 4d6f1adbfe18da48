// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/secret"
)

// tree is any JSON answer, its numbers as they were written: ids may be numbers that no float64 can hold.
type tree struct{ v any }

func (t *tree) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(&t.v)
}

// first returns what the first of fields that v has is, and whether v has one of them. A field that is null counts only if
// no other one is there.
func first(v any, fields string) (any, bool) {
	found := false
	for field := range strings.SplitSeq(fields, ",") {
		got, ok := at(v, strings.TrimSpace(field))
		if ok && got != nil {
			return got, true
		}
		found = found || ok
	}
	return nil, found
}

// at follows a path with dots. A field whose name has dots in it comes first.
func at(v any, path string) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	if got, ok := m[path]; ok {
		return got, true
	}
	head, tail, ok := strings.Cut(path, ".")
	if !ok {
		return nil, false
	}
	return at(m[head], tail)
}

// word is a string or a number as text, empty for everything else. It takes what first returns.
func word(v any, _ bool) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// words is an array of strings, or a string of words; nil for everything else.
func words(v any, _ bool) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			if s := word(item, true); s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

var errNoTime = errors.New("not a time")

// moment is a time in one of the usual spellings; zero for what is absent, null, 0 or "".
func moment(v any, _ bool) (time.Time, error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, nil
	case json.Number:
		return epoch(v.String())
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
			t, err := time.Parse(layout, v)
			if t = t.UTC(); err == nil && (t.Year() < 1970 || t.Year() > 9999) { // 9999-12-31T23:59:59-01:00 does not marshal
				return time.Time{}, errNoTime
			}
			if err == nil {
				return t, nil
			}
		}
		return epoch(v)
	}
	return time.Time{}, errNoTime
}

func epoch(text string) (time.Time, error) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil, n < 0, math.IsNaN(n), math.IsInf(n, 0):
		return time.Time{}, errNoTime
	case n == 0:
		return time.Time{}, nil
	}
	return wire.Epoch(n), nil
}

// secrets are the values of the fields that may hold the secret.
func (i REST) secrets(answer tree) []secret.Value {
	var values []secret.Value
	for field := range strings.SplitSeq(cmp.Or(i.Secret, "key,api_key,secret,token"), ",") {
		v, _ := at(answer.v, strings.TrimSpace(field))
		if s, _ := v.(string); s != "" {
			values = append(values, secret.New(s))
		}
	}
	return values
}

// value is the one secret of several fields. Two different ones are a question that only a person can answer.
func value(values []secret.Value) (secret.Value, error) {
	if len(values) == 0 {
		return secret.Value{}, wire.Problem("issuer: REST: the answer holds no secret (REST.Secret)")
	}
	for _, other := range values[1:] {
		if !other.Equal(values[0]) {
			return secret.Value{}, wire.Problem("issuer: REST: the answer has more than one field that could be the secret (REST.Secret)")
		}
	}
	return values[0], nil
}
