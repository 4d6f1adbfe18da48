// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb

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

// Check asks, without side effects, whether the node is unsealed and active, whether the token has what Issue, Revoke and List need, each
// that is missing being named with rotation.ErrDenied, and whether it lasts. Where the token may read the role, it has to be there.
func (i *Issuer) Check(ctx context.Context) error {
	if err := i.active(ctx); err != nil {
		return err
	}
	if err := i.lasting(ctx); err != nil {
		return err
	}
	return errors.Join(i.capable(ctx), i.role(ctx))
}

// active refuses a node whose leases may be old ones.
func (i *Issuer) active(ctx context.Context) error {
	if i.cfg.AnyNode {
		return nil
	}
	var node *api.HealthResponse
	_, err := i.call(ctx, i.client, "read sys/health", "read", func(c *api.Client) (*api.Secret, error) {
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

// lasting refuses a token that has an end which nobody can put off: its leases end with it.
func (i *Issuer) lasting(ctx context.Context) error {
	answer, err := i.call(ctx, i.client, "look the token up", "read on auth/token/lookup-self", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, "auth/token/lookup-self")
	})
	if status(err) == http.StatusForbidden { // every policy that contains the default one allows it
		return &failure{text: "the token has ended, or its policies do not allow auth/token/lookup-self", is: []error{rotation.ErrDenied}}
	}
	if err != nil {
		return err
	}
	if answer == nil {
		return problem("look the token up: the answer is empty")
	}
	end, _ := answer.Data["expire_time"].(string) // null: never
	renewable, _ := answer.Data["renewable"].(bool)
	if end != "" && !renewable {
		return problem("the token ends at " + end + " and cannot be renewed, and every user made with it ends then: use a periodic one that is renewed")
	}
	if limit := seconds(answer.Data["explicit_max_ttl"]); limit > 0 {
		return problem(fmt.Sprintf("the token ends %v after it was made, and every user made with it ends then: use a periodic one without explicit_max_ttl", limit))
	}
	return nil
}

// capable names the capabilities that the token lacks.
func (i *Issuer) capable(ctx context.Context) error {
	needs := []struct {
		path         string
		capabilities []string
	}{
		{i.path(), []string{"read"}},
		{"sys/leases/revoke", []string{"update"}},
		{"sys/leases/lookup", []string{"update"}},
		{"sys/leases/lookup/" + i.path() + "/", []string{"list", "sudo"}},
	}
	paths := []string{}
	for _, n := range needs {
		paths = append(paths, n.path)
	}
	answer, err := i.call(ctx, i.client, "ask for the token's capabilities", "update on sys/capabilities-self", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, "sys/capabilities-self", map[string]any{"paths": paths})
	})
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

// role refuses a role that is not there, or that makes something else than passwords, as far as the token may see it.
func (i *Issuer) role(ctx context.Context) error {
	path := i.cfg.Mount + "/roles/" + i.cfg.Role
	answer, err := i.call(ctx, i.client, "read "+path, "read", func(c *api.Client) (*api.Secret, error) {
		return c.Logical().ReadWithContext(ctx, path)
	})
	switch {
	case status(err) == http.StatusForbidden:
		return nil
	case err != nil:
		return err
	case answer == nil:
		return &failure{text: "there is no role " + path, is: []error{rotation.ErrNotFound}}
	}
	if kind, ok := answer.Data["credential_type"].(string); ok && kind != "password" {
		return problem(fmt.Sprintf("the role %s makes %s and not passwords", path, kind))
	}
	return nil
}
