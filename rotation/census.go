// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Census is what providers list and stores hold, beside what the records say. It marshals to JSON and holds no secret.
type Census struct {
	AsOf     time.Time        `json:"as_of"`
	Accounts []Account        `json:"accounts,omitzero"` // by issuer
	Stores   []StoreCensus    `json:"stores,omitzero"`   // by store; only those that list their names
	Bindings []BindingsCensus `json:"bindings,omitzero"` // by credential; only those that a Discoverer knows
}

// Account is what one issuer lists. Credentials whose issuers have the same Identity share it, and it is asked once for all of them.
type Account struct {
	Issuer      string      `json:"issuer"`
	Credentials []string    `json:"credentials"`
	Listed      bool        `json:"listed"`              // false: it does not list its keys, or did not answer; then Keys are those of records and stores alone
	Keys        []CensusKey `json:"keys,omitzero"`       // of these credentials, and what is named like theirs; by credential, oldest first
	Strangers   int         `json:"strangers,omitempty"` // listed keys that are neither recorded nor named like ours: somebody else's, and nobody's business here
	Used        int         `json:"used,omitzero"`       // listed keys, disabled ones too
	Slots       int         `json:"slots,omitzero"`      // see Traits.MaxKeys; zero: no limit is known
	Free        int         `json:"free,omitzero"`       // of Slots
}

// CensusKey is one key of the census.
type CensusKey struct {
	Credential string   `json:"credential"`
	Key        Key      `json:"key"` // its identity
	Standing   Standing `json:"standing"`
	Recorded   bool     `json:"recorded"`          // the journal names it
	Listed     bool     `json:"listed"`            // the provider does
	Disabled   bool     `json:"disabled,omitzero"` // see KeyInfo
	Role       Role     `json:"role,omitzero"`     // in the store; empty: it is not there
	Scopes     []string `json:"scopes,omitzero"`   // see KeyInfo
	Usage      Usage    `json:"usage,omitzero"`    // see KeyInfo
}

// Standing is how what is seen of a key agrees with its record.
type Standing string

// Standings.
const (
	KeyAlive      Standing = "alive"      // recorded and not to be killed, or seeded and not taken up yet; listed, where there is a list
	KeyCondemned  Standing = "condemned"  // recorded as to be killed, its revocation is not sent yet, and listed
	KeyDying      Standing = "dying"      // its revocation was sent, the provider has its time for it (Traits.Propagation), and listed
	KeyUndead     Standing = "undead"     // recorded as dead, or its revocation was sent longer ago than that, and listed
	KeyMissing    Standing = "missing"    // recorded as alive, and a list that should show it does not
	KeyUnrecorded Standing = "unrecorded" // named like ours, or in the store, and in no record
	KeyUnclear    Standing = "unclear"    // the record that would tell could not be read
)

// StoreCensus compares what a store lists with the inventory.
type StoreCensus struct {
	Store       string   `json:"store"`
	Credentials int      `json:"credentials"`       // registered ones that are there
	Absent      []string `json:"absent,omitzero"`   // registered ones that are not there
	Unlisted    []string `json:"unlisted,omitzero"` // names that no registered credential has
}

// BindingsCensus compares what Discoverers report of a credential with its bindings.
type BindingsCensus struct {
	Credential string   `json:"credential"`
	Bound      []string `json:"bound,omitzero"`   // reported and bound
	Unknown    []string `json:"unknown,omitzero"` // reported and not bound: nobody waits for them
	Stale      []string `json:"stale,omitzero"`   // bound and not reported, though some are: gone, or out of the discoverers' sight
}

// StaleBinding is a finding of Inspect and Census: a binding that no Discoverer reports which knows the credential.
const StaleBinding Diagnosis = "stale-binding"

