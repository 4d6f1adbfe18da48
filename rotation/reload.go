// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

// Reload is how a consumer takes up a key: what has to happen there until it uses a new one. It is told in the inventory,
// and what has to be restarted, or brought by a person, is announced ahead: see Policy.Notice. It proves nothing: what a consumer really
// does is observed.
type Reload string

// Kinds of reload.
const (
	ReloadUnknown Reload = ""         // nothing says so
	ReloadLive    Reload = "live"     // without a restart: it follows the store, or is told to read again
	ReloadRestart Reload = "restart"  // when its process starts
	ReloadNextRun Reload = "next-run" // when its next run begins
	ReloadManual  Reload = "manual"   // when a person brings it
)

// disturbs reports whether somebody wants to know of it before.
func (r Reload) disturbs() bool { return r == ReloadRestart || r == ReloadManual }

// Reloader is a Consumer that knows how it takes up a key. Without it the inventory says that nobody knows.
type Reloader interface {
	Reloads() Reload
}

// reloadOf is what a consumer says of itself.
func reloadOf(c Consumer) Reload {
	if r, ok := As[Reloader](c); ok {
		return r.Reloads()
	}
	return ReloadUnknown
}
