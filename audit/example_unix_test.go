// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func Example() {
	base, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "trail")
	key := secret.Random(32) // keep it in a store, out of reach of whoever may write the folder

	trail, err := audit.Open(audit.Config{Dir: dir, Key: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	// In a program: rotation.Config{Sinks: []rotation.Sink{trail}, ...}
	for _, text := range []string{"issued key-4", "checkout was told", "key-3 was revoked"} {
		err := trail.Deliver(context.Background(), rotation.Event{ID: text, Credential: "payment", Text: text})
		if err != nil {
			fmt.Println(err)
		}
	}
	if err := trail.Close(); err != nil {
		fmt.Println(err)
	}
	known := trail.Head() // keep it elsewhere

	// The auditor has the public key and the head.
	public, err := audit.PublicKey(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	want := audit.Expect{Known: known, Keys: []ed25519.PublicKey{public}}
	report, err := audit.Check(os.DirFS(dir), want)
	fmt.Println(report.Events, "events, signed up to the last line:", report.Signed == report.Head, err)

	file := filepath.Join(dir, "trail-000000001.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	changed := strings.Replace(string(text), "checkout was told", "nobody was told", 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		fmt.Println(err)
	}
	_, err = audit.Check(os.DirFS(dir), want)
	var broken *audit.BrokenError
	if errors.As(err, &broken) {
		fmt.Printf("%s, line %d: %s\n", broken.File, broken.Line, broken.Why)
	}
	// Output:
	// 3 events, signed up to the last line: true <nil>
	// trail-000000001.jsonl, line 3: its hash is not that of its content: it was changed
}
