// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package minio makes and ends access keys of one user of a MinIO server: what MinIO's API calls service accounts. It is a module of
// its own and needs Go 1.26; the core needs 1.25:
//
//	go get github.com/handover-go/handover/issuer/minio
//
// Requests are signed with github.com/minio/minio-go/v7 and sealed with github.com/secure-io/sio-go, as MinIO's API for administrators
// wants it. MinIO's client of that API, github.com/minio/madmin-go, is not used: since its version 2 it is under the GNU Affero General
// Public License, whose terms would be for every program that imports this package.
//
// # What MinIO does
//
// A user has any number of access keys. Each has a secret that the caller may choose, a policy of its own or the user's, an end or
// none, and can be disabled and enabled. The values are chosen here (Choose) and stored before MinIO hears of them, so that a lost
// answer loses no key. The name of the attempt becomes the description, which may have 256 bytes; the name of a key may have 32 only.
//
// These facts are from the source of RELEASE.2026-02-12 (github.com/minio/minio at 7aac2a2c5b7c, package cmd), and each was seen at
// a running server of that source:
//
//   - A disabled or deleted key is refused with InvalidAccessKeyId, a wrong secret with SignatureDoesNotMatch, at the next request.
//     Every request is signed, and no temporary credentials are made of an access key, so there is no session that outlives one.
//   - Links that were signed beforehand (presigned URLs) end with the key that signed them, and are refused while it is disabled. Where
//     a service gives such links away, let Policy.Overlap be as long as they are valid, seven days at most.
//   - A change of the status alone takes the key's policy away: it then may do whatever its user may. Disable and Enable here send the
//     policy along.
//   - The list of a user who does not exist is an empty list and no error. Check tells them apart.
//   - An administrator may end the keys of every user, and ending one takes nothing but its name. Here Revoke, Disable and Enable ask
//     first whose it is, and leave alone what is not Config.User's.
//   - Who may not delete a key is told that it is not there. Revoke's nil is not a proof; the engine asks Verify.
//   - A creation that is repeated is refused with the same words as one for a key of somebody else's. Here each call is one request, and
//     the engine has its own pace.
//   - A node tells the others of a change while it answers, and one that missed that reads all keys again after 5 to 15 minutes
//     (globalRefreshIAMInterval): see Config.Propagation.
//   - There is no record of when a key was last used. Whether the old one is still in use can be told by the consumers and by the
//     trial of Disable, and by nothing else here.
//
// Keys of users from LDAP or OpenID Connect, and servers replicated to another site, were not tried.
//
// # How to prepare
//
// Config.Credentials are those of an administrator with this policy: to make keys, to list them and to read their policies, to disable
// and enable them, to delete them.
//
//	{
//	  "Version": "2012-10-17",
//	  "Statement": [{
//	    "Effect": "Allow",
//	    "Action": [
//	      "admin:CreateServiceAccount",
//	      "admin:ListServiceAccounts",
//	      "admin:UpdateServiceAccount",
//	      "admin:RemoveServiceAccount"
//	    ]
//	  }]
//	}
//
// In a file handover.json it is given to a new user so:
//
//	mc admin policy create myminio handover handover.json
//	mc admin user add myminio handover
//	mc admin policy attach myminio handover --user handover
//
// These actions reach the keys of every user, also of root: MinIO knows no smaller permission, so guard these credentials as those of
// root. MinIO can be asked beforehand about the first two actions only. A user without any of them may make, list and delete access
// keys of his own, but not disable them.
//
// Best is one user for each credential: the keys of Config.User are all listed as this credential's, and those that this library did
// not make are reported and left alone. Put the access key in use today into the store with its id (rotation.Key.ID) and its secret
// (store.Seed).
package minio
