// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package inhouse is an issuer for a key service of one's own: a small HTTP API that makes keys (POST), lists them (GET) and
// ends them (DELETE). README.md leads through it and its tests.
package inhouse

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Issuer makes and ends keys of the in-house key service.
type Issuer struct {
	URL   string       // of the collection of keys: https://keys.example.com/keys
	Admin *http.Client // adds the administrator's token to each request
}

// Issue makes a key. Its label is how the engine finds it again when the answer got lost.
func (i Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	var out struct {
		ID      string       `json:"id"`
		Token   secret.Value `json:"token"`
		Created time.Time    `json:"created"`
	}
	err := issuer.Call(ctx, i.Admin, http.MethodPost, i.URL, map[string]string{"label": req.Name}, &out)
	return rotation.Key{ID: out.ID, Secret: out.Token, IssuedAt: out.Created}, err
}

// Revoke ends a key. One that is not there any more has ended.
func (i Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	err := issuer.Call(ctx, i.Admin, http.MethodDelete, i.URL+"/"+url.PathEscape(key.ID), nil, nil)
	if errors.Is(err, rotation.ErrNotFound) {
		return nil
	}
	return err
}

// List tells which keys there are, and when each was last used: the engine revokes no key that somebody still presents.
func (i Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	asked := time.Now()
	var out []struct {
		ID, Label string
		Created   time.Time
		LastUsed  time.Time `json:"last_used"`
	}
	err := issuer.Call(ctx, i.Admin, http.MethodGet, i.URL, nil, &out)
	var infos []rotation.KeyInfo
	for _, k := range out {
		key := rotation.Key{ID: k.ID, Name: k.Label, IssuedAt: k.Created}
		infos = append(infos, rotation.KeyInfo{Key: key, Usage: rotation.Usage{LastUsed: k.LastUsed, AsOf: asked}})
	}
	return infos, err
}

// Identity is where the keys come from: a rotation does not go on at another place than it began at.
func (i Issuer) Identity() string { return i.URL }
