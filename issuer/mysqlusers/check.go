// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/handover-go/handover/rotation"
)

// Check asks, without a change, whether the administrator may do all that is needed, and whether the second user can do what the
// first one can. Its error names everything that is missing:
//
//   - The server takes changes, and one user can have two passwords there, if there is one: MariaDB 10.4, MySQL 8.0.14. It takes hashes.
//   - The administrator is none of the users, may read their accounts (SELECT on mysql.global_priv of MariaDB, on mysql.user of MySQL), and
//     has CREATE USER, PROCESS and CONNECTION ADMIN (or SUPER). Privileges that come from roles are not seen in MySQL.
//   - The users exist, their names belong to one account each, and their passwords are of a plugin that this package knows.
//   - No user that is not locked has an empty password.
//   - Both users were granted the same (SHOW GRANTS). What MySQL tells elsewhere is not compared: default roles, REQUIRE and limits.
func (i *Issuer) Check(ctx context.Context) error {
	accounts, err := i.accounts(ctx)
	if err != nil {
		return err
	}
	missing, denied, err := i.rights(ctx)
	if err != nil {
		return failed(ctx, "Check", "", err)
	}
	for _, a := range accounts {
		lacks, err := i.unfit(ctx, a)
		if err != nil {
			return failed(ctx, "Check", "", err)
		}
		missing = append(missing, lacks...)
	}
	if !i.dual() {
		differ, err := i.differ(ctx, accounts)
		if err != nil {
			return failed(ctx, "Check", "", err)
		}
		missing = append(missing, differ...)
	}
	if len(missing) == 0 {
		return nil
	}
	var is []error
	if denied {
		is = append(is, rotation.ErrDenied)
	}
	return problem("mysqlusers: Check: "+strings.Join(missing, "; "), is...)
}

// rights names what the server or the administrator must not be, or lacks.
func (i *Issuer) rights(ctx context.Context) (missing []string, denied bool, err error) {
	var version, me string
	var readOnly bool
	if err := i.cfg.DB.QueryRowContext(ctx, "SELECT VERSION(), CURRENT_USER(), @@global.read_only <> 'OFF' AND @@global.read_only <> '0'").Scan(&version, &me, &readOnly); err != nil {
		return nil, false, err
	}
	if readOnly {
		missing = append(missing, "the server is read only: connect Config.DB to the primary")
	}
	if i.dual() && !twoPasswords(version) {
		missing = append(missing, "a user of this server has one password: two users are needed in Config.Users")
	}
	if strings.Contains(version, "MariaDB") {
		var strict bool
		if err := i.cfg.DB.QueryRowContext(ctx, strictQuery).Scan(&strict); err != nil {
			return nil, false, err
		}
		if strict {
			missing = append(missing, "the server refuses hashes, which a plugin that validates passwords cannot look into: SET GLOBAL strict_password_validation = OFF")
		}
	}
	user, host, _ := strings.Cut(me, "@")
	if slices.Contains(i.cfg.Users, user) {
		missing = append(missing, fmt.Sprintf("the administrator is user %q itself: take another account for Config.DB", user))
	}
	rows, err := i.cfg.DB.QueryContext(ctx, "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ?", "'"+user+"'@'"+host+"'")
	if err != nil {
		return nil, false, err
	}
	has, err := texts(rows)
	if err != nil {
		return nil, false, err
	}
	for _, need := range [][]string{{"CREATE USER"}, {"PROCESS"}, {"CONNECTION ADMIN", "CONNECTION_ADMIN", "SUPER"}} {
		if !slices.ContainsFunc(need, func(p string) bool { return slices.Contains(has, p) }) {
			missing, denied = append(missing, fmt.Sprintf("the administrator (%q) lacks %s", me, need[0])), true
		}
	}
	return missing, denied, nil
}

// strictQuery is of MariaDB.
const strictQuery = "SELECT @@GLOBAL.strict_password_validation AND EXISTS (SELECT * FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE')"

var versionParts = regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)`)

// twoPasswords reports whether a server of a version keeps two passwords of a user.
func twoPasswords(version string) bool {
	// Behind some proxies a MariaDB calls itself "5.5.5-10.11.19-MariaDB".
	p := versionParts.FindStringSubmatch(strings.TrimPrefix(version, "5.5.5-"))
	if p == nil {
		return false
	}
	least := []int{8, 0, 14}
	if strings.Contains(version, "MariaDB") {
		least = []int{10, 4, 0}
	}
	var is []int
	for _, text := range p[1:] {
		n, _ := strconv.Atoi(text) // digits
		is = append(is, n)
	}
	return slices.Compare(is, least) >= 0
}

// unfit names what is wrong with an account.
func (i *Issuer) unfit(ctx context.Context, a account) ([]string, error) {
	var missing []string
	var same int
	if err := i.cfg.DB.QueryRowContext(ctx, "SELECT COUNT(*) FROM mysql.user WHERE User = ?", a.user).Scan(&same); err != nil {
		return nil, err
	}
	if same > 1 {
		missing = append(missing, fmt.Sprintf("%d accounts have the name %q, for different hosts: their sessions cannot be told apart", same, a.user))
	}
	if !i.dual() && len(a.entries) > 1 {
		missing = append(missing, fmt.Sprintf("user %q has two passwords: where users take turns each has one", a.user))
	}
	for _, e := range a.entries {
		switch {
		case e.plugin != native && (e.plugin != sha2 || a.maria):
			missing = append(missing, fmt.Sprintf("user %q has a password of plugin %s: change it to %s", a.user, e.plugin, usable(a.maria)))
		case e.auth == "" && !a.locked:
			missing = append(missing, fmt.Sprintf("user %q logs in with an empty password: give it one, or lock the account", a.user))
		}
	}
	return missing, nil
}

// identifiedPart is what MariaDB tells of passwords in SHOW GRANTS.
var identifiedPart = regexp.MustCompile(` IDENTIFIED (?:BY PASSWORD|VIA|WITH)(?: \w+(?: (?:USING|AS))?)? '[^']*'(?: OR \w+(?: (?:USING|AS) '[^']*')?)*| IDENTIFIED VIA \w+`)

const anyUser = "<user>"

// grants are the lines of SHOW GRANTS, without what tells accounts apart.
func (i *Issuer) grants(ctx context.Context, a account) ([]string, error) {
	rows, err := i.cfg.DB.QueryContext(ctx, "SHOW GRANTS FOR "+a.name())
	if err != nil {
		return nil, err
	}
	lines, err := texts(rows)
	for n, line := range lines {
		line, _, _ = strings.Cut(identifiedPart.ReplaceAllString(line, ""), " IDENTIFIED ") // of a form that is not known
		lines[n] = strings.NewReplacer(a.name(), anyUser, a.ansiName(), anyUser).Replace(line)
	}
	return lines, err
}

// differ names what one user was granted and the other was not.
func (i *Issuer) differ(ctx context.Context, accounts []account) ([]string, error) {
	var all [2][]string
	for n, a := range accounts {
		var err error
		if all[n], err = i.grants(ctx, a); err != nil {
			return nil, err
		}
	}
	var missing []string
	for n, a := range accounts {
		other := accounts[1-n]
		for _, line := range all[1-n] {
			if !slices.Contains(all[n], line) {
				missing = append(missing, fmt.Sprintf("user %q lacks what %q has: %s", a.user, other.user, strings.ReplaceAll(line, anyUser, a.name())))
			}
		}
	}
	return missing, nil
}

// texts reads rows of one column.
func texts(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}
