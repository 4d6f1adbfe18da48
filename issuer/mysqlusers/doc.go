// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package mysqlusers rotates the passwords of MySQL and MariaDB users, in one of two ways. It is a module of its own, for Go 1.26 (handover
// itself asks for 1.25):
//
//	go get github.com/handover-go/handover/issuer/mysqlusers
//
// It needs MariaDB 10.4 or MySQL 8.0.14, or later.
//
// Two users with the same rights take turns (Config.Users names both): orders_a is in use, orders_b gets a new password and is
// unlocked, everybody moves to orders_b, and orders_a is locked until its turn comes. The user's name is the key's ID, so IDs come
// back, and what is left of an old key must never touch the new one in the same place: Revoke looks which password the account has.
//
// Or one user has two passwords at a time (Config.Users names one). MariaDB from 10.4 on keeps a list (IDENTIFIED VIA ... OR ...), MySQL
// from 8.0.14 on a second one (RETAIN CURRENT PASSWORD, DISCARD OLD PASSWORD). The key's ID is the user, a "#" and a fingerprint: log
// in as [UserOf] says, and not with the ID. Two users are the safer way where a leaked password must not live on in a session, as below.
//
// # Preparing
//
// An account that is not in use is locked: one that can log in may serve somebody, and is never taken over. For two users:
//
//	CREATE USER orders_a IDENTIFIED BY '...';     -- the one in use today
//	CREATE USER orders_b ACCOUNT LOCK;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON orders.* TO orders_a, orders_b;
//	CREATE USER rotator IDENTIFIED BY '...';
//	GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO rotator;    -- MySQL: CONNECTION_ADMIN
//	GRANT SELECT ON mysql.* TO rotator;                                -- tells which account has which password, and what it was granted
//
// [Issuer.Check] compares the two users and names what is missing, also for the administrator. Then store.Seed puts the password of
// today under rotation, as a key with ID "orders_a", or "orders" where it is one user; its value tells it from others. A view or
// routine whose definer is a user works on while that is locked.
//
// The fingerprint of a key, which records hold, is the beginning of a hash of what mysql_native_password stores. Of 32 random bytes it
// tells nothing; of a password that a person made up it confirms a guess, and its first rotation ends that.
//
// # Sessions
//
// A session outlives the password that it was opened with, and a lock too. So [Issuer.Revoke] ends the sessions of a user that loses its
// last password (KILL CONNECTION), in a standard rotation as in an emergency. Before, in a standard rotation, [Issuer.Disable] is the
// trial: it locks the account only while no session of it is open, and else tells from where there is one. A pool that nobody knew
// of holds the rotation up then and loses nothing. Bound the life of connections (sql.DB.SetConnMaxLifetime) and give that
// time, and a few seconds, as Binding.Lag.
//
// Of one user with two passwords no server tells which session was opened with which. There is no trial then, Revoke leaves the
// sessions alone, and who logged in with a leaked password stays: after an emergency a person calls [Issuer.EndSessions]. The proof that a
// password is dead is a few refused logins of that user (Policy.Proofs): FAILED_LOGIN_ATTEMPTS of MySQL and max_password_errors of
// MariaDB must allow for more, or the living password is locked out with the dead one.
//
// [Issuer.Sessions] is for the Verifier of a consumer that cannot tell by itself: it sees in information_schema.PROCESSLIST which user the
// open sessions are of. That list knows the present and no past. So List tells no use of keys, and nothing here ever claims that a
// user was not used.
//
// # Passwords
//
// A password is 32 random bytes in hexadecimal. Accounts with mysql_native_password or (MySQL) caching_sha2_password keep their plugin,
// others are refused. The server is sent a hash that is made here, so that no log holds the password, with one exception: MySQL takes the
// second password of a user only as it is (RETAIN CURRENT PASSWORD needs BY). MySQL hides it in its own logs; the connection of
// Config.DB has to be encrypted (tls in the DSN). MySQL 8.4 has mysql_native_password off, and 9 has none. A MariaDB that validates passwords
// by a plugin refuses hashes while strict_password_validation is on.
//
// MySQL: a second RETAIN would end the password in use, and one without it leaves the second one in place. Neither is sent where it
// would do harm; a password that the server has is never set again. Do not use both ways of an account by hand beside this package.
//
// # Time
//
// A change is seen by the next login on the primary (Traits.Propagation is none). Accounts are replicated as statements: give the
// longest lag of a replica that consumers log in to as Config.ReplicaLag. Changes of one user follow each other by GET_LOCK, which is
// of one server: with several primaries (Galera, group replication) have every rotator use the same one.
//
// # Sources
//
// MySQL 8.4 reference manual, https://dev.mysql.com/doc/refman/8.4/en/: alter-user.html (with Dual Password Support), password-management.html,
// account-locking.html. MariaDB documentation: ALTER USER, authentication from 10.4, mysql.global_priv. Tested with MariaDB 10.11.19 and
// go-sql-driver/mysql 1.10.1. No MySQL was at hand: what is done there is tested with a fake, its hashes with published ones, and all of it
// with a real one where HANDOVER_MYSQL_DSN names the administrator of one.
package mysqlusers
