// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// emergencies wait for nothing, end what was named and nothing else, and end when it is dead (C8, C9, C13).
func emergencies() []mutant {
	return []mutant{
		{
			"an incident is resolved again when it is repeated",
			"the same reference attaches; this ends every key that lives now, the successor too (C8)",
			"",
			[]edit{{"arrival.go", `	if st.Run != nil && slices.Contains(st.Run.Incidents, reference) {`, `	if reference != "" {
		return false
	}
	if st.Run != nil && slices.Contains(st.Run.Incidents, reference) {`}, {"arrival.go", `	if len(in.Credentials) > 0 && len(in.Keys) == 0 && d.emergency() {`, `	if false {`}},
		},
		{
			"a second incident takes the place of the first",
			"what has to die only grows until it is dead; this remembers the last report (C8)",
			`plain/standard: (deploy|save store|save journal#3).*emergency in an outage, and another one`,
			[]edit{{"arrival.go", `	for _, k := range st.Keys {
		if k.compromised() && k.DeadAt.IsZero() {
			k.DebtSince = time.Time{}`, `	run.Victims = nil
	for _, k := range st.Keys {
		if slices.Contains(k.Incidents, in.Reference) && k.DeadAt.IsZero() {
			k.DebtSince = time.Time{}`}},
		},
		{
			"a revocation is sent once",
			"a compromised key is revoked again and again until it is dead",
			`plain/emergency: revoke.* (fails|hangs|panics|is down)`,
			[]edit{{"obligation.go", `!victim.Answered && !victim.Retry.At.After(time.Now()) && d.mine(victim) {`, `victim.RevokedAt.IsZero() && !victim.Retry.At.After(time.Now()) && d.mine(victim) {`}},
		},
		{
			"nothing is revoked before there is a successor",
			"where issuing comes first it comes first for a limited time: then the key dies, successor or not",
			`plain/emergency: (issue|save store).* is down`,
			[]edit{
				{"obligation.go", `	return r.RevokeFirst || t.Independent || r.IssueTried || r.successor(st) || !r.IssueBy.After(now)`, `	return r.RevokeFirst || t.Independent || r.successor(st)`},
				{"obligation.go", `			d.alarm = time.AfterFunc(time.Until(d.st.Run.IssueBy), func() { d.send(due) })`, `			d.alarm = time.AfterFunc(time.Until(d.st.Run.IssueBy), func() {})`},
			},
		},
		{
			"revoke first, whatever was asked for",
			"where issuing needs a live key the successor is issued before the compromised key dies",
			`plain/emergency: issue.* (hangs|lags)`,
			[]edit{{"obligation.go", `	return r.RevokeFirst ||`, `	return true || r.RevokeFirst ||`}},
		},
		{
			"revoke first is not heard",
			"whoever asks for it has the key revoked before anything is issued",
			"",
			[]edit{{"obligation.go", `	return r.RevokeFirst ||`, `	return`}},
		},
		{
			"a revocation waits for the store",
			"a compromised key is revoked by its id, whether the store answers or not",
			`plain/emergency: (load|save) store.* is down`,
			[]edit{{"obligation.go", `	if !d.emergency() {
		return
	}
	if d.kills == nil {`, `	if !d.emergency() || !d.loaded {
		return
	}
	if d.kills == nil {`}},
		},
		{
			"a revocation waits for the journal",
			"without a journal the compromised keys are revoked at once, and recorded later",
			`plain/emergency: (load|save) journal.* is down`,
			[]edit{{"emergency.go", `return errors.Join(err, <-early, r.revokeUnrecorded(ctx, reg, in))`, `return errors.Join(err, <-early)`}},
		},
		{
			"a compromised key is the successor",
			"the key that takes over is named by nobody",
			"",
			[]edit{{"arrival.go", `k.live() && k.Stored && k.DebtSince`, `k != nil && k.Stored && k.DebtSince`}, {"issue.go", `	if r.Target == 0 || !st.key(r.Target).live() {`, `	if r.Target == 0 {`}},
		},
		{
			"a compromised key is served",
			"a compromised key is served to nobody, whatever its role was",
			`plain/(standard|emergency): (issue.* is down|.*emergency of both keys)`,
			[]edit{
				{"document.go", `		case !k.live():
`, `		case !k.live() && !k.compromised():
`},
				{"document.go", `Compromised: k.compromised()}`, `Compromised: false}`},
			},
		},
		{
			"an emergency ends with a debt",
			"an emergency ends when every compromised key is proven dead",
			`plain/emergency: revoke.* (says yes|is down)`,
			[]edit{{"confirm.go", `		case d.emergency():
			n := Need`, `		case false && d.emergency():
			n := Need`}},
		},
		{
			"nobody looks whether a revoked key is dead",
			"a revocation that was answered is no proof: what is seen alive is revoked again",
			`plain/emergency: revoke.* says yes`,
			[]edit{{"obligation.go", `			victim.Answered = false
			victim.Retry = d.backoff(victim.Retry, nil)
		}
	}
}

// mayRevoke`, `			victim.Retry = d.backoff(victim.Retry, nil)
		}
	}
}

// mayRevoke`}},
		},
	}
}
