// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package heavy lists the servers that are built from their modules, because they take minutes and are not installed from
// packages: what they are built of and where they are kept. The command in internal/servers/build builds them.
//
// Each has a folder here with a module of its own, which is no part of the workspace: what a server requires must not become
// what the workspace requires.
package heavy

import (
	"fmt"
	"os"
	"path/filepath"
)

// Server is a server that is built.
type Server struct {
	// Name is its folder beside this file.
	Name string
	// Version changes with everything that is built into it, so that it is built anew.
	Version string
	// Programs are the packages of its commands; each becomes a file by the last part of its path.
	Programs []string
	// Files are folders of the first program's module that it needs when it runs.
	Files []string
}

// Servers are all of them, the quickest to build first. The versions are pinned by the go.mod of each.
var Servers = []Server{
	{
		Name: "vault", Version: "1.14.1-1",
		Programs: []string{"github.com/handover-go/handover/internal/servers/heavy/vault"},
	},
	{
		Name: "minio", Version: "20260212-1",
		Programs: []string{"github.com/minio/minio"},
	},
	{
		Name: "gitea", Version: "1.26.0-1",
		Programs: []string{"code.gitea.io/gitea"},
		Files:    []string{"options", "public", "templates"},
	},
	{
		Name: "kubernetes", Version: "1.36.3-1",
		Programs: []string{"k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	},
}

// Named returns a server of the list.
func Named(name string) (Server, error) {
	for _, s := range Servers {
		if s.Name == name {
			return s, nil
		}
	}
	return Server{}, fmt.Errorf("heavy: no server is named %q", name)
}

// Cache returns the folder of what is built: HANDOVER_SERVERS, else handover-servers in the user's cache folder.
func Cache() (string, error) {
	if dir := os.Getenv("HANDOVER_SERVERS"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("heavy: set HANDOVER_SERVERS: %w", err)
	}
	return filepath.Join(dir, "handover-servers"), nil
}

// Folder returns where the server is kept, once it is built whole.
func (s Server) Folder() (string, error) {
	dir, err := Cache()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, s.Name+"-"+s.Version), nil
}
