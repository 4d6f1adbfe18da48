// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package secret holds a value that cannot be printed, marshalled or compared by accident.
package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Value is one secret. The zero Value holds nothing. Values are immutable, safe for concurrent use and do not compile
// with ==.
//
// Every way of printing gives "[secret]". Every way of marshalling fails: a placeholder written to a store in the place
// of a secret would be a loss. Unmarshalling works, so an answer can be decoded straight into a Value.
//
// The secret lives in a closure: reflection, which is how printers and encoders reach unexported fields, sees a function
// and nothing behind it.
type Value struct{ reveal func() string }

const redacted = "[secret]"

// ErrMarshal is the error of every attempt to marshal a Value.
var ErrMarshal = errors.New("secret: a value does not marshal; call Reveal where it has to leave the program")

// New returns a Value that holds s. An empty s gives the zero Value.
func New(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{func() string { return s }}
}

// Random returns n random bytes in hexadecimal. It panics below 16 bytes.
func Random(n int) Value {
	if n < 16 {
		panic("secret: Random: fewer than 16 bytes can be guessed")
	}
	b := make([]byte, n)
	rand.Read(b) // never fails
	return New(hex.EncodeToString(b))
}

// Reveal returns the secret. Calls are meant to be found by grep.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// IsZero reports whether v holds nothing.
func (v Value) IsZero() bool { return v.reveal == nil }

// Equal compares in constant time, but for the lengths.
func (v Value) Equal(w Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(w.Reveal())) == 1
}

// Format redacts, for every verb.
func (v Value) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String redacts.
func (v Value) String() string { return redacted }

// LogValue redacts.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails with ErrMarshal. It covers JSON, XML and flags.
func (v Value) MarshalText() ([]byte, error) { return nil, ErrMarshal }

// GobEncode always fails with ErrMarshal.
func (v Value) GobEncode() ([]byte, error) { return nil, ErrMarshal }

// UnmarshalText sets v to the text.
func (v *Value) UnmarshalText(text []byte) error {
	*v = New(string(text))
	return nil
}
