// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Command cijob rotates a credential without a daemon and without a database: in one short run after the other, each a process
// of its own, as a scheduled CI job or a line of cron starts them.
//
//	go run ./examples/cijob          from the root of the repository; needs Go, and Linux or macOS
//	go run ./examples/cijob -json    one JSON object, for machines
//	cijob -once                      one run: what a schedule starts, with its settings in the environment (job.go)
//
// The first one plays the schedule. It starts a key service, a service that uses a key of it all the time, and then runs of
// itself with -once, some of them, and prints what each says.
//
// A run opens the secret store and calls Sweep, which does everything that can be done now and never sleeps. The journal lies
// in the same store (journal.InStore), so nothing else has to outlive the run. Then it prints what is waited for, and when to
// come back: later costs nothing but time, sooner does no harm. Read job.go: that is all.
//
// As a scheduled job of GitHub Actions, with the program that job.go becomes in your repository:
//
//	name: rotate
//	on:
//	  schedule:
//	    - cron: "17 * * * *"
//	  workflow_dispatch:
//	concurrency: rotate          # two runs at a time do no harm, but the second one finds nothing to do
//	jobs:
//	  rotate:
//	    runs-on: ubuntu-latest
//	    timeout-minutes: 15
//	    permissions:
//	      contents: read
//	      id-token: write        # to log in to the secret store; no long-lived key lies in the repository
//	    steps:
//	      - uses: actions/checkout@v4
//	      - uses: actions/setup-go@v5
//	        with:
//	          go-version-file: go.mod
//	      - run: go run ./cmd/rotate
//
// As a line of cron:
//
//	17 * * * *  rotate  /usr/local/bin/rotate
//
// The exit status of a run is 0 if nothing is wrong and nothing needs a person: a rotation that waits is no failure. That of
// the whole example is 1 if a promise was broken.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	once := flag.Bool("once", false, "one run, as a schedule would start it")
	asJSON := flag.Bool("json", false, "print one JSON object and nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *once {
		err = job(ctx, os.Stdout)
	} else {
		err = show(ctx, *asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cijob:", err)
		os.Exit(1)
	}
}

// show plays the schedule and prints what came of it.
func show(ctx context.Context, asJSON bool) error {
	story := io.Writer(os.Stdout)
	if asJSON {
		story = io.Discard
	}
	result, err := play(ctx, story)
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	for _, promise := range result.Broken {
		err = errors.Join(err, errors.New("broken promise: "+promise))
	}
	return err
}
