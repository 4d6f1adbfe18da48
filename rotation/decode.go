// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// decode reads a journal entry. An absent entry is an empty state.
func decode(e Entry) (*state, error) {
	st := &state{Schema: schema}
	if e.Revision == 0 && len(e.Data) == 0 {
		return st, nil
	}
	if err := read(e, st); err != nil {
		return nil, err
	}
	if st.Schema < 1 || st.Schema > schema || slices.Contains(st.Keys, nil) || st.Run != nil && !st.Run.sound(st) {
		return nil, unreadable(e, "it is not one of this library")
	}
	return st, nil
}

// errNewer is no damage: whoever wrote it can read it.
var errNewer = recorded("it was written by a newer version of this library")

// thisSchema is how records of this version begin: they need no look of their own.
var thisSchema = fmt.Appendf(nil, `{"schema":%d,`, schema)

// read reads any of the journal's entries, after a look at its version.
func read(e Entry, into any) error {
	var version struct {
		Schema int `json:"schema"`
	}
	var err error
	if bytes.HasPrefix(e.Data, thisSchema) {
		version.Schema = schema
	} else {
		err = json.Unmarshal(e.Data, &version)
	}
	switch {
	case err != nil:
		return unreadable(e, fmt.Sprintf("decode: %T", err))
	case version.Schema > schema:
		return &Error{Credential: e.Credential, Evidence: fmt.Sprintf("the journal's record has version %d, this code reads up to version %d", version.Schema, schema), Action: "update this program: nothing was changed", Err: errNewer}
	case version.Schema < 1:
		return unreadable(e, "it has no version")
	}
	if err := json.Unmarshal(e.Data, into); err != nil {
		return unreadable(e, fmt.Sprintf("decode: %T", err))
	}
	return nil
}

func unreadable(e Entry, why string) error {
	return &Error{Credential: e.Credential, Evidence: "the journal's record is not readable: " + why, Action: "restore the journal from a backup"}
}

// sound reports whether a run is one that this library has written.
func (r *run) sound(st *state) bool {
	aimless := r.Phase != PhasePrepare && r.Phase != PhaseIssue && st.key(r.Target) == nil
	return len(r.ID) >= idLength && !aimless && !slices.Contains(r.Attempts, nil) && !slices.Contains(r.Consumers, nil)
}
