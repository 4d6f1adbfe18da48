// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package store has secret stores that need nothing but the standard library, and what writers of other stores need.
//
// [Memory] is for tests and first steps, [File] for one host, [Mirror] for a credential whose value is kept in several
// environments. They compare revisions (a Mirror does if its primary does), so that two writers cannot lose each other's
// key. They treat the name of a credential as opaque text and refuse one that is empty or not valid UTF-8.
//
// [Seed] puts a key that is already in use under rotation: it is everybody's first step.
//
// A store of your own implements rotation.SecretStore, says so with rotation.Conditional, and writes what [Marshal] gives:
// that is the one encoding with secrets in it, and the only one.
package store
