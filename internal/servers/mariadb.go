// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"
)

// MariaDBServer is a MariaDB. Its users come from 127.0.0.1, which is also what it calls them: names are not resolved.
type MariaDBServer struct {
	*Process
	Addr     string // host:port
	User     string // has all privileges, and may grant them
	Password string
}

// MariaDB starts a MariaDB with a database named "test", which takes some four seconds.
func MariaDB(t testing.TB) *MariaDBServer {
	t.Helper()
	folders := []string{"/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/opt/homebrew/bin"}
	path, ok := find([]string{"mariadbd"}, folders...)
	install, installed := find([]string{"mariadb-install-db"}, "/usr/bin", "/opt/homebrew/bin")
	if !ok || !installed {
		missing(t, notFound("MariaDB (mariadbd, mariadb-install-db)"))
	}
	s := &MariaDBServer{Process: newProcess(t, "mariadb", path, "mysql", "nobody"), User: "admin", Password: rand.Text()}
	var port string
	s.Addr, port = freeAddr(t)
	data := s.folder("data")
	s.env = []string{"TMPDIR=" + s.dir}
	s.run(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	// Read at every start, before the port is open.
	admin := s.file("init.sql", fmt.Sprintf("CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';\n"+
		"GRANT ALL PRIVILEGES ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n"+
		"CREATE DATABASE IF NOT EXISTS test;\nDROP USER IF EXISTS ''@'localhost';\n", s.User, s.Password))
	s.args = []string{
		"--no-defaults", "--datadir=" + data, "--port=" + port, "--bind-address=127.0.0.1", "--socket=" + s.dir + "/s",
		"--pid-file=" + s.dir + "/pid", "--init-file=" + admin, "--skip-name-resolve", "--tmpdir=" + s.dir,
		"--innodb-flush-log-at-trx-commit=0", "--max-connections=300",
	}
	s.ready = s.greets
	s.Start()
	return s
}

// greets reads the first packet, which a server sends by itself: 3 bytes of length, a number, and the version of the protocol.
func (s *MariaDBServer) greets(ctx context.Context) error {
	c, err := dial(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var packet [5]byte
	if _, err := io.ReadFull(c, packet[:]); err != nil {
		return err
	}
	if packet[4] != 10 {
		return errors.New("this is no MariaDB")
	}
	return nil
}

// DSN returns the name of a database for a user, as github.com/go-sql-driver/mysql reads it. Parameters can follow as
// "?name=value".
func (s *MariaDBServer) DSN(user, password, database string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", user, password, s.Addr, database)
}
