// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// webhooks are the mirror: the receivers accept, and the sender presents (C14).
func webhooks() []mutant {
	return []mutant{
		{
			"the sender is told before the receivers",
			"every receiver accepts the new secret before the sender signs with it",
			`webhook/standard`,
			[]edit{{"table.go", `			{PhaseIssue, (*drive).issue},
			{PhaseAccept, (*drive).accept},
			{PhaseActivate, (*drive).activate},
			{PhaseProve, (*drive).matched},
			{PhasePromote, (*drive).promote},`, `			{PhaseIssue, (*drive).issue},
			{PhaseActivate, (*drive).activate},
			{PhaseAccept, (*drive).accept},
			{PhaseProve, (*drive).matched},
			{PhasePromote, (*drive).promote},`}, {"activate.go", `	if !d.emergency() { // there`, `	if false { // there`}},
		},
		{
			"what a receiver is told is believed",
			"a receiver accepts the new secret when that is seen; this takes its answer for it",
			`webhook/standard: deploy.* says yes`,
			[]edit{{"accept.go", `	if err := d.adopted(run.Consumers); err != nil {
		var turned`, `	if err := d.adopted(run.Consumers); false {
		var turned`}},
		},
		{
			"the old secret is left out when the new one is told",
			"until the sender has moved the receivers accept both",
			`webhook/standard`,
			[]edit{{"deploy.go", `		req.Accept = d.acceptSet()
`, `		req.Accept = d.acceptSet()[:1]
`}},
		},
		{
			"the receivers forget before it is quiet",
			"the old secret is forgotten when no delivery has needed it for the whole window",
			`webhook/standard`,
			[]edit{{"receipts.go", `	if !u.AsOf.Before(end) {
		last`, `	if true {
		last`}},
		},
		{
			"a counter that began anew has seen everything",
			"the window begins when whoever counts began to count; this takes what a restarted process does not know for quiet",
			`webhook/(standard|roll-back)`,
			[]edit{{"receipts.go", `	start := latest(latest(moved, u.Since), u.LastUsed) `, `	start := latest(moved, u.LastUsed) `}},
		},
		{
			"the sender's retries are not waited for",
			"a delivery that failed comes again, and bears the old signature: quiet is at least as long as the sender repeats",
			`webhook/standard`,
			[]edit{{"register.go", `		reg.Policy.Quiet = max(reg.Policy.Quiet, reg.Traits.RetryHorizon)`, `		reg.Policy.Quiet = max(reg.Policy.Quiet, 0)`}},
		},
		{
			"the sender's propagation is not waited for",
			"until a change is seen everywhere the sender may make another delivery with the old secret",
			`webhook, slow/(standard|roll-back)`,
			[]edit{{"receipts.go", `	moved = latest(moved, latest(run.ActivatedAt, victim.Activating).Add(reg.Traits.Propagation)) //`, `	moved = latest(moved, run.ActivatedAt) //`}},
		},
		{
			"silence is quiet",
			"a receiver forgets the old secret when it has verified a delivery with the new one; this takes silence for it",
			`webhook, slow/standard: ping.*`,
			[]edit{
				{"receipts.go", `		if c.Matched == run.Target && !c.LastMatched.Before(last) {
			return nil
		}`, `		_ = last
		if true {
			return nil
		}`},
				{"activate.go", `	case len(needs) == 0:`, `	case len(needs) == 0, true:`},
				{"accept.go", `	if err == nil && d.ping() { //`, `	if false { //`},
			},
		},
		{
			"a receiver is forgotten at the gate",
			"each receiver has to have let go of the old secret; this asks all but the last",
			`webhook/standard`,
			[]edit{{"receipts.go", `	for _, c := range run.Consumers {
		lacks = append(lacks, receiverGate(`, `	for _, c := range run.Consumers[:len(run.Consumers)-1] {
		lacks = append(lacks, receiverGate(`}},
		},
		{
			"the store goes on serving what was dropped",
			"the store serves no secret that the receivers are told to forget: whoever follows it would go on",
			`webhook/standard`,
			[]edit{{"document.go", `			w.Key.Secret = k.Key.Secret
			out.Keys`, `			w.Key.Secret = k.Key.Secret
			if w.Role == RoleRetiring && !w.Compromised {
				w.Role = RolePrevious
			}
			out.Keys`}},
		},
		{
			"a roll-back does not tell the sender",
			"whoever goes back tells the sender to sign with the old secret again (C14 b)",
			`webhook/roll-back`,
			[]edit{{"activate.go", `	case d.neverLeft() || run.Activated == run.Target:
		return nil`, `	case d.neverLeft() || run.Activated == run.Target || run.Strategy == RollBack:
		run.Activated = run.Target
		return nil`}},
		},
		{
			"a roll-back forgets that the sender was told",
			"from the intent on the sender may sign with the new secret; this takes it for one that nobody ever used",
			`webhook/roll-back`,
			[]edit{{"activate.go", `	key.Presented, key.Activating = true, time.Now()`, `	key.Activating = time.Now()`}},
		},
		{
			"refusing waits for the store",
			"every receiver is told to refuse what is compromised, whether the store answers or not",
			`webhook/emergency: (load|save) store.* is down`,
			[]edit{{"shut.go", `	known := d.read() == nil // a store`, `	if d.read() != nil {
		return
	}
	known := d.read() == nil // a store`}},
		},
		{
			"a secret is dead although a receiver accepts it",
			"it is dead when every receiver refuses it; this takes the first one's word",
			`webhook/(emergency|standard): deploy.* (says yes|lags|late)`,
			[]edit{{"receivers.go", `	case len(yes) == 0 && len(unknown) == 0:
		return ErrRejected`, `	case len(no) > 0:
		return ErrRejected`}, {"shut.go", `	if err := d.stillAccepted(); err != nil {
		return err
	}
	return d.sworn`, `	return d.sworn`}},
		},
		{
			"what nothing can see is taken for granted",
			"what a receiver accepts that nothing can look into a person attests, in every rotation",
			`webhook, by hand/standard: deploy unseen0.* says yes`,
			[]edit{
				{"receivers.go", `answers[i] == errBlind {
				answers[i] = word`, `answers[i] == errBlind {
				_, answers[i] = word, nil`},
				{"accept.go", `	if len(needs) > 0 {
		return d.again(needs...)
	}
	return nil
}

// notAccepting`, `	return nil
}

// notAccepting`},
			},
		},
		{
			"deliveries are given up without asking",
			"where the store has lost what the sender may sign with, a person says whether deliveries may be refused",
			`webhook/standard: .*are lost`,
			[]edit{
				{"accept.go", `	if d.emergency() || run.Sacrificed || `, `	if true || d.emergency() || run.Sacrificed || `},
				{"accept.go", `c.Holds == c.Offered && (c.Holds == labelOfSerials(d.st.wanted()) || c.Holds`, `c.Holds == c.Offered && (c.Holds`},
			},
		},
	}
}
