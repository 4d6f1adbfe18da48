// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package gitea makes and ends access tokens of one user of a Gitea server, with Gitea's own client, code.gitea.io/sdk/gitea, and
// makes the secrets of a webhook that Gitea sends (see [Hooks]). It is a module of its own and needs Go 1.26; the core needs 1.25:
//
//	go get github.com/handover-go/handover/issuer/gitea
//
// # What Gitea does
//
// A user has any number of tokens, each with a name, scopes and no end. A value is shown once, when the token is made. These facts
// are from the source of Gitea 1.26.0 (code.gitea.io/gitea v1.26.0), and each was seen at a running server of it:
//
//   - Tokens are made, listed and deleted with a login and a password (routers/api/v1/api.go, reqBasicOrRevProxyAuth); a token with
//     the scope write:user can take the password's place. Users with two factors need such a token, and so does a server that has
//     ENABLE_BASIC_AUTHENTICATION switched off.
//   - A second token of the same name is refused. One whose answer was lost is found by its name, and deleted, as its value is lost.
//   - A token is looked up in the database at every request (models/auth/access_token.go): it is accepted as soon as it was made, and
//     refused as soon as it was deleted.
//   - One thing outlives it. The container registry and the Conan repository give a pass of their own for a token
//     (services/packages/auth.go): who has one may read and write packages with it for 24 hours, also when the token is deleted, and
//     without moving last_used_at. Where a token that may do so has leaked, count these hours as part of the exposure. Where one is
//     used for packages, let Policy.Quiet be more than a day.
//   - A 401 is the answer to a wrong token, and also where the database does not answer while a living one is looked up
//     (routers/api/v1/api.go, apiAuth). Verify does not believe one 401: see there.
//     A busy Gitea asks for more connections than PostgreSQL has, and then answers so to its users too: let MAX_OPEN_CONNS of its
//     section [database] be less than PostgreSQL's max_connections.
//   - last_used_at is written before the request is answered, by the server's clock, in whole seconds, rounded down. It begins as the
//     time of creation, so that a use in the same second is not seen. Nothing is reported late. Let the clocks agree:
//     a server's that is slow makes a use look older than it is.
//   - GET /user, by which Verify sees whose token it is, needs the scope read:user. For tokens without it give Credential.Verifier a
//     verify.Probe of something that their scopes may read.
//   - A list comes in pages of at most 50, or what the server's MAX_RESPONSE_ITEMS says, sorted by the second of creation: tokens of
//     one second may change places between two pages. No Link header names the next page. X-Total-Count says how many there are, and
//     List is an error if it has not all of them.
//
// Forgejo speaks the same protocol and was not tried.
//
// # How to prepare
//
// Config.Admin is the user whose tokens they are, or an administrator of the site, with his password or a token in its place. There is
// no smaller permission: who may make tokens of a user may do whatever that user may, and an administrator's may do everything.
// This makes a site administrator for it, and prints the value of Config.Password. That one is not rotated by this package:
//
//	gitea admin user create --admin --must-change-password=false --username keys-admin --email keys-admin@example.com --random-password
//	gitea admin user generate-access-token --username keys-admin --token-name handover --scopes write:user --raw
//
// Best is one user for each credential: every token of Config.User is listed as this credential's, and those that this library did
// not make are reported and left alone. Put the token in use today into the store with its id (store.Seed): without
// it nobody can end it, nor see its use or its scopes. This tells the ids:
//
//	curl -u keys-admin:$GITEA_ADMIN_TOKEN https://git.example.com/api/v1/users/release-bot/tokens
package gitea
