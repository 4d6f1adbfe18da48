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
// what the stores hold beside it, and the sinks that can be asked. The error joins what could not be looked at.
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
		out = append(out, r.sinks(ctx)...)
	}
	return out, errors.Join(errs...)
}

// sinks asks those that can say it whether people would be told.
func (r *Rotator) sinks(ctx context.Context) []*Error {
	var out []*Error
	for _, s := range r.cfg.Sinks {
		c, ok := As[Checker](s)
		if !ok {
			continue
		}
		if err := guard(ctx, r.cfg.CallTimeout, c.Check); err != nil && !unsupported(err) {
			out = append(out, &Error{Evidence: "the sink " + identity(s) + " cannot take events", Action: "repair it: nobody is told through it; what it missed is delivered later", Err: hide(err)})
		}
	}
	return out
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
	if e := judge(i.st, doc, home).finding(); e != nil {
		e.Credential = i.reg.Name
		i.found = append(i.found, e)
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
		k := i.st.key(key.Serial)
		if k == nil {
			k = &keyState{Key: key.identity()} // nothing is known of it yet
		}
		e := k.refused(err)
		i.finding(e.Diagnosis, "", e.Action, "%s", e.Evidence)
		return nil
	}
	if err != nil {
		return &Error{Credential: i.reg.Name, Evidence: "it is not known whether the current key works", Err: hide(err)}
	}
	return nil
}

// finding is what a look from outside makes of a drift; nil: the next Advance puts it right by itself.
func (f drift) finding() *Error {
	switch f {
	case driftForeign:
		return &Error{Diagnosis: ForeignOwner, Evidence: "the stored keys bear the stamp of another installation", Action: "rotate it from one journal only"}
	case driftBehind:
		return &Error{Diagnosis: JournalBehind, Evidence: "the store is newer than the journal", Action: "restore the newest journal"}
	case driftUnknown, driftPutBack, driftRestored:
		return &Error{Diagnosis: Drift, Evidence: "the store is not as the journal expects", Action: "the next Advance says what can be done"}
	default:
		return nil
	}
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
	keys, lists, err := i.r.listKeys(i.ctx, i.reg)
	if err != nil || !lists {
		return err
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
	bound, _, err := i.r.countBindings(i.ctx, i.reg)
	i.found = append(i.found, bound.findings()...)
	return errors.Join(append(errs, err)...)
}

// unlisted are secrets in the stores that the inventory does not name.
func (r *Rotator) unlisted(ctx context.Context) ([]*Error, error) {
	stores, err := r.countStores(ctx)
	var found []*Error
	for _, s := range stores {
		for _, n := range s.Unlisted {
			found = append(found, unlisted(n, s.Store))
		}
	}
	slices.SortFunc(found, func(a, b *Error) int { return strings.Compare(a.Credential, b.Credential) })
	return found, err
}
