// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// evidence is what a death is, how debts end, and what is told.
func evidence() []mutant {
	return []mutant{
		{
			"an answer is a proof of death",
			"that Revoke returned nil proves nothing: the key is refused, or gone from a list",
			`plain/standard: revoke.* says yes`,
			[]edit{{"confirm.go", `	if !k.DeadAt.IsZero() {
		return isDead, k.Proof
	}`, `	if !k.DeadAt.IsZero() || k.Answered {
		return isDead, k.Proof
	}`}},
		},
		{
			"a timeout is a proof of death",
			"a key is dead when it is refused, not when nobody answers",
			`nothing is told/emergency: verify k2.* (fails|hangs|panics|is down)`,
			[]edit{{"confirm.go", `		if errors.Is(err, ErrRejected) && !young && !live.IsZero()`, `		if (err != nil || errors.Is(err, ErrRejected)) && !young && !live.IsZero()`}},
		},
		{
			"a verifier that refuses everything proves a death",
			"a key is refused while a live one is accepted; this takes a broken verifier's word",
			`nothing is told/standard: verify k2.* refuses`,
			[]edit{{"confirm.go", `errors.Is(err, ErrRejected) && !young && !live.IsZero() && d.verify(live) == nil {`, `errors.Is(err, ErrRejected) && !young && !live.IsZero() {`}},
		},
		{
			"a key that is not known everywhere yet is taken for dead",
			"a new key is refused at an edge that has not heard of it, and accepted there later",
			`provider's grace/emergency, revoked first: revoke.*emergency of both keys`,
			[]edit{{"confirm.go", `	young := k.Since`, `	young := false && k.Since`}},
		},
		{
			"a value on its way is taken for dead",
			"a chosen value can get to the provider after the incident that names it (C4)",
			`two slots, chosen values/standard: issue.*emergency of the credential`,
			[]edit{{"confirm.go", `	if k.Lands.After(time.Now()) {`, `	if false {`}},
		},
		{
			"a revocation that failed is taken for done",
			"a key that should be dead and is not is a debt, and is revoked again",
			`plain/standard: revoke.* (fails|hangs|is down)`,
			[]edit{
				{"retire.go", `			return d.lateRevoke(victim, err)
		}
	}
	return nil`, `			victim.Answered = true
		}
	}
	return nil`},
				{"confirm.go", `		case latest(victim.RevokedAt, run.BeganAt)`, `		case true:
			d.buried(victim, "revoked")
		case latest(victim.RevokedAt, run.BeganAt)`},
			},
		},
		{
			"debts are dropped at the end",
			"a key that is not proven dead stays in the record until it is",
			`untagged, ours alone/standard: issue.* lost`,
			[]edit{
				{"finish.go", `	for _, k := range slices.Clone(st.Keys) {
		if !k.DeadAt.IsZero() && outcome`, `	for _, k := range slices.Clone(st.Keys) {
		if k.Key.Serial != st.Current && outcome`},
				{"finish.go", `	d.payDebts()
	if d.st.Settle`, `	if d.st.Settle`},
				{"issue.go", `		d.payDebts() // what it minted`, `		// what it minted`},
				{"advance.go", `	if !d.emergency() { // debts`, `	if d.st.Run == nil { // debts`},
			},
		},
		{
			"an event is told at most once",
			"an event stays in the record until every sink has taken it; this takes it out before",
			`plain/emergency: deliver`,
			[]edit{{"outbox.go", `		if err != nil {
				failed[id] = err`, `		if err != nil {
				p.Owed = nil
				failed[id] = err`}},
		},
		{
			"the end is told to nobody",
			"whatever a rotation did is told, from its beginning to its end",
			"",
			[]edit{{"finish.go", `	d.emit(Event{Kind: EventEnded,`, `	d.note(slog.LevelInfo, string(outcome))
	_ = fmt.Sprint(Event{Kind: EventEnded,`}},
		},
		{
			"the text of an error is recorded",
			"of an error that does not say that it is public its kind is recorded, and nothing else",
			"",
			[]edit{{"errors.go", `		parts = append(parts, "failed ("+kindOf(err)+")")`, `		parts = append(parts, err.Error())`}},
		},
		{
			"a value is in the record",
			"a journal holds no secret; this keeps the value with its key",
			"",
			[]edit{{"mint.go", `	ks.Key, ks.Issuer, ks.Named, ks.Ends = key.identity(), d.reg.parts.Issuer, a.Name, key.ExpiresAt`, `	ks.Key, ks.Issuer, ks.Named, ks.Ends = key.identity(), d.reg.parts.Issuer, a.Name, key.ExpiresAt
	ks.Key.Attributes = map[string]string{"value": key.Secret.Reveal()}`}},
		},
	}
}

// calls are how user code is called, and when it is called again.
func calls() []mutant {
	return []mutant{
		{
			"a call that does not return has succeeded",
			"a call has succeeded if it returned; one that ends its goroutine has not",
			`plain/standard: .* exits`,
			[]edit{{"guard.go", `		a := answer{err: errNoReturn}`, `		a := answer{}`}},
		},
		{
			"a panic is not caught",
			"a panic in user code is an error of that call; this lets it end the program",
			`plain/standard: (deploy|issue|revoke).* panics`,
			[]edit{{"guard.go", `			if recover() != nil {
				a.err = errPanicked
			}
`, ``}},
		},
		{
			"a step that failed is not taken again",
			"whatever failed is tried again, less and less often",
			"",
			[]edit{{"needs.go", `	return wait + wait*jitter/100`, `	return 1000*time.Hour + wait*jitter/100`}},
		},
		{
			"an open rotation wakes nobody",
			"the journal says when there is something to do; this looks again when the next rotation is due",
			"",
			[]edit{{"needs.go", `		sooner(latest(st.Look, now))
		if st.Run.Strategy`, `		sooner(dueAt(reg, st.key(st.Current)))
		if st.Run.Strategy`}},
		},
		{
			"verbs are missing",
			"whatever only a person can end names the answers that it takes",
			"",
			[]edit{{"gate.go", `generation), VerbAttest, VerbRollBack)`, `generation))`}},
		},
	}
}
