// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"encoding/json"
	"slices"
	"time"
)

// schema is the version of the journal's record. A record of a newer version is refused.
const schema = 1

// state is what the journal keeps of one credential. It decides every role; it never holds a secret.
type state struct {
	Schema         int                  `json:"schema"`
	Epoch          int64                `json:"epoch"`           // one more at each taking of the lease
	WriteID        string               `json:"write_id"`        // of this save: tells a lost answer from a lost race
	Lease          *lease               `json:"lease,omitzero"`  // nil: nobody drives
	Settle         time.Time            `json:"settle,omitzero"` // calls of a former owner can land until then
	LastGeneration int                  `json:"last_generation,omitzero"`
	LastSerial     int64                `json:"last_serial,omitzero"` // given to a key
	Current        int64                `json:"current,omitzero"`     // the key that readers of the store are to see
	Claimed        bool                 `json:"claimed,omitzero"`     // the store bears our stamp
	Behind         bool                 `json:"behind,omitzero"`      // the store was seen to be newer; epochs catch up, what was lost does not
	Writing        bool                 `json:"writing,omitzero"`     // a write to the store was intended; it may have happened
	StoreEpoch     int64                `json:"store_epoch,omitzero"` // of the last write to the store that is known to have happened
	Keys           []*keyState          `json:"keys,omitzero"`        // every key that is not proven dead
	Run            *run                 `json:"run,omitzero"`         // the open rotation
	Ended          []ended              `json:"ended,omitzero"`       // oldest first
	Triggers       []string             `json:"triggers,omitzero"`    // of the last ones that ended
	Hold           *hold                `json:"hold,omitzero"`        // see Rotator.Hold
	Needs          []Need               `json:"needs,omitzero"`       // as of the last Advance
	Problem        *Error               `json:"problem,omitzero"`     // as of the last Advance
	NotBefore      time.Time            `json:"not_before,omitzero"`  // the schedule begins no rotation before
	CheckedAt      time.Time            `json:"checked_at,omitzero"`  // the current key was found where it should be, and accepted
	Seen           time.Time            `json:"seen,omitzero"`        // for the first time, by any process
	Promised       time.Time            `json:"promised,omitzero"`    // when people were told that the next rotation begins
	LookAgain      time.Time            `json:"look_again,omitzero"`  // after a look that found nothing: not before
	Reminded       time.Time            `json:"reminded,omitzero"`    // they were told that it is due
	Look           time.Time            `json:"look,omitzero"`        // at the open rotation, next
	Cause          string               `json:"cause,omitzero"`       // of the last trouble that was told
	Retry          retry                `json:"retry,omitzero"`       // of what failed in the last Advance
	Outbox         outbox               `json:"outbox,omitzero"`      // events that a sink has not taken yet
	Lands          map[string]time.Time `json:"lands,omitzero"`       // of receivers of a webhook: until then a call that was not answered can change what they accept
}

// lease is the right to drive one credential.
type lease struct {
	Owner  string        `json:"owner"`  // unique for each taking
	Actor  string        `json:"actor"`  // for people
	For    time.Duration `json:"for"`    // from the save that it came with
	Settle time.Duration `json:"settle"` // after its end, until no call begun under it can land
}

