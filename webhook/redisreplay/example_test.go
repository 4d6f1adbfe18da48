// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay_test

import (
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
	"github.com/handover-go/handover/webhook/redisreplay"
)

// Receivers that share a Redis take each delivery once.
func ExampleStore() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "redis.internal:6379",
		ContextTimeoutEnabled: true, // required
	})
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme:  webhook.Standard,
		Secrets: []webhook.Secret{{ID: "2026-11", Value: secret.New("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")}},
		Replay:  &redisreplay.Store{Client: client},
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = verifier // see webhook.Verifier.Middleware
}
