// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package awsiam makes, ends and verifies access keys of a user of AWS IAM, on the official SDK for Go. It is a module of its own, which
// needs Go 1.26 (handover itself needs 1.25):
//
//	go get github.com/handover-go/handover/issuer/awsiam
//
// [Issuer] is for one user, of which the ARN is known: a client of another account would find no key there, and take it for ended.
// [Verifier] presents a key to STS and compares whose it is.
//
// # What IAM does
//
// A user has two access keys at most, disabled ones counted (LimitExceeded, rotation.ErrNoSlot). Nothing is ended to make room: the
// engine ends keys of its own record, and reports the others for a person to end. A user whose second slot somebody else holds cannot be
// rotated.
//
// Keys have neither names nor tags, and CreateAccessKey takes no token. A key whose answer was lost is therefore recognised by its time,
// and only where Config.Exclusive says that nobody else makes keys of this user; else the rotation waits for a person to say which it
// was. The SDK is kept from repeating the call by itself.
//
// Inactive is what Disable does and Active what Enable does. A deleted key does not come back.
//
// IAM is eventually consistent and names no time: a new key is refused at first and a deleted one accepted, usually for seconds. The
// engine waits for Config.Propagation, 15 minutes if it is zero. (IAM User Guide, "Troubleshoot IAM": changes are not always
// immediately visible.)
//
// GetAccessKeyLastUsed tells the last use of a key, its service and its region; a key that was never used has none. How old that can be
// AWS does not say of keys; of last accessed information it says that it appears within four hours, which is Config.UsageLag if it is
// zero. Quiet is proven up to then and no further: a rotation takes that much longer than its Policy.Quiet.
//
// GetCallerIdentity needs no permission and cannot be forbidden by a policy of the user's. It answers InvalidClientTokenId for a key that
// is not known, deleted or inactive, and SignatureDoesNotMatch for a wrong secret, and also for a clock that is more than five minutes
// wrong: what it says of the clock is no rejection here.
//
// # Permissions
//
// This is what Config.Client needs, with the ARN of your user. Without iam:GetAccessKeyLastUsed there is no evidence of use. iam:GetUser is for
// [Issuer.Check], which names what is missing, but for CreateAccessKey, which cannot be tried without an effect. The user itself, whose
// keys are presented to STS, needs nothing.
//
//	{
//	  "Version": "2012-10-17",
//	  "Statement": [{
//	    "Effect": "Allow",
//	    "Action": [
//	      "iam:CreateAccessKey", "iam:DeleteAccessKey", "iam:UpdateAccessKey", "iam:ListAccessKeys",
//	      "iam:GetAccessKeyLastUsed", "iam:GetUser"
//	    ],
//	    "Resource": "arn:aws:iam::123456789012:user/apps/payments"
//	  }]
//	}
//
// Check asks IAM to switch off and to delete a key whose id cannot exist (HANDOVERCHECK0000000). CloudTrail shows that as failed calls.
//
// # To prepare
//
// Put the key of today into the store with its access key id (store.Seed), and end the user's second key if nobody needs it. Use a role
// for Config.Client and set Config.Independent; with a key of the same user as its authority, an emergency has to issue before it
// revokes. A workload that runs in AWS needs no access key at all: give it a role.
//
// The rules above are those of the IAM and STS API references (https://docs.aws.amazon.com/IAM/latest/APIReference/,
// https://docs.aws.amazon.com/STS/latest/APIReference/), as of versions 1.64 and 1.51 of the SDK's service packages. The tests run
// against a fake that follows them, not against AWS. They run against AWS, or anything that speaks its protocol, if HANDOVER_AWS,
// HANDOVER_AWS_USER, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set, and AWS_ENDPOINT_URL for what is not AWS.
package awsiam
