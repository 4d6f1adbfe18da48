// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/handover-go/handover/rotation"
)

// fault is an error whose text is public: it holds nothing that a server or a driver said but an SQLSTATE. Both quote statements.
type fault struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*fault)(nil)

func (f *fault) Error() string   { return f.text }
func (f *fault) Public() string  { return f.text }
func (f *fault) Unwrap() []error { return f.is }

func problem(text string, is ...error) error { return &fault{text, is} }

// lost is the failure of a COMMIT.
type lost struct{ error }

func (l *lost) Unwrap() error { return l.error }

// isLost reports whether it is not known if a transaction was committed. A server that ends the session in the middle (FATAL) may
// have done it: it waits for standbys after the fact.
func isLost(err error) bool {
	var l *lost
	var answer *pgconn.PgError
	refused := errors.As(err, &answer) && answer.SeverityUnlocalized == "ERROR"
	return errors.As(err, &l) && !refused
}

// failed is what may be said of an error of the database, beside what else it matches.
func failed(ctx context.Context, what, user string, err error, is ...error) error {
	var known *fault
	if errors.As(err, &known) {
		return err
	}
	text, kinds := reason(ctx, user, err)
	return problem("pgusers: "+what+": "+text, append(kinds, is...)...)
}

// reason says why the database did not do it, and which sentinels that matches.
func reason(ctx context.Context, user string, err error) (string, []error) {
	var answer *pgconn.PgError
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Sprintf("user %q does not exist: create it NOLOGIN, with the rights of the other one", user), []error{rotation.ErrNotFound}
	case errors.As(err, &answer):
		return answered(answer.Code)
	case errors.Is(ctx.Err(), context.Canceled):
		return "cancelled", []error{context.Canceled}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out", []error{context.DeadlineExceeded}
	case errors.As(err, &errno):
		return errno.Error(), nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended before the answer did", nil
	case errors.Is(err, sql.ErrConnDone):
		return "the connection is closed", nil
	}
	return "no answer of the server", nil
}

// answered tells of an SQLSTATE what it means here. The codes are those of the PostgreSQL documentation, appendix A.
func answered(code string) (string, []error) {
	at := " (SQLSTATE " + code + ")"
	switch {
	case code == "42501":
		return "the administrator lacks a right: Check names it" + at, []error{rotation.ErrDenied}
	case strings.HasPrefix(code, "28"):
		return "the server refuses the administrator's login: look at the credential of Config.DB" + at, []error{rotation.ErrDenied}
	case code == "25006":
		return "the server takes no changes: connect Config.DB to the primary" + at, nil
	case code == "53300":
		return "the server has no free connection: it is asked again" + at, nil
	case strings.HasPrefix(code, "57P"):
		return "the server is starting or stopping: it is asked again" + at, nil
	case strings.HasPrefix(code, "40"), code == "55P03", code == "XX000": // XX000: "tuple concurrently updated", by a statement from elsewhere
		return "somebody else changes the user at the same time" + at, []error{rotation.ErrConflict}
	}
	return "the server refuses the statement" + at, nil
}
