// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package servers starts real servers for the tests of this repository, with the programs that are installed.
//
//	s := servers.Postgres(t)
//	db, err := sql.Open("pgx", s.DSN(s.User, s.Password, "postgres"))
//
// Each call starts a server of the test's own: on 127.0.0.1, on a free port, with a folder and random passwords of its own. It
// returns when the server answers, and the server and its folder go when the test ends. In between the test can stop, kill and
// pause it; see [Process]. A server that is slow to start can be shared by the tests of a package; see [Shared].
//
// # What is missing
//
// PostgreSQL, MariaDB, Redis, slapd and etcd are looked for in PATH and in the places where Linux distributions put them. Where
// one is missing its tests are skipped with one line, or fail if HANDOVER_REQUIRE_SERVERS is 1.
//
// Vault, Kubernetes, Gitea and MinIO are built from their modules, which takes minutes, once:
//
//	go run github.com/handover-go/handover/internal/servers/build
//
// The programs are kept in the folder that HANDOVER_SERVERS names, else in handover-servers in the user's cache folder. While
// nobody has built one its tests are skipped, with HANDOVER_REQUIRE_SERVERS=1 too.
//
// With the flag -short no server is started, and the tests that need one are skipped.
package servers
