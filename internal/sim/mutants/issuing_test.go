// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// issuing is what becomes of an answer that is lost: nothing that was minted is forgotten, and nothing is used or killed that
// somebody else has made (C5, C6, C7).
func issuing() []mutant {
	return []mutant{
		{
			"a timeout is a definite no",
			"only a definite answer means that nothing was minted; this tries again after any error, as if nothing had been",
			`plain/standard: issue.* (lost|lags|dies after|fails|hangs)`,
			[]edit{{"mint.go", `	if errors.Is(err, ErrNotIssued) || errors.Is(err, ErrDenied) || errors.Is(err, ErrNoSlot) {`, `	if err != nil {`}},
		},
		{
			"a key is absent as soon as the list lacks it",
			"a list tells the truth when the call can land no more, and what it made is listed",
			`untagged, ours alone/standard: issue.* (lost|lags|late|dies after)`,
			[]edit{{"settle.go", `	if wait := latest(a.SettleAt, d.st.Settle); wait.After(time.Now()) {`, `	if wait := latest(a.SettleAt, d.st.Settle); false && wait.After(time.Now()) {`}},
		},
		{
			"no last look for keys that came too late",
			"tries that were thought to have made nothing are looked for once more at the end",
			`(plain|slow)/standard: issue.* too late`,
			[]edit{{"finish.go", `	if err := d.census(); err != nil {`, `	if err := error(nil); err != nil {`}},
		},
		{
			"tries under one name",
			"each try has a name of its own, which tells its key from every other one",
			`plain/standard: issue.* (dies first|fails|hangs)`,
			[]edit{{"issue.go", `		seed := sha1.Sum(fmt.Appendf(nil, "%s/%s/%d", d.home, run.ID, a.N))`, `		seed := sha1.Sum(fmt.Appendf(nil, "%s/%s", d.home, run.ID))`}},
		},
		{
			"what a lost try made is left alone",
			"a key that was minted in vain is condemned, and revoked; this is content to know of it",
			`plain/standard: issue.* (lost|dies after)`,
			[]edit{{"settle.go", `	case mintedFound:
		d.condemnAttempt(a, found)
		return nil`, `	case mintedFound:
		d.st.Run.absent(a)
		return nil`}, {"finish.go", `	if err := d.census(); err != nil {`, `	if err := error(nil); err != nil {`}},
		},
		{
			"keys without names are not looked for",
			"where keys have no names a new one is told by what was listed before",
			`untagged, ours alone/standard: issue.* (lost|lags|dies after)`,
			[]edit{{"settle.go", `		if k.Key.Name == "" && !isKnown && !slices.Contains(a.Before, k.Key.ID) {`, `		if false && !isKnown && !slices.Contains(a.Before, k.Key.ID) {`}},
		},
		{
			"a try that is open at the end is forgotten",
			"the rotation does not end before it is known what became of every try",
			`(plain|slow|untagged, ours alone)/standard: issue.*emergency`,
			[]edit{
				{"finish.go", `		if a.Fate != fateOpen {
			continue
		}
		if a.Manual`, `		if true {
			continue
		}
		if a.Manual`},
				{"settle.go", `	if !d.emergency() || d.st.Run.Parts != d.reg.parts {
		return nil
	}
	found`, `	if true {
		return nil
	}
	found`},
			},
		},
		{
			"a value that the store does not take is dropped",
			"where a new value cannot be stored its key is killed while its id is known",
			`plain/standard: (load|save) store.* is down`,
			[]edit{{"mint.go", `	a.Fate, ks.Condemned, ks.Stored = fateCondemned, true, false
	d.st.Run.Target, d.st.Run.New = 0, 0
`, `	a.Fate = fateRefused
	d.st.drop(ks.Key.Serial)
	d.st.Run.Target, d.st.Run.New = 0, 0
	if err != nil {
		return err
	}
`}, {"mint.go", `	for try := range saveTries {`, `	for try := range 1 {`}},
		},
		{
			"a chosen value is stored after it is in use",
			"a value that is chosen here is stored before the provider gets it (C6)",
			`two slots, chosen values/standard`,
			[]edit{{"mint.go", `	if err := d.put(d.target(chosen)); err != nil {
		a.Chosen`, `	if err := error(nil); err != nil {
		a.Chosen`}},
		},
		{
			"another value is chosen after a lost answer",
			"the provider is asked whether it has the chosen value, and gets the same one again; this hands over another (C6)",
			`two slots, chosen values/standard: issue.* (lost|lags|dies after|fails)`,
			[]edit{
				{"mint.go", `	if a.Chosen {
		return d.value(a.Serial), false, nil
	}
	chosen, err = guarded`, `	if a.Chosen {
		d.st.drop(a.Serial)
	}
	chosen, err = guarded`},
				{"settle.go", `	if a.Chosen {
		return d.settleChosen(a)
	}`, `	if a.Chosen {
		return nil
	}`},
			},
		},
		{
			"a half-made value is forgotten",
			"a value of which nobody can say whether the provider has it is ended with its rotation; this believes that it is not there",
			`half-made value/roll-back`,
			[]edit{{"settle.go", `		d.condemnAttempt(a, v)
		return nil
	case !errors.Is(err, ErrRejected):`, `		d.st.Run.absent(a)
		d.buried(d.st.key(a.Serial), "nobody needs it")
		return nil
	case !errors.Is(err, ErrRejected):`}},
		},
		{
			"a half-made value is waited for",
			"what takes over no more need not be known to be ended; this holds the rotation for ever",
			`half-made value/roll-back`,
			[]edit{{"settle.go", `		return st.Run.Phase == PhaseFinish && a.Serial != st.Run.Target`, `		return false`}},
		},
		{
			"what is in a slot now is not looked at",
			"an id that stands for a live key too is not revoked (C7)",
			`ids that come back/.*: .*emergency of`,
			[]edit{{"retire.go", `	return !d.reg.webhook && key.ID != "" && slices.ContainsFunc`, `	return false && slices.ContainsFunc`}},
		},
	}
}
