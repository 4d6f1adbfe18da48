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

// write goes from one state to the next. The move of the document's label decides: before it readers find what they found, and after
// it the rest can be done again by whoever loads the secret.
func (w *writer) write(v rotation.Versions, doc string) error {
	if err := w.begin(); err != nil {
		return err
	}
	before := maps.Clone(w.labels)
	if err := w.fence(v.Key(rotation.RoleCurrent)); err != nil {
		return err
	}
	if err := w.commit(doc); err != nil {
		return err
	}
	if err := w.serve(v.Key(rotation.RoleCurrent)); err != nil {
		return err
	}
	if err := w.previous(v.Key(rotation.RolePrevious)); err != nil {
		return err
	}
	if err := w.pending(v.Key(rotation.RolePending)); err != nil {
		return err
	}
	return w.settle(before)
}

// begin makes a secret, whose readers find that there is no key yet. The first version of a secret gets AWSCURRENT whatever is
// asked for, so it must not be the document.
func (w *writer) begin() error {
	if w.labels[labelCurrent] != "" {
		return nil
	}
	w.current = payload{text: nobody}
	if w.there { // made without a value, by a template for one
		version, err := w.put(nobody, "", labelDraft)
		if err != nil {
			return err
		}
		return w.move(labelCurrent, version) // is there, unless somebody has put a value meanwhile
	}
	in := &secretsmanager.CreateSecretInput{
		Name: &w.id, SecretString: aws.String(nobody),
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
	w.labels[labelCurrent] = aws.ToString(out.VersionId)
	return nil
}

// fence stops a move of AWSCURRENT that an earlier Save has begun and nobody has seen the end of: it may still be under way. It compares
// versions, so what readers find is put once more as a version of its own, before the document is another one.
func (w *writer) fence(next rotation.Key) error {
	meant := w.doc.Key(rotation.RoleCurrent)
	if w.labels[labelDocument] == "" || w.shows(meant) || next.Equal(meant) { // the last: to have come through would be right
		return nil
	}
	version, err := w.put(w.current.text, "", labelDraft)
	if err != nil {
		return err
	}
	previous := w.labels[labelPrevious]
	if err := w.switchTo(version); err != nil {
		return err
	}
	return w.move(labelPrevious, previous)
}

// commit is the compare-and-swap.
func (w *writer) commit(doc string) error {
	version, err := w.put(doc, "", labelDraft)
	if err != nil {
		return err
	}
	return w.move(labelDocument, version)
}

// serve has AWSCURRENT stand on key. Where readers find it already, nothing moves. It never comes back to a version that it stood on:
// a move that was held up would compare well again.
func (w *writer) serve(key rotation.Key) error {
	if w.shows(key) {
		return nil
	}
	if w.labels[labelPending] == w.labels[labelCurrent] {
		if err := w.drop(labelPending); err != nil {
			return err
		}
	}
	want, err := w.store.render(w.current, key)
	if key.IsZero() {
		want, err = w.store.withdraw(w.current)
	}
	if err != nil {
		return err
	}
	version := w.labels[labelPending]
	has, _, err := w.peek(w.ctx, version)
	if err != nil {
		return err
	}
	if has.text != want {
		if version, err = w.put(want, "", labelDraft); err != nil {
			return err
		}
	}
	if err := w.switchTo(version); err != nil {
		return err
	}
	w.current, err = w.store.parse(want)
	return err
}

// switchTo moves AWSCURRENT, and AWS moves AWSPREVIOUS to where it was.
func (w *writer) switchTo(version string) error {
	from := w.labels[labelCurrent]
	if err := w.move(labelCurrent, version); err != nil {
		return err
	}
	w.labels[labelPrevious] = from
	return nil
}

// previous has AWSPREVIOUS stand on key, or on nothing. It goes with AWSCURRENT by itself, and is elsewhere where AWSCURRENT was moved by
// somebody else.
func (w *writer) previous(key rotation.Key) error {
	if key.IsZero() {
		return w.drop(labelPrevious)
	}
	has, _, err := w.peek(w.ctx, w.labels[labelPrevious])
	if err != nil || w.store.holds(has, key) {
		return err
	}
	want, err := w.store.render(w.current, key)
	if err != nil {
		return err
	}
	version, err := w.put(want, "", labelDraft)
	if err != nil {
		return err
	}
	return w.move(labelPrevious, version)
}

// pending has AWSPENDING stand on key, or on nothing of ours. A version that AWS began to rotate into, still without a value, gets the key.
func (w *writer) pending(key rotation.Key) error {
	holder := w.labels[labelPending]
	has, empty, err := w.peek(w.ctx, holder)
	if err != nil {
		return err
	}
	ours := holder != "" && (holder == w.labels[labelOurs] || holder == w.labels[labelCurrent] ||
		slices.ContainsFunc(w.doc.Keys, func(k rotation.StoredKey) bool { return w.store.holds(has, k.Key) }))
	if key.IsZero() {
		if ours {
			return w.drop(labelPending) // or AWS would not begin a rotation
		}
		return nil // somebody else's
	}
	want, err := w.store.render(w.current, key)
	if err != nil || has.text == want {
		return err
	}
	token := ""
	switch {
	case empty:
		token = holder
	case ours: // before another version is known as ours
		if err := w.drop(labelPending); err != nil {
			return err
		}
	}
	version, err := w.put(want, token, labelOurs)
	if err != nil {
		return err
	}
	return w.move(labelPending, version)
}
