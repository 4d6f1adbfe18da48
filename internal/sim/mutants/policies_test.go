// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// policies are what keeps a rotation to times: windows, notices and jitter, a consumer that several credentials share, a regular
// look, and the question who used a compromised key.
func policies() []mutant {
	const free = `	free := run.Strategy != Standard || run.NoOverlap || run.Old == 0 || run.irreversible(d.st)`
	return []mutant{
		{
			"windows are not kept",
			"what consumers can notice is begun in a window; this begins it at any time",
			`windows/standard`,
			[]edit{{"opening.go", free, `	free := true`}},
		},
		{
			"a roll-back waits for a window",
			"whoever goes back to a key that works waits for nothing",
			`windows/roll-back`,
			[]edit{{"opening.go", free, `	free := run.Strategy == Emergency || run.NoOverlap || run.Old == 0 || run.irreversible(d.st)`}},
		},
		{
			"an emergency waits for a window",
			"an emergency waits for nothing",
			`windows/emergency`,
			[]edit{{"opening.go", free, `	free := run.Strategy == RollBack || run.NoOverlap || run.Old == 0`}},
		},
		{
			"a deadline of the provider waits for a window",
			"what the provider does not let wait is done outside of a window",
			`windows, provider's grace/standard: verify.* refuses`,
			[]edit{{"opening.go", `	if old := d.st.key(run.Old); old != nil && !old.end().IsZero() && !ending(p) {`, `	if old := d.st.key(run.Old); false {`}},
		},
		{
			"a key that ends the old one is issued at any time",
			"where issuing ends the old key it is issued in a window",
			`windows, issuing kills/standard`,
			[]edit{{"issue.go", `		if d.reg.noticed(PhaseIssue) && d.supplied == nil {`, `		if false {`}},
		},
		{
			"a key becomes current at any time",
			"the store serves the new key in a window, however long the proof took",
			`webhook, windows/standard: (ping|usage).* is down`,
			[]edit{{"deploy.go", `	if !already {
		if err := d.inWindow(); err != nil {
			return err
		}
	}`, ``}},
		},
		{
			"a consumer is told at any time",
			"whoever was not told yet is told in a window",
			`windows/standard`,
			[]edit{{"deploy.go", `	if slices.ContainsFunc(todo, d.newly) {`, `	if false {`}, {"deploy.go", `		if slices.ContainsFunc(group, d.newly) {`, `		if false {`}},
		},
		{
			"a consumer that went back is told at any time",
			"whoever went back to the old key is told the new one again in a window",
			`windows/standard: save journal#(6[4-9]|7\d) a service goes back`,
			[]edit{{"deploy.go", ` || c.Moved != c.Moves`, ``}},
		},
		{
			"the old key is disabled at any time",
			"a key is switched off in a window",
			`windows/standard`,
			[]edit{{"disable.go", `			if err := d.inWindow(); err != nil {
				return err
			}
`, ``}},
		},
		{
			"the old key is revoked at any time",
			"a key is revoked in a window",
			`windows, provider's grace/roll-back|short windows/standard: (save journal|disable).* (fails|lost|is down|dies after)`,
			[]edit{{"retire.go", `	if err := d.inWindow(); err != nil {
		return err
	}
`, ``}},
		},
		{
			"blackouts are forgotten",
			"on a day that is left out nothing is begun",
			`windows/standard`,
			[]edit{{"slotcalendar.go", `	c.blackouts = joined(c.blackouts)`, `	c.blackouts = nil`}},
		},
		{
			"every zone is UTC",
			"a window is a time on the walls of its zone",
			`windows/standard`,
			[]edit{{"window.go", `	if out.zone, err = parseZone(words[2]); err != nil {`, `	if out.zone, err = parseZone("UTC"); err != nil {`}},
		},
		{
			"nobody is told before",
			"people are told ahead of a rotation that begins by itself; this begins it when they have been told, or have not",
			`windows/by itself`,
			[]edit{{"opening.go", `			at = st.slot(reg, now, latest(first, now.Add(reg.Policy.Notice)))`, ``}, {"opening.go", `	return st.opening(reg, now).Add(-reg.Policy.Notice)`, `	return st.opening(reg, now).Add(-time.Minute)`}},
		},
		{
			"jitter goes back further than it may",
			"a rotation begins no earlier than Policy.Jitter before it is due",
			`windows/by itself`,
			[]edit{{"slot.go", `		if from, ok = c.spread(span{latest(due.Add(-jitter), half), due}, name); ok {`, `		if from, ok = c.spread(span{due.Add(-3 * jitter), due.Add(-2 * jitter)}, name); ok {`}},
		},
		{
			"a shared consumer counts as told before it is",
			"who was ready is covered when the consumer has answered; this takes the intent for it, and a process that dies leaves everybody out",
			`shared consumer, later/standard: (save journal|deploy).* (dies first|fails)`,
			[]edit{{"group.go", `	rec.At, rec.By, rec.Teller, rec.Telling, rec.Ready = now.Round(0), d.reg.Name, run.ID, all, nil`, `	rec.At, rec.By, rec.Covered, rec.Ready = now.Round(0), d.reg.Name, all, nil`}},
		},
		{
			"a shared consumer is told for each",
			"a consumer that several credentials share is told once for all that are ready",
			`shared consumer/standard`,
			[]edit{{"group.go", `	if b.Group == "" || run.Strategy`, `	if true || run.Strategy`}},
		},
		{
			"nobody waits for the others of a group",
			"a rotation that is ready waits for those that are about to be",
			`shared consumer/standard`,
			[]edit{{"group.go", `	case len(others) > 0 && now.Sub(since) < patience:`, `	case false:`}},
		},
		{
			"a shared consumer is told again at once",
			"between two deployments to a group lies Policy.MinInterval",
			`shared consumer, later/standard`,
			[]edit{{"group.go", `	case next.After(now) && !rec.At.IsZero():`, `	case false:`}},
		},
		{
			"a roll-back waits for the others of a group",
			"whoever goes back to a key that works waits for nothing",
			`shared consumer/roll-back`,
			[]edit{{"group.go", `	if b.Group == "" || run.Strategy != Standard || run.NoOverlap || c.Moves > 0`, `	if b.Group == "" || run.NoOverlap || c.Moves > 0`}, {"group.go", `	if slices.Contains(rec.Covered, run.ID) {`, `	if run.Strategy == Standard && slices.Contains(rec.Covered, run.ID) {`}},
		},
		{
			"nobody looks a second time",
			"an idle credential is looked at again and again",
			`windows/by itself`,
			[]edit{{"check.go", `	if current == nil || reg.Check == 0 || reg.blind() {`, `	if current == nil || reg.Check == 0 || reg.blind() || !st.CheckedAt.IsZero() {`}},
		},
		{
			"a look is recorded without a look",
			"Status.CheckedAt says when the accepting side was asked",
			`windows/by itself`,
			[]edit{{"check.go", `	d.keepUsage()
	return d.judged(key, d.seen(key))`, `	d.keepUsage()
	return d.judged(key, nil)`}},
		},
		{
			"a look writes the store",
			"a look changes nothing but what it finds",
			`windows/by itself`,
			[]edit{{"check.go", `	d.keepUsage()
	return d.judged(key, d.seen(key))`, `	d.keepUsage()
	return errors.Join(d.project(nil), d.judged(key, d.seen(key)))`}},
		},
		{
			"a revocation waits for who used the key",
			"the question who used a compromised key is asked beside its revocation, which waits for no answer",
			`nobody tells in time who used it/emergency, revoked first`,
			[]edit{
				{"usage.go", `	go func() {
		defer close(answer)`, `	func() {
		defer close(answer)`},
			},
		},
		{
			"nobody listens who used the key",
			"what the issuer tells in time is recorded",
			`nobody tells in time who used it/emergency`,
			[]edit{{"usage.go", `		if answered {
			d.recordUsage`, `		if answered && false {
			d.recordUsage`}},
		},
	}
}
