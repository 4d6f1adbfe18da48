// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// kinds is the inventory in short: each kind of credential, of which every shop has one. In your company this is a file that
// teams send changes of, or a table.
var kinds = []struct {
	name    string
	typ     rotation.Type
	risk    rotation.Risk
	scope   rotation.Scope
	contact string
	shared  bool // the service "shop" of the same number uses it too, beside its own one
}{
	{"payments", rotation.APIKey, rotation.HighRisk, rotation.ScopeWrite, "payments@example.com", true},
	{"crm", rotation.OAuthClient, rotation.HighRisk, rotation.ScopeWrite, "customers@example.com", true},
	{"shipping", rotation.ServiceAccount, rotation.StandardRisk, rotation.ScopeWrite, "logistics@example.com", true},
	{"mail", rotation.APIKey, rotation.StandardRisk, rotation.ScopeWrite, "customers@example.com", false},
	{"search", rotation.APIKey, rotation.StandardRisk, rotation.ScopeReadOnly, "shop@example.com", false},
	{"maps", rotation.APIKey, rotation.StandardRisk, rotation.ScopeReadOnly, "logistics@example.com", false},
}

// item is a line of the inventory.
type item struct {
	name     string   // of the credential: "payments-007"
	kind     int      // index of kinds
	services []string // who uses it: "payments-worker-007", "shop-007". The shop has three credentials
}

// inventory is the first n lines.
func inventory(n int) []item {
	items := make([]item, n)
	for i := range items {
		kind, number := i%len(kinds), i/len(kinds)+1
		k := kinds[kind]
		items[i] = item{
			name:     fmt.Sprintf("%s-%03d", k.name, number),
			kind:     kind,
			services: []string{fmt.Sprintf("%s-worker-%03d", k.name, number)},
		}
		if k.shared {
			items[i].services = append(items[i].services, fmt.Sprintf("shop-%03d", number))
		}
	}
	return items
}

// policy of everything here. In production nothing but the windows is needed: the defaults are a notice of two days, a day of
// overlap, a day of silence and 15 minutes of patience.
func policy(w world) rotation.Policy {
	return rotation.Policy{
		Windows:  []rotation.Window{w.Window},
		Notice:   -1, // everything is due, and nobody wants to wait two days
		Overlap:  time.Second,
		Quiet:    500 * time.Millisecond,
		Patience: time.Minute,
		Rollback: 30 * time.Second,

		MinInterval: 200 * time.Millisecond, // a shop learns of one new key at a time, though it has three
	}
}

// openWindow is a maintenance window of every day that is open now, and for a good while. In production: "Tue-Thu 09:00-16:00
// Europe/Berlin", when people are there.
func openWindow(now time.Time) rotation.Window {
	now = now.UTC()
	return rotation.Window(fmt.Sprintf("daily %s-%s UTC", now.Add(-time.Hour).Format("15:04"), now.Add(5*time.Hour).Format("15:04")))
}
