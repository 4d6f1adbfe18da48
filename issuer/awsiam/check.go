// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// nobodysKey is an access key id that cannot exist: those of users begin with AKIA.
const nobodysKey = "HANDOVERCHECK0000000"

// Check makes sure that the user is the one of Config.UserARN, in that account, and that its keys may be listed, updated and deleted,
// with a key id that cannot exist. What is denied is named, by the action that is missing. iam:CreateAccessKey cannot be tried without
// making a key; iam:GetAccessKeyLastUsed may be missing, and then there is no evidence of use.
func (i *Issuer) Check(ctx context.Context) error {
	out, err := i.cfg.Client.GetUser(ctx, &iam.GetUserInput{UserName: &i.user})
	if err != nil {
		return fail(ctx, "GetUser", i.cfg.UserARN, err)
	}
	if out.User == nil || aws.ToString(out.User.Arn) != i.cfg.UserARN {
		return problem("awsiam: the user " + i.user + " that Config.Client sees is not " + i.cfg.UserARN + ": is it a client of another account, or is the path missing?")
	}
	if _, err := i.List(ctx); err != nil {
		return err
	}
	id := nobodysKey
	_, err = i.cfg.Client.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &i.user, AccessKeyId: &id, Status: types.StatusTypeInactive})
	if err != nil && code(err) != "NoSuchEntity" {
		return fail(ctx, "UpdateAccessKey", i.cfg.UserARN, err)
	}
	_, err = i.cfg.Client.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &i.user, AccessKeyId: &id})
	if err != nil && code(err) != "NoSuchEntity" {
		return fail(ctx, "DeleteAccessKey", i.cfg.UserARN, err)
	}
	return nil
}
