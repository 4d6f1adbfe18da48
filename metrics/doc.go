// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics says what there is to measure of rotations and of webhooks, for every metrics system alike. Programs open an
// adapter: metrics/prometheus or metrics/otel, each a module of its own. Whoever has another system writes one more on a [Meter].
//
// # What is read and what is counted
//
// [Meter.Read] reads where every credential stands, from the journal only: no provider, store or consumer is asked. The answer
// serves for a few seconds, so that any number of scrapers cost one reading.
//
// [Meter.Count] takes the events of a rotation.Sink. They come at least once, so those that come again are told apart by their
// ID, among the last few thousand. A repetition after a restart, or at another process, counts twice.
//
// # Labels
//
// Every label but two comes from a closed set, and what is not in it is [Other]: the kinds and names of package rotation, and
// the words of this package. The two are the names of credentials, which the inventory chooses, and the ids of webhook secrets,
// which their owner does and which are never secret. No text of an error, of a person or of a provider is a label.
package metrics
