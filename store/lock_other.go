// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package store

import (
	"errors"
	"os"
)

const canLock = false

func tryLock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

func readOnly(error) bool { return false }
