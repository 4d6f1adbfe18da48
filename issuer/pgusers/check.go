// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"context"
	"fmt"
	"strings"

	"github.com/handover-go/handover/rotation"
)

// Check asks, without a change, whether the administrator may do all that is needed, and whether the second user can do what the
// first one can. Its error names everything that is missing:
//
//   - The server is the primary, and the administrator is none of the users.
//   - The users exist. The administrator may alter them: a superuser, or CREATEROLE, with ADMIN OPTION on both from PostgreSQL 16 on.
//   - It may end their sessions: a superuser, or a member of both or of pg_signal_backend.
//   - One of the users is NOLOGIN, unless this package has let it log in.
//   - Both users have the same attributes and settings (ALTER ROLE ... SET), are members of the same roles, and own or were granted
//     the same objects, in every database, by themselves or through a role. Which privileges they have on an object is not compared.
func (i *Issuer) Check(ctx context.Context) error {
	slots, err := i.slots(ctx)
	if err != nil {
		return err
	}
	missing, err := i.rights(ctx)
	if err != nil {
		return failed(ctx, "Check", "", err)
	}
	denied := len(missing) > 0
	if len(slots) == 2 {
		crowd, err := i.crowded(ctx, slots)
		if err != nil {
			return failed(ctx, "Check", "", err)
		}
		missing = append(missing, crowd...)
		for n := range slots {
			lacks, err := i.lacks(ctx, slots[n].user, slots[1-n].user)
			if err != nil {
				return failed(ctx, "Check", "", err)
			}
			missing = append(missing, lacks...)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var is []error
	if denied {
		is = append(is, rotation.ErrDenied)
	}
	return problem("pgusers: Check: "+strings.Join(missing, "; "), is...)
}

const rightsQuery = `SELECT pg_is_in_recovery(), current_user, current_setting('server_version_num')::int, a.rolsuper, a.rolcreaterole, u.rolsuper,
	pg_has_role(a.oid, u.oid, 'MEMBER WITH ADMIN OPTION'), pg_has_role(a.oid, u.oid, 'USAGE') OR pg_has_role(a.oid, 'pg_signal_backend', 'USAGE')
	FROM pg_roles a, pg_roles u WHERE a.rolname = current_user AND u.rolname = $1`

// rights names what the administrator must not be, or lacks.
func (i *Issuer) rights(ctx context.Context) ([]string, error) {
	var missing []string
	for _, user := range i.cfg.Users {
		var standby, super, creates, userSuper, admin, signals bool
		var me string
		var version int
		err := i.cfg.DB.QueryRowContext(ctx, rightsQuery, user).Scan(&standby, &me, &version, &super, &creates, &userSuper, &admin, &signals)
		if err != nil {
			return nil, err
		}
		switch {
		case standby:
			return []string{"the server is a standby: connect Config.DB to the primary"}, nil
		case me == user:
			missing = append(missing, fmt.Sprintf("the administrator is user %q itself: take another role for Config.DB", user))
		case super:
		case userSuper:
			missing = append(missing, fmt.Sprintf("user %q is a superuser, which only a superuser may alter", user))
		case !creates:
			missing = append(missing, fmt.Sprintf("the administrator (%q) lacks CREATEROLE", me))
		case version >= 160000 && !admin:
			missing = append(missing, fmt.Sprintf("the administrator lacks ADMIN OPTION on user %q: GRANT %s TO %s WITH ADMIN OPTION", user, identifier(user), identifier(me)))
		case !signals:
			missing = append(missing, fmt.Sprintf("the administrator cannot end sessions of user %q: GRANT pg_signal_backend TO %s", user, identifier(me)))
		}
	}
	return missing, nil
}

// crowded says that both users can log in, and neither of them by a key that was issued here: there is no place for a new one.
func (i *Issuer) crowded(ctx context.Context, slots []slot) ([]string, error) {
	var idle []string
	for _, s := range slots {
		if !s.login || s.mark.state == holding {
			return nil, nil
		}
		var open int
		if err := i.cfg.DB.QueryRowContext(ctx, "SELECT count(*)"+ofUser, s.user).Scan(&open); err != nil {
			return nil, err
		}
		if open == 0 {
			idle = append(idle, s.user)
		}
	}
	text := fmt.Sprintf("users %q and %q can both log in, and the one that is not in use has to be NOLOGIN", slots[0].user, slots[1].user)
	if len(idle) == 1 {
		text += fmt.Sprintf(": %q has no session open: if nobody uses it, ALTER ROLE %s NOLOGIN", idle[0], identifier(idle[0]))
	} else {
		text += fmt.Sprintf(": ALTER ROLE %s NOLOGIN, or %s", identifier(slots[1].user), identifier(slots[0].user))
	}
	return []string{text}, nil
}

const attributesQuery = `SELECT (a.rolsuper, a.rolinherit, a.rolcreaterole, a.rolcreatedb, a.rolreplication, a.rolbypassrls, a.rolconnlimit)
	= (b.rolsuper, b.rolinherit, b.rolcreaterole, b.rolcreatedb, b.rolreplication, b.rolbypassrls, b.rolconnlimit),
	coalesce((SELECT string_agg(DISTINCT split_part(line, '=', 1), ', ') FROM (SELECT setdatabase, unnest(setconfig) FROM pg_db_role_setting WHERE setrole = a.oid
		EXCEPT SELECT setdatabase, unnest(setconfig) FROM pg_db_role_setting WHERE setrole = b.oid) s (db, line)), '')
	FROM pg_roles a, pg_roles b WHERE a.rolname = $1 AND b.rolname = $2`

const rolesQuery = `SELECT coalesce(string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname), '') FROM pg_roles r
	WHERE r.rolname NOT IN ($1::name, $2::name) AND pg_has_role($1::name, r.oid, 'MEMBER') AND NOT pg_has_role($2::name, r.oid, 'MEMBER')`

// An owner can do everything that somebody with a grant can.
const objectsQuery = `SELECT count(DISTINCT (d.dbid, d.classid, d.objid, d.objsubid)), coalesce(min(pg_describe_object(d.classid, d.objid, d.objsubid)) FILTER (WHERE d.dbid IN (0, db.oid)), '')
	FROM pg_shdepend d, pg_database db WHERE db.datname = current_database()
	AND d.refclassid = 'pg_authid'::regclass AND d.deptype IN ('o', 'a') AND pg_has_role($1::name, d.refobjid, 'USAGE')
	AND NOT EXISTS (SELECT FROM pg_shdepend e WHERE e.dbid = d.dbid AND e.classid = d.classid AND e.objid = d.objid AND e.objsubid = d.objsubid
		AND e.refclassid = d.refclassid AND e.deptype IN ('o', d.deptype) AND pg_has_role($2::name, e.refobjid, 'USAGE'))`

// lacks names what user has and other has not.
func (i *Issuer) lacks(ctx context.Context, user, other string) ([]string, error) {
	var missing []string
	var attributes bool
	var settings string
	if err := i.cfg.DB.QueryRowContext(ctx, attributesQuery, user, other).Scan(&attributes, &settings); err != nil {
		return nil, err
	}
	if !attributes && user == i.cfg.Users[0] { // once is enough
		missing = append(missing, fmt.Sprintf("users %q and %q differ in an attribute (SUPERUSER, INHERIT, CREATEROLE, CREATEDB, REPLICATION, BYPASSRLS or CONNECTION LIMIT)", user, other))
	}
	if settings != "" {
		missing = append(missing, fmt.Sprintf("user %q lacks a setting of %q, or has another value (ALTER ROLE ... SET): %s", other, user, settings))
	}
	var roles string
	if err := i.cfg.DB.QueryRowContext(ctx, rolesQuery, user, other).Scan(&roles); err != nil {
		return nil, err
	}
	if roles != "" {
		missing = append(missing, fmt.Sprintf("user %q is no member of %s, as %q is: GRANT %s TO %s", other, roles, user, roles, identifier(other)))
	}
	var objects int
	var one string
	if err := i.cfg.DB.QueryRowContext(ctx, objectsQuery, user, other).Scan(&objects, &one); err != nil {
		return nil, err
	}
	if objects > 0 {
		missing = append(missing, fmt.Sprintf("user %q has no rights on %s that %q owns or was granted%s: give them to a role that both are members of",
			other, plural(objects, "object"), user, forExample(one)))
	}
	return missing, nil
}

func forExample(one string) string {
	if one == "" {
		return ""
	}
	return ", for example " + one
}
