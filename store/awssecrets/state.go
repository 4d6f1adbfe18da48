// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// Labels. Those of AWS are for readers; the others are this package's.
const (
	labelCurrent  = "AWSCURRENT"
	labelPending  = "AWSPENDING"
	labelPrevious = "AWSPREVIOUS"
	labelDocument = "handover"       // the version that holds the document: all keys with their roles
	labelDraft    = "handover-draft" // the version that was written last: a version is never put without a label
	labelOurs     = "handover-next"  // the version that was last given AWSPENDING here, and not by AWS or by hand
)

// maxText is the longest SecretString, in bytes.
const maxText = 65536

// state is one secret as it was read.
type state struct {
	store *Store
	id    string // the secret's name
	there bool
	out   *secretsmanager.DescribeSecretOutput

	labels  map[string]string // version by label
	doc     rotation.Versions // zero without a document
	current payload           // what readers find; zero where there is no version at all
}

// read asks for the labels, the document and what readers find.
func (s *Store) read(ctx context.Context, name string) (*state, error) {
	st := &state{store: s, id: s.cfg.Prefix + name, labels: map[string]string{}}
	if !secretName.MatchString(st.id) {
		return nil, problem("awssecrets: " + strconv.Quote(st.id) + " is no name of a secret: up to 512 letters, digits and /_+=.@- are")
	}
	out, err := s.describe(ctx, st.id)
	if errors.Is(err, rotation.ErrNotFound) {
		return st, nil
	}
	if err != nil {
		return nil, err
	}
	if out.DeletedDate != nil {
		return nil, problem("awssecrets: secret " + strconv.Quote(st.id) + " is scheduled for deletion: RestoreSecret brings it back, with all its versions")
	}
	st.there, st.out, st.labels = true, out, labelsOf(out)
	if st.labels[labelDocument] != "" {
		text, err := st.labelled(ctx, labelDocument)
		if err != nil {
			return nil, err
		}
		if st.doc, err = store.Unmarshal([]byte(text)); err != nil {
			return nil, problem("awssecrets: secret " + strconv.Quote(st.id) + ": the version with the label \"" + labelDocument + "\" is no document of this library: " + err.Error())
		}
	}
	if st.labels[labelCurrent] != "" {
		text, err := st.labelled(ctx, labelCurrent)
		if err != nil {
			return nil, err
		}
		if st.current, err = s.parse(text); err != nil && !st.current.empty() {
			return nil, err
		}
	}
	return st, nil
}

// labelled reads the version with a label. AWS is eventually consistent: the label may be there before the value.
func (st *state) labelled(ctx context.Context, label string) (string, error) {
	text, err := st.store.value(ctx, st.id, st.labels[label])
	if errors.Is(err, rotation.ErrNotFound) {
		return "", problemf("awssecrets: the version of secret %q with the label %q cannot be read yet: ask again", st.id, label)
	}
	return text, err
}

// peek reads a version; empty is true where it has no value yet. What cannot be a key is nobody's: bytes, and what is no object.
func (st *state) peek(ctx context.Context, version string) (has payload, empty bool, err error) {
	if version == "" {
		return payload{}, false, nil
	}
	text, err := st.store.value(ctx, st.id, version)
	switch {
	case errors.Is(err, rotation.ErrNotFound):
		return payload{}, true, nil
	case errors.Is(err, errBinary):
		return payload{}, false, nil
	case err != nil:
		return payload{}, false, err
	}
	has, _ = st.store.parse(text)
	return has, false, nil
}

func labelsOf(out *secretsmanager.DescribeSecretOutput) map[string]string {
	labels := map[string]string{}
	for version, stages := range out.VersionIdsToStages {
		for _, stage := range stages {
			labels[stage] = version
		}
	}
	return labels
}

func (s *Store) describe(ctx context.Context, id string) (*secretsmanager.DescribeSecretOutput, error) {
	out, err := s.cfg.Client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
	if err != nil {
		return nil, fail(ctx, "DescribeSecret", id, err)
	}
	return out, nil
}

var errBinary = errors.New("binary")

