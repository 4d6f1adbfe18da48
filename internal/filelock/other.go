// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filelock

import (
	"errors"
	"os"
)

// Supported reports whether this system has flock.
const Supported = false

// Try fails with errors.ErrUnsupported.
func Try(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }
