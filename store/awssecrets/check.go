// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/handover-go/handover/rotation"
)

// Check looks into the secrets of Config.Credentials without changing them: whether each can be described, read and written, and is no
// replica, is not scheduled for deletion and not managed by another service. What is denied is named, by the action that is missing.
//
// It writes the current version once more under its own token, and takes away a label that is not there: AWS answers both without any
// effect, if they are allowed. Of a secret that does not exist yet only that is known; CreateSecret cannot be tried without an effect.
func (s *Store) Check(ctx context.Context) error {
	var errs []error
	for _, name := range s.cfg.Credentials {
		errs = append(errs, s.check(ctx, s.cfg.Prefix+name))
	}
	return errors.Join(errs...)
}

func (s *Store) check(ctx context.Context, id string) error {
	out, err := s.describe(ctx, id)
	if errors.Is(err, rotation.ErrNotFound) {
		return nil // Save will create it
	}
	if err != nil {
		return err
	}
	if err := s.suits(id, out); err != nil {
		return err
	}
	current := labelsOf(out)[labelCurrent]
	if current == "" {
		return nil
	}
	text, err := s.value(ctx, id, current)
	if err != nil {
		return err
	}
	if p, err := s.parse(text); err != nil && !p.empty() {
		return err
	}
	_, err = s.cfg.Client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &id, ClientRequestToken: &current, SecretString: &text, VersionStages: []string{labelDraft},
	})
	if err != nil {
		return fail(ctx, "PutSecretValue", id, err)
	}
	_, err = s.cfg.Client.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &id, VersionStage: aws.String("handover-check"), RemoveFromVersionId: &current,
	})
	if err != nil && code(err) != "InvalidParameterException" { // it has no such label, and we were allowed to ask
		return fail(ctx, "UpdateSecretVersionStage", id, err)
	}
	return nil
}

// suits reports what of a secret's description stands in the way.
func (s *Store) suits(id string, out *secretsmanager.DescribeSecretOutput) error {
	region := s.cfg.Client.Options().Region
	place := strings.Split(aws.ToString(out.ARN), ":") // arn:aws:secretsmanager:region:account:secret:name
	switch {
	case out.DeletedDate != nil:
		return problem("awssecrets: secret " + strconv.Quote(id) + " is scheduled for deletion: RestoreSecret brings it back, with all its versions")
	case aws.ToString(out.PrimaryRegion) != "" && *out.PrimaryRegion != region:
		return problem("awssecrets: secret " + strconv.Quote(id) + " is a replica in " + region + ", which cannot be written: use a client of its primary region " + *out.PrimaryRegion)
	case aws.ToString(out.OwningService) != "":
		return problem("awssecrets: secret " + strconv.Quote(id) + " is managed by another service of AWS (" + *out.OwningService + "), which rotates it")
	case s.cfg.Account != "" && len(place) > 4 && place[4] != s.cfg.Account:
		return problem("awssecrets: secret " + strconv.Quote(id) + " is in the account " + place[4] + ", not in " + s.cfg.Account + " (Config.Account): whose credentials are these?")
	}
	return nil
}
