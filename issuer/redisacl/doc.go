// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package redisacl rotates the password of an ACL user of Redis or Valkey: [Issuer] gives the user a second password beside the
// one in use, and takes the old one away when nobody presents it any more.
//
// # What the server does
//
// An ACL user has a set of passwords, of which every one is accepted. ACL SETUSER user #hash adds one by its SHA-256 and !hash takes one
// away (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/). Only hashes are sent, so no value is in MONITOR,
// in the slow log, in ACL LOG, in the ACL file or in an error of the server, which quotes what it did not understand.
// What follows was seen with Redis 7.0.15; Valkey speaks the same protocol. Redis 6 is enough, with fewer checks: it has no ACL DRYRUN.
//
//   - ACLs belong to one server. They are not replicated, and a cluster does not share them. Config.Nodes names every primary
//     and every replica that accepts the user; each is told, and only what all of them say counts.
//   - Changes are in memory until they are saved. With an aclfile Issue and Revoke end with ACL SAVE. Without one they end with
//     CONFIG REWRITE, which also writes whatever else was changed with CONFIG SET. A server that has neither an aclfile nor a
//     configuration file forgets passwords when it restarts: Issue refuses it unless Config.AllowVolatile is set.
//   - A connection stays logged in when its password is taken away, and the server does not tell which password it came with. So Revoke
//     closes every connection of the user (CLIENT KILL USER). By then consumers hold the new password and log in again;
//     a command on its way fails once, as it does when a server restarts. A pool that keeps presenting the old password gets WRONGPASS:
//     give it the password of a consumer.Handle for each new connection, as the example does. The handle follows the store once a
//     minute (consumer.Source.Every) unless its binding tells it: in an emergency a pool of a process that is not bound fails for so long.
//   - ACL SETUSER makes a user that does not exist, switched off. Issue looks first and makes no user.
//   - A user with nopass accepts any password, and adding one ends that: whoever logs in without is then out. It is refused.
//
// # Ids
//
// A key's ID is the beginning of the SHA-256 of its value, 12 hexadecimal digits. Of 32 random bytes, which is what Choose makes,
// that tells nothing useful. Of a password that a person made up it confirms a guess, as the ACL file does: rotate
// it first. The server keeps neither names nor times, nor does it tell when a password was last used.
//
// # When nodes disagree
//
// Issue takes a password back, and saves that, where it could not be added to every node. If the process dies in that moment, or a
// node that hung goes on later, some nodes have the password and others have not. Verify then says neither yes nor no and names
// the nodes, the rotation waits, and its status says why. Add the password to the nodes that refuse it (ACL SETUSER user #hash) or take it
// from the others (!hash), and the rotation goes on by itself: the ID is the beginning of the hash that ACL GETUSER shows.
//
// # How to prepare
//
// Make the user on every node, and an administrator that is another user:
//
//	ACL SETUSER app on >its-first-password ~app:* +@all -@dangerous
//	ACL SETUSER handover on >another +acl|getuser +acl|setuser +acl|save +acl|whoami +acl|dryrun +client|kill +config|get +config|rewrite +info
//
// The administrator can give any user any right: ACL SETUSER knows no smaller permission. config|rewrite is for servers without an aclfile,
// acl|save for those with one. Check names what is missing. Every refused login is a line in ACL LOG, which Verify adds to when it
// proves that an old password is dead.
//
// Then put the password in use under rotation with store.Seed, with the ID that [ID] makes of it. Managed services that forbid ACL
// SETUSER (Amazon ElastiCache and MemoryDB, Azure) have an API of their own for the same two passwords.
package redisacl
