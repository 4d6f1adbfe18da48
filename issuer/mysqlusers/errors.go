// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/handover-go/handover/rotation"
)

// fault is an error whose text is public: it holds nothing that a server or a driver said but a number. Both quote statements.
type fault struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*fault)(nil)

func (f *fault) Error() string   { return f.text }
func (f *fault) Public() string  { return f.text }
func (f *fault) Unwrap() []error { return f.is }

func problem(text string, is ...error) error { return &fault{text, is} }

// isAnswer reports whether a statement that was sent has not had its effect for certain: the server has refused it, or it was not
// sent at all. A server that is interrupted or shut down in the middle may have done it.
func isAnswer(err error) bool {
	var known *fault
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return !slices.Contains([]uint16{1053, 1317, 1927, 3024}, answer.Number)
	}
	return errors.As(err, &known) || errors.Is(err, driver.ErrBadConn)
}

// failed is what may be said of an error of the database, beside what else it matches.
func failed(ctx context.Context, what, user string, err error, is ...error) error {
	var known *fault
	if errors.As(err, &known) {
		return err
	}
	text, kinds := reason(ctx, user, err)
	return problem("mysqlusers: "+what+": "+text, append(kinds, is...)...)
}

// reason says why the database did not do it, and which sentinels that matches.
func reason(ctx context.Context, user string, err error) (string, []error) {
	var answer *mysql.MySQLError
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Sprintf("user %q does not exist: create it with ACCOUNT LOCK, and the rights of the other one", user), []error{rotation.ErrNotFound}
	case errors.As(err, &answer):
		return answered(answer.Number)
	case errors.Is(ctx.Err(), context.Canceled):
		return "cancelled", []error{context.Canceled}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out", []error{context.DeadlineExceeded}
	case errors.As(err, &errno):
		return errno.Error(), nil
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended before the answer did", nil
	}
	return "no answer of the server", nil
}

// answered tells of an error's number what it means here. The numbers are those of the MySQL error reference; from 1900 to 1999 and
// from 4000 on they are MariaDB's own.
func answered(number uint16) (string, []error) {
	at := fmt.Sprintf(" (error %d)", number)
	switch number {
	case 1044, 1142, 1143, 1227, 1410:
		return "the administrator lacks a right: Check names it" + at, []error{rotation.ErrDenied}
	case 1045, 1130, 1698, 3118, 4151:
		return "the server refuses the administrator's login: look at the credential of Config.DB" + at, []error{rotation.ErrDenied}
	case 1396:
		return "the server refuses the user's password: in MariaDB strict_password_validation has to be off, as it refuses hashes" + at, nil
	case 1290, 1792, 1836:
		return "the server takes no changes: connect Config.DB to the primary" + at, nil
	case 1054, 1146:
		return "the server does not keep accounts in the way that is known here: MariaDB 10.4 or MySQL 8.0.14 is needed" + at, nil
	case 1040, 1203:
		return "the server has no free connection: it is asked again" + at, nil
	case 1053:
		return "the server is stopping: it is asked again" + at, nil
	case 1205, 1213:
		return "somebody else changes the user at the same time" + at, []error{rotation.ErrConflict}
	case 1819:
		return "the password policy of the server refuses 64 hexadecimal digits (validate_password)" + at, nil
	case 1524:
		return "the server has not loaded the plugin of the user's password" + at, nil
	}
	return "the server refuses the statement" + at, nil
}
