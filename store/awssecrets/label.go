// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"crypto/sha1" //nolint:gosec // RFC 9562 makes a UUID of version 5 with it; nothing is protected by it
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// behind reports whether seen is from before this Save. What is neither from before nor from this Save somebody else has set since.
func (w *writer) behind(seen, before map[string]string) bool {
	return slices.ContainsFunc([]string{labelDocument, labelCurrent, labelPending, labelPrevious}, func(label string) bool {
		return seen[label] != w.labels[label] && seen[label] == before[label]
	})
}

// peek reads a version; empty is true where it has no value yet.
func (w *writer) peek(version string) (has payload, empty bool, err error) {
	if version == "" {
		return payload{}, false, nil
	}
	text, err := w.store.value(w.ctx, w.id, version)
	if errors.Is(err, rotation.ErrNotFound) {
		return payload{}, true, nil
	}
	if err != nil {
		return payload{}, false, err
	}
	has, _ = w.store.parse(text) // what is no object is nobody's key
	return has, false, nil
}

// put writes a version with a label. The same token with the same text is the same version; where the token stands for another text
// already, the text gets a token of its own.
func (w *writer) put(text, token, label string) (version string, err error) {
	in := &secretsmanager.PutSecretValueInput{SecretId: &w.id, SecretString: &text, VersionStages: []string{label}}
	if token != "" {
		in.ClientRequestToken = &token
	} // else the SDK makes one, and keeps it while it retries
	out, err := w.store.cfg.Client.PutSecretValue(w.ctx, in)
	if token != "" && code(err) == "ResourceExistsException" {
		in.ClientRequestToken = nil
		out, err = w.store.cfg.Client.PutSecretValue(w.ctx, in)
	}
	if err != nil {
		return "", fail(w.ctx, "PutSecretValue", w.id, err)
	}
	version = aws.ToString(out.VersionId)
	if slices.Contains(out.VersionStages, label) {
		w.labels[label] = version
	} else if err := w.move(label, version); err != nil { // the version was there, and was left as it was
		return "", err
	}
	if label == labelCurrent {
		w.current = payload{text: text}
	}
	return version, nil
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

// serial is the token of a key's version. A key without a serial has none of its own.
func (w *writer) serial(key rotation.Key) string {
	if key.Serial == 0 {
		return ""
	}
	return w.token("serial " + strconv.FormatInt(key.Serial, 10))
}

// token is a UUID of version 5 (RFC 9562) under a name space of this package's own.
func (w *writer) token(what string) string {
	const space = "\x9b\x1f\x6a\x02\x5d\x38\x4e\x51\xa6\x0c\x2e\xd7\x43\x71\xf8\x95"
	sum := sha1.Sum([]byte(space + w.id + "\x00" + what))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
