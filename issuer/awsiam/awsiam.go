// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// usageLag is how old GetAccessKeyLastUsed is taken to be: IAM's guide says of its last accessed information that it appears within
// four hours, and names no time for keys.
const usageLag = 4 * time.Hour

// Config of an Issuer. Client and UserARN are required.
type Config struct {
	Client  *iam.Client // carries the authority over the user's keys
	UserARN string      // the user: arn:aws:iam::123456789012:user/path/name

	Exclusive   bool          // nobody else makes keys of this user: a lost key, which has no name, is then recognised by itself
	Independent bool          // Client's own credentials are no key of this user: an emergency need not issue before it revokes
	Propagation time.Duration // until a new or ended key is seen by all of AWS; zero: 15 minutes, negative: none
	ListLag     time.Duration // until a new key is listed; zero: a minute, negative: none
	UsageLag    time.Duration // how old the figures of use are; zero: 4 hours, negative: none
}

// Issuer makes and ends access keys of one user of AWS IAM. It is made by New and safe for concurrent use. It holds nothing open.
type Issuer struct {
	cfg  Config
	user string
}

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Disabler   = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

var userARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:user/(?:[!-~]+/)*([A-Za-z0-9+=,.@_-]{1,64})$`)

// New checks cfg and returns an Issuer. It does no I/O. The error joins every mistake, each naming its field.
func New(cfg Config) (*Issuer, error) {
	var errs []error
	if cfg.Client == nil {
		errs = append(errs, problem("awsiam: Config.Client is required"))
	}
	user, err := userName("Config.UserARN", cfg.UserARN)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return &Issuer{cfg, user}, nil
}

// userName is the last part of a user's ARN.
func userName(field, arn string) (string, error) {
	m := userARN.FindStringSubmatch(arn)
	if m == nil {
		return "", problem("awsiam: " + field + " is not the ARN of a user, which looks like arn:aws:iam::123456789012:user/name")
	}
	return m[1], nil
}

// Issue makes an access key. Its ID is the access key id, and its attribute "user" the name of the user. IAM has neither names nor
// tokens for keys, so a lost answer is settled by the list. The SDK does not repeat this call: the second one would make a second key.
//
// Two keys are the limit: with both slots taken it fails with rotation.ErrNoSlot, whoever made them. It never ends a key for a slot.
func (i *Issuer) Issue(ctx context.Context, _ rotation.IssueRequest) (rotation.Key, error) {
	if ctx.Err() != nil {
		return rotation.Key{}, problem("awsiam: CreateAccessKey was not sent: the context has ended", rotation.ErrNotIssued, ctx.Err())
	}
	out, err := i.cfg.Client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &i.user}, once)
	if err != nil {
		var certain []error
		if refused(err) {
			certain = append(certain, rotation.ErrNotIssued)
		}
		return rotation.Key{}, fail(ctx, "CreateAccessKey", i.cfg.UserARN, err, certain...)
	}
	made := out.AccessKey
	if made == nil || aws.ToString(made.AccessKeyId) == "" {
		return rotation.Key{}, problem("awsiam: the answer of CreateAccessKey has no key in it")
	}
	key := rotation.Key{
		ID: *made.AccessKeyId, IssuedAt: cmp.Or(aws.ToTime(made.CreateDate), time.Now()),
		Attributes: map[string]string{"user": i.user},
	}
	if aws.ToString(made.SecretAccessKey) == "" {
		return key, problem("awsiam: the answer of CreateAccessKey has no secret in it")
	}
	key.Secret = secret.New(*made.SecretAccessKey)
	return key, nil
}

func once(o *iam.Options) { o.Retryer = aws.NopRetryer{} }

// Revoke ends the key. One that is not there any more is ended.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	if key.ID == "" {
		return problem("awsiam: the key has no id")
	}
	_, err := i.cfg.Client.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &i.user, AccessKeyId: &key.ID})
	if err != nil && code(err) != "NoSuchEntity" {
		return fail(ctx, "DeleteAccessKey", i.cfg.UserARN, err)
	}
	return nil
}

// Disable makes the key inactive: it is refused everywhere, and still takes its slot.
func (i *Issuer) Disable(ctx context.Context, key rotation.Key) error {
	return i.update(ctx, key, types.StatusTypeInactive)
}

// Enable makes the key active again.
func (i *Issuer) Enable(ctx context.Context, key rotation.Key) error {
	return i.update(ctx, key, types.StatusTypeActive)
}

func (i *Issuer) update(ctx context.Context, key rotation.Key, status types.StatusType) error {
	if key.ID == "" {
		return problem("awsiam: the key has no id")
	}
	_, err := i.cfg.Client.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &i.user, AccessKeyId: &key.ID, Status: status})
	if err != nil {
		return fail(ctx, "UpdateAccessKey", i.cfg.UserARN, err)
	}
	return nil
}

// List returns the user's keys, whoever made them, with the last use of each as far as AWS has told it by now (Config.UsageLag). Where
// iam:GetAccessKeyLastUsed is denied there is no evidence of use.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	var infos []rotation.KeyInfo
	pages := iam.NewListAccessKeysPaginator(i.cfg.Client, &iam.ListAccessKeysInput{UserName: &i.user})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fail(ctx, "ListAccessKeys", i.cfg.UserARN, err)
		}
		for _, k := range page.AccessKeyMetadata {
			info := rotation.KeyInfo{
				Key: rotation.Key{
					ID: aws.ToString(k.AccessKeyId), IssuedAt: aws.ToTime(k.CreateDate), Attributes: map[string]string{"user": i.user},
				},
				Disabled: k.Status != types.StatusTypeActive,
			}
			if info.Usage, err = i.usage(ctx, info.Key.ID); err != nil {
				return nil, err
			}
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// usage asks when a key was used last.
func (i *Issuer) usage(ctx context.Context, id string) (rotation.Usage, error) {
	asked := time.Now()
	out, err := i.cfg.Client.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
	switch code(err) {
	case "AccessDenied", "NoSuchEntity": // not allowed, or ended since it was listed: AWS tells them apart in no way
		return rotation.Usage{}, nil
	}
	if err != nil {
		return rotation.Usage{}, fail(ctx, "GetAccessKeyLastUsed", i.cfg.UserARN, err)
	}
	u := rotation.Usage{AsOf: asked.Add(-max(cmp.Or(i.cfg.UsageLag, usageLag), 0))}
	if last := out.AccessKeyLastUsed; last != nil && last.LastUsedDate != nil {
		u.LastUsed = *last.LastUsedDate
		if u.LastUsed.After(u.AsOf) {
			u.AsOf = u.LastUsed // some uses are told early
		}
		u.Source = aws.ToString(last.ServiceName) + " in " + aws.ToString(last.Region)
	}
	return u, nil
}

// Describe returns the traits of IAM: two keys for a user, and what Config says.
func (i *Issuer) Describe() rotation.Traits {
	return rotation.Traits{
		MaxKeys: 2, Propagation: i.cfg.Propagation, ListLag: i.cfg.ListLag, Exclusive: i.cfg.Exclusive, Independent: i.cfg.Independent,
	}
}

// Identity is the ARN of the user.
func (i *Issuer) Identity() string { return i.cfg.UserARN }

// String names the user.
func (i *Issuer) String() string { return i.cfg.UserARN }

// GoString keeps %#v as silent as %v.
func (i *Issuer) GoString() string { return i.cfg.UserARN }
