// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import "time"

// Credential is an entry of the inventory. Changing one never rotates anything.
type Credential struct {
	Name      string      // required, unique; also its name in the store
	Type      Type        // required: decides the default cadence
	Issuer    Issuer      // required
	Verifier  Verifier    // required, but for a WebhookSecret: asks the accepting side. nil: the Issuer, if it is one
	Store     SecretStore // nil: Config.Store
	Consumers []Binding   // who uses it, canaries first; empty: nobody is waited for, and the old key dies after the overlap
	Risk      Risk
	Scope     Scope
	Policy    Policy // zero fields: Config.Policy, then the built-in default
	Contact   string // who is told
}

// Binding is one use of a credential: a line of the dependency map. Adoption is proven by an Observer or by the issuer's usage
// figures, function by a Verifier; what neither can prove needs a person's VerbAttest in every rotation.
type Binding struct {
	Name     string        // required, unique in the credential
	Consumer Consumer      // required
	Verifier Verifier      // says that this consumer works. nil: the Consumer, if it is one
	Lag      time.Duration // it may go on using the old key this long after Deploy. zero: what the Consumer says (Lagger), else none

	// Group names a consumer that several credentials share, and that reads the current keys of all of them from their stores when
	// it is told of one, as a process does that is started anew: it is told once for all rotations that are ready, and no more
	// often than Policy.MinInterval. Empty: it is told for each.
	Group string
}

// Type of a credential.
type Type string

// Types. A Type decides the default cadence; there is no default Type.
const (
	APIKey         Type = "api-key"
	OAuthClient    Type = "oauth-client"
	ServiceAccount Type = "service-account"
	Database       Type = "database"

	// WebhookSecret is the mirror of the others: the provider presents, by signing deliveries, and the consumers accept. The
	// receivers are told of the new secret (DeployRequest.Accept) before the sender is (Activator), and forget the old one when no
	// delivery has matched it for as long as the sender may repeat one (UsageReporter, Traits.RetryHorizon). Whether a receiver
	// accepts a secret its Binding.Verifier says, by a delivery that it signs itself, or its Observer. Credential.Verifier, or the
	// Issuer if it is one, makes the sender deliver a test; nil means that a genuine delivery is waited for. An Issuer that is no
	// Activator makes the sender sign with a new secret at once: it has to state Traits.Grace (the sender signs with both until
	// then) or Traits.KillsOld.
	WebhookSecret Type = "webhook-secret"
)

// Risk of a credential.
type Risk string

// Risks.
const (
	StandardRisk Risk = ""
	HighRisk     Risk = "high" // money, personal data, regulated systems
)

// Scope of a credential: how much it can do.
type Scope string

// Scopes.
const (
	ScopeWrite    Scope = ""
	ScopeReadOnly Scope = "read-only"
	ScopeBroad    Scope = "broad"
	ScopeFull     Scope = "full-access" // also a finding: replace it by narrower keys
)

// Policy bends the defaults. Zero means the default, everywhere; negative means none.
type Policy struct {
	MaxAge   time.Duration // rotate at this age; zero: the built-in table. It cannot be none
	Overlap  time.Duration // both keys live at least this long; zero: 24 h. The computed need can only raise it
	Quiet    time.Duration // the old key unused at least this long before it is revoked; zero: 24 h. For a webhook at least Traits.RetryHorizon, 72 h unless the issuer says otherwise
	Canaries int           // bindings deployed and verified alone, first; zero: 1 if there are more than two
	Parallel int           // bindings deployed at the same time after that; zero: 1. An emergency uses all
	Proofs   int           // times in a row a key must be accepted, or refused; zero: 3
	Patience time.Duration // a deployment or its verification may fail this long before the rotation rolls back; zero: 15 min
	Rollback time.Duration // budget of a roll-back, from its decision until every consumer is back; zero: 15 min

	// Windows are when a rotation may begin by itself, and when a standard rotation may do what its consumers can notice. Nil:
	// Config.Policy's, empty: at any time. Blackouts are days on which it may not. Neither delays an emergency, a roll-back, or what
	// a deadline of the provider does not let wait, and whoever answers a NeedWindow with VerbDone does not wait either.
	Windows   []Window
	Blackouts []Blackout // nil: Config.Policy's, empty: none

	Notice      time.Duration // people are told (EventNotice) this long before a rotation begins by itself; zero: 48 h if there are Windows or a consumer has to be restarted, or told by a person, else none
	Jitter      time.Duration // begins up to this much before it is due, by the name, but not in the first half of a key's life; zero: none
	MinInterval time.Duration // between deployments to one Group; zero: none. An emergency does not wait

	AllowProviderDeadline bool // rotate although the provider ends the old key by itself
	AllowOutage           bool // rotate although issuing ends the old key
}
