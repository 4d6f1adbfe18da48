// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"
)

// validate names every field that is missing or wrong.
func (c Config) validate() (*url.URL, error) {
	var errs []error
	wrong := func(text string) { errs = append(errs, problem("minio: Config."+text)) }
	endpoint, err := url.Parse(c.URL) // its error quotes the URL
	switch {
	case c.URL == "":
		wrong("URL is required")
	case err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https"):
		wrong("URL is not an absolute http or https URL")
	case strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" || endpoint.User != nil:
		wrong("URL has more than a scheme and a host")
	}
	if c.Credentials == nil {
		wrong("Credentials is required: the administrator's key")
	}
	if c.User == "" {
		wrong("User is required: whose access keys they are")
	}
	if c.Policy != "" && c.Policy != Inherited && !object(c.Policy) {
		wrong("Policy is neither a JSON object nor Inherited")
	}
	if len(c.Policy) > 4096 {
		wrong("Policy has more than 4096 bytes")
	}
	if c.Lifetime != 0 && (c.Lifetime < 16*time.Minute || c.Lifetime > 364*24*time.Hour) {
		wrong("Lifetime is not between 16 minutes and 364 days")
	}
	return endpoint, errors.Join(errs...)
}

func object(text string) bool {
	var o map[string]any
	return json.Unmarshal([]byte(text), &o) == nil && len(o) > 0
}
