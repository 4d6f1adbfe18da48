// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/handover-go/handover/rotation"
)

// failure is an error whose text may be shown: it holds no value, and of what a server said the result code alone.
type failure struct {
	text    string
	refused bool   // the server has answered that it did not do it
	code    uint16 // its result code, where that is known
	is      []error
}

var _ rotation.PublicError = (*failure)(nil)

func (f *failure) Error() string   { return "ldap: " + f.text }
func (f *failure) Public() string  { return f.Error() }
func (f *failure) Unwrap() []error { return f.is }

// failf formats a failure. Arguments that are errors are what it matches, not part of the text.
func failf(format string, args ...any) error {
	f := &failure{}
	var rest []any
	for _, a := range args {
		if err, ok := a.(error); ok {
			f.is = append(f.is, err)
		} else {
			rest = append(rest, a)
		}
	}
	f.text = fmt.Sprintf(format, rest...)
	return f
}

// fail is a failure of one server.
func (s server) fail(text string, is ...error) error {
	return &failure{text: s.url + ": " + text, is: is}
}

// notIssued is err, and says that nothing was issued.
func notIssued(err error) error {
	return &failure{text: text(err), is: []error{err, rotation.ErrNotIssued}}
}

// text is that of an error of this package, to be part of another.
func text(err error) string { return strings.TrimPrefix(err.Error(), "ldap: ") }

// unclear are results that do not say that nothing was done. Those of the client library itself, which are no answers, begin at 200.
var unclear = map[uint16]bool{
	ldap.LDAPResultOperationsError:   true,
	ldap.LDAPResultTimeLimitExceeded: true,
	ldap.LDAPResultOther:             true,
}

const firstOwnCode = ldap.ErrorNetwork

// failed says why something came to nothing.
func (s server) failed(ctx context.Context, what string, err error) error {
	f := &failure{text: s.url + ": " + what + ": "}
	var answer *ldap.Error
	switch {
	case ctx.Err() != nil:
		f.text, f.is = f.text+"no answer in time", []error{ctx.Err()}
	case errors.As(err, &answer) && answer.ResultCode < firstOwnCode:
		f.text += fmt.Sprintf("the server answers %d", answer.ResultCode)
		if name := ldap.LDAPResultCodeMap[answer.ResultCode]; name != "" {
			f.text += " (" + name + ")"
		}
		f.refused, f.code = !unclear[answer.ResultCode], answer.ResultCode
		switch answer.ResultCode {
		case ldap.LDAPResultInsufficientAccessRights:
			f.text += ": the administrator may not write " + attribute
			f.is = append(f.is, rotation.ErrDenied)
		case ldap.LDAPResultNoSuchObject:
			f.is = append(f.is, rotation.ErrNotFound)
		case ldap.LDAPResultReferral:
			f.text += ": it is a replica, and Config.URL has to be the server that takes writes"
		case ldap.LDAPResultObjectClassViolation:
			f.text += ": the object classes of the entry do not allow that; it may need a password, and this is its last one"
		}
	case what == "TLS", what == "StartTLS":
		f.text += "no trusted connection: see Config.TLS"
	default:
		f.text += "the server cannot be reached"
	}
	return f
}
