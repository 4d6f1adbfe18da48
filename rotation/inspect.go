// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Inspect looks at the store, the issuers and the consumers, changes nothing, and returns what is not as it should be: overdue,
// current key refused, keys of ours that nobody recorded, consumers that nobody bound. Without names: the whole inventory,
// and what the stores hold beside it. The error joins what could not be looked at.
func (r *Rotator) Inspect(ctx context.Context, names ...string) ([]*Error, error) {
	all := len(names) == 0
	if all {
		names = r.names()
	}
	var mu sync.Mutex
	findings := map[string][]*Error{}
	var errs []error
	var g errgroup.Group
	g.SetLimit(r.cfg.Parallel)
	for _, name := range names {
		g.Go(func() error {
			found, err := r.inspect(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			findings[name], errs = found, append(errs, err)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	var out []*Error
	for _, name := range names {
		out = append(out, findings[name]...)
	}
	if all {
		unlisted, err := r.unlisted(ctx)
		out, errs = append(out, unlisted...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// inspection is the look at one credential.
type inspection struct {
	r     *Rotator
	ctx   context.Context
	reg   *registration
	st    *state
	doc   Versions
	found []*Error
}

func (r *Rotator) inspect(ctx context.Context, name string) ([]*Error, error) {
	reg, err := r.registration(name)
	if err != nil {
		return nil, err
	}
	_, st, err := r.load(ctx, name)
	if err != nil {
		return nil, err
	}
	i := &inspection{r: r, ctx: ctx, reg: reg, st: st}
	i.policy()
	return i.found, errors.Join(i.store(), i.issuer(), i.consumers())
}

func (i *inspection) finding(d Diagnosis, consumer, action, format string, args ...any) {
	i.found = append(i.found, &Error{Credential: i.reg.Name, Consumer: consumer, Diagnosis: d, Evidence: fmt.Sprintf(format, args...), Action: action})
}

// policy compares the record with the policy.
func (i *inspection) policy() {
	current := i.st.key(i.st.Current)
	switch due := dueAt(i.reg, current); {
	case current == nil:
	case current.Key.IssuedAt.IsZero():
		i.finding(Overdue, "", "rotate it", "nobody knows how old the current key is")
	case due.Before(time.Now()):
		i.finding(Overdue, "", "rotate it, or find out why it is not", "due since %s", timeText(due))
	}
	if i.reg.Scope == ScopeFull {
		i.finding(TooBroad, "", "replace it by narrower keys", "it can do everything")
	}
	if grace := i.reg.Traits.Grace; grace > 0 {
		if name, lag := i.reg.slowest(); grace < overlapNeed(i.reg, i.r.cfg.ClockSkew) {
			i.finding(GraceTooShort, name, "make it faster, or use an issuer that creates and deletes", "the provider ends the old key after %v, and this consumer may need %v", grace, lag)
		}
	}
}

// store compares the store with the record, and asks whether the current key works.
func (i *inspection) store() error {
	doc, err := guarded(i.ctx, i.r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return i.reg.Store.Load(ctx, i.reg.Name) })
	if err != nil {
		return &Error{Credential: i.reg.Name, Evidence: "the store does not answer", Err: hide(err)}
	}
	doc = i.st.number(doc)
	i.doc = doc
	home, err := i.r.knownInstallation(i.ctx)
	if err != nil {
		return err
	}
	switch judge(i.st, doc, home) {
	case driftForeign:
		i.finding(ForeignOwner, "", "rotate it from one journal only", "the stored keys bear the stamp of another installation")
	case driftBehind:
		i.finding(JournalBehind, "", "restore the newest journal", "the store is newer than the journal")
	case driftUnknown, driftPutBack, driftRestored:
		i.finding(Drift, "", "the next Advance says what can be done", "the store is not as the journal expects")
	}
	if n := len(i.reg.Bindings); len(doc.Keys) == 0 && i.st.Current == 0 && i.st.Run == nil && n > 0 {
		i.finding(UnknownKey, "", "if they run already, put the key that they use into the store (store.Seed) before the first rotation", "the store holds no key, and %d consumers are bound: what they may be using is in no record", n)
	}
	key := doc.Key(RoleCurrent)
	if key.IsZero() {
		return nil
	}
	if i.reg.webhook {
		return i.receivers(key)
	}
	err = guard(i.ctx, i.r.cfg.CallTimeout, func(ctx context.Context) error { return i.reg.Verifier.Verify(ctx, key) })
	if errors.Is(err, ErrRejected) {
		i.finding(CurrentRejected, "", "rotate it now: that is the repair", "the current key, %s, is refused", key)
		return nil
	}
	if err != nil {
		return &Error{Credential: i.reg.Name, Evidence: "it is not known whether the current key works", Err: hide(err)}
	}
	return nil
}

// receivers asks each receiver of a webhook whether it accepts the current secret.
func (i *inspection) receivers(key Key) error {
	var errs []error
	for _, b := range i.reg.Bindings {
		switch err := i.r.accepts(i.ctx, &b, key, time.Time{}, false); {
		case err == nil || err == errBlind:
		case errors.Is(err, ErrRejected) || errors.Is(err, errMixed):
			e := notAccepting(b.Name, err)
			i.finding(CurrentRejected, b.Name, e.Action, "the current secret, %s: %s", key, publicText(err))
		default:
			errs = append(errs, &Error{Credential: i.reg.Name, Consumer: b.Name, Evidence: "it is not known whether it accepts the current secret", Err: hide(err)})
		}
	}
	return errors.Join(errs...)
}

// issuer looks for keys that look ours and that no record names, and for room for the next one.
func (i *inspection) issuer() error {
	l, ok := As[Lister](i.reg.Issuer)
	if !ok {
		return nil
	}
	keys, err := guarded(i.ctx, i.r.cfg.CallTimeout, l.List)
	if unsupported(err) {
		return nil
	}
	if err != nil {
		return &Error{Credential: i.reg.Name, Evidence: "the issuer does not list its keys", Err: hide(err)}
	}
	for _, k := range keys {
		ours := isSuccessorName(i.reg.Name, k.Key.Name)
		recorded := slices.ContainsFunc(i.st.Keys, func(s *keyState) bool { return s.Key.ID == k.Key.ID }) ||
			slices.ContainsFunc(i.doc.Keys, func(s StoredKey) bool { return s.Key.ID == k.Key.ID })
		if ours && !recorded {
			i.finding(UnknownKey, "", "look at it, and end it there if nobody needs it", "the provider lists %s, %q, which no record names", k.Key.ID, k.Key.Name)
		}
	}
	if limit := i.reg.Traits.MaxKeys; limit > 0 && len(keys) >= limit && i.st.Run == nil {
		i.finding(NoSlot, "", "end a key that nobody needs", "the provider takes %d keys and has %d: the next rotation cannot begin", limit, len(keys))
	}
	return nil
}

// consumers looks at what is bound, and for who uses the credential without being bound.
func (i *inspection) consumers() error {
	var errs []error
	key := i.doc.Key(RoleCurrent)
	for _, b := range i.reg.Bindings {
		if b.Observer == nil || i.st.Run != nil || key.IsZero() || i.reg.webhook {
			continue // an open rotation says more itself
		}
		instances, err := guarded(i.ctx, i.r.cfg.CallTimeout, b.Observer.Observe)
		if err != nil && !unsupported(err) {
			errs = append(errs, &Error{Credential: i.reg.Name, Consumer: b.Name, Evidence: "it does not tell which key it uses", Err: hide(err)})
		}
		for _, in := range instances {
			if !uses(in.Key, key, false) {
				i.finding(ConsumerNotUpdated, b.Name, "restart it", "%s uses another key than the current one", in.Name)
			}
		}
	}
	for _, disc := range i.r.cfg.Discoverers {
		users, err := guarded(i.ctx, i.r.cfg.CallTimeout, func(ctx context.Context) ([]string, error) { return disc.Discover(ctx, i.reg.Name) })
		if err != nil {
			errs = append(errs, &Error{Credential: i.reg.Name, Evidence: "a discoverer does not answer", Err: hide(err)})
		}
		for _, u := range users {
			if i.reg.binding(u) == nil {
				i.finding(UnknownConsumer, u, "add a binding: nothing waits for it now", "%s uses it and is not bound", u)
			}
		}
	}
	return errors.Join(errs...)
}

// unlisted are secrets in the stores that the inventory does not name.
func (r *Rotator) unlisted(ctx context.Context) ([]*Error, error) {
	stores := map[string]SecretStore{}
	known := map[string]bool{}
	r.mu.Lock()
	for name, reg := range r.registered {
		known[name] = true
		stores[reg.parts.Store] = reg.Store
	}
	r.mu.Unlock()
	var found []*Error
	var errs []error
	for id, s := range stores {
		e, ok := As[Enumerator](s)
		if !ok {
			continue
		}
		names, err := guarded(ctx, r.cfg.CallTimeout, e.Names)
		if err != nil && !unsupported(err) {
			errs = append(errs, &Error{Evidence: "the store does not list its names", Err: hide(err)})
		}
		slices.Sort(names)
		for _, n := range names {
			if !known[n] && !strings.HasPrefix(n, "handover/") && !strings.HasSuffix(n, "/handover") {
				found = append(found, &Error{Credential: n, Diagnosis: Unlisted, Evidence: "in the store " + id + ", and not in the inventory", Action: "register it, or remove it"})
			}
		}
	}
	slices.SortFunc(found, func(a, b *Error) int { return strings.Compare(a.Credential, b.Credential) })
	return found, errors.Join(errs...)
}