// Census asks issuers for their lists, stores for their keys and names, and Discoverers for users, each once, and compares them with
// the records. It changes nothing. Without names: of the whole inventory, and of the names in the stores. A key that is not ours is
// counted and never named. The error joins what could not be looked at; nothing is concluded from it.
func (r *Rotator) Census(ctx context.Context, names ...string) (Census, error) {
	c := Census{AsOf: time.Now().Round(0)}
	all := len(names) == 0
	if all {
		names = r.names()
	}
	var errs []error
	for _, name := range names {
		if _, err := r.registration(name); err != nil {
			errs = append(errs, err)
		}
	}
	var mu sync.Mutex
	failed := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	shared := r.accounts(names)
	c.Accounts = make([]Account, len(shared))
	var g errgroup.Group
	g.SetLimit(r.cfg.Parallel)
	for i, regs := range shared {
		g.Go(func() error {
			var err error
			c.Accounts[i], err = r.countAccount(ctx, regs, names)
			failed(err)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	for _, name := range slices.Sorted(slices.Values(names)) {
		if reg, err := r.registration(name); err == nil && len(r.cfg.Discoverers) > 0 {
			count, known, err := r.countBindings(ctx, reg)
			errs = append(errs, err)
			if known {
				c.Bindings = append(c.Bindings, count)
			}
		}
	}
	if all {
		stores, err := r.countStores(ctx)
		c.Stores, errs = stores, append(errs, err)
	}
	return c, errors.Join(errs...)
}

// accounts are the issuers of the named credentials, each with every registered credential that shares it. Only an Identifier says
// that two issuers are one.
func (r *Rotator) accounts(names []string) [][]*registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	groups := map[string][]*registration{}
	wanted := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(r.registered)) {
		reg := r.registered[name]
		account := reg.parts.Issuer + "\x00" + name
		if _, ok := As[Identifier](reg.Issuer); ok {
			account = reg.parts.Issuer
		}
		groups[account] = append(groups[account], reg)
		wanted[account] = wanted[account] || slices.Contains(names, name)
	}
	var out [][]*registration
	for _, account := range slices.Sorted(maps.Keys(groups)) {
		if wanted[account] {
			out = append(out, groups[account])
		}
	}
	return out
}

// known is what the record and the store say of one credential.
type known struct {
	reg *registration
	st  *state // nil: it could not be read
	doc Versions
}

// countAccount asks one issuer, and looks up its keys in the records and stores of all credentials that share it.
func (r *Rotator) countAccount(ctx context.Context, regs []*registration, names []string) (Account, error) {
	first := regs[0]
	account := Account{Issuer: first.parts.Issuer, Slots: first.Traits.MaxKeys}
	creds, errs := make([]known, len(regs)), make([]error, len(regs))
	var g errgroup.Group
	g.SetLimit(readers)
	for i, reg := range regs {
		account.Credentials = append(account.Credentials, reg.Name)
		g.Go(func() error {
			creds[i], errs[i] = r.know(ctx, reg)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	listed, lists, err := r.listKeys(ctx, first)
	errs = append(errs, err)
	account.Listed = lists && err == nil
	account.count(creds, listed)
	account.Keys = slices.DeleteFunc(account.Keys, func(k CensusKey) bool { return !slices.Contains(names, k.Credential) })
	return account, errors.Join(errs...)
}

// know reads the record and the store of one credential.
func (r *Rotator) know(ctx context.Context, reg *registration) (known, error) {
	k := known{reg: reg}
	_, st, err := r.load(ctx, reg.Name)
	if err == nil {
		k.st = st
	}
	doc, loadErr := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return reg.Store.Load(ctx, reg.Name) })
	if loadErr != nil {
		return k, errors.Join(err, &Error{Credential: reg.Name, Evidence: "the store does not answer", Err: hide(loadErr)})
	}
	k.doc = doc
	return k, err
}

// listKeys is the issuer's list; lists is false where it has none.
func (r *Rotator) listKeys(ctx context.Context, reg *registration) (keys []KeyInfo, lists bool, err error) {
	l, ok := As[Lister](reg.Issuer)
	if !ok {
		return nil, false, nil
	}
	keys, err = guarded(ctx, r.cfg.CallTimeout, l.List)
	if unsupported(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, &Error{Credential: reg.Name, Evidence: "the issuer does not list its keys", Err: hide(err)}
	}
	return keys, true, nil
}

// countBindings asks the discoverers about one credential. known is false where none of them knows it.
func (r *Rotator) countBindings(ctx context.Context, reg *registration) (c BindingsCensus, known bool, err error) {
	c.Credential = reg.Name
	var errs []error
	var reported []string
	for _, disc := range r.cfg.Discoverers {
		users, err := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) ([]string, error) { return disc.Discover(ctx, reg.Name) })
		if err != nil {
			errs = append(errs, &Error{Credential: reg.Name, Evidence: "a discoverer does not answer", Err: hide(err)})
		}
		reported = append(reported, users...)
	}
	slices.Sort(reported)
	for _, u := range slices.Compact(reported) {
		if reg.binding(u) == nil {
			c.Unknown = append(c.Unknown, u)
		} else {
			c.Bound = append(c.Bound, u)
		}
	}
	if err = errors.Join(errs...); err != nil {
		return c, len(reported) > 0, err // one that is not reported may be what the silent one knows
	}
	for _, b := range reg.Bindings {
		if len(reported) > 0 && !slices.Contains(reported, b.Name) {
			c.Stale = append(c.Stale, b.Name)
		}
	}
	return c, len(reported) > 0, nil
}

