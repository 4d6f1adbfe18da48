// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// records are the journal, the store and the registration, which somebody else may change: nothing is overwritten blindly, and
// nothing is "fixed" by revoking (C10, C12).
func records() []mutant {
	return []mutant{
		{
			"a journal that went back is believed",
			"a store that is newer than the journal stops everything; this acts on a record from before (C10)",
			`plain/standard: .*the journal is`,
			[]edit{
				{"drift.go", `	case st.Behind, ours && s.Epoch > st.Epoch:`, `	case false && s.Epoch > st.Epoch:`},
				{"drift.go", `	unintended := ours && s.Epoch > st.StoreEpoch && !st.Writing`, `	unintended := false`},
				{"drift.go", `	case ours && slices.ContainsFunc(doc.Keys, func(k StoredKey) bool { return k.Key.Serial > st.LastSerial }):`, `	case false && slices.ContainsFunc(doc.Keys, func(k StoredKey) bool { return k.Key.Serial > st.LastSerial }):`},
			},
		},
		{
			"another installation's stamp is ignored",
			"two journals never drive one credential: a foreign stamp stops the second one (C10)",
			`plain/standard: .*(another installation|second journal)`,
			[]edit{{"drift.go", `	case doc.Stamp != "" && (!ours || s.Installation != home):`, `	case false && (!ours || s.Installation != home):`}},
		},
		{
			"a stranger's key in the store is overwritten",
			"a current key that no record names is a person's: a person decides; this puts its own back",
			`plain/standard: .*a key of a person's`,
			[]edit{{"drift.go", `		return d.unknownCurrent()`, `		d.strangers(true)
		return d.project(nil)`}},
		},
		{
			"a stranger's value is dropped",
			"a value that no record names is kept, and served to nobody until somebody has looked",
			`plain/standard: .*a key of a person's`,
			[]edit{{"document.go", `		if !k.DeadAt.IsZero() {
			continue // proven`, `		if !k.DeadAt.IsZero() || k.Named == "" {
			continue // proven`}},
		},
		{
			"a stranger's key is revoked",
			"only what a record of this library names is revoked; this takes whatever it finds in the store for its own",
			`plain/standard: .*a key of a person's`,
			[]edit{{"drift.go", `		ks := d.st.add(k.Key, k.Key.Generation, d.reg.parts.Issuer, "")`, `		ks := d.st.add(k.Key, k.Key.Generation, d.reg.parts.Issuer, "found")`}},
		},
		{
			"a key that was put back is replaced again",
			"who makes the replaced key current again has a reason: a person decides",
			`plain/standard: .*put back by hand`,
			[]edit{{"drift.go", `		if d.emergency() {
			return d.project(nil)
		}`, `		if true {
			return d.project(nil)
		}`}},
		},
		{
			"a consumer that is added is ignored",
			"who is registered under an open rotation is told, whatever the phase; this kills the key that it came with (C12)",
			`plain/standard: .*a consumer is registered`,
			[]edit{{"prepare.go", `		if run.consumer(b.Name) == nil {`, `		if false && run.consumer(b.Name) == nil {`}},
		},
		{
			"a consumer that is gone is forgotten",
			"who was given a key and is registered no more is asked about (C12)",
			`plain/roll-back: .*goes on unregistered`,
			[]edit{{"prepare.go", `		if c.Sent != 0 {
			return d.consumerGone(c)`, `		if false {
			return d.consumerGone(c)`}},
		},
		{
			"the clock is believed",
			"a clock that is not the journal's passes every waiting time: nothing is done until it is right",
			`plain/standard: .*the clock jumps`,
			[]edit{{"prepare.go", `	if e.SavedAt.IsZero() || !e.SavedAt.Before(early)`, `	if true || !e.SavedAt.Before(early)`}},
		},
		{
			"a hold holds nothing",
			"while a person holds a credential nothing is begun and no step is taken",
			`plain/standard: .*for an hour`,
			[]edit{{"advance.go", `	if d.held() && !d.emergency() {`, `	if false && d.held() && !d.emergency() {`}},
		},
		{
			"a trigger that comes again begins again",
			"a job that is repeated after a timeout joins the rotation that it began",
			`plain/standard: save journal.* (lost|dies after|lags)`,
			[]edit{{"advance.go", `t.ID != "" && st.triggered(t.ID)`, `false && st.triggered(t.ID)`}},
		},
	}
}
