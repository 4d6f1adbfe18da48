// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

var (
	sign = rotation.Key{ID: "web-v2-k7q2m9", Secret: secret.New("0123456789abcdef0123456789abcdef")}
	bg   = context.Background()
)

// A repository's webhook of GitHub. Its secret is set by itself (PATCH .../config leaves the rest of the configuration as it
// is), and a ping is the test. Source: docs.github.com, REST API, repository webhooks.
func ExampleWebhook() {
	sender := &endpoint{}
	api := httptest.NewServer(sender) // https://api.github.com
	defer api.Close()
	client := api.Client() // one that adds "Authorization: Bearer ..."

	hook := api.URL + "/repos/acme/web/hooks/12345"
	github := issuer.Webhook{URL: hook + "/config", Client: client, Read: hook + "/config", Test: hook + "/pings"}

	fmt.Println(github.Check(bg), github.Activate(bg, sign), github.Verify(bg, sign))
	fmt.Println(sender.told, sender.tests)
	// Output:
	// <nil> <nil> <nil>
	// [0123456789abcdef0123456789abcdef] [0123456789abcdef0123456789abcdef]
}

// A project's webhook of GitLab, whose edit requires the URL: another one would reset the token. Tests are limited to five a
// minute. Source: GitLab's documentation, doc/api/project_webhooks.md.
func ExampleWebhook_gitLab() {
	sender := &endpoint{}
	api := httptest.NewServer(sender) // https://gitlab.example.com/api/v4
	defer api.Close()
	client := api.Client() // one that adds "PRIVATE-TOKEN: ..."

	hook := api.URL + "/projects/42/hooks/7"
	gitlab := issuer.Webhook{
		URL: hook, Method: http.MethodPut, Client: client,
		Body: func(key rotation.Key) any {
			return map[string]string{"url": "https://hooks.example.com/gitlab", "token": key.Secret.Reveal()}
		},
		Test: hook + "/test/push_events",
	}

	fmt.Println(gitlab.Activate(bg, sign), gitlab.Verify(bg, sign))
	fmt.Println(sender.told, sender.tests)
	// Output:
	// <nil> <nil>
	// [0123456789abcdef0123456789abcdef] [0123456789abcdef0123456789abcdef]
}

// A sender of the house, with the field signing_secret.
func ExampleWebhook_signingSecret() {
	sender := &endpoint{}
	api := httptest.NewServer(sender)
	defer api.Close()

	hook := api.URL + "/webhooks/9"
	own := issuer.Webhook{URL: hook, Field: "signing_secret", Test: hook + "/test"}

	fmt.Println(own.Activate(bg, sign), own.Verify(bg, sign))
	fmt.Println(sender.told, sender.tests)
	// Output:
	// <nil> <nil>
	// [0123456789abcdef0123456789abcdef] [0123456789abcdef0123456789abcdef]
}

// An endpoint of Svix. It is told with a rotation that gives the old secret no grace, as the receivers accept both; the secret
// in use is read first, because each rotation to the same secret would count against the limit of old ones. Failed deliveries are
// repeated for 27 h 35 min. Sources: github.com/svix/svix-webhooks (go/models/endpoint_secret_rotate_in.go,
// server/svix-server/src/v1/endpoints/endpoint/secrets.rs) and docs.svix.com/retries.
func ExampleWebhook_svix() {
	sender := &endpoint{}
	api := httptest.NewServer(sender) // https://api.eu.svix.com/api/v1
	defer api.Close()
	client := api.Client() // one that adds "Authorization: Bearer ..."

	hook := api.URL + "/app/a1/endpoint/ep1"
	svix := issuer.Webhook{
		URL: hook + "/secret/rotate", Method: http.MethodPost, Client: client,
		Body: func(key rotation.Key) any {
			return map[string]any{"key": key.Secret.Reveal(), "gracePeriodSeconds": 0}
		},
		Make: issuer.StandardSecret,
		Read: hook + "/secret", ReadField: "key",
		Test: hook + "/send-example", TestBody: map[string]string{"eventType": "handover.test"},
		Traits: rotation.Traits{RetryHorizon: 28 * time.Hour},
	}

	key, err := svix.Choose(bg, rotation.IssueRequest{Name: "svix-v2"})
	fmt.Println(key, err)
	fmt.Println(svix.Activate(bg, key), svix.Activate(bg, key), svix.Verify(bg, key))
	fmt.Println(len(sender.told), sender.told[0] == key.Secret.Reveal(), sender.tests[0] == key.Secret.Reveal())
	// Output:
	// svix-v2 (generation 0) <nil>
	// <nil> <nil> <nil>
	// 1 true true
}

