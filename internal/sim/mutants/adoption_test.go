// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mutants_test

// adoption is what has to be observed before a key dies: who uses it, who works with the other one, for how long. The same
// gate guards every kill outside an emergency.
func adoption() []mutant {
	return []mutant{
		{
			"no gate",
			"every kill is preceded by the facts of the same Advance; this asks for none (C1)",
			"",
			[]edit{{"gate.go", `	if !victim.Presented {
		return nil`, `	if true {
		return nil`}},
		},
		{
			"no gate in a roll-back",
			"the new key dies as carefully as an old one: readers of the store have taken it (C2)",
			"",
			[]edit{{"gate.go", `	if !victim.Presented {
		return nil`, `	if !victim.Presented || st.Run.Strategy == RollBack {
		return nil`}},
		},
		{
			"revoke first, and look then",
			"who uses the old key is asked before it dies, not after it",
			"",
			[]edit{
				{"table.go", `			{PhaseSoak, (*drive).soak},
			{PhaseDisable, (*drive).disable},
`, ``},
				{"retire.go", `	if err := d.passGate(); err != nil {
		if d.st.Run.irreversible(d.st) {
			return err
		}
		return inSoak(err)
	}
	for _, victim`, `	for _, victim`},
			},
		},
		{
			"the gate of the soak is good enough",
			"the facts are asked for again in the Advance that kills; this relies on what a former owner saw",
			`plain/standard: revoke.* (panics|fails|exits|dies first)`,
			[]edit{{"retire.go", `	if err := d.passGate(); err != nil {
		if d.st.Run.irreversible(d.st) {`, `	if err := error(nil); err != nil {
		if d.st.Run.irreversible(d.st) {`}},
		},
		{
			"disable without the gate",
			"a disabled key is refused like a revoked one; this tries it out on whoever still uses it",
			`slow/standard: disable.* (fails|hangs|dies first|dies after|stalls|late)`,
			[]edit{{"disable.go", `			if err := d.passGate(); err != nil {`, `			if err := error(nil); err != nil {`}},
		},
		{
			"what the journal remembers is a fact",
			"the journal supplies times and ids, the facts are observed; this kills on what it saw in an earlier Advance",
			"",
			[]edit{{"facts.go", `	f.Consumers = d.look(run.Consumers, run.Target)`, `	f.Consumers = map[string]sight{}
	for _, c := range run.Consumers {
		f.Consumers[c.Name] = sight{Observable: true, OnTarget: true}
	}`}},
		},
		{
			"a consumer's promise is its adoption",
			"that Deploy returned nil proves nothing; this lets a consumer pass that is seen on another key (C1)",
			`plain/standard: deploy.* says yes`,
			[]edit{{"gate.go", `	case s.Observable && !s.OnTarget:
		lacks`, `	case false:
		lacks`}, {"gate.go", `	if s.Verifiable && s.VerifyErr != nil {
		lacks`, `	if false {
		lacks`}, {"deploy.go", `		if b == nil || run.untouched(c) {
			continue
		}
		canary :=`, `		if true {
			continue
		}
		canary :=`}},
		},
		{
			"nobody is asked for what nothing can see",
			"a consumer that neither it nor the provider can show needs a person's word; this passes over it (C1)",
			`nothing is told/standard: deploy blind.* says yes`,
			[]edit{{"gate.go", `	case !s.Observable && c.Attested != run.Target && !reported && !run.untouched(c):`, `	case false:`}},
		},
		{
			"no overlap",
			"both keys live until the slowest presenter has let go, and what is under way is seen everywhere",
			"",
			[]edit{{"gate.go", `end.After(f.At) && !dead {`, `false && end.After(f.At) && !dead {`}},
		},
		{
			"quiet is not asked for",
			"the old key is unused, by the provider's figures, over the whole window; this ignores them (C11)",
			"",
			[]edit{{"gate.go", `	if u == nil {
		return nil
	}
	_, moved`, `	if true {
		return nil
	}
	_, moved`}},
		},
		{
			"figures may be as old as the window",
			"the evidence reaches from the last move over the whole window; this takes fresher than the window for enough (C11)",
			"",
			[]edit{{"gate.go", `	if !u.AsOf.Before(end) {`, `	if !u.AsOf.Before(now.Add(-reg.Policy.Quiet)) {`}},
		},
		{
			"our own probes are uses",
			"the old key is never presented by this library while it soaks: it would never be quiet (C11)",
			"",
			[]edit{{"facts.go", `		if key := d.whole(victim); (run.NoOverlap || d.heldByLive(victim.Key)) && !key.Secret.IsZero() {`, `		if key := d.whole(victim); !key.Secret.IsZero() {`}},
		},
		{
			"the key that stays may be dead",
			"no key dies unless the other one is seen accepted",
			`plain/standard: .*the new key dies`,
			[]edit{
				{"gate.go", `	if f.Accepted != nil {
		lacks`, `	if false {
		lacks`},
				{"soak.go", `	if errors.Is(f.Accepted, ErrRejected) {`, `	if false && errors.Is(f.Accepted, ErrRejected) {`},
			},
		},
		{
			"once accepted is accepted",
			"a key is accepted, or refused, several times in a row: one edge of the provider may be wrong",
			`slow/standard: verify.* rejects`,
			[]edit{{"prepare.go", `	for range max(n, 1) {
		err := ask()`, `	for range min(n, 1) {
		err := ask()`}},
		},
		{
			"the first edge that accepts is the whole provider",
			"a key is promoted when it was accepted several times in a row, and the time is over until it is known everywhere",
			"",
			[]edit{{"prove.go", `	case err == nil && everywhere.After(time.Now()) && !d.emergency()`, `	case false && err == nil && everywhere.After(time.Now()) && !d.emergency()`}, {"prepare.go", `	for range max(n, 1) {
		err := ask()`, `	for range min(n, 1) {
		err := ask()`}},
		},
		{
			"a timeout is a rejection",
			"accepted, refused and not known are three answers; this takes whatever is no yes for a no",
			`nothing is told/emergency: verify k2.* (fails|hangs|is down)`,
			[]edit{{"prepare.go", `			rejected++
		default:
			return err
		}`, `			rejected++
		default:
			return ErrRejected
		}`}},
		},
		{
			"a dead current key is no reason to rotate",
			"where nothing is left to protect the rotation is the repair; this refuses to begin it",
			`plain/standard: .*the old key dies`,
			[]edit{{"prepare.go", `	case errors.Is(err, ErrRejected):
		if !run.NoOverlap {`, `	case errors.Is(err, ErrRejected) && run.NoOverlap:
		if !run.NoOverlap {`}},
		},
		{
			"nobody goes first",
			"the first consumers get the key and work with it before it is current for everybody; this promotes it at once",
			"plain/standard",
			[]edit{{"table.go", `			{PhaseCanary, (*drive).canary},
`, ``}},
		},
		{
			"the first consumer need not work",
			"a key with which the first consumer does not work is promoted for nobody; this gives it the key, and does not look",
			"plain/roll-back of a canary",
			[]edit{{"deploy.go", `			return d.adopted(first)`, `			return nil`}},
		},
		{
			"a consumer is skipped",
			"every known consumer is told",
			"",
			[]edit{{"deploy.go", `			results[i] = guard(`, `			if b.Name == d.reg.Bindings[1].Name {
				return nil
			}
			results[i] = guard(`}},
		},
		{
			"each deployment has a new id",
			"the same move carries the same id, so that whoever is restarting already is not restarted again",
			"",
			[]edit{{"deploy.go", `fmt.Sprintf("%s/%s/%d", d.st.Run.ID, c.Name, key.Serial)`, `newID()`}},
		},
		{
			"a roll-back tells those alone who were told",
			"whoever reads the store goes back by the store; this leaves the new key current there (C2)",
			"",
			[]edit{{"table.go", `			{PhaseRestore, (*drive).restore},
			{PhasePromote, (*drive).promote},`, `			{PhaseRestore, (*drive).restore},`}},
		},
		{
			"a roll-back goes to a key that nobody asked about",
			"the old key is proven before anybody goes back to it: it may have expired or died since (C15)",
			`plain/roll-back: .*the old key dies`,
			[]edit{{"restore.go", `	err := d.proof(d.value(run.Old), d.reg.Policy.Proofs)
	switch {`, `	var err error
	switch {`}},
		},
		{
			"a roll-back kills the old key too",
			"the roles are swapped: what was to die is spared",
			"",
			[]edit{{"table.go", `	run.spare(run.Old)
	run.kill(run.New)`, `	run.kill(run.New)`}},
		},
	}
}
