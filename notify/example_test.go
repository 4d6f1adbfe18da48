// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// printer stands for a destination.
type printer string

func (p printer) Deliver(_ context.Context, e rotation.Event) error {
	fmt.Println(string(p)+":", e.Level, e.Text)
	return nil
}

// Errors page somebody at once, warnings go to the channel of the team whose credential it is, or to everybody's if no team is
// listed, and routine goes nowhere.
func Example() {
	pager := notify.Email{
		Addr: "smtp.example.com:587", From: "rotation@example.com", To: []string{"pager@example.com"},
		Username: "rotation", Password: secret.New("from your secret store"),
	}
	chat := func(hook string) rotation.Sink {
		return notify.Quiet(notify.Slack{URL: secret.New("https://hooks.slack.com/services/" + hook)}, 4*time.Hour)
	}
	sinks, err := notify.Router{
		Sinks: map[string]rotation.Sink{"pager": pager, "payments": chat("T1/B1/x"), "everybody": chat("T1/B2/y")},
		Routes: []notify.Route{
			{Level: slog.LevelError, To: []string{"pager"}},
			{Contact: "payments", Level: slog.LevelWarn, To: []string{"payments"}},
		},
		Default: notify.Route{Level: slog.LevelWarn, To: []string{"everybody"}},
	}.All()
	if err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{Journal: journal.NewMemory(), Sinks: sinks})
	if err != nil {
		log.Fatal(err)
	}
	_ = rotator
	for _, s := range sinks {
		fmt.Println(s.(rotation.Identifier).Identity())
	}
	// Output:
	// slack https://hooks.slack.com as everybody
	// smtp smtp.example.com:587 pager@example.com as pager
	// slack https://hooks.slack.com as payments
}

func ExampleSlack() {
	chat := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			log.Print(err)
		}
		fmt.Println(message.Text)
	}))
	defer chat.Close()
	short, err := notify.NewText("*{{.Headline}}*", "{{.Happened}}{{with .Action}}\nNow: {{.}}{{end}}")
	if err != nil {
		log.Fatal(err)
	}
	sink := notify.Slack{URL: secret.New(chat.URL + "/services/T1/B1/x"), Text: short}
	err = sink.Deliver(context.Background(), rotation.Event{
		ID: "crm/1", Kind: rotation.EventRollBack, Level: slog.LevelWarn, Credential: "crm", Text: "rolling back: orders & billing fail",
	})
	fmt.Println(err)
	// Output:
	// *crm: turned around*
	// rolling back: orders &amp; billing fail
	// Now: find the cause before the next rotation
	// <nil>
}

// A program that acts on events drops what it has seen by the webhook's id.
func ExampleWebhook() {
	key := webhook.Secret{ID: "2026-03", Value: secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme: webhook.Standard, Secrets: []webhook.Secret{key}, Replay: webhook.NewReplayCache(10_000),
	})
	if err != nil {
		log.Fatal(err)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			log.Print(err)
		}
		if _, err := verifier.Verify(r.Context(), r.Header, body); err != nil {
			fmt.Println("again:", err)
			return
		}
		var e rotation.Event
		if err := json.Unmarshal(body, &e); err != nil {
			log.Print(err)
		}
		fmt.Println(r.Header.Get("webhook-id"), e.Kind, e.Credential)
	}))
	defer receiver.Close()
	signer, err := webhook.NewSigner(webhook.Standard, key)
	if err != nil {
		log.Fatal(err)
	}
	sink := notify.Webhook{URL: receiver.URL, Signer: signer}
	for range 2 {
		if err := sink.Deliver(context.Background(), rotation.Event{ID: "crm/w1/1/7", Kind: rotation.EventEnded, Credential: "crm"}); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// crm/w1/1/7 ended crm
	// again: webhook: delivered before
}

func ExampleEmail() {
	sink := notify.Email{
		Addr: "smtp.example.com:465", Security: notify.ImplicitTLS,
		From: "Key rotation <rotation@example.com>", To: []string{"team@example.com"}, Username: "rotation",
	}
	fmt.Println(sink.Validate()) // Check connects as well
	// Output: notify: Email.Password is required with Username
}

func ExampleIf() {
	sink := notify.If(printer("team"), notify.Alerts)
	for _, e := range []rotation.Event{
		{Kind: rotation.EventIssued, Text: "issued v4"},
		{Kind: rotation.EventFailed, Level: slog.LevelWarn, Text: "the provider does not answer"},
	} {
		if err := sink.Deliver(context.Background(), e); err != nil {
			log.Fatal(err)
		}
	}
	// Output: team: WARN the provider does not answer
}

func ExampleQuiet() {
	sink := notify.Quiet(printer("team"), time.Hour)
	slow := rotation.Event{
		Kind: rotation.EventFailed, Level: slog.LevelWarn, Credential: "crm", Consumer: "web", Text: "web is late",
		Problem: &rotation.Error{Diagnosis: rotation.ConsumerNotUpdated},
	}
	works := rotation.Event{Kind: rotation.EventVerified, Credential: "crm", Consumer: "web", Text: "web works"}
	for _, e := range []rotation.Event{slow, slow, slow, works, slow} {
		if err := sink.Deliver(context.Background(), e); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// team: WARN web is late
	// team: INFO web works
	// team: WARN web is late
}

func ExampleRouter() {
	sinks, err := notify.Router{
		Sinks:   map[string]rotation.Sink{"payments": printer("payments"), "everybody": printer("everybody")},
		Routes:  []notify.Route{{Contact: "payments", Level: slog.LevelWarn, To: []string{"payments"}}},
		Default: notify.Route{Level: slog.LevelWarn, To: []string{"everybody"}},
	}.All()
	if err != nil {
		log.Fatal(err)
	}
	for _, contact := range []string{"payments", "paymnets"} {
		for _, s := range sinks { // as the engine does
			if err := s.Deliver(context.Background(), rotation.Event{Contact: contact, Level: slog.LevelWarn, Text: "for " + contact}); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// payments: WARN for payments
	// everybody: WARN for paymnets
}

// For a sink of your own: the texts, without escapes.
func ExampleText_Render() {
	text, err := notify.NewText("", "{{.Happened}} [{{.Contact}}]")
	if err != nil {
		log.Fatal(err)
	}
	subject, body := text.Render(rotation.Event{Kind: rotation.EventDebt, Credential: "crm", Contact: "sales", Text: "v3 is still accepted"})
	fmt.Println(subject)
	fmt.Println(body)
	// Output:
	// crm: a key that should be dead is not
	// v3 is still accepted [sales]
}

func ExampleMessageOf() {
	m := notify.MessageOf(rotation.Event{
		Kind: rotation.EventFailed, Level: slog.LevelWarn, Credential: "crm",
		Problem: &rotation.Error{Diagnosis: rotation.Drift, Evidence: "the store holds another key"},
	})
	fmt.Println(m.Headline)
	fmt.Println(m.Evidence)
	fmt.Println(m.Action)
	fmt.Println(m.Answers)
	// Output:
	// crm: in trouble
	// the store holds another key
	// decide, and answer it with Rotator.Resolve
	// adopt, reassert, roll-back
}
