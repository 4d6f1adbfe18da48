// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/handover-go/handover/rotation"
)

// settle waits until no label is seen where it stood before: AWS is eventually consistent, and the next Load is to find what was set.
func (w *writer) settle(before map[string]string) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		out, err := w.store.describe(w.ctx, w.id)
		if err != nil && !errors.Is(err, rotation.ErrNotFound) { // that: it was made just now
			return err
		}
		if err == nil && !w.behind(labelsOf(out), before) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-w.ctx.Done():
			return fail(w.ctx, "DescribeSecret", w.id, w.ctx.Err())
		}
	}
}

// behind reports whether seen is from before this Save. What is neither from before nor from this Save somebody else has set since; where
// that is the document, it was another Save, which may have put the other labels back.
func (w *writer) behind(seen, before map[string]string) bool {
	if document := seen[labelDocument]; document != w.labels[labelDocument] && document != before[labelDocument] {
		return false
	}
	return slices.ContainsFunc([]string{labelDocument, labelCurrent, labelPending, labelPrevious}, func(label string) bool {
		return seen[label] != w.labels[label] && seen[label] == before[label]
	})
}

// put writes a version with a label. Each is a new one: the SDK makes a token, and keeps it while it retries. Only token, if it is
// given, is a version that AWS has begun; where that got another value meanwhile, text gets a version of its own.
func (w *writer) put(text, token, label string) (version string, err error) {
	in := &secretsmanager.PutSecretValueInput{SecretId: &w.id, SecretString: &text, VersionStages: []string{label}}
	if token != "" {
		in.ClientRequestToken = &token
	}
	out, err := w.store.cfg.Client.PutSecretValue(w.ctx, in)
	if token != "" && code(err) == "ResourceExistsException" {
		in.ClientRequestToken = nil
		out, err = w.store.cfg.Client.PutSecretValue(w.ctx, in)
	}
	if err != nil {
		return "", fail(w.ctx, "PutSecretValue", w.id, err)
	}
	w.labels[label] = aws.ToString(out.VersionId)
	return w.labels[label], nil
}

// move has a label stand on version, if it still stands where it was read.
func (w *writer) move(label, version string) error {
	from := w.labels[label]
	if from == version {
		return nil
	}
	in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: &w.id, VersionStage: &label}
	if from != "" {
		in.RemoveFromVersionId = &from
	}
	if version != "" {
		in.MoveToVersionId = &version
	}
	_, err := w.store.cfg.Client.UpdateSecretVersionStage(w.ctx, in)
	if code(err) == "InvalidParameterException" { // it moved: by somebody else, or by this call, whose first answer was lost
		out, err := w.store.describe(w.ctx, w.id)
		if err != nil {
			return err
		}
		if labelsOf(out)[label] != version {
			return conflict(w.id)
		}
	} else if err != nil {
		return fail(w.ctx, "UpdateSecretVersionStage", w.id, err)
	}
	w.labels[label] = version
	return nil
}

func (w *writer) drop(label string) error {
	if w.labels[label] == "" {
		return nil
	}
	return w.move(label, "")
}
