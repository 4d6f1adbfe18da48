// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// inventoryColumns are the columns of WriteCSV: a name, and its cell. New ones come last, so that what reads them by place goes on.
var inventoryColumns = []struct {
	name string
	cell func(Item) string
}{
	{"credential", func(it Item) string { return it.Credential }},
	{"type", func(it Item) string { return string(it.Type) }},
	{"risk", func(it Item) string { return cmp.Or(string(it.Risk), "standard") }},
	{"scope", func(it Item) string { return cmp.Or(string(it.Scope), "write") }},
	{"contact", func(it Item) string { return it.Contact }},
	{"issuer", func(it Item) string { return it.Issuer }},
	{"store", func(it Item) string { return it.Store }},
	{"verifier", func(it Item) string { return it.Verifier }},
	{"consumers", func(it Item) string { return bindingCell(it.Bindings) }},
	{"generation", func(it Item) string { return countCell(it.Generation) }},
	{"key_id", func(it Item) string { return it.KeyID }},
	{"key_name", func(it Item) string { return it.KeyName }},
	{"issued_at", func(it Item) string { return timeCell(it.IssuedAt) }},
	{"expires_at", func(it Item) string { return timeCell(it.ExpiresAt) }},
	{"age_days", func(it Item) string { return daysCell(it.Age, it.IssuedAt.IsZero()) }},
	{"max_age_days", func(it Item) string { return daysCell(it.MaxAge, false) }},
	{"due", func(it Item) string { return timeCell(it.Due) }},
	{"overdue", func(it Item) string { return strconv.FormatBool(it.Overdue) }},
	{"open_phase", func(it Item) string { return summaryCell(it.Open, func(s *Summary) string { return string(s.Phase) }) }},
	{"last_rotation", func(it Item) string { return summaryCell(it.Last, func(s *Summary) string { return s.ID }) }},
	{"last_outcome", func(it Item) string {
		return summaryCell(it.Last, func(s *Summary) string { return string(s.Outcome) })
	}},
	{"last_ended_at", func(it Item) string {
		return summaryCell(it.Last, func(s *Summary) string { return timeCell(s.EndedAt) })
	}},
	{"last_actor", func(it Item) string { return summaryCell(it.Last, func(s *Summary) string { return s.Actor }) }},
	{"verified_at", func(it Item) string { return timeCell(it.VerifiedAt) }},
	{"debts", func(it Item) string { return countCell(len(it.Debts)) }},
	{"held_until", func(it Item) string { return timeCell(it.HeldUntil) }},
	{"problem", func(it Item) string { return problemCell(it.Problem) }},
	{"due_by", func(it Item) string { return it.DueBy }},
	{"state", func(it Item) string { return string(it.State) }},
	{"begins", func(it Item) string { return timeCell(it.Begins) }},
	{"checked_at", func(it Item) string { return timeCell(it.CheckedAt) }},
}

// WriteCSV writes items as comma-separated values under a header, for spreadsheets and other programs: times in UTC as in RFC 3339,
// ages in days. Columns keep their order; later versions add theirs at the end. A cell that a spreadsheet would take for a formula
// begins with an apostrophe. JSON, by encoding/json, has more.
func WriteCSV(w io.Writer, items []Item) error {
	out := csv.NewWriter(w)
	row := make([]string, len(inventoryColumns))
	for i, c := range inventoryColumns {
		row[i] = c.name
	}
	if err := out.Write(row); err != nil {
		return fmt.Errorf("rotation: write the inventory: %w", err)
	}
	for _, it := range items {
		for i, c := range inventoryColumns {
			row[i] = inertCell(c.cell(it))
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("rotation: write the inventory: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("rotation: write the inventory: %w", err)
	}
	return nil
}

// formula is what a spreadsheet may take for the beginning of a formula, in narrow and wide form, at the beginning of a cell or
// behind what it takes for one.
var formula = regexp.MustCompile("(^|[;\t\r\n])([\\s\u00a0]*)([=+\\-@\uff1d\uff0b\uff0d\uff20])")

// inertCell keeps a spreadsheet from executing what somebody wrote as a name.
func inertCell(text string) string { return formula.ReplaceAllString(text, "$1$2'$3") }

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return timeText(t)
}

func countCell(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func daysCell(d time.Duration, unknown bool) string {
	if unknown {
		return ""
	}
	return strconv.FormatFloat(d.Hours()/24, 'f', 1, 64)
}

func summaryCell(s *Summary, cell func(*Summary) string) string {
	if s == nil {
		return ""
	}
	return cell(s)
}

func problemCell(e *Error) string {
	if e == nil {
		return ""
	}
	return e.text()
}

// bindingCell is the dependency map of one credential in one cell: "web (live), batch (next-run)".
func bindingCell(bindings []ItemBinding) string {
	var parts []string
	for _, b := range bindings {
		parts = append(parts, fmt.Sprintf("%s (%s)", b.Name, cmp.Or(string(b.Reload), "unknown")))
	}
	return strings.Join(parts, ", ")
}
