// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// registration is a Credential with every default filled in.
type registration struct {
	given    Credential
	Name     string
	Contact  string
	Type     Type
	Issuer   Issuer
	Verifier Verifier
	Store    SecretStore
	Bindings []binding
	webhook  bool     // the provider presents and the consumers accept; Verifier is nil then
	Ping     Verifier // of a webhook secret: makes the sender deliver a test. nil: nothing does
	Policy   policy
	Traits   Traits
	MaxAge   time.Duration
	Check    time.Duration // zero: never
	Scope    Scope
	parts    parts
}

// binding is a Binding with every default filled in.
type binding struct {
	Name     string
	Consumer Consumer
	Verifier Verifier      // nil: nothing says that it works
	Observer Observer      // nil: nothing sees which key it uses
	Usage    UsageReporter // of a webhook secret. nil: nothing tells when it last matched
	Lag      time.Duration
	Group    string
}

// policy is a Policy without special values.
type policy struct {
	Overlap, Quiet, Patience, Rollback time.Duration
	Canaries, Parallel, Proofs         int
	AllowProviderDeadline, AllowOutage bool
	Calendar                           *calendar
	Notice, Jitter, MinInterval        time.Duration
}

// parts are the identities of what a rotation talks to.
type parts struct {
	Issuer, Store, Verifier string
}

func (reg *registration) binding(name string) *binding {
	for i := range reg.Bindings {
		if reg.Bindings[i].Name == name {
			return &reg.Bindings[i]
		}
	}
	return nil
}

// slowest is the presenter that takes the longest to let go of a key.
func (reg *registration) slowest() (name string, lag time.Duration) {
	for _, b := range reg.Bindings {
		if b.Lag >= lag {
			name, lag = b.Name, b.Lag
		}
	}
	return name, lag
}

// nameRule is what every store and file system can hold. The engine's own entries begin with "handover/", and a journal
// beside the secrets ends its names with "/handover".
var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)

const maxName = 200

// nameMistake says what is wrong with a name; nothing if it is fine.
func nameMistake(name string) string {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("Name has %d characters; stores take at most %d", len(name), maxName)
	case !nameRule.MatchString(name):
		return fmt.Sprintf("Name %q: letters, digits, '.', '_' and '-', in segments separated by '/', each beginning with a letter or a digit", name)
	case slices.Contains(strings.Split(name, "/"), "handover"):
		return fmt.Sprintf("Name %q: the segment \"handover\" is kept for the engine's own entries", name)
	default:
		return ""
	}
}

// resolve fills in the defaults of c and finds every mistake.
func (r *Rotator) resolve(c Credential) (*registration, error) {
	var errs []error
	mistake := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("rotation: %s: "+format, append([]any{cmp.Or(c.Name, "(no name)")}, args...)...))
	}
	if c.Name != "" {
		if wrong := nameMistake(c.Name); wrong != "" {
			mistake("%s", wrong)
		}
	}
	reg := &registration{given: c, Name: c.Name, Contact: c.Contact, Type: c.Type, Scope: c.Scope, Issuer: c.Issuer, Verifier: c.Verifier, Store: c.Store}
	if _, known := cadence[c.Type]; !known {
		mistake("Type %q is none of %v", c.Type, types())
	}
	if c.Risk != StandardRisk && c.Risk != HighRisk {
		mistake("Risk %q is neither StandardRisk nor HighRisk", c.Risk)
	}
	if _, known := scopeCadence[c.Scope]; !known {
		mistake("Scope %q is unknown", c.Scope)
	}
	part := func(field string, v any) bool {
		if isNil(v) {
			mistake("%s is required", field)
			return false
		}
		if err := validate(field, v); err != nil {
			mistake("%w", err)
		}
		return true
	}
	if part("Issuer", c.Issuer) {
		if d, ok := As[Describer](c.Issuer); ok {
			reg.Traits = d.Describe()
		}
		if isNil(reg.Verifier) {
			reg.Verifier, _ = As[Verifier](c.Issuer)
		}
		reg.parts.Issuer = identity(c.Issuer)
		_, tells := As[Activator](c.Issuer)
		switch {
		case c.Type == WebhookSecret:
			reg.sender(c, mistake)
		case tells:
			mistake("Type %q: the issuer tells a sender which secret to sign with (Activator): that is for a WebhookSecret, and the other way round is an outage", c.Type)
		case part("Verifier", reg.Verifier):
			reg.parts.Verifier = identity(reg.Verifier)
		}
	}
	reg.Traits.Propagation = orNone(reg.Traits.Propagation, 15*time.Minute)
	reg.Traits.ListLag = orNone(reg.Traits.ListLag, time.Minute)
	reg.Traits.RetryHorizon = orNone(reg.Traits.RetryHorizon, 72*time.Hour)
	if isNil(reg.Store) {
		reg.Store = r.cfg.Store
	}
	if part("Store", reg.Store) {
		if cond, ok := As[Conditional](reg.Store); !ok || !cond.Conditional() {
			mistake("Store (%s) does not say that Save compares revisions (Conditional): where the last write wins, two writers can lose a key", identity(reg.Store))
		}
		reg.parts.Store = identity(reg.Store)
	}
	reg.bind(c.Consumers, mistake)
	reg.bound(c, c.Policy.over(r.cfg.Policy), r.calendar, mistake)
	reg.Check = r.cfg.Check
	return reg, errors.Join(errs...)
}

