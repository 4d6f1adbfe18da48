// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// A provider makes keys and answers requests that present them.
func ExampleProvider() {
	ctx := context.Background()
	provider := rotationtest.NewProvider()
	client := &http.Client{Transport: provider}

	key := provider.Mint()
	pay := func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.provider.example.com/v1/payments", nil)
		req.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		fmt.Println(provider.Live(), resp.Status)
	}

	pay()
	if err := provider.Revoke(ctx, key); err != nil {
		fmt.Println(err)
	}
	pay()
	// Output:
	// [key-001] 200 OK
	// [] 401 Unauthorized
}

// The provider mints a key and its answer is lost on the way.
func ExampleProvider_Inject() {
	ctx := context.Background()
	provider := rotationtest.NewProvider()
	provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})

	_, err := provider.Issue(ctx, rotation.IssueRequest{Name: "payments-v2"})
	fmt.Println(err)
	fmt.Println(provider.Live())
	// Output:
	// rotationtest: Issue timed out (injected)
	// [key-001]
}

// A store is sealed for the second write.
func ExampleStore_Inject() {
	ctx := context.Background()
	store := rotationtest.NewStore()
	store.Inject(rotationtest.Fault{Op: "Save", Call: 2, Err: errors.New("sealed")})
	for range 3 {
		v, _ := store.Load(ctx, "payments")
		fmt.Println(store.Save(ctx, "payments", v))
	}
	// Output:
	// <nil>
	// sealed
	// <nil>
}

// A consumer presents the key that it was given, and notices when it is dead.
func ExampleConsumer() {
	ctx := context.Background()
	provider := rotationtest.NewProvider()
	service := rotationtest.NewConsumer(provider)
	key := provider.Mint()

	_ = service.Deploy(ctx, rotation.DeployRequest{Key: key})
	fmt.Println(service.Verify(ctx, key))
	_ = provider.Revoke(ctx, key)
	fmt.Println(errors.Is(service.Verify(ctx, key), rotation.ErrRejected))
	// Output:
	// <nil>
	// true
}

// Journals count revisions: a write that knows an older one is refused.
func ExampleJournal() {
	ctx := context.Background()
	journal := rotationtest.NewJournal()
	e := rotation.Entry{Credential: "payments"}
	fmt.Println(journal.Save(ctx, e))
	fmt.Println(journal.Save(ctx, e))
	// Output:
	// <nil>
	// journal in memory: payments: conflicting change
}

// An issuer whose Revoke does nothing is told so.
func ExampleIssuerSuite_Check() {
	provider := rotationtest.NewProvider()
	broken := forgetful{provider}
	err := rotationtest.IssuerSuite{Issuer: broken, Verifier: provider}.Check(context.Background())
	fmt.Println(err)
	// Output:
	// I4: a revoked key (key-003) is still accepted after 0s
}

type forgetful struct{ provider *rotationtest.Provider }

func (f forgetful) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return f.provider.Issue(ctx, req)
}

func (forgetful) Revoke(ctx context.Context, _ rotation.Key) error { return ctx.Err() }

// In a test it is Run, with one subtest for each clause.
func ExampleStoreSuite_Check() {
	err := rotationtest.StoreSuite{Store: rotationtest.NewStore(), Name: "conformance"}.Check(context.Background())
	fmt.Println(err)
	// Output: <nil>
}

// A service that keeps its key in a field is a consumer by one method, and this is how it is tested. The suite finds that it
// takes the key of a request that was given up.
func ExampleConsumerSuite_Check() {
	provider := rotationtest.NewProvider()
	service := &service{client: http.Client{Transport: provider}}
	err := rotationtest.ConsumerSuite{
		Consumer: service,
		Uses: func(ctx context.Context) (rotation.Key, error) { // call the provider, and ask it who called
			err := service.Pay(ctx)
			return provider.Presented(), err
		},
		Mint: func(context.Context) (rotation.Key, error) { return provider.Mint(), nil },
	}.Check(context.Background())
	fmt.Println(err)
	// Output:
	// Context: Deploy reports success although its context had ended
}

// service calls a provider with a key.
type service struct {
	client http.Client
	key    rotation.Key // a real one needs a lock
}

func (s *service) Deploy(_ context.Context, req rotation.DeployRequest) error {
	if req.Key.Secret.IsZero() {
		return errors.New("service: no key")
	}
	s.key = req.Key
	return nil
}

func (s *service) Pay(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.provider.example.com/v1/payments", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.key.Secret.Reveal())
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("service: " + resp.Status)
	}
	return nil
}

// A fault by time is an outage. In a testing/synctest bubble the day passes at once.
func ExampleFault() {
	provider := rotationtest.NewProvider()
	day := time.Now()
	provider.Inject(rotationtest.Fault{Op: "Verify", From: day, Until: day.Add(24 * time.Hour)})
	fmt.Println(provider.Verify(context.Background(), provider.Mint()))
	// Output: rotationtest: Verify timed out (injected)
}
