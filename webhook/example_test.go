// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// A receiver in the middle of a rotation: it takes deliveries that were signed with either secret, each of them once.
func ExampleVerifier_Middleware() {
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme: webhook.GitHub,
		Secrets: []webhook.Secret{ // newest first
			{ID: "2026-11", Value: secret.New("fb7c0e6a8f1d4b0fa4f4a1f2f1c0a7d3")},
			{ID: "2026-08", Value: secret.New("It's a Secret to Everybody"), NotAfter: time.Now().Add(24 * time.Hour)},
		},
		Replay: webhook.NewReplayCache(100_000),
		Observe: func(m webhook.Match, err error) { // count what was refused and why, and which secret matched
			if err != nil {
				fmt.Println("refused:", err)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, _ := webhook.FromContext(r.Context())
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "body", http.StatusInternalServerError)
			return
		}
		fmt.Printf("%s, signed with %s\n", body, m.SecretID)
	}))

	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/hooks/github", strings.NewReader("Hello, World!"))
		r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// Hello, World!, signed with 2026-08
	// 200
	// refused: webhook: delivered before
	// 409
}

// A scheme of one's own, which differs from Stripe's in two names.
func ExampleNewScheme() {
	c := webhook.Stripe.Config()
	c.Name, c.Header = "acme", "Acme-Signature"
	scheme, err := webhook.NewScheme(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(scheme)

	_, err = webhook.NewScheme(webhook.SchemeConfig{Header: "Acme-Signature", Timestamp: "Acme-Time"})
	fmt.Println(err)
	// Output:
	// acme
	// webhook: SchemeConfig.Timestamp: Timestamp or TimestampTag needs {timestamp} in Signed, and the other way round
}

// A sender whose receivers have the old secret or the new one: both sign.
func ExampleTransport() {
	newest := webhook.Secret{ID: "new", Value: secret.New("whsec_plJ3nmyCDGBKInavdOK15jslwTrqYKG8")}
	old := webhook.Secret{ID: "old", Value: secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
	signer, err := webhook.NewSigner(webhook.Standard, newest, old)
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{old}})
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver := httptest.NewServer(verifier.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m, _ := webhook.FromContext(r.Context())
		fmt.Println(m.MessageID, "verified with the secret", m.SecretID)
	})))
	defer receiver.Close()

	client := &http.Client{Transport: &webhook.Transport{Signer: signer}}
	r, err := http.NewRequest(http.MethodPost, receiver.URL, strings.NewReader(`{"type":"invoice.paid"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r.Header.Set("Webhook-Id", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W") // the same one for every try
	resp, err := client.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// msg_2KWPBgLlAfxdpx2AI54pPJ85f4W verified with the secret old
	// 200 OK
}

// Without net/http on the receiving side: a queue, a function in somebody's cloud.
func ExampleVerifier_Verify() {
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme:  webhook.Bitbucket,
		Secrets: []webhook.Secret{{ID: "only", Value: secret.New("It's a Secret to Everybody")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{}
	h.Set("X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9")
	m, err := verifier.Verify(context.Background(), h, []byte("Hello World!"))
	fmt.Println(m.SecretID, err)
	_, err = verifier.Verify(context.Background(), h, []byte("Hello Mallory!"))
	fmt.Println(errors.Is(err, webhook.ErrMismatch))
	// Output:
	// only <nil>
	// true
}
