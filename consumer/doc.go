// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package consumer is the side that uses a credential: a live key for this process, and consumers that bring keys to
// others.
//
// A service needs two things, whether or not it rotates anything itself: [Follow], which keeps the key of a credential up to
// date, and something that uses it. [Transport] puts the key on requests, [Connector] opens database connections with it,
// [Derive] rebuilds what was made from it. See the example.
//
// A rotation has to know that every user of a credential has moved before the old key dies. For one process its [Handle] is
// the consumer and says so. For a fleet each process serves its Handle by HTTP and [Replicas] asks all of them.
//
// The receiver of webhooks is the mirror: it has to accept what others sign. [Receive] keeps the secrets of a webhook.Verifier equal
// to the store, its [Receiver] is the consumer of a rotation.WebhookSecret for one process, and Replicas that of a fleet.
//
// What cannot follow a store by itself is told: [Reload] (by HTTP or a signal), [Command], [EnvFile]. [Polling] and [NextRun]
// wait for what looks at the store on its own, and [Manual] asks a person. They bring one key. The secrets of a webhook, several at
// a time, Command with Accept, EnvFile with Older and Manual can bring; the others refuse them.
package consumer
