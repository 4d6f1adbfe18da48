// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package awssecrets keeps credentials in AWS Secrets Manager, on the official SDK for Go. It is a module of its own, which needs Go 1.26
// (handover itself needs 1.25):
//
//	go get github.com/handover-go/handover/store/awssecrets
//
// # What readers find
//
// Each credential is one secret. A service reads it as it reads any other: GetSecretValue, without a stage, gives the current key, as
// text or as some fields of a JSON object (Config.Field). AWSPENDING is on the new key from the time it is issued until it is promoted,
// for a canary that asks for that stage, and AWSPREVIOUS on the replaced one until it is revoked. AWSCURRENT moves when a key is
// promoted and when a rotation is rolled back, and at no other time. Where no key may be served, because the only one is compromised,
// readers find {"handover":"no current key"}.
//
// # Where the rest is
//
// All keys with their roles are in one more version of the same secret, under the label "handover": the document. It is written first,
// and its label moves by compare-and-swap (UpdateSecretVersionStage with RemoveFromVersionId), which decides between writers: a Save that
// loses there has changed nothing that readers find. What readers find follows. Whichever call is the last one that gets through,
// [Store.Load] finds every key in the document, and reports the roles as readers see them, so that the engine does the rest again. It
// does so too where AWSPREVIOUS or AWSPENDING stand on another key than the document says: such a state has no Stamp. A value that
// somebody puts by hand is reported as the current key.
//
// A call can be held up, and come through when another process has written since. Every move of a label names the version that it is
// taken from, and AWSCURRENT never comes back to a version that it stood on: a rollback puts the old key once more. Where a Save was not
// seen to end, the next one with another current key puts what readers find as a version of its own first, so that the move that may still
// be under way finds nothing to compare with.
//
// Every version is put under a label, because a version without one may be deleted by AWS, and without VersionStages PutSecretValue
// would move AWSCURRENT: "handover-draft" is on the one that was written last, "handover-next" on the last that was made for
// AWSPENDING. What is under AWSPENDING and not from here is left there, until a key is issued. The first version of a secret gets
// AWSCURRENT whatever is asked for: a secret that this package creates begins with a value that says that there is no key. The SDK gives
// each version a ClientRequestToken, which it keeps while it retries; only a version that RotateSecret has begun has that one's token.
//
// # What AWS does not do
//
// Versions cannot be deleted. Those that no label is on, among them old documents with revoked keys, can be read by their id until AWS
// collects them: it keeps the last hundred, and all that are younger than a day. Who may call GetSecretValue on the secret can read
// pending and previous keys too, unless its policy allows only some stages (the condition key secretsmanager:VersionStage).
//
// For the same reason a secret takes about a hundred versions in a day, and a rotation writes some ten. A journal in this store
// (journal.InStore) would use them up within hours: keep the journal elsewhere.
//
// Every operation of Secrets Manager is eventually consistent. Save returns when it has seen its own labels; a Load that is still behind
// leads to rotation.ErrConflict at the next Save and to nothing worse. A replica in another region follows some time later: name that
// time as Binding.Lag for services that read there. Replicas cannot be written, and are refused.
//
// # Permissions
//
// This is what the process that rotates needs, with your region, account and Config.Prefix. CreateSecret is for secrets that Save is to
// make, and ListSecrets, which can be allowed for every resource only, for [Store.Names].
//
//	{
//	  "Version": "2012-10-17",
//	  "Statement": [
//	    {
//	      "Effect": "Allow",
//	      "Action": [
//	        "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue",
//	        "secretsmanager:UpdateSecretVersionStage", "secretsmanager:CreateSecret"
//	      ],
//	      "Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/*"
//	    },
//	    {"Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": "*"}
//	  ]
//	}
//
// With a KMS key of one's own it needs kms:Decrypt and kms:GenerateDataKey on that key. [Store.Check] names the action that is missing.
// A service that reads needs GetSecretValue, and this condition keeps it to the current key if it names that stage:
//
//	{
//	  "Effect": "Allow",
//	  "Action": "secretsmanager:GetSecretValue",
//	  "Resource": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/*",
//	  "Condition": {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}
//	}
//
// # To prepare
//
// An existing secret is put under rotation as it is: its value is the current key. store.Seed with the same value completes it with an ID and
// its age, unless Config.IDField and Config.Fields have told something of it already; for a secret that does not exist yet it makes one. A
// key without an ID, or without an attribute, leaves the field of it as it is. Switch off a rotation that AWS runs on the same
// secret, or have it run by package fourstep. Give Config.Credentials, so that what is not allowed is known before anything is minted.
//
// The rules above are those of the API reference of Secrets Manager, as it is in version 1.50 of the SDK's service package
// (https://docs.aws.amazon.com/secretsmanager/latest/apireference/): PutSecretValue, UpdateSecretVersionStage, DescribeSecret and
// ListSecrets. The tests run against a fake that follows them, not against AWS. They run against AWS, or anything that speaks its protocol, if
// HANDOVER_AWS, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set, and AWS_ENDPOINT_URL for what is not AWS.
package awssecrets
