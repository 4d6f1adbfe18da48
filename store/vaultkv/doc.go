// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package vaultkv is a rotation.SecretStore in a KV version 2 secrets engine of HashiCorp Vault, or of OpenBao, which has the same API.
//
// # What lies where
//
// Each credential is one secret, at Config.Mount/Config.Prefix/name. Its readers know some of its fields, and need not know this library:
//
//	api_key                 the current value (Config.Current); changes when a key is promoted or rolled back, and at no other time
//	previous_key            the value before it while that is still accepted, then "" (Config.Previous)
//	rotated_at, rotated_by, rotation_verified_at, emergency_rotation, incident_reference
//	                        when, by whom, why (Config.Metadata)
//	handover                all keys with their values and roles, the next one included (Config.Document)
//	handover_destroyed      the version up to which the history is destroyed, or is to be
//
// Whoever may read the secret can read the next key, too. Attributes of the current key, such as a user name, have fields where
// Config.Attributes names them; one that the key does not have leaves its field alone. All other fields are kept as they are.
//
// A value that somebody writes over api_key by hand is seen: Load gives it as the current key, and the engine holds the rotation until a
// person says what it is. Use vault kv patch for that. vault kv put drops every other field, and the values of all other keys with them.
// A current key that is compromised is shown to nobody, and is taken out again where somebody writes it back.
//
// # History
//
// KV version 2 keeps old versions, ten by default. When a value leaves the store, Save writes a version without it, and then destroys all
// versions before that one, so that the value is nowhere any more. If Save is interrupted in between, or may not destroy, readers have the
// new state already, and Load gives the values that are still in the history as retiring keys, so that the engine saves again. What was in
// other fields of these versions goes with them. max_versions of 1 does no harm. delete_version_after does: Vault then takes away the
// only copy of a key (see Check).
//
// Each write names the version that it follows (check-and-set), so that two writers cannot lose each other's key, whether the mount
// has cas_required or not. See https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2 for both.
//
// # One node
//
// Performance standbys of Vault Enterprise answer reads by themselves, and late
// (https://developer.hashicorp.com/vault/docs/enterprise/consistency). So do standbys of OpenBao since 2.5, unless the server is configured with
// disable_standby_reads (https://openbao.org/docs/next/concepts/consistency/). A late answer looks like a lost key. So Load asks sys/health first
// and refuses a standby: let Config.Client talk to the active node. Behind a load balancer, that is one whose health check takes 200
// of sys/health and nothing else. Standbys that forward every request are safe: say so with Config.AnyNode.
//
// A Load is two requests, and a Save two or three; where another process wrote, one more looks whether the history was destroyed. None
// is repeated here, and the time that they may take is that of ctx, or of the Client's configuration if that is shorter. A sealed server, an ended token, a rate limit and a lost answer are errors after which the engine comes back.
//
// # The token
//
// It needs this much, and list on metadata/api-credentials/* for Names, which Rotator.Inspect and Rotator.Census ask. Those who only read the keys need read on data.
//
//	path "secret/data/api-credentials/*" {
//	  capabilities = ["create", "read", "update"]
//	}
//	path "secret/destroy/api-credentials/*" {
//	  capabilities = ["update"]
//	}
//
// The default policy has the rest: sys/capabilities-self and sys/internal/ui/mounts. The token is taken from the Client, or from Config.Token,
// before each request, so that it can be renewed, or itself be rotated, without a restart.
//
// # To begin
//
// Call store.Seed with the key in use, once. A secret that exists already, with the value in api_key and nothing of this library, stays as it
// is and gets the field handover beside the others, if the value given to Seed is the same; with another value Seed fails with
// rotation.ErrConflict. Without Seed the value is rotated too, but as a key without an ID, which a person has to end at the provider.
// What stands in previous_key by hand stays until the first promotion.
//
// Checked with Vault 1.14.1; the tests also run against a server of yours (HANDOVER_VAULT_ADDR, HANDOVER_VAULT_TOKEN).
package vaultkv
