// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package fourstep is a rotation function for the schedule of AWS Secrets Manager: AWS says when, and a rotation.Rotator does the rest. It
// is in the module of awssecrets, and needs no more of the SDK than that.
//
// # How the two meet
//
// Secrets Manager calls a function four times, as createSecret, setSecret, testSecret and finishSecret, with the id of a version that it
// has labelled AWSPENDING and that has no value yet (ClientRequestToken). The first call begins a rotation under that id as its
// rotation.Trigger; each call carries it on until its own part is done. The store, an awssecrets.Store, puts the pending key into the
// version that AWS has made, and moves AWSCURRENT there when the key is promoted: what AWS expects at the end.
//
// Only createSecret begins a rotation. Where rotation is set up with RotateImmediately false, Secrets Manager calls testSecret alone, with a
// version that it takes away again: then everything is asked whether it could do its part, and nothing is issued.
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
// A rotation that is rolled back before takes AWSPENDING away, which is how a rotation is cancelled: AWS's next one begins anew. While
// AWSPENDING stands on another version than AWSCURRENT, RotateSecret answers that a rotation is in progress: so it does during the
// first half of a rotation that the Rotator began by itself.
//
// # To prepare
//
// The journal has to outlive the function: a database (journal.NewPostgres), never memory or the function's disk, and not this store
// (see awssecrets). Give the credential a Policy.MaxAge longer than AWS's schedule, so that only one of the two begins rotations. The
// function is in the region of the primary secret, and in its account: the RotationToken that a function in another account would have
// to send is not used. Give it a timeout of 15 minutes, the permissions of awssecrets and those of its issuer, and let Secrets Manager call it:
//
//	aws lambda add-permission --function-name rotate --statement-id secretsmanager \
//	  --principal secretsmanager.amazonaws.com --action lambda:InvokeFunction --source-account 123456789012
//	aws secretsmanager rotate-secret --secret-id prod/payments --no-rotate-immediately \
//	  --rotation-lambda-arn arn:aws:lambda:eu-west-1:123456789012:function:rotate \
//	  --rotation-rules '{"ScheduleExpression": "rate(90 days)"}'
//
// Two calls for one secret at a time do no harm, nor do several secrets of one function.
//
// The rules are those of the Secrets Manager User Guide, "Rotation by Lambda function", and of RotateSecret and DescribeSecret in the
// API reference (RotateImmediately, ClientRequestToken). The tests call the steps as AWS is documented to, against the fake of awssecrets; no
// Lambda was seen. github.com/aws/aws-lambda-go, which starts a function in Lambda, takes it as it is: lambda.Start(handler.Handle).
package fourstep
