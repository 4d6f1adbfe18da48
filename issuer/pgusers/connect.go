// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
)

// Connect returns what opens connections with a key, to where base leads: for consumer.Connector. The user and the password of
// base are not used.
func Connect(base *pgx.ConnConfig) func(rotation.Key) (driver.Connector, error) {
	return func(key rotation.Key) (driver.Connector, error) {
		user := UserOf(key)
		if user == "" || key.Secret.IsZero() {
			return nil, problem("pgusers: Connect: a key with the user's name as ID, and a secret, is required")
		}
		c := base.Copy()
		c.User, c.Password = user, key.Secret.Reveal()
		return stdlib.GetConnector(*c), nil
	}
}

// Login is the Credential.Verifier: it logs in with the key. pg_hba.conf has to ask for a password there; "trust" accepts everything.
func Login(base *pgx.ConnConfig) verify.Login {
	return verify.Login{Open: Connect(base), Rejected: Rejected}
}

// Rejected reports whether a server has refused a login because of the key: a wrong password, or a user that does not exist, may not
// log in or is past VALID UNTIL. That pg_hba.conf has no line for where the login comes from bears one of the same codes, and
// says nothing of the key.
func Rejected(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	return answer.Code == "28P01" || answer.Code == "28000" && answer.Routine == "InitializeSessionUserId"
}
