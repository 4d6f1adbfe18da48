// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// installedPostgres returns the directory with the programs of the newest PostgreSQL of this machine; empty: there is none.
func installedPostgres() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, dir := range slices.Backward(dirs) {
		_, noInitdb := os.Stat(filepath.Join(dir, "initdb"))
		_, noServer := os.Stat(filepath.Join(dir, "postgres"))
		if noInitdb == nil && noServer == nil {
			return dir
		}
	}
	return ""
}

// database runs a private PostgreSQL: in a folder of its own, which it removes at the end, on a Unix socket there and no port.
// It says the DSN on its first line of output when the server answers. As a process of its own it outlives a parent that was
// killed for as long as it takes to tidy up.
func database(ctx context.Context, args []string) (err error) {
	bin := args[0]
	as, uid, gid, err := serverUser()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "handover-pg-") // short: the path of a socket has to be
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if uid != 0 {
		if err := os.Chown(dir, uid, gid); err != nil {
			return err
		}
	}
	data := filepath.Join(dir, "data")
	initialise := postgresCommand(filepath.Join(bin, "initdb"), as, dir, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
	if out, err := initialise.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	server := postgresCommand(filepath.Join(bin, "postgres"), as, dir, "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir)
	server.Stdout, server.Stderr = os.Stderr, os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	dsn := "postgres:///postgres?user=postgres&host=" + url.QueryEscape(dir)
	if err := answers(ctx, dsn, ended); err != nil {
		server.Process.Kill()
		return err
	}
	fmt.Println(dsn)
	select {
	case err := <-ended:
		return fmt.Errorf("PostgreSQL ended by itself: %w", err)
	case <-ctx.Done():
	}
	server.Process.Signal(syscall.SIGINT) // a fast shutdown: clients are disconnected
	return <-ended
}

func postgresCommand(program string, as *syscall.SysProcAttr, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.SysProcAttr = dir, as
	return cmd
}

// answers blocks until the server at dsn answers.
func answers(ctx context.Context, dsn string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("PostgreSQL does not start")
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
