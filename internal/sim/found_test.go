// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import "testing"

// What the longer runs have found stays found: each of these broke a law of an engine that looked right.
func TestFound(t *testing.T) {
	for _, f := range []struct{ what, setting, script, schedule string }{
		{
			"a key that was on its way when its credential was compromised lives until the end of the emergency",
			"plain", "roll-back", "save store#2 emergency of the credential",
		}, {
			"what that key is called reaches the journal after its revocation",
			"plain", "standard", "issue#1 emergency of the credential",
		}, {
			"a disabled key that is gone at the provider is enabled again for ever",
			"slow", "standard", "revoke k2#1 emergency of the new key",
		}, {
			"the store serves no key while the value that it should serve is lost",
			"plain", "standard", "save store#3 the values beside the current one are lost",
		}, {
			"a store that came back from a backup is put right and found wrong in turns",
			"plain", "standard", "deploy restart1 k3#4 the store is restored",
		}, {
			"a journal from a backup takes leases until it looks as new as the store",
			"plain", "roll-back", "save journal#72 the journal is restored",
		}, {
			"a service that restarted while the store held another key is told the same move again, which does nothing",
			"plain", "roll-back", "save journal#38 the old key is put back by hand",
		}, {
			"a key of ours gets the serial of one that another journal has put into the store, and its value",
			"plain", "emergency", "save journal#3 a second journal",
		}, {
			"an emergency is declared on a journal that has lost the credential, and nothing dies",
			"plain", "emergency", "save store#1 the journal is emptied",
		}, {
			"two processes disagree on whose journal it is after it was emptied, and no answer of a person fits both",
			"plain", "emergency", "save store#3 the journal is emptied",
		}, {
			"a record that was rebuilt from the store takes nobody for told, and tells nobody",
			"plain", "emergency", "save store#3 the journal is restored",
		}, {
			"an incident names an id before the provider gives it out again",
			"ids that come back", "emergency, revoked first", "save journal#11 emergency of both keys",
		}, {
			"the list says that a key is gone before every edge refuses it",
			"slow", "emergency", "verify k2#19 hangs",
		}, {
			"a verifier that refuses everything makes a key look dead that everybody uses",
			"plain", "standard", "verify k3#5 refuses",
		}, {
			"the old key looked dead, and is asked for ever whether it still is, which counts as its use",
			"plain", "standard", "verify k2#1 refuses",
		}, {
			"both slots of the provider are taken by keys that were given up",
			"two slots, chosen values", "standard", "verify k2#28 refuses",
		}, {
			"a value that was on its way to the provider when an incident came counts as dead before it gets there",
			"two slots, chosen values", "standard", "issue#1 emergency of the credential",
		}, {
			"an edge learns that the old key was switched off when everybody is back on it",
			"slow", "standard", "save journal#106 somebody aborts",
		}, {
			"a save whose answer came late is taken for a lease that has just been renewed",
			"plain", "roll-back", "save journal#40 lags; save journal#41 stalls",
		}, {
			"what an emergency left in a slot is waited for although the slot has a new key",
			"ids that come back", "roll-back", "revoke slot-b/2#1 emergency of the old key",
		}, {
			"the value of the first consumer's new key is lost, and both slots are taken",
			"two slots, chosen values", "roll-back of a canary", "save journal#35 the values beside the current one are lost",
		}, {
			"an edge that has not heard of a new key yet is taken for the proof of its death",
			"provider's grace", "emergency, revoked first", "revoke k2#5 emergency of both keys",
		}, {
			"another installation writes the store, and what was asked for is forgotten",
			"plain", "standard", "save journal#3 another installation writes the store",
		}, {
			"receivers that were told without a record after the end of an emergency are never told again",
			"webhook", "emergency", "load journal#13 stalls",
		}, {
			"the sender is told once, does nothing, and signs for ever with what every receiver refuses",
			"webhook", "emergency", "activate k2#1 says yes",
		}, {
			"a store that does not answer has the receivers refuse what is good",
			"webhook", "emergency", "load store#10 stalls",
		}, {
			"a chosen secret is in the store twice",
			"webhook", "standard", "save journal#4 a key of a person's in the store",
		}, {
			"what an emergency shuts out is written over a newer journal's store",
			"webhook", "emergency", "deploy told0 k2#1 the journal is emptied",
		}, {
			"a roll-back to a secret whose value is lost",
			"webhook", "roll-back", "save journal#29 the values beside the current one are lost",
		}, {
			"a chosen secret whose write was given up lands, and the sender is told another one",
			"webhook", "emergency", "save store#2 stalls",
		}, {
			"the intent of a drop that came to nothing outlives what it was about",
			"webhook", "standard", "save journal#56 the store is restored",
		}, {
			"a backup of the store serves a secret again that was proven dead",
			"webhook", "standard", "save journal#66 the store is restored",
		}, {
			"the provider ends the old key while a window is waited for",
			"windows, provider's grace", "standard", "verify k3#19 refuses",
		}, {
			"a consumer that went back to the old key is told again outside of every window",
			"windows", "standard", "save journal#66 a service goes back to the old key",
		}, {
			"a value that a half of the provider has is believed not to be there, by a verifier that refuses everything",
			"half-made value", "roll-back", "verify k3#8 refuses",
		}, {
			"a shared consumer counts as told when it is about to be, and the process that was to tell it is dead",
			"shared consumer, later", "emergency, revoked first", "deploy pushed0 k3 b#1 dies first",
		},
	} {
		t.Run(f.what, func(t *testing.T) {
			plan, err := ParseSchedule(f.schedule)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range Settings() {
				for _, sc := range Scripts() {
					if s.Name == f.setting && sc.Name == f.script {
						fine(t, Run(t, s, sc, plan, false))
						return
					}
				}
			}
			t.Fatalf("there is no %s/%s", f.setting, f.script)
		})
	}
}