// keyState is what is known of one key.
type keyState struct {
	Key         Key       `json:"key"`
	Issuer      string    `json:"issuer"`                // identity of the issuer that made it
	Named       string    `json:"named,omitzero"`        // why it is ours to kill: an attempt, the owner, an incident; empty: it is not
	Unseen      bool      `json:"unseen,omitzero"`       // a caller named its id, which nothing else has shown so far
	Stored      bool      `json:"stored,omitzero"`       // the store is to have its value
	Lost        bool      `json:"lost,omitzero"`         // the store had its value, and has lost it
	Spent       bool      `json:"spent,omitzero"`        // a key may have been made from it, where that can be done once (Traits.NoReplay)
	Accepted    bool      `json:"accepted,omitzero"`     // the accepting side has taken its value, at least once
	UsageSeen   bool      `json:"usage_seen,omitzero"`   // the issuer has reported its use before
	Use         *use      `json:"use,omitzero"`          // what is known of its use
	Used        time.Time `json:"used,omitzero"`         // the latest use that was reported while it was to die
	UsedBy      string    `json:"used_by,omitzero"`      // as it was told
	Presented   bool      `json:"presented,omitzero"`    // somebody may be using it: a consumer, or the sender of a webhook
	Activating  time.Time `json:"activating,omitzero"`   // until then a call that makes the sender of a webhook sign with it can land
	Condemned   bool      `json:"condemned,omitzero"`    // for good: never adopted, promoted, deployed or enabled again
	Incidents   []string  `json:"incidents,omitzero"`    // under which it counts as compromised
	Leaked      string    `json:"leaked,omitzero"`       // mark of the value by which alone an incident named it
	Since       time.Time `json:"since,omitzero"`        // it is in the record, where it was made by a try of ours
	Ends        time.Time `json:"ends,omitzero"`         // the provider ends it by itself
	Lands       time.Time `json:"lands,omitzero"`        // until then the call that makes it can take effect
	DisableSent time.Time `json:"disable_sent,omitzero"` // last intent; zero again once enabled
	DisabledAt  time.Time `json:"disabled_at,omitzero"`
	EnabledAt   time.Time `json:"enabled_at,omitzero"`
	Revived     int       `json:"revived,omitzero"`    // times that it was enabled again after a late call
	RevokedAt   time.Time `json:"revoked_at,omitzero"` // the first revocation was sent
	Answered    bool      `json:"answered,omitzero"`   // a revocation was answered with success
	DeadAt      time.Time `json:"dead_at,omitzero"`    // proven
	Cleaned     bool      `json:"cleaned,omitzero"`    // webhook: what the sender held of it was ended after an emergency
	Told        []string  `json:"told,omitzero"`       // webhook: receivers that were told to forget this debt
	Proof       string    `json:"proof,omitzero"`      // of its death
	Manual      string    `json:"manual,omitzero"`     // what a person has to do to end it
	DebtSince   time.Time `json:"debt_since,omitzero"`
	Problem     *Error    `json:"problem,omitzero"`
	Retry       retry     `json:"retry,omitzero"`
}

// run is one open rotation: it moves every presenter to the target and then kills the victims.
type run struct {
	ID          string           `json:"id"`
	Strategy    Strategy         `json:"strategy"`
	Phase       Phase            `json:"phase"`
	Reason      string           `json:"reason,omitzero"`
	Actor       string           `json:"actor"`
	Trigger     string           `json:"trigger,omitzero"`
	Incidents   []string         `json:"incidents,omitzero"`
	Leaks       []string         `json:"leaks,omitzero"` // ids, or marks of values, that the incidents named
	Generation  int              `json:"generation"`     // of the key that is, or was, to be issued
	Old         int64            `json:"old,omitzero"`
	New         int64            `json:"new,omitzero"`     // issued by this run
	Target      int64            `json:"target,omitzero"`  // Old or New; zero: to be issued
	Victims     []int64          `json:"victims,omitzero"` // what has to die before the end
	Parts       parts            `json:"parts"`
	Attempts    []*attempt       `json:"attempts,omitzero"`
	Forgiven    int              `json:"forgiven,omitzero"` // attempts in vain after which a person said to go on
	Consumers   []*consumerState `json:"consumers,omitzero"`
	Promoted    bool             `json:"promoted,omitzero"`    // New was current in the store, for anybody to read
	NoOverlap   bool             `json:"no_overlap,omitzero"`  // the old key was dead at the beginning, or issuing killed it
	ScopesFine  string           `json:"scopes_fine,omitzero"` // who said that the new key's scopes are meant
	PromotedAt  time.Time        `json:"promoted_at,omitzero"` // the target is current in the store since then
	Announced   int64            `json:"announced,omitzero"`   // the key whose promotion was told last
	Activated   int64            `json:"activated,omitzero"`   // webhook: the sender was told to sign with it, and has answered
	ActivatedAt time.Time        `json:"activated_at,omitzero"`
	SenderTold  int64            `json:"sender_told,omitzero"` // webhook: a person says that the sender signs with it
	Sacrificed  bool             `json:"sacrificed,omitzero"`  // webhook: a person says that deliveries may be refused for want of a secret
	Extend      time.Time        `json:"extend,omitzero"`
	IssueTried  bool             `json:"issue_tried,omitzero"`  // emergency: the successor was tried once
	IssueBy     time.Time        `json:"issue_by,omitzero"`     // emergency: then the key is revoked, successor or not
	RevokeFirst bool             `json:"revoke_first,omitzero"` // emergency
	Confirmed   time.Time        `json:"confirmed,omitzero"`    // emergency
	Delay       time.Duration    `json:"delay,omitzero"`        // emergency: within it the revocation has to be sent
	BeganAt     time.Time        `json:"began_at"`
	IssuedAt    time.Time        `json:"issued_at,omitzero"`
	RevokedAt   time.Time        `json:"revoked_at,omitzero"`
	DeployedAt  time.Time        `json:"deployed_at,omitzero"`
	DeadAt      time.Time        `json:"dead_at,omitzero"`
	RollBackAt  time.Time        `json:"roll_back_at,omitzero"` // decided; zero: not rolling back
	BackTakes   time.Duration    `json:"back_takes,omitzero"`
	Alarmed     bool             `json:"alarmed,omitzero"`     // people know that the provider's deadline is near
	Refused     time.Time        `json:"refused,omitzero"`     // since when the accepting side refuses everything
	GivenUp     int64            `json:"given_up,omitzero"`    // a person says that this key is dead
	Failing     time.Time        `json:"failing,omitzero"`     // since when a deployment or its verification fails
	Used        []KeyUsage       `json:"used,omitzero"`        // emergency: of the victims, as the issuer told
	UsageAsked  []int64          `json:"usage_asked,omitzero"` // emergency: victims of which the issuer was asked and has answered
	AnyTime     Phase            `json:"any_time,omitzero"`    // a person says that this, and what is like it, waits for no window
	Timeline    []Moment         `json:"timeline,omitzero"`
}

