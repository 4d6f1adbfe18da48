// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

// BenchmarkRotation is a whole standard rotation with three consumers: every step, every gate, every write, on memory parts
// that answer at once and with a policy that waits for nothing.
func BenchmarkRotation(b *testing.B) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer() // a new world each time: the fakes remember everything
		r := benchRotator(b, journal.NewMemory())
		b.StartTimer()
		st, err := r.Rotate(ctx, name, rotation.Trigger{Reason: "benchmark"})
		if err != nil {
			b.Fatal(err)
		}
		if st.Open != nil {
			b.Fatalf("it waits for %+v", st.Needs)
		}
	}
}

func benchRotator(b *testing.B, records rotation.Journal) *rotation.Rotator {
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	if err := store.Seed(context.Background(), secrets, name, provider.Mint()); err != nil {
		b.Fatal(err)
	}
	cred := rotation.Credential{Name: name, Type: rotation.APIKey, Issuer: provider}
	for i := range 3 {
		cred.Consumers = append(cred.Consumers, rotation.Binding{Name: fmt.Sprint("c", i), Consumer: rotationtest.NewConsumer(provider)})
	}
	r, err := rotation.New(rotation.Config{
		Journal: records, Store: secrets, Credentials: []rotation.Credential{cred}, ClockSkew: -1,
		Policy: rotation.Policy{Overlap: -1, Quiet: -1},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkRegistered is what a Rotator keeps of 100,000 registered credentials, and how long it takes to register one. They have the
// parts of a real inventory: one store, journal, HTTP client and policy for all, an issuer and a verifier for each of 100 accounts, and
// two services each, of 10,000 that are told over HTTP. Their names, bindings and URLs count.
func BenchmarkRegistered(b *testing.B) {
	for _, c := range []struct {
		what   string
		policy rotation.Policy
	}{
		{what: "plain"},
		{"windows", rotation.Policy{Windows: []rotation.Window{"Tue-Thu 01:00-05:00 Europe/Berlin"}, Blackouts: []rotation.Blackout{"2026-12-20..2027-01-06 Europe/Berlin"}, Jitter: 14 * day}},
	} {
		b.Run("policy="+c.what, func(b *testing.B) {
			const credentials = 100_000
			var bytes, objects uint64
			for b.Loop() {
				before := heap()
				r := benchInventory(b, credentials, c.policy)
				after := heap()
				bytes, objects = after.HeapAlloc-before.HeapAlloc, after.HeapObjects-before.HeapObjects
				runtime.KeepAlive(r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*credentials), "ns/credential")
			b.ReportMetric(float64(bytes)/credentials, "B/credential")
			b.ReportMetric(float64(objects)/credentials, "objects/credential")
		})
	}
}

// heap is what is reachable.
func heap() (stats runtime.MemStats) {
	runtime.GC()
	runtime.GC() // what the first one found unreachable in a pool
	runtime.ReadMemStats(&stats)
	return stats
}

func benchInventory(b *testing.B, credentials int, policy rotation.Policy) *rotation.Rotator {
	const accounts, services = 100, 10_000
	client := &http.Client{Timeout: 5 * time.Second}
	issuers, verifiers := make([]rotation.Issuer, accounts), make([]rotation.Verifier, accounts)
	for i := range accounts {
		issuers[i] = issuer.REST{URL: fmt.Sprintf("https://api-%d.example.com/v1/keys", i), Client: client}
		verifiers[i] = verify.Probe{URL: fmt.Sprintf("https://api-%d.example.com/v1/test", i)}
	}
	consumers := make([]rotation.Consumer, services)
	for i := range consumers {
		consumers[i] = consumer.Replicas{URL: fmt.Sprintf("http://service-%d.prod.svc:9090/key", i), Client: client}
	}
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: store.NewMemory(), Policy: policy,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	var all []rotation.Credential
	for i := range credentials {
		c := rotation.Credential{
			Name: fmt.Sprintf("team-%d/service-%d/account-%d", i%50, i%services, i), Type: rotation.APIKey,
			Issuer: issuers[i%accounts], Verifier: verifiers[i%accounts], Contact: "team@example.com",
		}
		for j := range 2 {
			c.Consumers = append(c.Consumers, rotation.Binding{Name: fmt.Sprint("service-", (i+j)%services), Consumer: consumers[(i+j)%services]})
		}
		all = append(all, c)
	}
	if err := r.Register(all...); err != nil {
		b.Fatal(err)
	}
	return r
}
