// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Command operator is what a platform team would deploy: a service that rotates all credentials of a company, in three
// replicas without a leader. It rotates 300 of them once, while the services that use them never stop, and while two replicas
// are killed with SIGKILL in the middle of it.
//
//	go run ./examples/operator             from the root of the repository; needs Go, and Linux or macOS
//	go run ./examples/operator -n 50       fewer credentials
//	go run ./examples/operator -json       one JSON object, for machines
//	go run ./examples/operator -seed 7     the same choices again: who is killed when
//	go run ./examples/operator -linger     everything stays up afterwards, to look at the status page
//
// The journal is in a PostgreSQL that the program starts for itself, in a private folder, if one is installed; otherwise, or
// with -sqlite, in a SQLite file. Read replica.go first: it is the service. The rest is the world around it:
//
//   - inventory.go: the credentials, their types, risks, contacts and users,
//   - provider.go: who issues keys, and counts every request with one,
//   - host.go: the services, on two hosts, which follow the secret store and never stop calling the provider,
//   - notices.go: who is told what happens, by signed webhooks,
//   - stage.go: starts all this, and kills replicas; verdict.go: looks whether every promise was kept.
//
// The exit status is 1 if one was broken.
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
)

// roles are what a child process of this program can be.
var roles = map[string]child.Role{"replica": replica, "host": host, "database": database}

func main() {
	child.Play(roles)
	var o options
	asJSON := flag.Bool("json", false, "print one JSON object and nothing else")
	flag.IntVar(&o.n, "n", 300, "credentials to rotate")
	flag.Uint64Var(&o.seed, "seed", 0, "repeat the choices of a run; 0: new ones")
	flag.BoolVar(&o.sqlite, "sqlite", false, "keep the journal in SQLite, though PostgreSQL is installed")
	flag.BoolVar(&o.linger, "linger", false, "stay up until Ctrl-C")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(rand.IntN(1_000_000) + 1)
	}
	o.story = os.Stdout
	if *asJSON {
		o.story = io.Discard
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	result, err := run(ctx, o)
	stop()
	if *asJSON && err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
	}
	if err != nil || len(result.Broken) > 0 {
		fmt.Fprintf(os.Stderr, "seed %d\n", o.seed)
		os.Exit(1)
	}
}

// options of a run.
type options struct {
	n      int
	seed   uint64
	sqlite bool
	linger bool
	story  io.Writer
}

// patience is how long everything may take. With 300 credentials it takes about a minute on two cores that are free.
const patience = 10 * time.Minute

// run rotates every credential once and looks at what became of it.
func run(ctx context.Context, o options) (Result, error) {
	if o.n < len(kinds) {
		return Result{}, fmt.Errorf("-n is %d: at least %d credentials, one of each kind", o.n, len(kinds))
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fmt.Fprintf(o.story, "seed %d\n", o.seed)
	s, err := newStage(limited, o)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	if err := s.play(limited); err != nil {
		return Result{}, err
	}
	result, err := s.verdict(limited)
	if err != nil {
		return result, err
	}
	result.print(o.story)
	if o.linger {
		fmt.Fprintf(os.Stderr, "\nThe status page is at %s until Ctrl-C.\n", s.page())
		<-ctx.Done()
	}
	return result, nil
}
