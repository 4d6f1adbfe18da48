// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
)

var (
	_ rotation.Sink       = audit.Slog{}
	_ rotation.Identifier = audit.Slog{}
	_ rotation.Validator  = audit.Slog{}
)

func jsonHandler(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }

func TestSlog(t *testing.T) {
	var log strings.Builder
	sink := audit.Slog{Handler: jsonHandler(&log)}
	e := event(3)
	e.Level, e.Incident, e.Problem = slog.LevelWarn, "INC-7", &rotation.Error{Credential: "payment", Diagnosis: rotation.OldKeyInUse}
	require.NoError(t, sink.Deliver(context.Background(), e))
	require.JSONEq(t, `{"time":"2026-03-01T09:00:03Z","level":"WARN","msg":"checkout <3> was told","id":"payment/w1/1/3",
		"kind":"deployed","credential":"payment","rotation":"payment-4","phase":"deploy","consumer":"checkout","actor":"ci",
		"incident":"INC-7","generation":4,"problem":{"credential":"payment","diagnosis":"old-key-in-use"}}`, log.String())

	log.Reset()
	e = event(4)
	e.Level = slog.LevelDebug
	require.NoError(t, sink.Deliver(context.Background(), e))
	require.Empty(t, log.String(), "below the handler's level")

	require.Equal(t, "slog *slog.JSONHandler", sink.Identity())
	sink.Name = "security"
	require.Equal(t, "slog security", sink.Identity())
}

func TestSlogErrors(t *testing.T) {
	require.ErrorContains(t, audit.Slog{}.Validate(), "Slog.Handler is required")
	require.ErrorContains(t, audit.Slog{}.Deliver(context.Background(), event(1)), "Slog.Handler is required")
	full := errors.New("full")
	sink := audit.Slog{Handler: jsonHandler(writerFunc(func([]byte) (int, error) { return 0, full }))}
	require.ErrorIs(t, sink.Deliver(context.Background(), event(1)), full, "a Logger would have hidden it")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