// attempt is one try of Issue.
type attempt struct {
	N        int         `json:"n"`
	Name     string      `json:"name"`
	Token    string      `json:"token"`
	Fate     attemptFate `json:"fate"`
	OpenedAt time.Time   `json:"opened_at"`
	SettleAt time.Time   `json:"settle_at"`       // from then on a list tells whether it minted
	Before   []string    `json:"before,omitzero"` // ids listed before the call
	Listed   bool        `json:"listed,omitzero"` // Before was read
	Chosen   bool        `json:"chosen,omitzero"` // the value was ours to choose, and is stored as Serial
	Handed   bool        `json:"handed,omitzero"` // and was about to be handed over
	Serial   int64       `json:"serial,omitzero"`
	From     int64       `json:"from,omitzero"`     // the key that it was to be made from, where that can be done once
	Manual   bool        `json:"manual,omitzero"`   // a person makes the key
	Incident string      `json:"incident,omitzero"` // came while it was open: what it made is compromised too
}

type attemptFate string

const (
	fateOpen      attemptFate = "open"      // intended; the provider may or may not have minted
	fateStored    attemptFate = "stored"    // its value is in the store
	fateCondemned attemptFate = "condemned" // minted, of no use, to be killed
	fateAbsent    attemptFate = "absent"    // nothing was minted, as a list told later
	fateRefused   attemptFate = "refused"   // nothing was minted, as the issuer said: the attempt is made again
)

// consumerState is the progress of one binding.
type consumerState struct {
	Name        string    `json:"name"`
	Sent        int64     `json:"sent,omitzero"`  // the key of the last deployment that was intended; touched if not zero
	Acked       int64     `json:"acked,omitzero"` // the key of the last deployment that returned nil
	AckedAt     time.Time `json:"acked_at,omitzero"`
	Role        Role      `json:"role,omitzero"`         // where it was told to find the key
	CurrentOnly bool      `json:"current_only,omitzero"` // it cannot be a canary
	Moves       int       `json:"moves,omitzero"`        // times that it was seen on another key afterwards: told again is a new move then
	Moved       int       `json:"moved,omitzero"`        // the move of the last deployment that was intended
	Done        int64     `json:"done,omitzero"`         // a person says that this key was deployed by hand
	Observed    int64     `json:"observed,omitzero"`
	ObservedAt  time.Time `json:"observed_at,omitzero"`
	Verified    int64     `json:"verified,omitzero"`
	VerifiedAt  time.Time `json:"verified_at,omitzero"`
	Attested    int64     `json:"attested,omitzero"`
	AttestedBy  string    `json:"attested_by,omitzero"`
	Offered     string    `json:"offered,omitzero"`      // webhook: the set of the last deployment that was intended
	Holds       string    `json:"holds,omitzero"`        // webhook: the set of the last deployment that returned nil
	DoneSet     string    `json:"done_set,omitzero"`     // webhook: a person says that this set was deployed by hand
	Sworn       string    `json:"sworn,omitzero"`        // webhook: a person says that it accepts this set and nothing else
	Matched     int64     `json:"matched,omitzero"`      // webhook: it has verified a delivery that was signed with this key
	MatchedAt   time.Time `json:"matched_at,omitzero"`   // the first such delivery
	LastMatched time.Time `json:"last_matched,omitzero"` // the last one
	Quieted     int64     `json:"quieted,omitzero"`      // webhook: a person says that the sender has left all keys but this one
	QuietedAt   time.Time `json:"quieted_at,omitzero"`
	OldSince    time.Time `json:"old_since,omitzero"` // webhook: since then its newest deliveries are signed with another key
	Problem     *Error    `json:"problem,omitzero"`
}

// hold keeps a credential as it is.
type hold struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	Actor  string    `json:"actor"`
}

