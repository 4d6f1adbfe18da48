// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Local chooses secrets itself, 32 random bytes in hexadecimal. It is a [rotation.Chooser] whose Issue returns what was
// chosen and whose Revoke does nothing: a key ends when the accepting side is told so. Embed it in an issuer whose provider
// is told a value. The zero value is ready to use, concurrently.
type Local struct{}

var (
	_ rotation.Issuer  = Local{}
	_ rotation.Chooser = Local{}
)

// Choose returns a new random key. Its ID is req.Name, which is unique for each attempt, as no provider gives it one.
func (Local) Choose(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{ID: req.Name, Secret: secret.Random(32)}, nil
}

// Issue returns req.Chosen, issued now if nothing else is said. Without it, or when ctx has ended, it fails with
// rotation.ErrNotIssued.
func (Local) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := ctx.Err(); err != nil {
		return rotation.Key{}, wire.Problem("issuer: Local: the context has ended", rotation.ErrNotIssued, err)
	}
	key := req.Chosen
	if key.Secret.IsZero() {
		return rotation.Key{}, wire.Problem("issuer: Local: IssueRequest.Chosen holds no secret", rotation.ErrNotIssued)
	}
	if key.IssuedAt.IsZero() {
		key.IssuedAt = time.Now()
	}
	return key, nil
}

// StandardSecret makes a secret in the form of Standard Webhooks: "whsec_" and 32 random bytes in base64. Svix and the signing
// tokens of GitLab have it too. It is for the field Make.
//
// Source: the specification of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md),
// which wants 24 to 64 bytes.
func StandardSecret() secret.Value {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (Go 1.24 and later)
	return secret.New("whsec_" + base64.StdEncoding.EncodeToString(raw))
}

// Revoke does nothing.
func (Local) Revoke(context.Context, rotation.Key) error { return nil }
