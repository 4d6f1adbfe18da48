// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// What the templates and the JSON get is made of texts, numbers, times and nothing that could hold more.
func TestOnlyTextsNumbersAndTimes(t *testing.T) {
	for _, v := range []any{view{}, card{}, when{}, Document{}} {
		assert.Empty(t, foreign(reflect.TypeOf(v), map[reflect.Type]bool{}), "%T", v)
	}
	assert.NotEmpty(t, foreign(reflect.TypeOf(rotation.Status{}), map[reflect.Type]bool{}), "the check finds what it looks for")
}

// foreign lists the types below t that are none of ours and no time.
func foreign(t reflect.Type, seen map[reflect.Type]bool) []string {
	if seen[t] || t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[time.Duration]() {
		return nil
	}
	seen[t] = true
	var out []string
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return foreign(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			out = append(out, foreign(t.Field(i).Type, seen)...)
		}
		fallthrough
	case reflect.String, reflect.Int, reflect.Bool:
		if path := t.PkgPath(); path != "" && !strings.HasSuffix(path, "/statuspage") {
			out = append(out, t.String())
		}
	default:
		out = append(out, t.String())
	}
	return out
}

// The style sheet in the page is the one that the policy allows, to the byte.
func TestPolicyAllowsTheStyle(t *testing.T) {
	r := newRenderer()
	page, err := r.failure(Config{}, 404, "x")
	require.NoError(t, err)
	_, style, _ := strings.Cut(string(page), "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	require.Contains(t, r.policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	require.NotContains(t, styleText, "</")
}

func TestTimesAsTheyAreTold(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0:                                "now",
		999 * time.Millisecond:           "now",
		-42 * time.Second:                "42 s ago",
		time.Minute:                      "in 1 min",
		-(3*time.Minute + 5*time.Second): "3 min 5 s ago",
		-59 * time.Minute:                "59 min ago",
		2*time.Hour + time.Minute:        "in 2 h 1 min",
		-47 * time.Hour:                  "47 h ago",
		14 * day:                         "in 14 days",
		-3 * year:                        "3 years ago",
	} {
		assert.Equal(t, want, newWhen(now, now.Add(d)).Rel, d)
	}
	assert.Equal(t, when{Zero: true}, newWhen(now, time.Time{}))
	w := newWhen(now, now.Add(-3*time.Hour-20*time.Minute).In(time.FixedZone("", 3600)))
	assert.Equal(t, when{ISO: "2026-03-01T08:40:00Z", Abs: "1 Mar 2026, 08:40 UTC", Rel: "3 h 20 min ago", Brief: "3 h ago"}, w)
}

func TestSteps(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(min int, p rotation.Phase) rotation.Moment {
		return rotation.Moment{At: began.Add(time.Duration(min) * time.Minute), Phase: p}
	}
	told := func(r rotation.Record, kind rotation.Type) string {
		var parts []string
		for _, s := range steps(&r, kind) {
			text := s.Phase + "=" + s.Progress
			if !s.At.IsZero() {
				text += "@" + s.At.Format("04")
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, " ")
	}
	timeline := []rotation.Moment{at(0, "prepare"), at(1, "issue"), at(2, "issue"), at(3, "promote"), at(5, "restore"), at(6, "promote")}
	assert.Equal(t, "prepare=done@00 issue=done@02 prove=done canary=done promote=current@03 deploy=ahead verify=ahead soak=ahead disable=ahead retire=ahead confirm=ahead finish=ahead",
		told(rotation.Record{Strategy: rotation.Standard, Phase: rotation.PhasePromote, Timeline: timeline[:4]}, rotation.APIKey))
	assert.Equal(t, "restore=current@05 promote=ahead deploy=ahead verify=ahead soak=ahead retire=ahead confirm=ahead finish=ahead",
		told(rotation.Record{Strategy: rotation.RollBack, Phase: rotation.PhaseRestore, Timeline: timeline[:5]}, rotation.APIKey))
	assert.Equal(t, "restore=done@05 promote=done@06 deploy=current verify=ahead soak=ahead retire=ahead confirm=ahead finish=ahead",
		told(rotation.Record{Strategy: rotation.RollBack, Phase: rotation.PhaseDeploy, Timeline: timeline}, rotation.APIKey))
	assert.Equal(t, "restore=done@05 activate=done prove=done promote=done soak=done drop=done confirm=done finish=done",
		told(rotation.Record{Strategy: rotation.RollBack, Phase: rotation.PhaseFinish, Outcome: rotation.RolledBack, Timeline: timeline[:5]}, rotation.WebhookSecret),
		"what was promoted before it turned around is not what it promoted")
	assert.Equal(t, "prepare=done@00 issue=done@02 accept=done activate=stopped prove=ahead promote=ahead soak=ahead drop=ahead confirm=ahead finish=ahead",
		told(rotation.Record{Strategy: rotation.Standard, Phase: rotation.PhaseActivate, Outcome: rotation.TakenOver, Timeline: timeline}, rotation.WebhookSecret))
	assert.Equal(t, "issue=done@02 promote=done@06 activate=done accept=current prove=ahead confirm=ahead finish=ahead",
		told(rotation.Record{Strategy: rotation.Emergency, Phase: rotation.PhaseAccept, Timeline: timeline}, rotation.WebhookSecret))
	assert.Equal(t, "issue=done prove=done promote=done deploy=done verify=done confirm=done finish=done later=current",
		told(rotation.Record{Strategy: rotation.Emergency, Phase: "later"}, rotation.Database), "a phase of a later release")
}
