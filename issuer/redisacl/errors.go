// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/rotation"
)

// failure is an error whose text may be shown: it holds no value and nothing of what a server said but the code of its error.
type failure struct {
	text     string
	answered bool // the server has refused the command
	is       []error
}

var _ rotation.PublicError = (*failure)(nil)

func (f *failure) Error() string   { return "redisacl: " + f.text }
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
func (n node) fail(text string, is ...error) error {
	return &failure{text: n.addr + ": " + text, is: is}
}

// code is how the text of an error of a server begins: "NOPERM". What follows can quote the command.
var code = regexp.MustCompile(`^[A-Z]{2,20}\b`)

// failed says why a command came to nothing.
func (n node) failed(ctx context.Context, args []any, err error) error {
	what := fmt.Sprint(args[0])
	if len(args) > 1 {
		what += " " + fmt.Sprint(args[1])
	}
	f := &failure{text: n.addr + ": " + what + ": "}
	var answer redis.Error
	switch {
	case ctx.Err() != nil:
		f.text, f.is = f.text+"no answer in time", []error{ctx.Err()}
	case errors.As(err, &answer):
		c := code.FindString(answer.Error())
		f.text, f.answered = f.text+"the server answers "+c, true
		switch c {
		case "NOPERM":
			f.text += ": the administrator needs +" + strings.ToLower(strings.ReplaceAll(what, " ", "|"))
			f.is = append(f.is, rotation.ErrDenied)
		case "NOAUTH", "WRONGPASS":
			f.text += ": it does not know the administrator"
			f.is = append(f.is, rotation.ErrDenied)
		}
	case errors.Is(err, context.DeadlineExceeded):
		f.text, f.is = f.text+"no answer in time", []error{context.DeadlineExceeded}
	default:
		f.text += "the server cannot be reached"
	}
	return f
}

// joined is one error of all that failed, nil if nothing did. It was answered if all of them were.
func joined(errs ...error) error {
	all := &failure{answered: true}
	var texts []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		var f *failure
		all.answered = all.answered && errors.As(err, &f) && f.answered
		all.is = append(all.is, err)
		texts = append(texts, strings.TrimPrefix(err.Error(), "redisacl: "))
	}
	switch len(texts) {
	case 0:
		return nil
	case 1:
		return all.is[0]
	}
	all.text = strings.Join(texts, "; ")
	return all
}

// notIssued is err, and says that nothing was issued.
func notIssued(err error) error {
	return &failure{text: strings.TrimPrefix(err.Error(), "redisacl: "), is: []error{err, rotation.ErrNotIssued}}
}
