// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package statuspage shows where the rotations of a service stand: an http.Handler to mount in it, for people and, as JSON, for
// programs.
//
//	page, err := statuspage.New(statuspage.Config{Rotator: rotator})
//	mux.Handle("/rotations", admins(page))
//
// The page asks nobody who they are. It holds no secret, but it names people, systems and the identifiers of keys: mount it where
// only those who run the service can reach it.
//
// It reads the journal and nothing else, writes nothing, and reads at most once in five seconds, however often it is loaded
// (Config.Fresh). It is one page of HTML without a script and without anything to load, and works under any path. What it answers
// to is in the query, so that no path has to be known:
//
//	?credential=NAME   everything about one credential: the steps and the timeline of its rotations, its consumers, its needs
//	?state=STATE       only these: emergency, person, overdue, debt, unread, failing, open, held, soon, new, ok (see State)
//	?q=TEXT            only those whose name, contact, type, issuer or store holds the text, in any case
//	?sort=ORDER        name (unless set), due, age or state
//	?page=N&limit=N    the Nth hundred; limit is how many go on a page, at most 1000
//	?format=json       a Document; so does a request that accepts application/json rather than text/html
//
// The names of the JSON fields are those of the fields of [Document]. They stay as they are: later releases add fields and values and
// take none away. Times are RFC 3339 in UTC, and durations nanoseconds.
//
// The status is 200 if anything could be read, 503 if nothing could, 404 for a credential that is not registered, 400 for a query
// that is not one of the above, and 405 for every method but GET and HEAD. The JSON of every error is an object with one field,
// error.
package statuspage
