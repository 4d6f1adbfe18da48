// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/handover-go/handover/rotation"
)

// Check asks for what Issue and List need, and names the action that is missing: it lists the keys, and asks for a key that cannot be
// made, as its name and its secret have one character. MinIO looks at that after the user and the permission, and makes nothing.
// Whether Disable and Revoke are permitted cannot be asked. A Config.User that is an access key himself is refused: he can have none.
func (i *Issuer) Check(ctx context.Context) error {
	if _, err := i.List(ctx); err != nil {
		return err
	}
	if _, err := i.account(ctx, i.cfg.User); err == nil { // of a user MinIO says AccessDenied, whoever asks
		return problem("minio: Config.User is an access key, which cannot have others: give the user that it belongs to")
	}
	err := i.create(ctx, newAccount{User: i.cfg.User, AccessKey: "x", SecretKey: "x"})
	switch {
	case codeOf(err) == codeBadKey || codeOf(err) == codeBadSecret:
		return nil
	case errors.Is(err, rotation.ErrNotFound):
		return problem("minio: Config.User: there is no such user", rotation.ErrNotFound)
	case err == nil:
		return problem("minio: Check: the server made a key with a name of one character; delete the access key x")
	}
	return err
}

// Verify asks with the key for information about its account, which any key may have whatever its policy. The request is signed and
// judged as every other one of S3's. nil: accepted. ErrRejected: the server does not know the key, it is disabled or over, or the
// secret is another one. Everything else is not known: AccessDenied, which an unsigned request gets too, clocks that differ,
// a server that is starting.
//
// A proxy that changes the Host header makes every signature wrong. Config.URL is the URL that consumers use, if it is to prove
// anything about them.
func (i *Issuer) Verify(ctx context.Context, key rotation.Key) error {
	if key.ID == "" || key.Secret.IsZero() {
		return problem("minio: Verify: the key has no id or no secret")
	}
	x := i.send(ctx, verify, credentials.Value{AccessKeyID: key.ID, SecretAccessKey: key.Secret.Reveal()}, nil, nil)
	var user struct{ AccountName string }
	if x.whole() && json.Unmarshal(x.body, &user) == nil && user.AccountName != "" { // no page to sign in at
		return nil
	}
	err := x.problem(ctx, verify)
	var a *answer
	if !errors.As(err, &a) {
		return err
	}
	if a.status == http.StatusForbidden && (a.code == codeNoKey || a.code == codeSignature) {
		return &answer{op: a.op, status: a.status, code: a.code, is: []error{rotation.ErrRejected}}
	}
	a.is = slices.DeleteFunc(a.is, func(is error) bool { // they are said of the administrator
		return is == rotation.ErrDenied || is == rotation.ErrNotFound
	})
	return err
}
