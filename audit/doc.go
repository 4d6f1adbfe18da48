// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit keeps the record of rotations so that an auditor can rely on it: [Trail] writes the events to files in which
// every line is chained to the one before, and [Check] finds what was done to them afterwards. [Syslog] and [Slog] send the
// events elsewhere, and [KeyHistory] preserves what was known of the use of a key that is revoked.
//
// # Format
//
// A trail is a folder of files trail-000000001.jsonl, trail-000000002.jsonl and so on. Each line is a JSON object with these
// members in this order and no space between them, so that a line is read in exactly one way:
//
//	v      the version of the format: 1
//	seq    1 for the first line of the trail, one more for each
//	at     when the line was written, in UTC
//	prev   the hash of the line before, in its file or the one before; zeros in the first
//	event, begin, healed or checkpoint   what the line is, and its content
//	hash   SHA-256, in hexadecimal, over the bytes of the line before this member
//
// An event is a [rotation.Event]. A begin is the first line of each file: its name, the name of the file before, and the
// number of events before. A checkpoint is the number of events before, the public key and an Ed25519 signature over the bytes
// "handover audit checkpoint\n" and those of the line before the member sig; they hold prev, and thus all that came before. A
// healed line says how many bytes lie between the line before and itself, and their SHA-256: what a crash left of a line that
// was never finished, and so never acknowledged. Those bytes stay where they are. (A begin line says it too, where it was the first
// line that was not finished.)
//
// # What is found, and what is not
//
// Check finds a line that was changed, removed, repeated, inserted or swapped, and names the first that does not fit. It needs no
// key for that, as long as whoever did it did not compute the chain anew. Somebody who can write the files can do so:
//
//   - With a public key, Check finds every such change before the last checkpoint, and a trail from which checkpoints were
//     removed (see Expect.Every). Without the private key no other checkpoint can be made; keep it from whoever may write the files
//     but through this process.
//   - With a known head, Check finds every such change up to that head, and an end that was cut off before it, with or without
//     keys. Keep heads where the writer of the files cannot change them (Trail.Head: a ticket, another machine, paper).
//   - What came after the last of the two can be rewritten or cut off without a trace, by whoever can write the file. Signed or
//     not, a trail that ends early is whole to Check unless a head is known: the checkpoints are cut off with the rest.
//   - Whoever has the private key, or controls the process that writes, can write what they like. A trail shows that nothing was
//     changed afterwards, not that it was true.
//   - The times are the writer's clock, and are not compared.
package audit
