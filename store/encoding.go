// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// The format that Marshal writes. A change that an older reader would get wrong needs the next number.
const encodingFormat = 1

// document is rotation.Versions as JSON. The first member carries the format and tells a document from any other value.
type document struct {
	Handover int               `json:"handover"`
	Keys     []documentKey     `json:"keys"`
	Stamp    string            `json:"stamp,omitzero"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

type documentKey struct {
	Role        rotation.Role     `json:"role"`
	Compromised bool              `json:"compromised,omitzero"`
	ID          string            `json:"id,omitzero"`
	Serial      int64             `json:"serial,omitzero"`
	Generation  int               `json:"generation,omitzero"`
	Name        string            `json:"name,omitzero"`
	Secret      string            `json:"secret,omitzero"`
	Binary      []byte            `json:"secret_base64,omitempty"` // in the place of Secret, where that is not valid UTF-8
	Attributes  map[string]string `json:"attributes,omitempty"`
	IssuedAt    time.Time         `json:"issued_at,omitzero"`
	ExpiresAt   time.Time         `json:"expires_at,omitzero"`
}

// Marshal is the one encoding of Versions, secrets included, that stores write: a JSON object whose first member,
// "handover", is the number of the format. Its output is the same for the same Versions. The Revision is left out: it
// belongs to the store.
//
// It fails, and names the field, for a role that is not known, for more than one current or pending key, and for text
// that is not valid UTF-8 anywhere but in a secret.
func Marshal(v rotation.Versions) ([]byte, error) {
	if err := check(v); err != nil {
		return nil, err
	}
	doc := document{Handover: encodingFormat, Keys: []documentKey{}, Stamp: v.Stamp, Metadata: v.Metadata}
	for _, k := range v.Keys {
		doc.Keys = append(doc.Keys, toDocument(k))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return nil, failf("store: these versions cannot be encoded") // not the cause: it may quote a value
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func toDocument(k rotation.StoredKey) documentKey {
	d := documentKey{
		Role: k.Role, Compromised: k.Compromised, ID: k.Key.ID, Serial: k.Key.Serial, Generation: k.Key.Generation,
		Name: k.Key.Name, Attributes: k.Key.Attributes, IssuedAt: k.Key.IssuedAt.UTC(), ExpiresAt: k.Key.ExpiresAt.UTC(),
	}
	if value := k.Key.Secret.Reveal(); utf8.ValidString(value) {
		d.Secret = value
	} else {
		d.Binary = []byte(value) // as a JSON string it would lose what is not UTF-8
	}
	return d
}

// Unmarshal reads what Marshal wrote. It also reads a bare value that was there before this library: all of data, byte
// for byte, becomes the secret of a key with rotation.RoleCurrent and without an ID. A bare value may be JSON too; what
// makes a JSON object a document is its member "handover", whatever the order of the members.
//
// It never takes a damaged document for a bare value. So it fails for no data at all, for an object that is broken off or
// does not parse, for a document inside something else (a JSON string, base64), for a newer format and for members that
// it does not know. Its errors quote nothing of data.
func Unmarshal(data []byte) (rotation.Versions, error) {
	ours, err := isDocument(data)
	switch {
	case err != nil:
		return rotation.Versions{}, err
	case !ours:
		key := rotation.Key{Secret: secret.New(string(data))}
		return rotation.Versions{Keys: []rotation.StoredKey{{Key: key, Role: rotation.RoleCurrent}}}, nil
	}
	var doc document
	if err := decode(data, &doc); err != nil {
		return rotation.Versions{}, err
	}
	if doc.Keys == nil {
		return rotation.Versions{}, failf("store: the document has no member %q", "keys")
	}
	v := rotation.Versions{Stamp: doc.Stamp, Metadata: doc.Metadata}
	for i, d := range doc.Keys {
		if d.Secret != "" && len(d.Binary) > 0 {
			return rotation.Versions{}, failf("store: key %d of %d has two secrets", i+1, len(doc.Keys))
		}
		v.Keys = append(v.Keys, fromDocument(d))
	}
	if err := check(v); err != nil {
		return rotation.Versions{}, err
	}
	return v, nil
}

func fromDocument(d documentKey) rotation.StoredKey {
	value := d.Secret
	if len(d.Binary) > 0 {
		value = string(d.Binary)
	}
	return rotation.StoredKey{Role: d.Role, Compromised: d.Compromised, Key: rotation.Key{
		ID: d.ID, Serial: d.Serial, Generation: d.Generation, Name: d.Name, Secret: secret.New(value),
		Attributes: d.Attributes, IssuedAt: d.IssuedAt, ExpiresAt: d.ExpiresAt,
	}}
}

// What gives a document away that is damaged at its beginning, or stands behind a byte order mark, in a JSON string or in
// base64.
var traces = [][]byte{[]byte(`handover":`), []byte(`handover\":`), []byte(`"keys":[{"role":`), []byte("eyJoYW5kb3ZlciI6")}

// isDocument tells a document of a format that this code reads from a bare value. In doubt it fails: to refuse an odd
// bare value costs a call of Seed, to take half a document for a key costs the keys.
func isDocument(data []byte) (bool, error) {
	text := bytes.TrimLeft(data, " \t\r\n")
	if len(text) == 0 {
		return false, failf("store: the value is empty")
	}
	if text[0] == '{' {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil && likeObject(text) {
			return false, failf("store: the value is a JSON object that does not parse (%s)", where(err))
		}
		if number, ok := members["handover"]; ok {
			return true, checkFormat(data, number)
		}
	}
	for _, t := range traces {
		if bytes.Contains(data, t) {
			return false, failf("store: the value holds a document of this library that is damaged, or inside something else")
		}
	}
	return false, nil
}

// likeObject reports whether text, which begins with a brace, goes on as a JSON object does. A password may begin with a
// brace too.
func likeObject(text []byte) bool {
	rest := bytes.TrimLeft(text[1:], " \t\r\n")
	return len(rest) == 0 || rest[0] == '"'
}

func checkFormat(data, number []byte) error {
	var format int
	switch err := json.Unmarshal(number, &format); {
	case err != nil || format < 1:
		return failf("store: the value has a member %q that is not a format number", "handover")
	case format > encodingFormat:
		return failf("store: the value was written by a newer version (format %d, this one reads %d)", format, encodingFormat)
	case !utf8.Valid(data):
		return failf("store: the value is a document that is not valid UTF-8") // decoding would replace what is not
	}
	return nil
}

// decode reads one JSON value into to and refuses what it would drop. Its error says where and quotes nothing.
func decode(data []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(to)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	return failf("store: the document is damaged, or a newer version wrote it (%s)", where(err))
}

// where is the place of a JSON error.
func where(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return "at byte " + strconv.FormatInt(syntax.Offset, 10)
	case errors.As(err, &kind):
		return "at byte " + strconv.FormatInt(kind.Offset, 10)
	}
	return "a member that is not known, or a value of the wrong kind"
}
