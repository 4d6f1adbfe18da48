// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package prommetrics measures rotations and webhook deliveries for Prometheus. Its name differs from its folder's, so that it
// stands beside client_golang's package prometheus without an alias.
//
// [Metrics] is for the program that rotates: a collector that tells where every credential stands, by the journal only, and a
// rotation.Sink that counts what happens. It is made first, given to rotation.Config.Sinks, and then told of the rotator by
// Watch, as the example shows.
//
// [Webhooks] is for the program that receives deliveries: how many each secret has verified, and why others were refused.
//
// # Series
//
// Read from the journal, at every scrape or every few seconds. Of the second group there is one for each credential, up to
// Config.Series; the first counts all of them. A time that is not known, or does not apply, has no series.
//
//	handover_credentials{state}                               how many stand there; see metrics.State
//	handover_needs{kind}                                      what open rotations wait for
//	handover_debts                                            keys that should be dead and are not proven so
//	handover_credentials_without_series                       beyond Config.Series
//	handover_collector_success                                1: everything could be read
//	handover_collector_duration_seconds                       how long reading took
//
//	handover_credential_info{credential,state}                1
//	handover_credential_generation{credential}                of the current key
//	handover_credential_issued_timestamp_seconds{credential}  of the current key
//	handover_credential_due_timestamp_seconds{credential}     of the next rotation
//	handover_credential_checked_timestamp_seconds{credential} its key was found stored and accepted; one that grows old is driven by nobody
//	handover_credential_held_until_timestamp_seconds{credential}
//	handover_credential_needs{credential,kind}                of the open rotation; only kinds that there are
//	handover_credential_debts{credential}
//	handover_credential_oldest_debt_timestamp_seconds{credential}
//	handover_rotation_info{credential,strategy,phase,diagnosis}  1, of the open rotation
//	handover_rotation_began_timestamp_seconds{credential}
//	handover_rotation_last_event_timestamp_seconds{credential}   nothing has happened in it since
//	handover_rotation_deadline_timestamp_seconds{credential}     an emergency whose revocation is still to be sent
//	handover_last_rotation_info{credential,strategy,outcome}     1, of the last one that ended
//	handover_last_rotation_ended_timestamp_seconds{credential}
//	handover_last_rotation_duration_seconds{credential}
//
// Counted from events, by the process to which they were delivered: sum them over the processes. A repetition is told apart among
// the last Config.Metrics.Repeats events of the process; beyond that it counts twice, as deliveries are at least once.
//
//	handover_events_total{kind,strategy,level}
//	handover_events_repeated_total                            repetitions, counted nowhere else
//	handover_failures_total{diagnosis}
//	handover_rotations_ended_total{strategy,outcome}
//	handover_rotation_duration_seconds{strategy,outcome}      histogram, from one second to 30 days
//	handover_emergency_outage_seconds                         histogram: the longest of a consumer, 0 of none
//	handover_emergency_deadlines_total{result}                met or missed
//
// Counted by Webhooks:
//
//	handover_webhook_deliveries_total{verifier,secret}        by the id of the secret that matched
//	handover_webhook_refusals_total{verifier,reason}          see metrics.Refusal
//
// Several processes that share a journal tell the same of every credential: take the maximum over them, as in
// max by (credential) (handover_credential_due_timestamp_seconds). The age of a key is
// time() - handover_credential_issued_timestamp_seconds.
package prommetrics
