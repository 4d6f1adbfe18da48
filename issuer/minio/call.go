// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// operation is a call of MinIO's API for administrators, version 3, and the action that it needs.
type operation struct{ method, name, action string }

var (
	add    = operation{http.MethodPut, "add-service-account", "admin:CreateServiceAccount"}
	list   = operation{http.MethodGet, "list-service-accounts", "admin:ListServiceAccounts"}
	inform = operation{http.MethodGet, "info-service-account", "admin:ListServiceAccounts"}
	update = operation{http.MethodPost, "update-service-account", "admin:UpdateServiceAccount"}
	remove = operation{http.MethodDelete, "delete-service-account", "admin:RemoveServiceAccount"}
	verify = operation{http.MethodGet, "accountinfo", ""}
)

// longest is the longest answer that is read: some hundred thousand keys.
const longest = 64 << 20

// call makes one request as the administrator. What is in goes sealed and what is out comes sealed, so that nobody else can have
// given the answer; where nothing is to come out MinIO says 204.
func (i *Issuer) call(ctx context.Context, op operation, query url.Values, in, out any) error {
	who, err := i.cfg.Credentials.GetWithContext(nil)
	if err != nil || who.AccessKeyID == "" || who.SecretAccessKey == "" {
		return (&exchange{unsent: "Config.Credentials gives no key"}).problem(ctx, op)
	}
	var body []byte
	if in != nil {
		if body, err = seal(who.SecretAccessKey, in); err != nil {
			return (&exchange{unsent: "the policy is not JSON"}).problem(ctx, op)
		}
	}
	x := i.send(ctx, op, who, query, body)
	if out == nil && x.status == http.StatusNoContent || x.whole() && out != nil && open(who.SecretAccessKey, x.body, out) == nil {
		return nil
	}
	return x.problem(ctx, op)
}

// exchange is what came of a request.
type exchange struct {
	unsent string // why it was not sent; empty: it was
	err    error  // of the transport, or of reading the answer
	status int    // zero: no answer
	body   []byte
	retry  time.Time // that MinIO named; zero: none
}

// whole reports whether it was answered as it should, to the end.
func (x *exchange) whole() bool { return x.status == http.StatusOK && x.err == nil }

// send makes one request, signed as who.
func (i *Issuer) send(ctx context.Context, op operation, who credentials.Value, query url.Values, body []byte) *exchange {
	if ctx.Err() != nil {
		return &exchange{unsent: "the context has ended"}
	}
	to := url.URL{Scheme: i.endpoint.Scheme, Host: i.endpoint.Host, Path: "/minio/admin/v3/" + op.name, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, op.method, to.String(), bytes.NewReader(body))
	if err != nil {
		return &exchange{unsent: "Config.URL makes no request"}
	}
	sum := sha256.Sum256(body)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := i.client.Do(signer.SignV4(*req, who.AccessKeyID, who.SecretAccessKey, who.SessionToken, "us-east-1")) // any region does
	if err != nil {
		return &exchange{err: err}
	}
	defer resp.Body.Close()
	x := &exchange{status: resp.StatusCode, retry: retryAfter(resp.Header, time.Now())}
	x.body, x.err = io.ReadAll(io.LimitReader(resp.Body, longest))
	return x
}

// code is the code in MinIO's error, which is JSON or XML. Empty: it is somebody else's answer.
func (x *exchange) code() string {
	var e struct{ Code string }
	if json.Unmarshal(x.body, &e) != nil && xml.Unmarshal(x.body, &e) != nil {
		return ""
	}
	if len(e.Code) > 64 || strings.Trim(e.Code, codeCharacters) != "" {
		return ""
	}
	return e.Code
}

const codeCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// retryAfter is when a Retry-After header of an answer received at now says to come back, at most a day later. Zero: it says nothing.
func retryAfter(h http.Header, now time.Time) time.Time {
	text := h.Get("Retry-After")
	at, err := http.ParseTime(text)
	if err != nil {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 {
			return time.Time{}
		}
		at = now.Add(time.Duration(min(seconds, 24*60*60)) * time.Second)
	}
	if latest := now.Add(24 * time.Hour); at.After(latest) {
		return latest
	}
	return at
}