// retry counts failures in a row, and what was looked for in vain, each by itself: an outage does not make what comes after it slow.
type retry struct {
	Failures int       `json:"failures,omitzero"`
	Looks    int       `json:"looks,omitzero"`
	At       time.Time `json:"at,omitzero"`
}

// ended is a rotation that is over. Its Record stays encoded: it is read now and then, and written with every save.
type ended struct {
	Incidents []string        `json:"incidents,omitzero"`
	Leaks     []string        `json:"leaks,omitzero"`
	Record    json.RawMessage `json:"record"`
}

func (e ended) record() Record {
	var rec Record
	_ = json.Unmarshal(e.Record, &rec) // encoded by encodeRecord
	return rec
}

func encodeRecord(rec Record) json.RawMessage {
	data, err := json.Marshal(rec)
	if err != nil {
		return json.RawMessage("{}") // a Record is plain data: this cannot happen
	}
	return data
}

// key returns what is known of a serial, nil for none.
func (st *state) key(serial int64) *keyState {
	for _, k := range st.Keys {
		if k.Key.Serial == serial && serial != 0 {
			return k
		}
	}
	return nil
}

// add takes a key into the record, without its secret, under a new serial.
func (st *state) add(k Key, generation int, issuer, named string) *keyState {
	st.LastSerial++
	k = k.identity()
	k.Serial, k.Generation = st.LastSerial, generation
	ks := &keyState{Key: k, Issuer: issuer, Named: named, Ends: k.ExpiresAt}
	st.Keys = append(st.Keys, ks)
	return ks
}

// drop forgets a key that is proven dead.
func (st *state) drop(serial int64) {
	kept := st.Keys[:0]
	for _, k := range st.Keys {
		if k.Key.Serial != serial {
			kept = append(kept, k)
		}
	}
	st.Keys = kept
}

// disabled reports whether the key may be switched off: an intent is enough.
func (k *keyState) disabled() bool {
	return !k.DisableSent.IsZero() && !k.EnabledAt.After(k.DisableSent)
}

// end is when the key ends by itself: it expires, or the provider ends it after a rotation that was rolled back.
func (k *keyState) end() time.Time {
	if k.Ends.IsZero() {
		return k.Key.ExpiresAt
	}
	return k.Ends
}

// mayBeWrong reports whether a refusal may be the fault of the value that is stored, and not of the key: it came from elsewhere, and nobody
// has seen it accepted. That the issuer reports use of the key's id proves nothing of the value.
func (k *keyState) mayBeWrong() bool { return !k.Accepted && k.Key.Name == "" }

// compromised reports whether an incident names the key.
func (k *keyState) compromised() bool { return len(k.Incidents) > 0 }

// live reports whether a key may become, or stay, the one in use.
func (k *keyState) live() bool { return k != nil && !k.Condemned && !k.compromised() }

// debts are the keys that should be dead, are not proven so, and that no open rotation is about to kill.
func (st *state) debts() []*keyState {
	var debts []*keyState
	for _, k := range st.Keys {
		if !k.DebtSince.IsZero() {
			debts = append(debts, k)
		}
	}
	return debts
}

// victims are the keys that the open rotation still has to kill.
func (st *state) victims() []*keyState {
	var victims []*keyState
	for _, serial := range st.Run.Victims {
		if k := st.key(serial); k != nil && k.DebtSince.IsZero() {
			victims = append(victims, k)
		}
	}
	return victims
}

// irreversible reports that the key that was left is past saving: there is only forward.
func (r *run) irreversible(st *state) bool {
	other := r.Old
	if r.Strategy == RollBack {
		other = r.New
	}
	return other != 0 && !st.key(other).live()
}

// trying reports whether it is open what became of the try that made a key.
func (st *state) trying(serial int64) bool {
	return st.Run != nil && slices.ContainsFunc(st.Run.Attempts, func(a *attempt) bool { return a.Serial == serial && a.Fate == fateOpen })
}

// tryOf is the attempt with this serial; nil: none of this run.
func (r *run) tryOf(serial int64) *attempt {
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.Attempts, func(a *attempt) bool { return a.Serial == serial }); i >= 0 {
		return r.Attempts[i]
	}
	return nil
}

// trying reports whether it is open what became of any try.
func (r *run) trying() bool {
	return slices.ContainsFunc(r.Attempts, func(a *attempt) bool { return a.Fate == fateOpen })
}

func (r *run) consumer(name string) *consumerState {
	for _, c := range r.Consumers {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// attempt returns the last one, nil before the first.
func (r *run) attempt() *attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return r.Attempts[len(r.Attempts)-1]
}
