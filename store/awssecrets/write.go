// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"context"
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

// writer does one Save.
type writer struct {
	*state
	store *Store
	ctx   context.Context //nolint:containedctx // of one call
}

// write goes from one state to the next. The move of the document's label decides: before it nothing that is served has changed, and
// after it the rest can be done again by whoever loads the secret.
func (w *writer) write(v rotation.Versions, doc string) error {
	if err := w.begin(); err != nil {
		return err
	}
	if err := w.pending(v); err != nil {
		return err
	}
	if err := w.withdrawn(v); err != nil {
		return err
	}
	before := w.labels[labelDocument]
	if err := w.commit(doc); err != nil {
		return err
	}
	if err := w.serve(v.Key(rotation.RoleCurrent)); err != nil {
		return err
	}
	if err := w.withdrawn(v); err != nil { // AWSPREVIOUS went with AWSCURRENT by itself
		return err
	}
	if w.labels[labelPending] == w.labels[labelCurrent] {
		if err := w.drop(labelPending); err != nil {
			return err
		}
	}
	return w.settle(before)
}

// begin makes a secret, whose readers find that there is no key yet. The first version of a secret gets AWSCURRENT whatever is
// asked for, so it must not be the document.
func (w *writer) begin() error {
	if w.labels[labelCurrent] != "" {
		return nil
	}
	if w.there { // made without a value, by a template for one
		_, err := w.put(nobody, w.token("nobody"), labelCurrent)
		return err
	}
	in := &secretsmanager.CreateSecretInput{
		Name: &w.id, SecretString: aws.String(nobody), ClientRequestToken: aws.String(w.token("nobody")),
		Description: aws.String("Rotated by handover: see the version with the label " + labelDocument),
	}
	if w.store.cfg.KMSKey != "" {
		in.KmsKeyId = &w.store.cfg.KMSKey
	}
	out, err := w.store.cfg.Client.CreateSecret(w.ctx, in)
	switch {
	case code(err) == "ResourceExistsException":
		return conflict(w.id)
	case err != nil:
		return fail(w.ctx, "CreateSecret", w.id, err)
	}
	w.labels[labelCurrent], w.current = aws.ToString(out.VersionId), payload{text: nobody}
	return nil
}

// pending has AWSPENDING stand on the pending key. A version that AWS began to rotate into, still without a value, gets that key.
func (w *writer) pending(v rotation.Versions) error {
	holder := w.labels[labelPending]
	has, empty, err := w.peek(holder)
	if err != nil {
		return err
	}
	key := v.Key(rotation.RolePending)
	if key.IsZero() {
		current := v.Key(rotation.RoleCurrent)
		switch {
		case holder == "", empty, holder == w.labels[labelCurrent], w.store.holds(has, current):
			return nil
		case !slices.ContainsFunc(w.doc.Keys, func(k rotation.StoredKey) bool { return w.store.holds(has, k.Key) }):
			return nil // somebody else's
		}
		return w.drop(labelPending)
	}
	want, err := w.store.render(w.current, key)
	if err != nil || has.text == want {
		return err
	}
	token := w.serial(key)
	if empty {
		token = holder
	}
	_, err = w.put(want, token, labelPending)
	return err
}

// withdrawn takes AWSPREVIOUS away where there is no previous key.
func (w *writer) withdrawn(v rotation.Versions) error {
	if !v.Key(rotation.RolePrevious).IsZero() {
		return nil
	}
	return w.drop(labelPrevious)
}

// commit is the compare-and-swap.
func (w *writer) commit(doc string) error {
	version, err := w.put(doc, "", labelDraft)
	if err != nil {
		return err
	}
	return w.move(labelDocument, version)
}

// serve has AWSCURRENT stand on key. Where readers find it already, nothing moves.
func (w *writer) serve(key rotation.Key) error {
	if w.store.holds(w.current, key) || key.IsZero() && w.current.empty() {
		return nil
	}
	var want, token string
	var err error
	if key.IsZero() {
		want, err = w.store.withdraw(w.current)
		token = w.token("nobody")
	} else {
		want, err = w.store.render(w.current, key)
		token = w.serial(key)
	}
	if err != nil {
		return err
	}
	version := ""
	for _, label := range []string{labelPending, labelPrevious} {
		has, _, err := w.peek(w.labels[label])
		if err != nil {
			return err
		}
		if has.text == want {
			version = w.labels[label]
		}
	}
	if version == "" {
		if version, err = w.put(want, token, labelDraft); err != nil {
			return err
		}
	}
	from := w.labels[labelCurrent]
	if err := w.move(labelCurrent, version); err != nil {
		return err
	}
	w.labels[labelPrevious] = from
	return nil
}

// settle waits until the labels are seen as they were set: AWS is eventually consistent, and the next Load is to find them.
func (w *writer) settle(before string) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		out, err := w.store.describe(w.ctx, w.id)
		if err != nil {
			return err
		}
		seen := labelsOf(out)
		mine := seen[labelDocument] == w.labels[labelDocument]
		if mine && seen[labelCurrent] == w.labels[labelCurrent] || !mine && seen[labelDocument] != before {
			return nil // or somebody has written since
		}
		select {
		case <-time.After(pause):
		case <-w.ctx.Done():
			return fail(w.ctx, "DescribeSecret", w.id, w.ctx.Err())
		}
	}
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
