// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package fourstep is a rotation function for the schedule of AWS Secrets Manager: AWS says when, and a rotation.Rotator does the rest.
//
// # How the two meet
//
// Secrets Manager calls a function four times, as createSecret, setSecret, testSecret and finishSecret, with the id of a version that it
// has labelled AWSPENDING and that has no value yet (ClientRequestToken). The first call begins a rotation under that id as its
// rotation.Trigger; each call carries it on until its own part is done. The store, an awssecrets.Store, puts the pending key into the
// version that AWS has made, and moves AWSCURRENT there when the key is promoted: what AWS expects at the end.
//
// One call does all that can be done now, so the later ones often find their part done. Steps that are repeated, called out of order or
// by another process do no harm. Where something takes more time than a step may (a Lambda function has 15 minutes, and
// Config.Patience is less), the step fails with rotation.ErrNotYet and the rotation stays open. After a step that failed Secrets
// Manager repeats all of them several times, over a span that it does not name. Windows, slow canaries and holds before the promotion may
// outlast that: whoever sweeps (see below) then finishes what was begun, and AWS counts it from the moved label.
//
// # What AWS does not wait for
//
// For AWS a rotation is over when the new key is current. The old key still lives then: consumers are told and watched, use is waited
// out, and only then is it revoked. That may take days and is nobody's step. Have the function also called every few minutes, by a
// schedule of EventBridge, and call Rotator.Sweep then, or run a Rotator elsewhere with the same journal. While that goes on the next
// rotation of AWS fails with rotation.ErrNotYet, and a roll-back makes AWSCURRENT go back.
//
// A rotation that is rolled back before takes AWSPENDING away, which is how a rotation is cancelled: AWS's next one begins anew.
//
// # To prepare
//
// The journal has to outlive the function: a database (journal.NewPostgres), never memory or the function's disk, and not this store
// (see awssecrets). Give the credential a Policy.MaxAge longer than AWS's schedule, so that only one of the two begins rotations. The
// function needs the permissions of awssecrets and those of its issuer, and Secrets Manager the one to call it
// (lambda:InvokeFunction). It is called in the region of the primary secret.
//
// The rules are those of the Secrets Manager User Guide, "Rotation by Lambda function", and of RotateSecret and DescribeSecret in the
// API reference. This package needs no more of the SDK than the store does: it gives a function, and github.com/aws/aws-lambda-go, which
// starts it in Lambda, takes that as it is: lambda.Start(handler.Handle).
package fourstep