// sender takes the issuer of a webhook secret for what it is.
func (reg *registration) sender(c Credential, mistake func(string, ...any)) {
	reg.webhook, reg.Ping, reg.Verifier = true, reg.Verifier, nil
	if _, lists := As[Lister](c.Issuer); !lists && reg.Traits.ListLag == 0 {
		reg.Traits.ListLag = -1 // nothing can lag
	}
	reg.parts.Verifier = "the receivers"
	if reg.Ping != nil {
		if err := validate("Verifier", reg.Ping); err != nil {
			mistake("%w", err)
		}
		reg.parts.Verifier += ", asked by " + identity(reg.Ping)
	}
	if _, ok := As[Activator](c.Issuer); !ok && reg.Traits.Grace <= 0 && !reg.Traits.KillsOld {
		mistake("Issuer (%s) is no Activator: its sender signs with a new secret at once. Traits.Grace has to say how long it signs with both, or Traits.KillsOld that it does not", reg.parts.Issuer)
	}
	if len(c.Consumers) == 0 {
		mistake("Consumers is required for a WebhookSecret: they are the receivers, and accept it")
	}
}

// bind fills in the consumers.
func (reg *registration) bind(bindings []Binding, mistake func(string, ...any)) {
	for i, b := range bindings {
		field := fmt.Sprintf("Consumers[%d]", i)
		if b.Name == "" {
			mistake("%s.Name is required", field)
		} else if reg.binding(b.Name) != nil {
			mistake("%s.Name %q is given to two bindings", field, b.Name)
		}
		if isNil(b.Consumer) {
			mistake("%s.Consumer (%s) is required", field, cmp.Or(b.Name, "no name"))
			continue
		}
		if err := validate(field+".Consumer", b.Consumer); err != nil {
			mistake("%w", err)
		}
		if b.Group != "" && nameMistake(b.Group) != "" {
			mistake("%s.Group is no name: %s", field, nameMistake(b.Group))
		} else if b.Group != "" && slices.ContainsFunc(reg.Bindings, func(o binding) bool { return o.Group == b.Group }) {
			mistake("%s.Group %q is given to two bindings: they are one", field, b.Group)
		}
		out := binding{Name: b.Name, Consumer: b.Consumer, Verifier: b.Verifier, Lag: max(b.Lag, 0), Group: b.Group}
		if isNil(out.Verifier) {
			out.Verifier, _ = As[Verifier](b.Consumer)
		} else if err := validate(field+".Verifier", out.Verifier); err != nil {
			mistake("%w", err)
		}
		if l, ok := As[Lagger](b.Consumer); ok && b.Lag == 0 {
			out.Lag = max(l.Lag(), 0)
		}
		out.Observer, _ = As[Observer](b.Consumer)
		if out.Observer == nil {
			out.Observer, _ = As[Observer](out.Verifier)
		}
		if out.Usage, _ = As[UsageReporter](b.Consumer); out.Usage == nil {
			out.Usage, _ = As[UsageReporter](out.Verifier)
		}
		reg.Bindings = append(reg.Bindings, out)
	}
}

