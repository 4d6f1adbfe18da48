// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package handover is the front page of a module that replaces live credentials with new ones while the services that use
// them keep working. It holds no code.
//
// # The model
//
// A credential has two sides: one side accepts it, the other side presents it. A rotation without downtime is one order of
// moves, whatever the credential:
//
//	the accepting side learns the new key
//	        the new key is proven to work
//	the presenting side moves over
//	        every presenter is observed on the new key
//	nobody presents the old key any more
//	        that is observed too, for as long as you ask
//	the accepting side forgets the old key
//	        the old key is proven dead
//
// For most credentials the provider accepts and its consumers present. For a webhook's signing secret it is the other way round:
// the provider signs, and the receivers verify.
//
// Until the old key is condemned every failure leads back: presenters return to the old key, and the new one is revoked in
// the same careful way. In an emergency the compromised key is killed without waiting for any presenter, and the outage until
// they follow is measured and reported.
//
// Five things are described for each credential, and each is a small interface or a plain value:
//
//	Issuer       makes keys and ends them             the provider's API, a database, a person
//	SecretStore  keeps values, with a role for each   current, pending, previous, retiring
//	Consumer     uses the key: one for each binding   a service, a scheduled job, a CI variable
//	Verifier     asks whether a key is accepted       yes, no, or not known; not known is never a proof
//	Policy       how long, how often, how carefully   every zero has a documented default
//
// Beside them lies a Journal, which holds the progress and never a secret. A process that dies at any moment is carried on
// from the journal by the next one, whichever that is.
//
// # Which package to open first
//
// A service that only uses a credential, and wants the live key without restarting, opens
// [github.com/handover-go/handover/consumer].
//
// A service that receives webhooks opens [github.com/handover-go/handover/webhook], which needs nothing else of this module
// but [github.com/handover-go/handover/secret].
//
// A program that rotates credentials (a service, a cron job, a CI step) opens
// [github.com/handover-go/handover/rotation] and picks its parts from
// [github.com/handover-go/handover/issuer], [github.com/handover-go/handover/store],
// [github.com/handover-go/handover/consumer], [github.com/handover-go/handover/verify] and
// [github.com/handover-go/handover/journal].
//
// Whoever operates it shows where everything stands with [github.com/handover-go/handover/statuspage], keeps what was done with
// [github.com/handover-go/handover/audit], and has people told with [github.com/handover-go/handover/notify].
//
// Whoever writes a part of their own implements an interface of rotation, one or two methods each, and lets the suites of
// [github.com/handover-go/handover/rotation/rotationtest] judge it. The fakes in there serve unit tests.
//
// Secret values travel as [github.com/handover-go/handover/secret.Value], which cannot be printed, marshalled or compared by
// accident.
//
// A program that shows all of it, with real processes and traffic and nothing to install, is examples/quickstart:
//
//	go run ./examples/quickstart
//
// # Dependencies
//
// Beside the standard library this module links go-multierror, backoff and x/sync, and nothing else. Adapters that need an SDK
// or a driver are modules of their own.
package handover
