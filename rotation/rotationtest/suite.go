// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/secret"
)

// clause is one thing that a suite proves.
type clause struct {
	name    string // of the interface's clause, "I2", or of the ability
	explain string // what the clause is for, shown when it fails
	check   func(ctx context.Context) error
}

// skip is the answer of a clause that does not apply.
type skip string

func (s skip) Error() string { return string(s) }

// runClauses runs one subtest for each clause.
func runClauses(t *testing.T, invalid error, clauses []clause) {
	t.Helper()
	if invalid != nil {
		t.Fatal(invalid)
	}
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			err := guard(func() error { return c.check(t.Context()) })
			var reason skip
			switch {
			case errors.As(err, &reason):
				t.Skip(reason)
			case err != nil:
				t.Errorf("%s: %v\n%s", c.name, err, c.explain)
			}
		})
	}
}

// checkClauses joins what failed, each line with the name of its clause.
func checkClauses(ctx context.Context, invalid error, clauses []clause) error {
	if invalid != nil {
		return invalid
	}
	var errs []error
	for _, c := range clauses {
		err := guard(func() error { return c.check(ctx) })
		var reason skip
		if err != nil && !errors.As(err, &reason) {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// guard turns a panic into an error. What was given to panic may hold a secret, so only its type is told, but for the
// runtime's own.
func guard(f func() error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("panic: %v", v)
		default:
			err = fmt.Errorf("panic with a %T", v)
		}
	}()
	return f()
}

// leaks reports whether err shows one of the secrets, whichever way it is printed.
func leaks(err error, secrets []secret.Value) bool {
	if err == nil {
		return false
	}
	text := texts(err)
	for _, s := range secrets {
		for _, form := range forms(s.Reveal()) {
			if strings.Contains(text, form) {
				return true
			}
		}
	}
	return false
}

// texts is everything that err and what it wraps can be printed as.
func texts(err error) string {
	all := fmt.Sprintf("%v\n%+v\n%#v\n", err, err, err)
	if public, ok := err.(interface{ Public() string }); ok {
		all += public.Public()
	}
	var inner []error
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		inner = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		inner = e.Unwrap()
	}
	for _, e := range inner {
		if e != nil {
			all += texts(e)
		}
	}
	return all
}

// forms are the ways in which a value may stand in an error. What is too short to be a secret is in every text.
func forms(value string) []string {
	if len(value) < 8 {
		return nil
	}
	return []string{
		value, url.QueryEscape(value), url.PathEscape(value), strings.Trim(fmt.Sprintf("%q", value), `"`),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.URLEncoding.EncodeToString([]byte(value)),
	}
}

// within asks until ok gives nil or patience has passed, and returns its last answer. It asks at least once, often at first and
// less often later.
func within(ctx context.Context, patience time.Duration, ok func() error) error {
	pause, longest := 10*time.Millisecond, min(max(patience/50, 10*time.Millisecond), 5*time.Second)
	for deadline := time.Now().Add(patience); ; {
		err := ok()
		left := time.Until(deadline)
		if err == nil || left <= 0 {
			return err
		}
		if stopped := wait(ctx, min(pause, left)); stopped != nil {
			return errors.Join(err, stopped)
		}
		pause = min(2*pause, longest)
	}
}

// ended returns a context that has ended.
func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
