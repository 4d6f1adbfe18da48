// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// separator is between two condemned versions.
const separator = ", "

// content is what one version of a secret says.
type content struct {
	document  rotation.Versions
	value     secret.Value // what readers see
	condemned []version    // these, and all before them, are to be destroyed; oldest first
}

// decode reads the fields of one version of the secret at p.
func (s *Store) decode(p string, fields map[string]any) (content, error) {
	texts := map[string]string{}
	for _, field := range []string{s.cfg.Current, s.cfg.Document, s.cfg.sweepField()} {
		text, ok := fields[field].(string)
		if fields[field] != nil && !ok {
			return content{}, problem(p + ": the field " + strconv.Quote(field) + " is not text")
		}
		texts[field] = text
	}
	c := content{value: secret.New(texts[s.cfg.Current])}
	var err error
	if document := texts[s.cfg.Document]; document != "" {
		if c.document, err = unmarshal(document); err != nil {
			return content{}, &failure{
				text: p + ": the field " + strconv.Quote(s.cfg.Document) + " is damaged or not handover's: write back an older version of it, or name another field in Config.Document",
				is:   []error{err},
			}
		}
	}
	if sweep := texts[s.cfg.sweepField()]; sweep != "" {
		for revision := range strings.SplitSeq(sweep, separator) {
			number, created, _ := strings.Cut(revision, " ")
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 {
				return content{}, problem(p + ": the field " + strconv.Quote(s.cfg.sweepField()) + " names no versions: make it empty")
			}
			c.condemned = append(c.condemned, version{version: n, created: created})
		}
	}
	return c, nil
}

// shown is the document with the value that readers see as the current key.
func (c content) shown() rotation.Versions {
	v := c.document
	if v.Key(rotation.RoleCurrent).Secret.Equal(c.value) {
		return v
	}
	for _, k := range v.Keys {
		if k.Role == rotation.RoleCurrent && k.Key.Secret.Equal(c.value) {
			v.Stamp = "" // it is compromised, and readers were to see it no more: the engine writes again what has no stamp
			return v
		}
	}
	v.Keys = editedByHand(slices.Clone(v.Keys), c.value)
	return v
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
	} else if value, ok := out[s.cfg.Previous].(string); out[s.cfg.Previous] == nil || ok && holds(before, secret.New(value)) {
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
func holds(v rotation.Versions, value secret.Value) bool {
	return slices.ContainsFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Key.Secret.Equal(value) })
}
