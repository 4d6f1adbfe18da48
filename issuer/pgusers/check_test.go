// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/rotation"
)

// Each thing that is missing is named, to whoever asks before anything is issued.
func TestCheck(t *testing.T) {
	w := start(t)
	group := unique("group")
	table := unique("orders")
	w.do(t, "CREATE ROLE "+group+" NOLOGIN", "CREATE TABLE "+table+" (id int)", "GRANT SELECT ON "+table+" TO "+group)
	admin := w.adminName(t)

	i, a, b := w.pair(t)
	w.do(t, "GRANT "+group+" TO "+quoted(a)+", "+quoted(b))
	require.NoError(t, i.Check(t.Context()))
	var version int
	require.NoError(t, w.super.QueryRow("SELECT current_setting('server_version_num')::int").Scan(&version))
	apart, together := "ALTER ROLE "+admin+" NOINHERIT", "ALTER ROLE "+admin+" INHERIT"
	if version >= 160000 { // where each membership says whether it is inherited
		apart, together = "REVOKE INHERIT OPTION FOR "+a+" FROM "+admin, "GRANT "+a+" TO "+admin+" WITH INHERIT TRUE"
	}
	for _, c := range []struct {
		want   string
		spoil  string
		mend   string
		denied bool
	}{
		{`user "` + b + `" is no member of ` + group + `, as "` + a + `" is: GRANT ` + group + ` TO "` + b + `"`, "REVOKE " + group + " FROM " + b, "GRANT " + group + " TO " + b, false},
		{`user "` + b + `" has no rights on 1 object that "` + a + `" owns or was granted, for example table ` + table, "GRANT INSERT ON " + table + " TO " + a + "; REVOKE " + group + " FROM " + b, "REVOKE INSERT ON " + table + " FROM " + a + "; GRANT " + group + " TO " + b, false},
		{`user "` + a + `" has no rights on 1 object`, "CREATE SCHEMA owned AUTHORIZATION " + b, "DROP SCHEMA owned", false},
		{"differ in an attribute", "ALTER ROLE " + b + " CREATEDB", "ALTER ROLE " + b + " NOCREATEDB", false},
		{`user "` + a + `" lacks a setting of "` + b + `", or has another value (ALTER ROLE ... SET): search_path, statement_timeout`, "ALTER ROLE " + b + " SET search_path = app; ALTER ROLE " + b + " SET statement_timeout = 1000", "ALTER ROLE " + b + " RESET ALL", false},
		{`user "` + a + `" is a superuser`, "ALTER ROLE " + a + " SUPERUSER", "ALTER ROLE " + a + " NOSUPERUSER", true},
		{`lacks CREATEROLE`, "ALTER ROLE " + admin + " NOCREATEROLE", "ALTER ROLE " + admin + " CREATEROLE", true},
		{
			`cannot end sessions of user "` + a + `": GRANT pg_signal_backend TO "` + admin + `"`,
			"REVOKE pg_signal_backend FROM " + admin + "; " + apart, "GRANT pg_signal_backend TO " + admin + "; " + together, true,
		},
		{`lacks ADMIN OPTION on user "` + a + `": GRANT "` + a + `" TO "` + admin + `" WITH ADMIN OPTION`, "REVOKE ADMIN OPTION FOR " + a + " FROM " + admin, "GRANT " + a + " TO " + admin + " WITH ADMIN OPTION", true},
	} {
		t.Run(c.want, func(t *testing.T) {
			if version < 160000 && strings.Contains(c.want, "ADMIN OPTION") {
				t.Skip("before PostgreSQL 16 CREATEROLE is enough")
			}
			w.do(t, strings.Split(c.spoil, "; ")...)
			err := i.Check(t.Context())
			require.ErrorContains(t, err, c.want)
			if c.denied {
				require.ErrorIs(t, err, rotation.ErrDenied)
			}
			w.do(t, strings.Split(c.mend, "; ")...)
			require.NoError(t, i.Check(t.Context()))
		})
	}
	self, err := pgusers.New(pgusers.Config{DB: w.admin, Server: w.Addr, Users: []string{admin}})
	require.NoError(t, err)
	require.ErrorContains(t, self.Check(t.Context()), "the administrator is user")

	// The second user as a member of the first one can do what that can, and not the other way round.
	i, a, b = w.pair(t)
	w.do(t, "GRANT "+quoted(a)+" TO "+quoted(b), "GRANT SELECT ON "+table+" TO "+quoted(a))
	require.NoError(t, i.Check(t.Context()))
	w.do(t, "GRANT INSERT ON "+table+" TO "+quoted(b))
	require.NoError(t, i.Check(t.Context()), "privileges on an object are not compared")
}

// Two users that can both log in are a natural first attempt, in which no key can ever be issued.
func TestCheckBothLogIn(t *testing.T) {
	w := start(t)
	i, a, b := w.pair(t)
	w.byHand(t, a, "one")
	second := w.byHand(t, b, "two")
	require.EqualError(t, i.Check(t.Context()), `pgusers: Check: users "`+a+`" and "`+b+`" can both log in, and the one that is not in use has to be NOLOGIN: ALTER ROLE "`+b+`" NOLOGIN, or "`+a+`"`)
	w.login(t, second, "orders")
	require.ErrorContains(t, i.Check(t.Context()), `: "`+a+`" has no session open: if nobody uses it, ALTER ROLE "`+a+`" NOLOGIN`)
	w.do(t, "ALTER ROLE "+quoted(a)+" NOLOGIN")
	require.NoError(t, i.Check(t.Context()))
	first := mustIssue(t, i, second)
	require.NoError(t, i.Check(t.Context()), "both can, in the middle of a rotation")
	w.accepts(t, first)
	w.accepts(t, second)
}
