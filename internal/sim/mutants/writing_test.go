// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// writing is what is written in which order: the intent, the effect, the store, the result. A key is condemned by the intent to
// kill it, and a value leaves the store only when its key is dead, and the journal says so.
func writing() []mutant {
	return []mutant{
		{
			"issue without an intent",
			"every try of Issue is journaled before the call, so that its key can be found; this calls first (C5)",
			"",
			[]edit{{"mint.go", `	if err := d.save(); err != nil {
		return err
	}
	key, err := d.answer(req)`, `	key, err := d.answer(req)`}},
		},
		{
			"deploy without an intent",
			"a consumer that was to be told counts as told, whatever happened then; this tells it before the journal knows",
			"",
			[]edit{{"deploy.go", `		d.fresh = nil
		if err := d.save(); err != nil {
			return err
		}
		if err := d.tell(group, role); err != nil {`, `		d.fresh = nil
		if err := d.tell(group, role); err != nil {`}},
		},
		{
			"revoke without an intent",
			"the intent to revoke is the point of no return, and is journaled before; this revokes first",
			"",
			[]edit{{"retire.go", `		victim.Condemned = true
		if err := d.save(); err != nil {
			return err
		}
		if err := d.revoke(victim); err != nil {
			return d.lateRevoke(victim, err)`, `		victim.Condemned = true
		if err := d.revoke(victim); err != nil {
			return d.lateRevoke(victim, err)`}},
		},
		{
			"a condemned key is used again",
			"an intent to kill a key condemns it for good; this goes back to it, and the revocation that was meant for it lands (C5)",
			`plain/standard: .*emergency of the new key`,
			[]edit{{"state.go", `return k != nil && !k.Condemned && !k.compromised()`, `return k != nil && !k.compromised()`}},
		},
		{
			"a value is dropped with the intent to kill its key",
			"a value leaves the store when its key is proven dead; this forgets it as soon as it is condemned (C13)",
			"",
			[]edit{{"document.go", `		if !k.DeadAt.IsZero() {
			continue // proven`, `		if !k.DeadAt.IsZero() || k.Condemned {
			continue // proven`}},
		},
		{
			"the record is closed before the store is clean",
			"a label goes before its record; this forgets the dead key and then takes its value out of the store",
			"",
			[]edit{
				{"finish.go", `	if err := d.project(map[string]string{"rotation_verified_at": timeText(run.deadAtOr(time.Now()))}); err != nil {
		return err
	}
	d.close(run.outcome())`, `	d.close(run.outcome())
	if err := d.project(map[string]string{"rotation_verified_at": timeText(run.deadAtOr(time.Now()))}); err != nil {
		return err
	}`},
			},
		},
		{
			"a failed write of the store is taken for done",
			"after an error the store is read again, and only what is there is there",
			`plain/standard: save store.* (fails|hangs|panics|exits)`,
			[]edit{{"document.go", `		if !written {`, `		if false && !written {`}},
		},
		{
			"promote as a move",
			"labels are written as a target; this moves pending to current and current to previous, and does it again after a lost answer (C3)",
			`plain/standard: save (store|journal).* (dies after|dies first|lost)`,
			[]edit{{"deploy.go", `	if err := d.project(meta); err != nil {
		return err
	}
	st.Writing = false`, `	move := d.target()
	move.Keys = slices.Clone(d.doc.Keys)
	for i, k := range move.Keys {
		switch {
		case k.Role == RolePending || run.Strategy == RollBack && k.Role == RolePrevious:
			move.Keys[i].Role = RoleCurrent
		case k.Role == RoleCurrent:
			move.Keys[i].Role = RolePrevious
		}
	}
	move.Metadata = meta
	if err := d.put(move); err != nil {
		return err
	}
	st.Writing = false`}},
		},
		{
			"promote drops the replaced value",
			"previous is what a roll-back goes back to, and what restarting receivers accept; this keeps the current value alone (C13)",
			"",
			[]edit{{"document.go", `			role = RolePrevious
		}`, `			continue
		}`}},
		},
	}
}
