// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package vaultdb is a rotation.Issuer for dynamic roles of the database secrets engine of HashiCorp Vault, or of OpenBao, which has the
// same API: a key is a database user with a lease.
//
// # Is it what you need?
//
// A service that can talk to Vault takes a lease of its own, renews it, and takes the next one before it ends: then nothing has to be
// rotated, and no user is shared. This package is for those that cannot follow: they get a user and a password from a store, a
// file or an environment, and keep them. For them handover takes the leases, brings them to every consumer, and ends the old one when nobody
// uses it any more.
//
// Give the role a default_ttl that is long enough for that: nobody renews these leases. The engine rotates in time before ExpiresAt, but
// the time that consumers need has to fit in, and so has the time that it takes to repair what keeps a rotation from going on.
//
// # What to know
//
// Key.ID is the id of the lease, Key.Secret the password, and the attribute "user" the name of the user, which is another one each time.
// What one user has made in the database belongs to it, and keeps Vault from dropping it: Revoke then fails and is repeated, and the lease
// stays in the list. Let the role's creation_statements make the user a member of a group role and set that role at login:
//
//	CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE app;
//	ALTER ROLE "{{name}}" SET role app;
//
// Every lease ends with the token that took it (https://developer.hashicorp.com/vault/docs/concepts/lease). Use a periodic token
// (https://developer.hashicorp.com/vault/docs/concepts/tokens) that is renewed and stays, and do not rotate it: Check refuses one
// that ends for certain.
//
// A lease has no name, and to take one is not idempotent. If the answer is lost, a lease is left whose password nobody has. List shows it
// with the time when it was taken. With Config.Exclusive the engine knows it by that, and ends it; else a person is asked, and without
// an answer it ends with its ttl. A request that Vault refused or that never reached it is told from that (rotation.ErrNotIssued). As net/http
// repeats a GET when a connection breaks that was used before, each request for a lease has a connection of its own.
//
// Revoke waits until the user is dropped. Sessions that are open go on until they end, and replicas of the database follow with
// their own delay: state it in verification, not here. A user from before Vault has no lease and is dropped by hand: rotation.ErrManual.
//
// # The token
//
// Listing leases takes sudo on that path; Config.Mount is database and Config.Role app here:
//
//	path "database/creds/app" {
//	  capabilities = ["read"]
//	}
//	path "sys/leases/revoke" {
//	  capabilities = ["update"]
//	}
//	path "sys/leases/lookup" {
//	  capabilities = ["update"]
//	}
//	path "sys/leases/lookup/database/creds/app/" {
//	  capabilities = ["list", "sudo"]
//	}
//
// The default policy has the rest: auth/token/lookup-self and sys/capabilities-self.
//
// Checked with Vault 1.14.1 and PostgreSQL 15.
package vaultdb
