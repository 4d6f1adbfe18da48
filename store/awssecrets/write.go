// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"context"
	"maps"
	"slices"

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
	before := maps.Clone(w.labels)
	if err := w.pending(v); err != nil {
		return err
	}
	previous := v.Key(rotation.RolePrevious)
	if previous.IsZero() {
		if err := w.drop(labelPrevious); err != nil {
			return err
		}
	}
	if err := w.commit(doc); err != nil {
		return err
	}
	if err := w.serve(v.Key(rotation.RoleCurrent)); err != nil {
		return err
	}
	if err := w.previous(previous); err != nil {
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
		case holder == w.labels[labelOurs], slices.ContainsFunc(w.doc.Keys, func(k rotation.StoredKey) bool { return w.store.holds(has, k.Key) }):
			return w.drop(labelPending) // or AWS would not begin a rotation
		}
		return nil // somebody else's
	}
	want, err := w.store.render(w.current, key)
	if err != nil || has.text == want {
		return err
	}
	token := w.serial(key)
	if empty {
		token = holder
	}
	version, err := w.put(want, token, labelOurs)
	if err != nil {
		return err
	}
	return w.move(labelPending, version)
}

// previous has AWSPREVIOUS stand on key, or on nothing. It goes with AWSCURRENT by itself, and is elsewhere where AWSCURRENT was moved by
// somebody else.
func (w *writer) previous(key rotation.Key) error {
	if key.IsZero() {
		return w.drop(labelPrevious)
	}
	has, _, err := w.peek(w.labels[labelPrevious])
	if err != nil || w.store.holds(has, key) {
		return err
	}
	want, err := w.store.render(w.current, key)
	if err != nil {
		return err
	}
	version, err := w.put(want, w.serial(key), labelDraft)
	if err != nil {
		return err
	}
	return w.move(labelPrevious, version)
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
	w.current, err = w.store.parse(want)
	return err
}