// bound fills in the policy and refuses what cannot work.
func (reg *registration) bound(c Credential, p Policy, read calendarReader, mistake func(string, ...any)) {
	if p.MaxAge < 0 {
		mistake("Policy.MaxAge cannot be none: every key gets old")
	}
	if p.Proofs < 0 || p.Parallel < 0 {
		mistake("Policy.Proofs and Policy.Parallel cannot be none")
	}
	canaries := 0
	if len(reg.Bindings) > 2 {
		canaries = 1
	}
	reg.Policy = policy{
		Overlap:               orNone(p.Overlap, 24*time.Hour),
		Quiet:                 orNone(p.Quiet, 24*time.Hour),
		Patience:              orNone(p.Patience, 15*time.Minute),
		Rollback:              orNone(p.Rollback, 15*time.Minute),
		Canaries:              min(max(cmp.Or(p.Canaries, canaries), 0), len(reg.Bindings)),
		Parallel:              cmp.Or(p.Parallel, 1),
		Proofs:                cmp.Or(p.Proofs, 3),
		AllowProviderDeadline: p.AllowProviderDeadline,
		AllowOutage:           p.AllowOutage,
	}
	reg.schedule(p, read, mistake)
	if reg.webhook { // a delivery that failed comes again, and may bear the old signature
		reg.Policy.Quiet = max(reg.Policy.Quiet, reg.Traits.RetryHorizon)
	}
	c.Policy = p
	reg.MaxAge = c.MaxAge()
	if reg.MaxAge > 0 {
		if err := reg.Policy.Calendar.impossible(reg.MaxAge, time.Now()); err != nil {
			mistake("%w", err)
		}
	}
	if reg.MaxAge > 0 && reg.Policy.Notice >= reg.MaxAge {
		mistake("Policy.Notice (%v) is not shorter than the maximal age (%v): every key would be overdue when its rotation may begin", reg.Policy.Notice, reg.MaxAge)
	}
	name, lag := reg.slowest()
	if need := reg.Policy.Quiet + reg.Policy.Overlap + lag; reg.MaxAge > 0 && need > reg.MaxAge {
		mistake("Policy: overlap (%v), quiet (%v) and the slowest consumer (%v) together are longer than the maximal age (%v): the next rotation would be due before this one can end", reg.Policy.Overlap, reg.Policy.Quiet, lag, reg.MaxAge)
	}
	if reg.Traits.Grace > 0 {
		if !reg.Policy.AllowProviderDeadline {
			mistake("Policy.AllowProviderDeadline is needed: the provider ends the old key %v after issuing, whether or not every consumer has moved", reg.Traits.Grace)
		}
		if reg.Traits.Grace < lag {
			mistake("Traits.Grace (%v) is shorter than the lag of consumer %q (%v): %w", reg.Traits.Grace, name, lag, GraceTooShort)
		}
	}
	if reg.Traits.KillsOld && !reg.Policy.AllowOutage {
		mistake("Policy.AllowOutage is needed: issuing ends the old key at once, so a rotation is an outage until every consumer has moved")
	}
}

// schedule fills in when a rotation may begin by itself.
func (reg *registration) schedule(p Policy, read calendarReader, mistake func(string, ...any)) {
	cal, err := read(p.Windows, p.Blackouts)
	if err != nil {
		mistake("%w", err)
	}
	notice := time.Duration(0)
	if len(p.Windows) > 0 || slices.ContainsFunc(reg.given.Consumers, func(b Binding) bool { return !isNil(b.Consumer) && reloadOf(b.Consumer).disturbs() }) {
		notice = 48 * time.Hour
	}
	reg.Policy.Calendar = cal
	reg.Policy.Notice, reg.Policy.Jitter, reg.Policy.MinInterval = orNone(p.Notice, notice), max(p.Jitter, 0), max(p.MinInterval, 0)
}

// over returns p with the fields of base where p has zero.
func (p Policy) over(base Policy) Policy {
	p.MaxAge = cmp.Or(p.MaxAge, base.MaxAge)
	p.Overlap = cmp.Or(p.Overlap, base.Overlap)
	p.Quiet = cmp.Or(p.Quiet, base.Quiet)
	p.Canaries = cmp.Or(p.Canaries, base.Canaries)
	p.Parallel = cmp.Or(p.Parallel, base.Parallel)
	p.Proofs = cmp.Or(p.Proofs, base.Proofs)
	p.Patience = cmp.Or(p.Patience, base.Patience)
	p.Rollback = cmp.Or(p.Rollback, base.Rollback)
	p.Notice = cmp.Or(p.Notice, base.Notice)
	p.Jitter = cmp.Or(p.Jitter, base.Jitter)
	p.MinInterval = cmp.Or(p.MinInterval, base.MinInterval)
	if p.Windows == nil {
		p.Windows = base.Windows
	}
	if p.Blackouts == nil {
		p.Blackouts = base.Blackouts
	}
	p.AllowProviderDeadline = p.AllowProviderDeadline || base.AllowProviderDeadline
	p.AllowOutage = p.AllowOutage || base.AllowOutage
	return p
}

// orNone reads a duration of which zero means the default and negative means none.
func orNone(d, zero time.Duration) time.Duration {
	return max(cmp.Or(d, zero), 0)
}

// isNil is also true for a nil pointer in an interface: it would panic at its first use, far from the mistake.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Chan, reflect.Interface:
		return rv.IsNil()
	default:
		return false
	}
}

// validate asks a part for its own mistakes.
func validate(field string, v any) error {
	if val, ok := As[Validator](v); ok {
		if err := val.Validate(); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}

// identity names what v talks to.
func identity(v any) string {
	if id, ok := As[Identifier](v); ok {
		return id.Identity()
	}
	return fmt.Sprintf("%T", v)
}
