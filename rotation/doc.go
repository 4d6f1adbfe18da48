// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package rotation replaces a live credential with a new one while the services that use it keep working.
//
// Describe each credential once: who issues it ([Issuer]), where it lives ([SecretStore]), who uses it ([Binding],
// [Consumer]) and how to ask whether a key is accepted ([Verifier]). Give them to [New] with a [Journal], then choose how
// it is driven:
//
//	rot.Run(ctx)            a service: what is due, what was interrupted, until ctx ends
//	rot.Sweep(ctx)          a cron job: everything that is due, once
//	rot.Advance(ctx, name)  a CI job, a queue worker, a reconcile: one credential, once
//
// A credential whose store is empty gets its first key with its first rotation, at once. Where consumers use a key already, put
// it into the store before (store.Seed): a key that was never there is in no record, and nothing ends it. Inspect tells of it
// beforehand, and the event that begins such a rotation has the level Warn.
//
// A webhook's signing secret ([WebhookSecret]) is the mirror of every other credential: its provider presents, and its consumers
// accept. The same engine drives it, in an order of its own: every receiver accepts the new secret before the sender signs with
// it, and forgets the old one when no delivery has needed it for as long as the sender may repeat one.
//
// Only Run and Wait sleep. Every other method does what can be done now and returns: a rotation is usually far from its
// end when Rotate returns, and Status.Next says when the next step is possible. Whoever calls Advance, Sweep, Wait or Run
// then, in this process or another one, carries it on from the Journal.
//
// A method that returns a [Status] returns a usable one beside an error too. An error means that something is wrong, not
// that a rotation is waiting.
//
// An embedding service needs Config, Rotator, Credential, Binding, Type, Risk, Policy and Status. Writers of adapters
// need the interface they implement and the abilities beside it. Everything else is a result.
package rotation
