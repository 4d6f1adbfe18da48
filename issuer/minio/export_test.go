// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Administer makes a call of an administrator that no Issuer needs. A body is sealed, unless it is a document already.
func Administer(ctx context.Context, i *Issuer, method, name string, query url.Values, in any) error {
	who, err := i.cfg.Credentials.GetWithContext(nil)
	if err != nil {
		return err
	}
	body, document := in.(json.RawMessage)
	if !document && in != nil {
		if body, err = seal(who.SecretAccessKey, in); err != nil {
			return err
		}
	}
	op := operation{method: method, name: name}
	if x := i.send(ctx, op, who, query, body); x.status < http.StatusOK || x.status >= 300 {
		return x.problem(ctx, op)
	}
	return nil
}

// PolicyOf is what MinIO says of a key's policy, and whether it is the user's.
func PolicyOf(ctx context.Context, i *Issuer, id string) (policy string, implied bool, err error) {
	a, err := i.account(ctx, id)
	return a.Policy, a.ImpliedPolicy, err
}

// Seal is what a server would answer.
func Seal(secret string, v any) ([]byte, error) { return seal(secret, v) }
