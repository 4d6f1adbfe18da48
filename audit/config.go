// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"path/filepath"

	"github.com/handover-go/handover/secret"
)

const defaultMaxBytes = 16 << 20

// Config is how a trail is written.
type Config struct {
	// Dir is the folder of the trail, on a local file system, and of nothing else. Required. It is made if it is missing; the folder
	// it lies in has to exist.
	Dir string

	// Name is what the trail is called in Identity. Empty: its folder, absolute. Replicas of one service, each of which writes a trail of
	// its own, give them one name: then an event is in one of them, and it does not matter in which.
	Name string

	// Key signs checkpoints: the seed of an Ed25519 key, 32 bytes in hexadecimal, as secret.Random(32) makes them. Zero: there
	// are no checkpoints. Give it from the first line on: Check with keys accepts no long stretch without one.
	Key secret.Value

	// Every is how many events come between two checkpoints. Zero: 256. There is another one at the end of each file and at Close.
	Every int

	// MaxBytes is the size at which the next file begins; a file is a few lines longer. Zero: 16 MiB. Negative: no limit.
	// Opening a trail reads its last two files.
	MaxBytes int64

	// Daily begins a file with the first event of each day, in UTC.
	Daily bool

	// SkipSync makes Deliver return before its line is on the disk. When the power fails, or the system, events that the
	// trail has taken may be gone, and Known heads with them. A process that dies loses nothing.
	SkipSync bool
}

// PublicKey is the public half of Config.Key, for Expect.Keys.
func PublicKey(key secret.Value) (ed25519.PublicKey, error) {
	private, err := privateKey(key)
	if err != nil {
		return nil, failf("audit: PublicKey: %w", err)
	}
	return private.Public().(ed25519.PublicKey), nil
}

func privateKey(key secret.Value) (ed25519.PrivateKey, error) {
	seed, err := hex.DecodeString(key.Reveal())
	if err != nil || len(seed) != ed25519.SeedSize { // err quotes a digit
		return nil, errors.New("key has to be 32 bytes in hexadecimal, 64 digits")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// trail fills in the defaults.
func (cfg Config) trail() (*Trail, error) {
	t := &Trail{cfg: cfg, busy: make(chan struct{}, 1), open: openFile}
	var errs []error
	if cfg.Dir == "" {
		errs = append(errs, failf("audit: Config.Dir is required"))
	}
	if !cfg.Key.IsZero() {
		key, err := privateKey(cfg.Key)
		if err != nil {
			errs = append(errs, failf("audit: Config.Key: %w", err))
		}
		t.key = key
	}
	if cfg.Every < 0 {
		errs = append(errs, failf("audit: Config.Every is negative"))
	}
	if cfg.Every == 0 {
		t.cfg.Every = defaultEvery
	}
	if cfg.MaxBytes == 0 {
		t.cfg.MaxBytes = defaultMaxBytes
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		errs = append(errs, failf("audit: Config.Dir: %w", err))
	}
	t.dir = dir
	return t, errors.Join(errs...)
}