// value reads one version.
func (s *Store) value(ctx context.Context, id, version string) (string, error) {
	out, err := s.cfg.Client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionId: &version})
	if err != nil {
		return "", fail(ctx, "GetSecretValue", id, err)
	}
	if out.SecretString == nil {
		return "", problem("awssecrets: secret "+strconv.Quote(id)+" holds SecretBinary, which this package does not write: put it as SecretString", errBinary)
	}
	return aws.ToString(out.SecretString), nil
}

// revision names the two versions that Save compares. Empty: there is no secret.
func (st *state) revision() string {
	if !st.there {
		return ""
	}
	return cmp.Or(st.labels[labelDocument], "-") + "/" + cmp.Or(st.labels[labelCurrent], "-")
}

// versions is the document with what readers find as the current key.
func (st *state) versions() (rotation.Versions, error) {
	v := st.doc
	v.Revision = st.revision()
	v.Keys = slices.Clone(v.Keys)
	meant := slices.IndexFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RoleCurrent })
	served := meant
	if meant < 0 || !st.store.holds(st.current, v.Keys[meant].Key) {
		served = slices.IndexFunc(v.Keys, func(k rotation.StoredKey) bool { return st.store.holds(st.current, k.Key) })
	}
	switch {
	case st.current.empty():
		// The document may have a current key that readers do not find: a compromised one, or the Save was interrupted.
		if meant >= 0 && !v.Keys[meant].Compromised {
			v.Keys[meant].Role = displaced(v.Keys, meant, 0)
		}
		return v, nil
	case served >= 0 && served == meant:
		if v.Keys[meant].Compromised {
			v.Stamp = "" // readers were to find it no more: the engine writes again what has no stamp
		}
		return v, nil
	case served >= 0:
		if meant >= 0 {
			v.Keys[meant].Role = displaced(v.Keys, meant, v.Keys[served].Key.Serial)
		}
		v.Keys[served].Role = rotation.RoleCurrent
		return v, nil
	}
	stranger, err := st.store.bare(st.current)
	if err != nil {
		return rotation.Versions{}, err
	}
	if meant >= 0 {
		v.Keys[meant].Role = displaced(v.Keys, meant, v.Keys[meant].Key.Serial)
	}
	v.Keys = append(v.Keys, rotation.StoredKey{Key: stranger, Role: rotation.RoleCurrent})
	return v, nil
}

// shows reports whether readers find key; the zero key: that there is none.
func (st *state) shows(key rotation.Key) bool {
	return st.store.holds(st.current, key) || key.IsZero() && st.current.empty()
}

// followed reports whether the labels beside AWSCURRENT stand where the document has their keys. What others put under AWSPENDING may
// stay while there is no pending key.
func (st *state) followed(ctx context.Context) (bool, error) {
	for label, key := range map[string]rotation.Key{
		labelPrevious: st.doc.Key(rotation.RolePrevious), labelPending: st.doc.Key(rotation.RolePending),
	} {
		version := st.labels[label]
		if key.IsZero() {
			if version != "" && (label == labelPrevious || version == st.labels[labelOurs]) {
				return false, nil
			}
			continue
		}
		has, _, err := st.peek(ctx, version)
		if err != nil || !st.store.holds(has, key) {
			return false, err
		}
	}
	return true, nil
}

// displaced is the role of a key that the document calls current and readers do not find: one that is newer than what they find was
// not promoted yet, an older one was replaced. After an interrupted Save these are the roles from before it.
func displaced(keys []rotation.StoredKey, meant int, served int64) rotation.Role {
	pending := slices.ContainsFunc(keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RolePending })
	if keys[meant].Key.Serial > served && !pending {
		return rotation.RolePending
	}
	return rotation.RolePrevious
}

// document is v as it is stored.
func document(v rotation.Versions) (string, error) {
	for i, k := range v.Keys {
		if !utf8.ValidString(k.Key.Secret.Reveal()) {
			return "", problemf("awssecrets: the secret of key %d of %d is not valid UTF-8: SecretString takes text, and no SecretBinary is written", i+1, len(v.Keys))
		}
	}
	data, err := store.Marshal(v)
	if err != nil {
		return "", err
	}
	if len(data) > maxText {
		return "", problemf("awssecrets: the keys together are %d bytes, and a secret of AWS takes %d", len(data), maxText)
	}
	return string(data), nil
}
