// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Command quickstart rotates a live credential three times while three services use it, and proves what the library
// promises: nothing is mocked, only time is compressed by policy, from days to seconds.
//
//	go run ./examples/quickstart            from the root of the repository; needs Go, and Linux or macOS
//	go run ./examples/quickstart -json      one JSON object, for machines
//	go run ./examples/quickstart -seed 7    the same choices again: when the rotator is killed, who pays when
//
// It starts a payment gateway with an API for keys (folder keyservice), three services that pay through it (consumers.go),
// customers who never stop (traffic.go), and then, in a process of its own, the rotator (rotator.go: start reading there):
//
//  1. a standard rotation, in the middle of which the rotator is killed with SIGKILL and started again;
//  2. a rotation whose canary cannot live with the new key, and which rolls back;
//  3. an emergency: the key has leaked and has to die now.
//
// The exit status is 1 if a promise was broken.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/rotation"
)

func main() {
	child.Play(roles)
	asJSON := flag.Bool("json", false, "print one JSON object and nothing else")
	seed := flag.Uint64("seed", 0, "repeat the choices of a run; 0: new ones")
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(rand.IntN(1_000_000) + 1)
	}
	story := io.Writer(os.Stdout)
	if *asJSON {
		story = io.Discard
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	result, err := run(ctx, *seed, story)
	stop()
	if *asJSON && err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	for _, promise := range result.broken {
		fmt.Fprintln(os.Stderr, "broken promise:", promise)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
	}
	if err != nil || len(result.broken) > 0 {
		fmt.Fprintf(os.Stderr, "seed %d\n", *seed)
		os.Exit(1)
	}
}

// run plays the three acts.
func run(ctx context.Context, seed uint64, story io.Writer) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // it takes a good 20 s
	defer cancel()
	fmt.Fprintf(story, "seed %d\n\n%s", seed, legend)
	s, err := newStage(ctx, seed, story)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	var result Result
	for _, act := range []func(context.Context, *Result) error{s.standard, s.rollBack, s.emergency} {
		if err := act(ctx, &result); err != nil {
			return result, err
		}
	}
	result.table(story)
	return result, nil
}

// roles are what a child process of this program can be.
var roles = map[string]child.Role{
	"web": inWorld(func(ctx context.Context, w world, argv []string) error {
		args := flag.NewFlagSet("web", flag.ExitOnError)
		serial := args.Int64("serial", 0, "of the key to use; 0: the current one")
		args.Parse(argv)
		return web(ctx, w, *serial)
	}),
	"api":   inWorld(func(ctx context.Context, w world, _ []string) error { return api(ctx, w) }),
	"batch": inWorld(func(ctx context.Context, w world, _ []string) error { return batch(ctx, w) }),
	"rotate": inWorld(func(ctx context.Context, w world, argv []string) error {
		args := flag.NewFlagSet("rotate", flag.ExitOnError)
		trigger := args.String("trigger", "", "the same trigger never begins a second rotation")
		reason := args.String("reason", "", "why")
		args.Parse(argv)
		return rotate(ctx, w, *trigger, *reason)
	}),
	"emergency": inWorld(func(ctx context.Context, w world, argv []string) error {
		args := flag.NewFlagSet("emergency", flag.ExitOnError)
		reference := args.String("reference", "", "of the incident")
		reason := args.String("reason", "", "what leaked, and where")
		confirmed := args.String("confirmed", "", "when that was confirmed, RFC 3339")
		args.Parse(argv)
		at, err := time.Parse(time.RFC3339Nano, *confirmed)
		if err != nil {
			return err
		}
		return emergency(ctx, w, rotation.Incident{
			Reference: *reference, Credentials: []string{gateway}, Reason: *reason, ConfirmedAt: at,
		})
	}),
}

// inWorld gives a role the world that the parent handed over.
func inWorld(role func(ctx context.Context, w world, argv []string) error) child.Role {
	return func(ctx context.Context, argv []string) error {
		w, err := worldOfChild()
		if err != nil {
			return err
		}
		return role(ctx, w, argv)
	}
}
