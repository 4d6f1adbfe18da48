// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"log/slog"
	"time"
)

// Config of a Rotator.
type Config struct {
	Journal     Journal      // required
	Store       SecretStore  // for credentials that name none
	Policy      Policy       // for fields that credentials leave zero
	Credentials []Credential // more can be given to Register
	Sinks       []Sink       // audit trail, notifications
	Discoverers []Discoverer // compared with the bindings by Inspect
	Logger      *slog.Logger // nil: slog.Default()
	Actor       string       // who acts, unless WithActor says; empty: user@host
	Parallel    int          // credentials advanced at the same time by Run and Sweep; zero: 8

	Lease       time.Duration // how long a process that died keeps others out; zero: 30 s. Longer than CallTimeout
	CallTimeout time.Duration // of one call to an issuer, store, consumer, verifier, sink; zero: 10 s
	IssueLimit  time.Duration // an emergency that issues before it revokes gives up issuing after this; zero: 30 s
	ClockSkew   time.Duration // between any two clocks of this system; zero: 5 s, negative: none
}

// Rotator drives rotations. It is safe for concurrent use, and any number of them may share a Journal: a credential is
// driven by one at a time.
type Rotator struct{}
