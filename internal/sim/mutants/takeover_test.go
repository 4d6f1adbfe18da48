// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// takeover is one owner after the other: nobody begins an effect without the lease, and what a former owner has begun is
// harmless or waited out (C4).
func takeover() []mutant {
	return []mutant{
		{
			"the lease is ignored",
			"while another process drives nothing is done",
			"",
			[]edit{{"lease.go", `		if by != byForce && !r.expired(e, l) {`, `		if false && !r.expired(e, l) {`}},
		},
		{
			"a lease ends early",
			"a lease is over when the entry was seen unchanged for all of it; this takes it at half time",
			`plain/(standard|roll-back): save journal.* late`,
			[]edit{{"lease.go", `	if now.Sub(seen.at) >= l.For {`, `	if now.Sub(seen.at) >= l.For/2 {`}},
		},
		{
			"an emergency takes a lease politely",
			"an emergency takes the lease from anybody; this waits for the holder, and thinks that somebody is at it (C9)",
			`plain/standard: .*emergency of the old key`,
			[]edit{
				{"emergency.go", `		by := byForce`, `		by := politely`},
				{"emergency.go", `		case d == nil && st.covers(in):`, `		case d == nil:`},
				{"emergency.go", `		case d == nil:
			continue // the holder wrote in between
`, ``},
			},
		},
		{
			"a conflict of the journal is overwritten",
			"whoever finds another's record has lost the lease; this writes its own over it",
			`plain/standard: save journal.*emergency of the new key`,
			[]edit{{"lease.go", `		case now.Revision != d.revision:
			return errLost`, `		case now.Revision != d.revision:
			d.revision, e.Revision = now.Revision, now.Revision`}},
		},
		{
			"every record is taken for one's own",
			"a write whose answer was lost is known by its id; this takes another's write for it",
			`plain/standard: .*emergency of the new key`,
			[]edit{{"lease.go", `		case st.WriteID == d.st.WriteID:`, `		case st.WriteID != "":`}},
		},
		{
			"who lost the lease goes on issuing",
			"an effect without a recorded intent is not begun; this ignores that the record was refused",
			`plain/standard: save journal.*emergency of`,
			[]edit{{"mint.go", `	if err := d.save(); err != nil {
		return err
	}
	key, err := d.answer(req)`, `	if err := d.save(); err != nil && !errors.Is(err, errLost) {
		return err
	}
	key, err := d.answer(req)`}},
		},
		{
			"who lost the lease goes on revoking",
			"an effect without a recorded intent is not begun; this ignores that the record was refused",
			`plain/standard: save journal.*emergency of`,
			[]edit{{"retire.go", `		victim.Condemned = true
		if err := d.save(); err != nil {
			return err
		}
		if err := d.revoke(victim); err != nil {
			return d.lateRevoke`, `		victim.Condemned = true
		if err := d.save(); err != nil && !errors.Is(err, errLost) {
			return err
		}
		if err := d.revoke(victim); err != nil {
			return d.lateRevoke`}},
		},
		{
			"a takeover does not settle",
			"after a takeover by expiry what cannot be undone waits until no call of the former owner can land",
			`plain/standard: (save journal|revoke).* (dies first|dies after|late)`,
			[]edit{{"lease.go", `		if end := now.Add(l.Settle); end.After(st.Settle) {`, `		if end := now.Add(l.Settle); false && end.After(st.Settle) {`}},
		},
		{
			"the gate does not settle",
			"no key dies while a former owner's deployment can still land",
			`plain/standard: (save journal|revoke).* (dies first|dies after|late)`,
			[]edit{{"gate.go", `	if st.Settle.After(f.At) {`, `	if false && st.Settle.After(f.At) {`}},
		},
		{
			"a roll-back goes to a disabled key",
			"whoever goes back to a key that was switched off, or may have been, has it switched on first",
			`slow/standard: save journal#1[0-9][0-9] somebody aborts`,
			[]edit{
				{"restore.go", `	if old.disabled() {`, `	if false && old.disabled() {`},
				{"restore.go", `	err := d.proof(d.value(run.Old), d.reg.Policy.Proofs)
	switch {`, `	var err error
	switch {`},
			},
		},
	}
}
