// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/handover-go/handover/rotation"
)

// Slog is a rotation.Sink that hands each event to a log handler: one record at the event's time and level, with its text as the
// message and its other fields as attributes. It is as safe for concurrent use, as quick and as durable as the handler is.
type Slog struct {
	Handler slog.Handler // required. It is asked itself, and not a Logger, because a Logger hides its errors
	Name    string       // tells several apart: a rotator knows what it owes each sink by this. May be empty
}

// Deliver returns the handler's error. An event whose level the handler is not enabled for is passed over, without an error.
func (s Slog) Deliver(ctx context.Context, e rotation.Event) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if !s.Handler.Enabled(ctx, e.Level) {
		return nil
	}
	r := slog.NewRecord(e.At, e.Level, e.Text, 0)
	for _, a := range []struct{ key, value string }{
		{"id", e.ID},
		{"kind", string(e.Kind)},
		{"credential", e.Credential},
		{"contact", e.Contact},
		{"rotation", e.Rotation},
		{"strategy", string(e.Strategy)},
		{"phase", string(e.Phase)},
		{"consumer", e.Consumer},
		{"actor", e.Actor},
		{"incident", e.Incident},
	} {
		if a.value != "" {
			r.AddAttrs(slog.String(a.key, a.value))
		}
	}
	if e.Generation != 0 {
		r.AddAttrs(slog.Int("generation", e.Generation))
	}
	if e.Problem != nil {
		r.AddAttrs(slog.Any("problem", e.Problem)) // a *rotation.Error, which tells what may be recorded and nothing more
	}
	if err := s.Handler.Handle(ctx, r); err != nil {
		return fmt.Errorf("audit: Slog: %w", err)
	}
	return nil
}

// Validate reports a missing Handler.
func (s Slog) Validate() error {
	if s.Handler == nil {
		return failf("audit: Slog.Handler is required")
	}
	return nil
}

// Identity is the Name, or the type of the Handler.
func (s Slog) Identity() string {
	if s.Name != "" {
		return "slog " + s.Name
	}
	return fmt.Sprintf("slog %T", s.Handler)
}
