// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"database/sql/driver"
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
)

// Connect returns what opens connections with a key, to where base leads: for consumer.Connector. The user and the password of
// base are not used.
func Connect(base *mysql.Config) func(rotation.Key) (driver.Connector, error) {
	return func(key rotation.Key) (driver.Connector, error) {
		user := UserOf(key)
		if user == "" || key.Secret.IsZero() {
			return nil, problem("mysqlusers: Connect: a key with the user's name as ID, and a secret, is required")
		}
		c := base.Clone()
		c.User, c.Passwd = user, key.Secret.Reveal()
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, problem("mysqlusers: Connect: the driver refuses the configuration") // its error could quote it
		}
		return connector, nil
	}
}

// Login is the Credential.Verifier: it logs in with the key. The driver's log is quiet there: it would tell of each dead key that it
// asks about.
func Login(base *mysql.Config) verify.Login {
	quiet := base.Clone()
	quiet.Logger = &mysql.NopLogger{}
	return verify.Login{Open: Connect(quiet), Rejected: Rejected}
}

// Rejected reports whether a server has refused a login because of the key: a wrong password or no such user for that host, or a
// locked account. A host that may not connect at all says nothing of the key.
//
// An account that requires TLS refuses a login without it in the same words as a wrong password: look to base.
//
// A MySQL account with FAILED_LOGIN_ATTEMPTS locks itself under another number (3955): no refusal of the key either.
func Rejected(err error) bool {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Number {
	case 1045, // access denied, in both
		3118, // the account is locked, in MySQL
		4151: // the same, in MariaDB
		return true
	}
	return false
}
