// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/hashicorp/vault/api"
)

// Check asks, without side effects, whether the mount is KV version 2, whether the node is active and unsealed, and whether the token has
// the capabilities that Load and Save need: read, create and update on the data of Config.CheckName, update on its destroy path. Each
// that is missing is named, with rotation.ErrDenied. Where the token may read the mount's configuration, it also refuses one that deletes
// versions after a time.
func (s *Store) Check(ctx context.Context) error {
	if err := s.active(ctx); err != nil {
		return err
	}
	if err := s.mounted(ctx); err != nil {
		return err
	}
	return errors.Join(s.capable(ctx), s.lasting(ctx))
}

// active refuses a node that may answer with what is not true any more.
func (s *Store) active(ctx context.Context) error {
	if s.cfg.AnyNode {
		return nil
	}
	var node *api.HealthResponse
	_, err := s.call(ctx, "read sys/health", "read", func(c *api.Client) (*api.Secret, error) {
		var err error
		node, err = c.WithNamespace("").Sys().HealthWithContext(ctx) // the root namespace has it, and nobody else
		return nil, err
	})
	switch {
	case err != nil:
		return err
	case node.Sealed:
		return &failure{text: "the server is sealed", status: http.StatusServiceUnavailable}
	case node.Standby || node.PerformanceStandby:
		return problem("this node is a standby, whose answers may be old: let Config.Client talk to the active node, " +
			"or set Config.AnyNode if the standbys forward every request")
	}
	return nil
}

// mounted refuses a mount that is none of KV version 2. Everybody who may use a mount may ask.
func (s *Store) mounted(ctx context.Context) error {
	path := "sys/internal/ui/mounts/" + s.cfg.Mount
	answer, err := s.call(ctx, "read "+path, "read", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, path)
	})
	if status(err) == http.StatusForbidden || err == nil && answer == nil { // it does not tell which
		return &failure{text: fmt.Sprintf("there is no mount %q, or the token may not use it", s.cfg.Mount+"/"), is: []error{rotation.ErrDenied}}
	}
	if err != nil {
		return err
	}
	options, _ := answer.Data["options"].(map[string]any)
	if at, _ := answer.Data["path"].(string); strings.Trim(at, "/") != s.cfg.Mount {
		return problem(fmt.Sprintf("the mount is %q, not %q: see Config.Mount and Config.Prefix", at, s.cfg.Mount+"/"))
	}
	if kind := answer.Data["type"]; kind != "kv" && kind != "generic" {
		return problem(fmt.Sprintf("the mount %q is none of KV version 2: %s", s.cfg.Mount+"/", "see Config.Mount"))
	}
	if options["version"] != "2" {
		return problem(fmt.Sprintf("the mount %q is KV version 1: %s", s.cfg.Mount+"/", notKV2))
	}
	return nil
}

// capable names the capabilities that the token lacks.
func (s *Store) capable(ctx context.Context) error {
	p := join(s.cfg.Prefix, s.cfg.CheckName)
	needs := []struct {
		path         string
		capabilities []string
	}{
		{s.cfg.Mount + "/data/" + p, []string{"create", "read", "update"}},
		{s.cfg.Mount + "/destroy/" + p, []string{"update"}},
	}
	paths := []string{}
	for _, n := range needs {
		paths = append(paths, n.path)
	}
	answer, err := s.call(ctx, "ask for the token's capabilities", "update", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, "sys/capabilities-self", map[string]any{"paths": paths})
	})
	if status(err) == http.StatusForbidden { // every policy that contains the default one allows it
		return &failure{text: "the token has ended, or its policies do not allow sys/capabilities-self", is: []error{rotation.ErrDenied}}
	}
	if err != nil {
		return err
	}
	if answer == nil {
		return problem("the server does not tell the token's capabilities")
	}
	var missing []string
	for _, n := range needs {
		granted, _ := answer.Data[n.path].([]any)
		for _, capability := range n.capabilities {
			if !slices.Contains(granted, any(capability)) && !slices.Contains(granted, any("root")) {
				missing = append(missing, capability+" on "+n.path)
			}
		}
	}
	if len(missing) > 0 {
		return &failure{text: "the token's policy lacks " + strings.Join(missing, ", "), is: []error{rotation.ErrDenied}}
	}
	return nil
}

// lasting refuses a mount that deletes versions by itself, as far as the token may see that.
func (s *Store) lasting(ctx context.Context) error {
	path := s.cfg.Mount + "/config"
	answer, err := s.call(ctx, "read "+path, "read", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, path)
	})
	if status(err) == http.StatusForbidden {
		return nil
	}
	if err != nil || answer == nil {
		return err
	}
	if after, ok := answer.Data["delete_version_after"].(string); ok && after != "0s" {
		return problem(fmt.Sprintf("the mount %q deletes versions after %s, and keys with them: set delete_version_after in %s to 0", s.cfg.Mount+"/", after, path))
	}
	return nil
}
