// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/handover-go/handover/rotation"
)

// VerifierConfig of a Verifier. UserARN and Region are required.
type VerifierConfig struct {
	UserARN  string         // whose keys they are
	Region   string         // whose STS is asked: "eu-west-1"
	Client   sts.HTTPClient // nil: an http.Client with a time limit of 10 seconds
	Endpoint string         // empty: that of AWS
}

// Verifier presents a key to STS, by GetCallerIdentity, which every key may call whatever its policies say. It is made by NewVerifier
// and safe for concurrent use. The call counts as a use of the key.
type Verifier struct {
	cfg VerifierConfig
}

var (
	_ rotation.Verifier   = (*Verifier)(nil)
	_ rotation.Identifier = (*Verifier)(nil)
)

// NewVerifier checks cfg and returns a Verifier. It does no I/O. The error joins every mistake, each naming its field.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	_, err := userName("VerifierConfig.UserARN", cfg.UserARN)
	if cfg.Region == "" {
		err = errors.Join(err, problem("awsiam: VerifierConfig.Region is required"))
	}
	if err != nil {
		return nil, err
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 10 * time.Second}
	}
	return &Verifier{cfg}, nil
}

// Verify asks whose key it is. It fails with rotation.ErrRejected if AWS knows no such active key, or if the secret is another one. A
// key of another principal, a clock that is wrong, a firewall and everything else are not known. A new key may be refused for some
// seconds, and an ended one accepted: IAM is eventually consistent.
func (v *Verifier) Verify(ctx context.Context, key rotation.Key) error {
	if key.ID == "" || key.Secret.IsZero() {
		return problem("awsiam: a key without its id or its secret cannot be presented")
	}
	o := sts.Options{
		Region: v.cfg.Region, HTTPClient: v.cfg.Client,
		Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret.Reveal(), ""),
	}
	if v.cfg.Endpoint != "" {
		o.BaseEndpoint = &v.cfg.Endpoint
	}
	out, err := sts.New(o).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch c := code(err); {
	case err == nil && aws.ToString(out.Arn) != v.cfg.UserARN:
		return problem("awsiam: key " + key.ID + " is accepted, and is not one of " + v.cfg.UserARN)
	case err == nil:
		return nil
	case !skewed(err) && (c == "InvalidClientTokenId" || c == "SignatureDoesNotMatch"):
		return problem("awsiam: key "+key.ID+" is refused ("+c+")", rotation.ErrRejected)
	case skewed(err):
		return problem("awsiam: it is not known whether key " + key.ID + " is accepted: AWS refuses the time of the signature, so set this machine's clock")
	default:
		return notAuthority(fail(ctx, "GetCallerIdentity", "key "+key.ID, err))
	}
}

// notAuthority takes rotation.ErrDenied away: it speaks of a caller's own authority, and here the key is the caller.
func notAuthority(err error) error {
	var f *failure
	if errors.As(err, &f) && errors.Is(err, rotation.ErrDenied) {
		return problem(f.text)
	}
	return err
}

// Identity is the ARN of the user and the region.
func (v *Verifier) Identity() string { return v.cfg.UserARN + " by sts " + v.cfg.Region }

// String names the user.
func (v *Verifier) String() string { return v.Identity() }

// GoString keeps %#v as silent as %v.
func (v *Verifier) GoString() string { return v.Identity() }
