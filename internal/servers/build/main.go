// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Command build builds the servers of package heavy, or those that its arguments name, unless they are there already:
//
//	go run github.com/handover-go/handover/internal/servers/build vault
//
// Each takes some minutes and up to 3 GB of Go's caches. Their modules come through the Go module proxy. Gitea needs git, and
// Kubernetes needs etcd, when they run.
package main

import (
	"cmp"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/servers/heavy"
)

func main() {
	log.SetFlags(0)
	names := os.Args[1:]
	if len(names) == 0 {
		for _, s := range heavy.Servers {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if err := build(name); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
}

func build(name string) error {
	s, err := heavy.Named(name)
	if err != nil {
		return err
	}
	folder, err := s.Folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder); err == nil {
		log.Printf("%s: it is in %s", name, folder)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	// Built beside and renamed: what is in the folder is whole.
	dir, err := os.MkdirTemp(filepath.Dir(folder), name+"-being-built-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	log.Printf("%s: building %s", name, s.Version)
	if err := buildIn(dir, s); err != nil {
		return err
	}
	if err := os.Rename(dir, folder); err != nil {
		return err
	}
	log.Printf("%s: built in %.0f s, in %s", name, time.Since(began).Seconds(), folder)
	return nil
}

func buildIn(dir string, s heavy.Server) error {
	servers, err := output("", "list", "-m", "-f", "{{.Dir}}", "github.com/handover-go/handover/internal/servers")
	if err != nil {
		return err
	}
	module := filepath.Join(servers, "heavy", s.Name)
	for _, program := range s.Programs {
		_, err := output(module, "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, path.Base(program)), program)
		if err != nil {
			return err
		}
	}
	for _, name := range s.Files {
		from, err := output(module, "list", "-m", "-f", "{{.Dir}}", s.Programs[0])
		if err != nil {
			return err
		}
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(from, name))); err != nil {
			return err
		}
	}
	return nil
}

// output runs the go command in a module by itself, or, in no folder, where this command was started.
func output(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	cmd.Env = os.Environ()
	if dir != "" {
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GOWORK=off")
	}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w", args[0], cmp.Or(dir, "the current folder"), err)
	}
	return strings.TrimSpace(string(out)), nil
}
