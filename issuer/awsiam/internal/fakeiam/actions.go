// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package fakeiam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const stamp = "20060102T150405Z"

var (
	authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]{8}/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]+)$`)
	accessKeyID   = regexp.MustCompile(`^[0-9A-Za-z_]{16,128}$`)
)

func refuse(status int, code, detail string) *Failure {
	return &Failure{Status: status, Code: code, Detail: detail}
}

// authenticate checks the signature, and returns the ARN of who signed.
func (s *Server) authenticate(r *http.Request, data []byte) (string, *Failure) {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return "", refuse(http.StatusForbidden, "MissingAuthenticationToken", "")
	}
	now := time.Now().Add(s.Skew)
	at, err := time.Parse(stamp, r.Header.Get("X-Amz-Date"))
	switch {
	case err != nil:
		return "", refuse(http.StatusBadRequest, "IncompleteSignature", "")
	case now.Sub(at) > 5*time.Minute:
		return "", refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired: "+at.Format(stamp)+" is now earlier than "+now.Format(stamp))
	case at.Sub(now) > 5*time.Minute:
		return "", refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Signature not yet current: "+at.Format(stamp)+" is still later than "+now.Format(stamp))
	}
	who, secret, k := s.principal(m[1])
	if who == "" {
		return "", refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if signature(r, data, m, secret, at) != m[5] {
		return "", refuse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}
	if k != nil {
		k.uses = append(k.uses, time.Now())
	}
	return who, nil
}

// principal finds whoever has a key. Ended keys go on being accepted while the news spreads, and new ones are not yet.
func (s *Server) principal(id string) (who, secret string, k *key) {
	if id == AdminID {
		return "arn:aws:iam::" + Account + ":user/admin", AdminSecret, nil
	}
	for name, u := range s.users {
		for _, k := range u.keys {
			old := time.Since(k.changed) >= s.Lag
			if k.id == id && time.Since(k.made) >= s.Lag && (!k.ended && !k.inactive || !old) {
				return arn(u.path, name), k.secret, k
			}
		}
	}
	return "", "", nil
}

// signature is the one that the secret gives.
func signature(r *http.Request, data []byte, m []string, secret string, at time.Time) string {
	again := &http.Request{Method: r.Method, URL: &url.URL{Scheme: "https", Host: r.URL.Host, Path: r.URL.Path}, Host: r.Host, Header: http.Header{}}
	for _, name := range strings.Split(m[4], ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = int64(len(data))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	if again.URL.Host == "" {
		again.URL.Host = r.Host
	}
	sum := sha256.Sum256(data)
	creds := aws.Credentials{AccessKeyID: m[1], SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, again, hex.EncodeToString(sum[:]), m[3], m[2], at); err != nil {
		return ""
	}
	signed := authorization.FindStringSubmatch(again.Header.Get("Authorization"))
	if signed == nil {
		return ""
	}
	return signed[5]
}

// run does one action. The caller has the lock.
func (s *Server) run(action string, in url.Values, who string) (string, *Failure) {
	if action == "GetCallerIdentity" { // needs no permission
		return fmt.Sprintf("<Arn>%s</Arn><UserId>AIDAEXAMPLE</UserId><Account>%s</Account>", who, Account), nil
	}
	if !strings.HasSuffix(who, "/admin") {
		return "", refuse(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: iam:"+action)
	}
	id := in.Get("AccessKeyId")
	if in.Has("AccessKeyId") && !accessKeyID.MatchString(id) {
		return "", refuse(http.StatusBadRequest, "ValidationError", "Value at 'accessKeyId' failed to satisfy constraint")
	}
	if action == "GetAccessKeyLastUsed" {
		return s.lastUsed(id)
	}
	name := in.Get("UserName")
	u := s.users[name]
	if u == nil {
		return "", refuse(http.StatusNotFound, "NoSuchEntity", "The user with name "+name+" cannot be found.")
	}
	switch action {
	case "GetUser":
		return fmt.Sprintf("<User><Path>%s</Path><UserName>%s</UserName><Arn>%s</Arn><UserId>AIDAEXAMPLE</UserId><CreateDate>2020-01-01T00:00:00Z</CreateDate></User>", u.path, name, arn(u.path, name)), nil
	case "CreateAccessKey":
		return u.create(name)
	case "ListAccessKeys":
		return s.list(u, name, in)
	}
	i := slices.IndexFunc(u.keys, func(k *key) bool { return k.id == id && !k.ended })
	if i < 0 {
		return "", refuse(http.StatusNotFound, "NoSuchEntity", "The Access Key with id "+id+" cannot be found.")
	}
	k := u.keys[i]
	switch action {
	case "DeleteAccessKey":
		if !k.inactive {
			k.changed = time.Now()
		}
		k.ended = true
	case "UpdateAccessKey":
		if inactive := in.Get("Status") == "Inactive"; inactive != k.inactive {
			k.inactive, k.changed = inactive, time.Now()
		}
	default:
		return "", refuse(http.StatusBadRequest, "InvalidAction", action)
	}
	return "", nil
}

func (u *user) create(name string) (string, *Failure) {
	live := 0
	for _, k := range u.keys {
		if !k.ended {
			live++
		}
	}
	if live >= 2 {
		return "", refuse(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
	}
	k := mint()
	u.keys = append(u.keys, k)
	return fmt.Sprintf("<AccessKey><UserName>%s</UserName><AccessKeyId>%s</AccessKeyId><Status>Active</Status><SecretAccessKey>%s</SecretAccessKey><CreateDate>%s</CreateDate></AccessKey>", name, k.id, k.secret, k.made.UTC().Format(time.RFC3339)), nil
}

func (s *Server) list(u *user, name string, in url.Values) (string, *Failure) {
	var seen []*key
	for _, k := range u.keys {
		if time.Since(k.made) >= s.Lag && (!k.ended || time.Since(k.changed) < s.Lag) {
			seen = append(seen, k)
		}
	}
	from, _ := strconv.Atoi(in.Get("Marker"))
	to, truncated := len(seen), ""
	if s.Page > 0 && from+s.Page < to {
		to = from + s.Page
		truncated = "<Marker>" + strconv.Itoa(to) + "</Marker>"
	}
	var members strings.Builder
	for _, k := range seen[min(from, len(seen)):to] {
		status := "Active"
		if k.inactive {
			status = "Inactive"
		}
		fmt.Fprintf(&members, "<member><UserName>%s</UserName><AccessKeyId>%s</AccessKeyId><Status>%s</Status><CreateDate>%s</CreateDate></member>", name, k.id, status, k.made.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("<UserName>%s</UserName><AccessKeyMetadata>%s</AccessKeyMetadata><IsTruncated>%t</IsTruncated>%s", name, members.String(), truncated != "", truncated), nil
}

func (s *Server) lastUsed(id string) (string, *Failure) {
	for name, u := range s.users {
		for _, k := range u.keys {
			if k.id != id || k.ended {
				continue
			}
			var last time.Time
			for _, t := range k.uses {
				if time.Since(t) >= s.UsageLag {
					last = t
				}
			}
			if last.IsZero() {
				return fmt.Sprintf("<UserName>%s</UserName><AccessKeyLastUsed><Region>N/A</Region><ServiceName>N/A</ServiceName></AccessKeyLastUsed>", name), nil
			}
			return fmt.Sprintf("<UserName>%s</UserName><AccessKeyLastUsed><LastUsedDate>%s</LastUsedDate><Region>eu-west-1</Region><ServiceName>sts</ServiceName></AccessKeyLastUsed>", name, last.UTC().Format(time.RFC3339)), nil
		}
	}
	return "", refuse(http.StatusForbidden, "AccessDenied", "no such key")
}
