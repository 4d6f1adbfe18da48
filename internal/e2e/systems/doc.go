// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package systems rotates real credentials of real systems: under load, with a rotating process that is killed in the middle, and
// with servers that fail. Each test starts its servers, wires them as a program would that imports the library, and looks at the
// end what the servers say. It exports nothing.
package systems
