// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// Access keys as MinIO's API writes them, which calls them service accounts.

type newAccount struct {
	User        string          `json:"targetUser"`
	AccessKey   string          `json:"accessKey"`
	SecretKey   string          `json:"secretKey"`
	Description string          `json:"description,omitempty"`
	Policy      json.RawMessage `json:"policy,omitempty"`
	Expiration  *time.Time      `json:"expiration,omitempty"`
}

type account struct {
	AccessKey     string     `json:"accessKey"` // in a list only
	User          string     `json:"parentUser"`
	Status        string     `json:"accountStatus"`
	Description   string     `json:"description"`
	Policy        string     `json:"policy"`        // not in a list
	ImpliedPolicy bool       `json:"impliedPolicy"` // it is the user's
	Expiration    *time.Time `json:"expiration"`
}

// end is when a key ends: MinIO writes no end as nothing, as zero or as the beginning of 1970.
func (a account) end() time.Time {
	if a.Expiration == nil || a.Expiration.Unix() <= 0 {
		return time.Time{}
	}
	return a.Expiration.UTC()
}

func (i *Issuer) create(ctx context.Context, a newAccount) error {
	var made struct {
		Credentials struct{} `json:"credentials"`
	}
	return i.call(ctx, add, nil, a, &made)
}

func (i *Issuer) accounts(ctx context.Context) ([]account, error) {
	var all struct {
		Accounts []account `json:"accounts"`
	}
	err := i.call(ctx, list, url.Values{"user": {i.cfg.User}}, nil, &all)
	return all.Accounts, err
}

func (i *Issuer) account(ctx context.Context, id string) (a account, err error) {
	err = i.call(ctx, inform, byID(id), nil, &a)
	return a, err
}

// setStatus sends the policy along: an update without one takes it away.
func (i *Issuer) setStatus(ctx context.Context, id, status string, a account) error {
	change := struct {
		Status string          `json:"newStatus"`
		Policy json.RawMessage `json:"newPolicy,omitempty"`
	}{Status: status}
	if !a.ImpliedPolicy {
		change.Policy = json.RawMessage(a.Policy)
	}
	return i.call(ctx, update, byID(id), change, nil)
}

func (i *Issuer) remove(ctx context.Context, id string) error {
	return i.call(ctx, remove, byID(id), nil, nil)
}

func byID(id string) url.Values { return url.Values{"accessKey": {id}} }
