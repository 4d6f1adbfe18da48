// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package consumer

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
)

const signals = false

var (
	hangUp os.Signal // not used: see signals
	probe  os.Signal
)

func ownGroup(*exec.Cmd) {} // the context's end kills the process alone

func keepOwner(*os.File, fs.FileInfo) error { return nil }

var oneAtATime = make(chan struct{}, 1) // what changes a file, in this process

// lockDir keeps others in this process out of what they would change in any folder: there is no lock on a folder here.
func lockDir(ctx context.Context, _ string) (unlock func(), err error) {
	select {
	case oneAtATime <- struct{}{}:
		return func() { <-oneAtATime }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func syncDir(string) error { return nil } // a folder cannot be synced here