// countStores compares the names in each store that lists them with the inventory.
func (r *Rotator) countStores(ctx context.Context) ([]StoreCensus, error) {
	stores := map[string]SecretStore{}
	registered := map[string][]string{}
	everywhere := map[string]bool{}
	r.mu.Lock()
	for name, reg := range r.registered {
		stores[reg.parts.Store] = reg.Store
		registered[reg.parts.Store] = append(registered[reg.parts.Store], name)
		everywhere[name] = true
	}
	r.mu.Unlock()
	var out []StoreCensus
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(stores)) {
		names, ok, err := r.storeNames(ctx, stores[id])
		errs = append(errs, err)
		if !ok || err != nil {
			continue
		}
		c := StoreCensus{Store: id}
		for _, n := range slices.Sorted(slices.Values(registered[id])) {
			if slices.Contains(names, n) {
				c.Credentials++
			} else {
				c.Absent = append(c.Absent, n)
			}
		}
		c.Unlisted = slices.DeleteFunc(names, func(n string) bool { return everywhere[n] })
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

// storeNames are the names that a store lists, sorted, without the engine's own; ok is false where it lists none.
func (r *Rotator) storeNames(ctx context.Context, s SecretStore) (names []string, ok bool, err error) {
	e, ok := As[Enumerator](s)
	if !ok {
		return nil, false, nil
	}
	names, err = guarded(ctx, r.cfg.CallTimeout, e.Names)
	if unsupported(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, &Error{Evidence: "the store does not list its names", Err: hide(err)}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return strings.HasPrefix(n, "handover/") || strings.HasSuffix(n, "/handover")
	})
	slices.Sort(names)
	return names, true, nil
}

// Findings are what is not as it should be, for the same eyes as those of Inspect.
func (c Census) Findings() []*Error {
	var out []*Error
	for _, a := range c.Accounts {
		for _, k := range a.Keys {
			if e := k.finding(); e != nil {
				out = append(out, e)
			}
		}
		if a.Listed && a.Slots > 0 && a.Free == 0 {
			out = append(out, &Error{Credential: a.Credentials[0], Diagnosis: NoSlot, Evidence: fmt.Sprintf("%s takes %d keys and has %d", a.Issuer, a.Slots, a.Used), Action: "end a key that nobody needs"})
		}
	}
	for _, b := range c.Bindings {
		out = append(out, b.findings()...)
	}
	for _, s := range c.Stores {
		for _, n := range s.Absent {
			out = append(out, &Error{Credential: n, Diagnosis: UnknownKey, Evidence: "registered, and not in the store " + s.Store, Action: "if something uses it already, put its key into the store (store.Seed)"})
		}
		for _, n := range s.Unlisted {
			out = append(out, unlisted(n, s.Store))
		}
	}
	slices.SortStableFunc(out, func(a, b *Error) int { return cmp.Compare(a.Credential, b.Credential) })
	return out
}

func unlisted(name, store string) *Error {
	return &Error{Credential: name, Diagnosis: Unlisted, Evidence: "in the store " + store + ", and not in the inventory", Action: "register it, or remove it"}
}

func (b BindingsCensus) findings() []*Error {
	var out []*Error
	for _, u := range b.Unknown {
		out = append(out, &Error{Credential: b.Credential, Consumer: u, Diagnosis: UnknownConsumer, Evidence: u + " uses it and is not bound", Action: "add a binding: nothing waits for it now"})
	}
	for _, s := range b.Stale {
		out = append(out, &Error{Credential: b.Credential, Consumer: s, Diagnosis: StaleBinding, Evidence: s + " is bound, and no discoverer that knows the credential reports it", Action: "remove the binding if it is gone; else every rotation goes on waiting for it"})
	}
	return out
}
