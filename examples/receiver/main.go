// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Command receiver is a receiver of webhooks from three senders, in two replicas, whose secrets are rotated while deliveries
// arrive, and while an attacker forges them in every way there is. Nothing is mocked, only time is compressed by policy, from
// days to seconds.
//
//	go run ./examples/receiver            from the root of the repository; needs Go, and Linux or macOS
//	go run ./examples/receiver -json      one JSON object, for machines
//	go run ./examples/receiver -seed 7    the same choices again: who sends what, when
//
// Start reading in receiver.go, which is what a receiver needs, and rotator.go, which is what its rotator needs. The sender, with
// the API that such services have, is in sender.go, and the attacker in attacker.go. There are three acts:
//
//  1. a standard rotation of all three secrets: no delivery is lost;
//  2. one that is taken back, when the senders sign with the new secrets already: no delivery is lost;
//  3. an emergency: the secrets have leaked and are being used.
//
// The exit status is 1 if a promise was broken: a genuine delivery was lost in one of the first two acts, a forged one was
// verified, or one that was signed with a leaked secret was verified after its death.
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
)

func main() {
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
		fmt.Fprintln(os.Stderr, "receiver:", err)
	}
	if err != nil || len(result.broken) > 0 {
		fmt.Fprintf(os.Stderr, "seed %d\n", *seed)
		os.Exit(1)
	}
}

// run plays the three acts.
func run(ctx context.Context, seed uint64, story io.Writer) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // it takes about 15 s
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
	return result, s.metrics(ctx, story)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
