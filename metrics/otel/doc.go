// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package otelmetrics measures rotations and webhook deliveries with OpenTelemetry. It needs the API only; which SDK and exporter
// there are is the program's choice. Its name differs from its folder's, so that it stands beside OpenTelemetry's package otel
// without an alias.
//
// [Metrics] is for the program that rotates: observable instruments that tell where every credential stands, by the journal only,
// and a rotation.Sink that counts what happens. It is made first, given to rotation.Config.Sinks, and then told of the rotator by
// Watch, as the example shows.
//
// [Webhooks] is for the program that receives deliveries: how many each secret has verified, and why others were refused.
//
// # Instruments
//
// Observed at every collection, or every few seconds, from the journal. Of the second group there is one series for each
// credential, up to Config.Series; the first counts all of them. A time that is not known, or does not apply, is not observed.
//
//	handover.credential.count          {credential}  by handover.credential.state, see metrics.State
//	handover.need.count                {need}        by handover.need.kind: what open rotations wait for
//	handover.debt.count                {key}         that should be dead and are not proven so
//	handover.credential.omitted        {credential}  beyond Config.Series
//	handover.collector.success         1             everything could be read
//	handover.collector.duration        s             of reading
//
//	handover.credential.status         {credential}  1, by handover.credential.state
//	handover.credential.generation     {generation}  of the current key
//	handover.credential.age            s             of the current key
//	handover.credential.time_to_due    s             negative: it was due
//	handover.credential.check.age      s             since the key was found stored and accepted; one that grows is driven by nobody
//	handover.credential.hold           s             until the hold ends
//	handover.credential.need.count     {need}        by handover.need.kind; only kinds that there are
//	handover.credential.debt.count     {key}
//	handover.credential.debt.age       s             of the oldest
//	handover.rotation.active.count     {rotation}    by handover.rotation.strategy, .phase and .diagnosis
//	handover.rotation.active.age       s
//	handover.rotation.active.idle      s             since something happened in it
//	handover.rotation.active.deadline  s             until an emergency has to have sent the revocation that it has not
//	handover.rotation.last.age         s             since it ended; by handover.rotation.strategy and .outcome
//	handover.rotation.last.duration    s             by the same
//
// Those of one credential have its name as handover.credential.name. Several processes that share a journal tell the same of
// every credential: take the maximum over them.
//
// Counted from events, by the process to which they were delivered: sum them over the processes. A repetition is told apart among
// the last Config.Metrics.Repeats events of the process; beyond that it counts twice, as deliveries are at least once.
//
//	handover.event.taken               {event}       by handover.event.kind, .level and handover.rotation.strategy
//	handover.event.repeated            {event}       counted nowhere else
//	handover.rotation.failures         {failure}     by error.type, the diagnosis
//	handover.rotation.ended            {rotation}    by handover.rotation.strategy and .outcome
//	handover.rotation.duration         s             histogram, by the same
//	handover.emergency.outage          s             histogram: the longest of a consumer, 0 of none
//	handover.emergency.ended           {rotation}    by handover.emergency.deadline, met or missed
//
// Counted by Webhooks:
//
//	handover.webhook.deliveries        {delivery}    by handover.webhook.verifier and .secret, the id of the one that matched
//	handover.webhook.refusals          {delivery}    by handover.webhook.verifier and error.type, see metrics.Refusal
package otelmetrics
