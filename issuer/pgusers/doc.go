// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package pgusers rotates the passwords of PostgreSQL users. It is a module of its own, for Go 1.26 (handover itself asks for 1.25):
//
//	go get github.com/handover-go/handover/issuer/pgusers
//
// A PostgreSQL role has one password, and ALTER ROLE ... PASSWORD ends the old one at once. Two passwords at a time take two roles
// with the same rights: they take turns. Orders_a is in use, orders_b gets a new password and may log in, everybody moves to
// orders_b, and orders_a may log in no more until its turn comes. The user's name is the key's ID, so IDs come back, and what is
// left of an old key must never touch the new one in the same place: the end of each user's comment (COMMENT ON ROLE) tells the
// name of the key that it holds, "[handover: key orders-db-v4-k7q2m9]". Leave that to this package; but
// whoever has to set a password by hand takes it away as well (COMMENT ON ROLE orders_a IS NULL), as that is another key, and ends the
// sessions of the old one if it is compromised. Before a user is switched off for a key whose value is known, that value is tried by a login
// at the server of Config.DB, so that a password set by hand stays, with the comment forgotten too. That takes a pg_hba.conf that asks for
// scram-sha-256 or md5 there, and a Config.DB of pgx that nothing is wrapped around; without them the comment alone decides.
//
// # Preparing
//
// Put the rights on a role that nobody logs in with, and have what the users make belong to it. A user that is not in use is
// NOLOGIN: one that can log in may serve somebody, and is never taken over.
//
//	CREATE ROLE orders NOLOGIN;                                    -- owns the tables, or was granted them
//	CREATE ROLE orders_a LOGIN PASSWORD '...' IN ROLE orders;      -- the one in use today
//	CREATE ROLE orders_b NOLOGIN IN ROLE orders;
//	ALTER ROLE orders_a SET role = orders;                         -- new tables belong to orders
//	ALTER ROLE orders_b SET role = orders;
//	CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '...';
//	GRANT pg_signal_backend TO rotator;
//	GRANT orders_a, orders_b TO rotator WITH ADMIN OPTION;         -- needed from PostgreSQL 16 on
//	CREATE SCHEMA AUTHORIZATION rotator;                           -- for a journal of the rotator's in this database
//
// The user that is not in use must be NOLOGIN: one that can log in counts as a key in use.
//
// pg_hba.conf has to let both in. Before PostgreSQL 16 CREATEROLE reaches every role that is no superuser: guard the rotator's
// password as you would a superuser's, or rotate it too.
//
// [Issuer.Check] compares the two users and names what is missing, also for the administrator. Then store.Seed puts the password of
// today under rotation, as a key with ID "orders_a" and the attribute "user" of the same value. The user changes with
// every rotation: readers of the store need it beside the password (Config.Attributes of store/vaultkv, Config.Fields of
// others, with "user"). An application that has "orders" itself as its user moves to orders_a by
// hand first, or that user is one of the two.
//
// # Sessions
//
// A session outlives the password that it was opened with, and NOLOGIN too. So [Issuer.Revoke] ends the sessions of a user that
// loses its password (pg_terminate_backend), in a standard rotation as in an emergency. Before, in a standard rotation, [Issuer.Disable] is
// the trial: it makes the user NOLOGIN only while no session of it is open, and else names the application that has one. A pool that
// nobody knew of holds the rotation up then and loses nothing. Bound the life of connections (sql.DB.SetConnMaxLifetime) and
// give that time, and a few seconds, as Binding.Lag.
//
// [Issuer.Sessions] is for the Verifier of a consumer that cannot tell by itself: it sees in pg_stat_activity which user the open
// sessions of an application are of. That view knows the present and no past. So List tells no use of keys, and nothing here
// ever claims that a user was not used: a job that connects once a day is seen by nobody in between.
//
// # Passwords
//
// A password is 32 random bytes in hexadecimal. The server is sent its SCRAM-SHA-256 verifier, computed here, which is what it stores: no
// log of statements and no pg_stat_statements holds the password. Clients need SCRAM, which all of them have since 2018. pg_hba.conf has to
// ask for a password where keys are verified: "trust" accepts everything, and no key could be proven dead. What keeps passwords of its
// own, a PgBouncer with a userlist.txt, has to be a consumer.
//
// # Time
//
// A change is seen by the next login on the primary (Traits.Propagation is none). Roles reach a standby with its WAL: give the longest
// lag of one that consumers log in to as Config.ReplicaLag. Logical replication does not carry roles at all.
//
// # One user
//
// With one user in Config.Users there is no overlap: Issue ends the old password and its sessions (Traits.KillsOld), and every
// consumer fails until it has the new one. Standard rotations are refused unless rotation.Policy.AllowOutage allows that.
//
// # Sources
//
// The PostgreSQL documentation, https://www.postgresql.org/docs/15/: sql-alterrole.html and sql-createrole.html (one password, VALID
// UNTIL, a verifier is stored as it is), catalog-pg-authid.html (its form), auth-pg-hba-conf.html, catalog-pg-shdepend.html,
// functions-admin.html (pg_terminate_backend), monitoring-stats.html (pg_stat_activity); and the release notes of 16 (CREATEROLE
// needs ADMIN OPTION). Tested with PostgreSQL 15.18 and 18.4, and pgx 5.12.
package pgusers
