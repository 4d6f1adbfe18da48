// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/handover-go/handover/rotation"
)

// The entry as a Stored keeps it: one line of metadata for each field, so that a person who looks into the store can read
// all of it but Data.
const (
	metaFormat     = "journal" // the version of this format
	metaCredential = "credential"
	metaRevision   = "revision"
	metaDue        = "due" // absent: never
	metaSavedAt    = "saved_at"
	metaData       = "data" // base64

	formatVersion = "1"
)

// malformed says what is wrong with what lies in the place of an entry. Its text holds names and nothing of the content.
type malformed string

func (e malformed) Error() string  { return string(e) }
func (e malformed) Public() string { return string(e) }

func malformedf(format string, args ...any) error { return malformed(fmt.Sprintf(format, args...)) }

func encode(e rotation.Entry) map[string]string {
	meta := map[string]string{
		metaFormat:     formatVersion,
		metaCredential: e.Credential,
		metaRevision:   strconv.FormatInt(e.Revision, 10),
		metaSavedAt:    instant(e.SavedAt).Format(time.RFC3339Nano),
		metaData:       base64.StdEncoding.EncodeToString(e.Data),
	}
	if !e.Due.IsZero() {
		meta[metaDue] = instant(e.Due).Format(time.RFC3339Nano)
	}
	return meta
}

func decode(meta map[string]string) (rotation.Entry, error) {
	switch meta[metaFormat] {
	case formatVersion:
	case "":
		return rotation.Entry{}, malformed("what is stored is no journal entry")
	default:
		return rotation.Entry{}, malformed("the journal entry has a newer format than this program knows")
	}
	e := rotation.Entry{Credential: meta[metaCredential]}
	var err error
	if e.Revision, err = strconv.ParseInt(meta[metaRevision], 10, 64); err != nil || e.Revision < 1 {
		return rotation.Entry{}, malformed("the journal entry has no valid revision")
	}
	if e.SavedAt, err = decodeTime(meta[metaSavedAt]); err != nil {
		return rotation.Entry{}, malformed("the journal entry has no valid saved_at")
	}
	if due, ok := meta[metaDue]; ok {
		if e.Due, err = decodeTime(due); err != nil {
			return rotation.Entry{}, malformed("the journal entry has no valid due")
		}
	}
	text, ok := meta[metaData]
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !ok {
		return rotation.Entry{}, malformed("the journal entry has no valid data")
	}
	if len(data) > 0 {
		e.Data = data
	}
	return e, nil
}

func decodeTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	return instant(t), err
}
