// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package redisreplay remembers webhook deliveries in Redis, for receivers of more than one process: [Store] is a
// webhook.Replay. Each delivery is a key that expires, written with SET NX PX (PX or EX, whichever fits the time).
//
// # When Redis fails
//
// A delivery that Redis cannot be asked about is refused: the verifier says webhook.ErrReplayStore, Middleware answers 503, and
// the sender tries again. Redis may have written the key all the same, if only its answer was lost. Store knows its own
// writings, so it takes the next try of such a delivery for what it is, not for a repetition. Another process does not: there
// the sender's tries are repetitions until the key expires.
//
// # What Redis has to be
//
// One that forgets lets repetitions through: give it room for a key per delivery of one ttl, about 200 bytes each, and the
// policy noeviction or a volatile one that nothing else competes for. A failover to a replica loses what was not copied yet, and
// a restart what was not saved. Any version from 2.6.12 will do, and a cluster.
package redisreplay
