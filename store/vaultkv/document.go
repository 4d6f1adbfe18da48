// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// decode reads the fields of one version of the secret at p, and up to which version its history has to be destroyed.
func (s *Store) decode(p string, fields map[string]any) (v rotation.Versions, destroyed int, err error) {
	texts := map[string]string{}
	for _, field := range []string{s.cfg.Current, s.cfg.Document, s.cfg.sweepField()} {
		text, ok := fields[field].(string)
		if fields[field] != nil && !ok {
			return v, 0, problem(p + ": the field " + strconv.Quote(field) + " is not text")
		}
		texts[field] = text
	}
	if document := texts[s.cfg.Document]; document != "" {
		if v, err = unmarshal(document); err != nil {
			return rotation.Versions{}, 0, &failure{
				text: p + ": the field " + strconv.Quote(s.cfg.Document) + " is damaged or not handover's: write back an older version of it, or name another field in Config.Document",
				is:   []error{err},
			}
		}
	}
	if sweep := texts[s.cfg.sweepField()]; sweep != "" {
		if destroyed, err = strconv.Atoi(sweep); err != nil || destroyed < 1 {
			return rotation.Versions{}, 0, problem(p + ": the field " + strconv.Quote(s.cfg.sweepField()) + " is not the number of a version")
		}
	}
	if value := secret.New(texts[s.cfg.Current]); !v.Key(rotation.RoleCurrent).Secret.Equal(value) {
		v.Keys = editedByHand(v.Keys, value)
	}
	return v, destroyed, nil
}

// unmarshal refuses a bare value, which store.Unmarshal would take for a key.
func unmarshal(document string) (rotation.Versions, error) {
	var is struct {
		Handover *json.Number `json:"handover"`
	}
	if err := json.Unmarshal([]byte(document), &is); err != nil || is.Handover == nil {
		return rotation.Versions{}, problem("the field is no document")
	}
	return store.Unmarshal([]byte(document))
}

// editedByHand is keys where readers see another value than that of the current one: the key with that value is current, or a new
// one without an ID, and what was current before is the previous key. Nothing is lost, and the engine sees what happened.
func editedByHand(keys []rotation.StoredKey, value secret.Value) []rotation.StoredKey {
	for i := range keys {
		if keys[i].Role == rotation.RoleCurrent {
			keys[i].Role = rotation.RolePrevious
		}
	}
	if value.IsZero() {
		return keys
	}
	i := slices.IndexFunc(keys, func(k rotation.StoredKey) bool { return k.Key.Secret.Equal(value) })
	if i < 0 {
		return append(keys, rotation.StoredKey{Key: rotation.Key{Secret: value}, Role: rotation.RoleCurrent})
	}
	keys[i].Role = rotation.RoleCurrent
	return keys
}

// encode returns the fields of the version that is to hold v, after one with fields, in which before was stored. A field of readers
// is taken away or emptied only if it holds what is known from before: what others wrote into it stays.
func (s *Store) encode(fields map[string]any, before, v rotation.Versions, document []byte) map[string]any {
	out := maps.Clone(fields)
	if out == nil {
		out = map[string]any{}
	}
	out[s.cfg.Document] = string(document)

	current := v.Key(rotation.RoleCurrent)
	if current.Secret.IsZero() {
		delete(out, s.cfg.Current)
	} else {
		out[s.cfg.Current] = current.Secret.Reveal()
	}
	for attribute, field := range s.cfg.Attributes {
		if value := current.Attributes[attribute]; value != "" { // an empty user name is none
			out[field] = value
		}
	}

	if previous := v.Key(rotation.RolePrevious).Secret; !previous.IsZero() {
		out[s.cfg.Previous] = previous.Reveal()
	} else if value, ok := out[s.cfg.Previous].(string); out[s.cfg.Previous] == nil || ok && holds(before, value) {
		out[s.cfg.Previous] = ""
	}

	for name, field := range s.cfg.Metadata {
		if value, ok := v.Metadata[name]; ok {
			out[field] = value
		} else if value, ok := before.Metadata[name]; ok && out[field] == value {
			delete(out, field)
		}
	}
	return out
}

// holds reports whether value is that of a key in v.
func holds(v rotation.Versions, value string) bool {
	return slices.ContainsFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Key.Secret.Equal(secret.New(value)) })
}