// Webhook subscriptions of PagerDuty. The secret comes with the answer that makes one, and never again. Source: the OpenAPI
// document of PagerDuty (github.com/PagerDuty/api-schema, reference/REST/openapiv3.json).
func ExampleSubscriptions() {
	sender := newSwitchboard(false)
	api := httptest.NewServer(sender) // https://api.pagerduty.com
	defer api.Close()
	client := api.Client() // one that adds "Authorization: Token token=..."
	old := sender.seed("the secret in use today")

	subscriptions := api.URL + "/webhook_subscriptions"
	pagerduty := issuer.Subscriptions{
		REST: issuer.REST{
			URL: subscriptions, Client: client,
			ListURL: subscriptions + "?filter_type=service&filter_id=PSERVICE",
			Body: func(req rotation.IssueRequest) any {
				return map[string]any{"webhook_subscription": map[string]any{
					"type": "webhook_subscription", "active": false, "description": req.Name,
					"delivery_method": map[string]string{"type": "http_delivery_method", "url": "https://hooks.example.com/in"},
					"events":          []string{"incident.triggered", "incident.resolved"},
					"filter":          map[string]string{"type": "service_reference", "id": "PSERVICE"},
				}}
			},
			ID: "webhook_subscription.id,id", Secret: "webhook_subscription.delivery_method.secret",
			Items: "webhook_subscriptions", Name: "description",
		},
		Address: "https://hooks.example.com/in",
		Method:  http.MethodPut,
		Switch: func(on bool) any {
			return map[string]any{"webhook_subscription": map[string]bool{"active": on}}
		},
		Test: subscriptions + "/{id}/ping",
	}

	key, err := pagerduty.Issue(bg, rotation.IssueRequest{Name: "pagerduty-v2"})
	fmt.Println(key, key.Secret, err, sender.on())
	fmt.Println(pagerduty.Activate(bg, key), pagerduty.Verify(bg, key), sender.on())
	fmt.Println(pagerduty.Revoke(bg, rotation.Key{ID: old.id}), sender.log)
	// Output:
	// 2 (generation 0) [secret] <nil> [1]
	// <nil> <nil> [2]
	// <nil> [on 2 off 1 delete 1]
}

// Webhooks of a repository at Gitea, which takes the secret but has no name for a webhook: a lost answer is found because nobody
// else makes webhooks to this address. An edit that names no events sets them to "push", so Switch repeats them. Source:
// github.com/go-gitea/gitea, modules/structs/hook.go and routers/api/v1/utils/hook.go.
func ExampleSubscriptions_gitea() {
	sender := newSwitchboard(true)
	api := httptest.NewServer(sender) // https://gitea.example.com/api/v1
	defer api.Close()
	client := api.Client() // one that adds "Authorization: token ..."
	sender.seed("the secret in use today")

	hooks := api.URL + "/repos/acme/web/hooks"
	events := []string{"push", "pull_request"}
	gitea := issuer.Subscriptions{
		REST: issuer.REST{
			URL: hooks, Client: client,
			Body: func(req rotation.IssueRequest) any {
				config := map[string]string{
					"url": "https://hooks.example.com/in", "content_type": "json", "secret": req.Chosen.Secret.Reveal(),
				}
				return map[string]any{"type": "gitea", "config": config, "events": events, "active": false}
			},
			Traits: rotation.Traits{Exclusive: true},
		},
		Address: "https://hooks.example.com/in",
		Make:    func() secret.Value { return secret.Random(32) },
		Switch:  func(on bool) any { return map[string]any{"active": on, "events": events} },
		Test:    hooks + "/{id}/tests",
	}

	key, err := gitea.Issue(bg, rotation.IssueRequest{Name: "gitea-v2"})
	fmt.Println(key, key.Secret, err, sender.on())
	fmt.Println(gitea.Activate(bg, key), gitea.Verify(bg, key), sender.on(), sender.subs["2"].events)
	// Output:
	// 2 (generation 0) [secret] <nil> [1]
	// <nil> <nil> [2] [push pull_request]
}

func ExampleManualWebhook() {
	console := issuer.ManualWebhook{
		Tell: "Set the signing secret of the app to the value of {name} (generation {generation}) in the vault, and save.",
	}
	key, err := console.Choose(bg, rotation.IssueRequest{Name: "legacy-v2-k7q2m9"})
	key.Name, key.Generation = "legacy-v2-k7q2m9", 2 // as the engine does
	fmt.Println(key, err)
	fmt.Println(console.Activate(bg, key))
	// Output:
	// legacy-v2-k7q2m9 (generation 2) <nil>
	// Set the signing secret of the app to the value of legacy-v2-k7q2m9 (generation 2) in the vault, and save.
}
