// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/handover-go/handover/rotation"
	"github.com/hashicorp/vault/api"
)

// version is one version of a secret; zero: there is none.
type version struct {
	version   int
	created   string         // RFC 3339, to the nanosecond
	deleted   string         // when it was deleted, or will be
	destroyed bool           // for good
	fields    map[string]any // nil: it is deleted or destroyed
}

// revision is the number with the time: numbers begin anew after a secret was removed with its metadata.
func (v version) revision() string {
	if v.version == 0 {
		return ""
	}
	return strconv.Itoa(v.version) + " " + v.created
}

// call does one request with the token of this moment, and turns its error into one of this package.
func (s *Store) call(ctx context.Context, what, needs string, do func(*api.Client) (*api.Secret, error)) (*api.Secret, error) {
	token := ""
	if s.cfg.Token != nil {
		token = s.cfg.Token().Reveal()
	} else {
		token = s.cfg.Client.Token()
	}
	var header http.Header
	client := s.client.
		WithRequestCallbacks(func(r *api.Request) { r.ClientToken = token }).
		WithResponseCallbacks(func(r *api.Response) { header = r.Header })
	answer, err := do(client)
	if err != nil {
		return nil, failed(ctx, what, needs, header, err)
	}
	return answer, nil
}

// read reads one version of a secret, or with zero the latest.
func (s *Store) read(ctx context.Context, p string, number int) (version, error) {
	path := s.cfg.Mount + "/data/" + p
	var params map[string][]string
	if number > 0 {
		params = map[string][]string{"version": {strconv.Itoa(number)}}
	}
	answer, err := s.call(ctx, "read "+path, "read", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithDataWithContext(ctx, path, params)
	})
	if err != nil || answer == nil { // nil: 404 without a word
		return version{}, err
	}
	metadata, ok := answer.Data["metadata"].(map[string]any)
	if !ok { // no KV version 2 answers so: mounted knows what it is
		return version{}, cmp.Or(s.mounted(ctx), problem("read "+path+": the answer has no version of a secret"))
	}
	v, err := versionOf(metadata)
	if err != nil {
		return version{}, problem("read " + path + ": " + err.Error())
	}
	v.fields, _ = answer.Data["data"].(map[string]any)
	return v, nil
}

// write writes a version that follows number, and no other.
func (s *Store) write(ctx context.Context, p string, number int, fields map[string]any) (version, error) {
	path := s.cfg.Mount + "/data/" + p
	body := map[string]any{"data": fields, "options": map[string]any{"cas": number}}
	capability := "update"
	if number == 0 {
		capability = "create"
	}
	answer, err := s.call(ctx, "write "+path, capability, func(c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, path, body)
	})
	if status(err) == http.StatusBadRequest { // the wrong version, or something else that Vault says in words
		if now, readErr := s.read(ctx, p, 0); readErr == nil && now.version != number {
			return version{}, &failure{text: p + " changed while it was written", is: []error{rotation.ErrConflict}}
		}
	}
	if err != nil {
		return version{}, err
	}
	if answer == nil {
		return version{}, problem("write " + path + ": the answer is empty")
	}
	v, err := versionOf(answer.Data)
	if err != nil || v.version != number+1 {
		return version{}, problem(fmt.Sprintf("write %s: the answer does not say that version %d was written", path, number+1))
	}
	return v, nil
}

// destroy destroys the versions from to to, both included. Those that are gone already do no harm.
func (s *Store) destroy(ctx context.Context, p string, from, to int) error {
	path := s.cfg.Mount + "/destroy/" + p
	numbers := []int{}
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	_, err := s.call(ctx, "destroy old versions at "+path, "update", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, path, map[string]any{"versions": numbers})
	})
	return err
}

// list lists a folder: its secrets, and its folders with a slash behind them.
func (s *Store) list(ctx context.Context, folder string) ([]string, error) {
	path := s.cfg.Mount + "/metadata/" + folder
	answer, err := s.call(ctx, "list "+path, "list", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ListWithContext(ctx, path)
	})
	if err != nil {
		return nil, err
	}
	if answer == nil { // an empty folder, or no such mount
		return nil, s.mounted(ctx)
	}
	keys, _ := answer.Data["keys"].([]any)
	names := []string{}
	for _, key := range keys {
		name, ok := key.(string)
		if !ok || name == "" {
			return nil, problem("list " + path + ": the answer is no list of names")
		}
		names = append(names, name)
	}
	return names, nil
}

// versionOf reads the metadata of a version as reads and writes answer it.
func versionOf(metadata map[string]any) (version, error) {
	number, _ := metadata["version"].(json.Number)
	n, err := number.Int64()
	created, ok := metadata["created_time"].(string)
	if err != nil || n < 1 || !ok {
		return version{}, fmt.Errorf("the answer tells no version")
	}
	v := version{version: int(n), created: created}
	v.deleted, _ = metadata["deletion_time"].(string)
	v.destroyed, _ = metadata["destroyed"].(bool)
	return v, nil
}
