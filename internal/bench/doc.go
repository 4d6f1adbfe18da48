// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench measures package webhook beside the libraries that receivers use today, on the same deliveries and in the same
// run. It is a module of its own, so that no user of the library gets to see theirs, and it exports nothing. The race detector
// leaves nothing to measure: with it there are no tests here.
//
//	cd internal/bench
//	go test -bench . -benchtime 50x -timeout 1h      # every figure, some ten minutes
//	go test -bench Verify/rotation                   # the loop over a library that knows one secret
//	go test -bench Body                              # what Middleware adds to a read into a pooled buffer
//
// # What a line says
//
// A line is one contestant. In each of its rounds the floor, package webhook and the contestant run in turn, some 20 milliseconds
// each, and what counts is the least CPU time of the process per call over all rounds: another process that takes the machine
// away spoils a round and not the figure. A turn is long enough for the garbage collector to run several times, if there is
// garbage: its work is part of what a library costs. The number behind the name is that of rounds.
//
//	cpu-ns/op    the contestant
//	xfloor       times the floor: one pass of crypto/hmac, keyed before, over the bytes that were signed, and a comparison
//	xwebhook     times package webhook, which checks the same delivery with the same secrets
//	xpooled      in Body: times the same with a read into a pooled buffer, and ns-more by how much
//	B/op         garbage of the contestant, and allocs/op how many pieces it is in
//
// # What the groups are
//
// In Verify/one there is one secret. In Verify/rotation there are two and the old one signs: who knows one secret only is called
// for the new one and then for the old one, which is what receivers write. In Verify/forged there are two and neither has
// signed. Tink is given two keys without prefix.
//
// Verify has the body in memory. Request reads it: go-playground/webhooks cannot do without, and decodes JSON too. Body has a
// scheme that hashes no body, so what is left is the reading. Sign signs with one secret into a kept buffer.
package bench
