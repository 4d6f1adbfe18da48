// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"encoding/json"
	"maps"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// What readers of AWSCURRENT find where no key may be served.
const (
	nobodyField = "handover"
	nobodyText  = "no current key"
)

var nobody = `{"` + nobodyField + `":"` + nobodyText + `"}`

// payload is what readers find in one version: text, or a JSON object of which some fields are ours.
type payload struct {
	text   string
	fields map[string]json.RawMessage // nil: text, or no object
}

// parse reads what readers find. Its error quotes nothing.
func (s *Store) parse(text string) (payload, error) {
	p := payload{text: text}
	if s.cfg.Field == "" {
		return p, nil
	}
	if json.Unmarshal([]byte(text), &p.fields) != nil || p.fields == nil {
		return p, problem("awssecrets: what its readers find is no JSON object, and Config.Field names a field of one")
	}
	return p, nil
}

// empty reports whether p tells its readers that there is no key.
func (p payload) empty() bool {
	var fields map[string]json.RawMessage
	if p.text == "" || json.Unmarshal([]byte(p.text), &fields) != nil {
		return p.text == ""
	}
	return string(fields[nobodyField]) == `"`+nobodyText+`"`
}

// ours are the fields that belong to a key, and what a key has for each.
func (s *Store) ours(key rotation.Key) map[string]string {
	fields := map[string]string{s.cfg.Field: key.Secret.Reveal()}
	if s.cfg.IDField != "" && key.ID != "" {
		fields[s.cfg.IDField] = key.ID
	}
	for attribute, field := range s.cfg.Fields {
		if value := key.Attributes[attribute]; value != "" {
			fields[field] = value
		}
	}
	return fields
}

// holds reports whether p is what readers of key find, whatever other fields it has.
func (s *Store) holds(p payload, key rotation.Key) bool {
	if key.Secret.IsZero() || p.empty() {
		return false
	}
	if s.cfg.Field == "" {
		return secret.New(p.text).Equal(key.Secret)
	}
	for field, want := range s.ours(key) {
		var got string
		if json.Unmarshal(p.fields[field], &got) != nil || !secret.New(got).Equal(secret.New(want)) {
			return false
		}
	}
	return true
}

// render is what readers of key shall find. What else stands in base stays as it is.
func (s *Store) render(base payload, key rotation.Key) (string, error) {
	if !utf8.ValidString(key.Secret.Reveal()) {
		return "", problem("awssecrets: a secret that is not valid UTF-8 cannot be stored: SecretString takes text, and its readers would find no SecretBinary")
	}
	if s.cfg.Field == "" {
		return key.Secret.Reveal(), nil
	}
	fields := map[string]json.RawMessage{}
	maps.Copy(fields, base.fields)
	delete(fields, nobodyField)
	for field, value := range s.ours(key) {
		fields[field], _ = json.Marshal(value) // a string marshals
	}
	return encode(fields)
}

// withdraw is base without a key.
func (s *Store) withdraw(base payload) (string, error) {
	if s.cfg.Field == "" || len(base.fields) == 0 {
		return nobody, nil
	}
	fields := maps.Clone(base.fields)
	delete(fields, s.cfg.Field)
	delete(fields, s.cfg.IDField)
	for _, field := range s.cfg.Fields {
		delete(fields, field)
	}
	fields[nobodyField] = json.RawMessage(`"` + nobodyText + `"`)
	return encode(fields)
}

func encode(fields map[string]json.RawMessage) (string, error) {
	text, err := json.Marshal(fields)
	if err != nil {
		return "", problem("awssecrets: what its readers find cannot be encoded") // not the cause: it may quote a value
	}
	return string(text), nil
}

// bare is the key that readers find in p, which is in no document: it was there before this library, or somebody put it there.
func (s *Store) bare(p payload) (rotation.Key, error) {
	if s.cfg.Field == "" {
		return rotation.Key{Secret: secret.New(p.text)}, nil
	}
	key := rotation.Key{}
	var value string
	if json.Unmarshal(p.fields[s.cfg.Field], &value) != nil || value == "" {
		return key, problemf("awssecrets: what its readers find has no text in the field %q (Config.Field)", s.cfg.Field)
	}
	key.Secret = secret.New(value)
	if s.cfg.IDField != "" {
		_ = json.Unmarshal(p.fields[s.cfg.IDField], &key.ID) // absent or no text: not known
	}
	for attribute, field := range s.cfg.Fields {
		var text string // a new one: null would leave what is in it
		if json.Unmarshal(p.fields[field], &text) == nil && text != "" {
			if key.Attributes == nil {
				key.Attributes = map[string]string{}
			}
			key.Attributes[attribute] = text
		}
	}
	return key, nil
}
