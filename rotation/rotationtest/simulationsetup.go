// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// setUp makes the parts, the first key, and gives it to everybody.
func (u *universe) setUp(ctx context.Context) error {
	if err := u.setUpIssuer(ctx); err != nil {
		return err
	}
	switch {
	case u.plot.outcome == rotation.RolledBack && (u.traits.KillsOld || u.traits.Grace > 0):
		u.skipped = "the old key ends by itself (Traits.KillsOld, Traits.Grace): there is nothing to go back to"
		return nil
	case u.traits.NoReplay:
		u.skipped = "after a lost answer to Issue only a person can make another key (Traits.NoReplay)"
		return nil
	}
	if err := u.firstKey(ctx); err != nil {
		return err
	}
	if err := u.setUpStore(ctx); err != nil {
		return err
	}
	u.journal = NewJournal()
	if err := given(ctx, "Journal", u.sim.Journal, &u.World, &u.journal); err != nil {
		return err
	}
	if err := u.setUpPresenters(ctx); err != nil {
		return err
	}
	u.work.Go(func() { u.traffic(ctx) })
	return nil
}

// given calls a function of the Simulation, if there is one.
func given[T comparable](ctx context.Context, field string, f func(context.Context, *World) (T, error), w *World, part *T) error {
	if f == nil {
		return nil
	}
	p, err := f(ctx, w)
	if err != nil {
		return fmt.Errorf("rotationtest: Simulation.%s: %w", field, err)
	}
	var zero T
	if p == zero {
		return fmt.Errorf("rotationtest: Simulation.%s returned nil and no error", field)
	}
	*part = p
	return nil
}

func (u *universe) setUpIssuer(ctx context.Context) error {
	if u.sim.Issuer == nil {
		u.Provider = NewProvider()
		u.issuer, u.verifier = u.Provider, u.Provider
	} else {
		var err error
		if u.issuer, u.verifier, err = u.sim.Issuer(ctx, &u.World); err != nil {
			return fmt.Errorf("Simulation.Issuer: %w", err)
		}
		if u.issuer == nil {
			return errors.New("Simulation.Issuer returned nil and no error")
		}
		if _, sends := rotation.As[rotation.Activator](u.issuer); sends {
			return errors.New("Simulation.Issuer returned an Activator, the sender of a webhook, and no webhooks are simulated: see IssuerSuite")
		}
		if u.verifier == nil {
			u.verifier, _ = rotation.As[rotation.Verifier](u.issuer)
		}
		if u.verifier == nil {
			return errors.New("Simulation.Issuer returned no Verifier, and the Issuer is none")
		}
	}
	if d, ok := rotation.As[rotation.Describer](u.issuer); ok {
		u.traits = d.Describe()
	}
	if u.sim.RealClock {
		u.traits.Propagation = cmp.Or(u.sim.Patience, -1)
		u.traits.ListLag = u.traits.Propagation
	}
	infos, _, err := u.list(ctx)
	for _, i := range infos {
		u.strangers[i.Key.ID] = true
	}
	if err != nil {
		return fmt.Errorf("List: %w", err)
	}
	return nil
}

// firstKey makes the key that is in use at the beginning.
func (u *universe) firstKey(ctx context.Context) error {
	key, err := u.mint(ctx)
	if err != nil {
		return err
	}
	key.Generation, key.IssuedAt = 1, cmp.Or(key.IssuedAt, now())
	u.Key = key
	u.know(key)
	err = u.settled(func() error { return u.verifier.Verify(ctx, key) })
	if err != nil {
		return fmt.Errorf("the first key is not accepted: %w", err)
	}
	return nil
}

// setUpStore stores the first key, as a person would have done.
func (u *universe) setUpStore(ctx context.Context) error {
	u.Store = NewStore()
	if err := given(ctx, "Store", u.sim.Store, &u.World, &u.Store); err != nil {
		return err
	}
	v, err := u.Store.Load(ctx, u.Credential)
	if err != nil {
		return fmt.Errorf("Load of an empty store: %w", err)
	}
	v.Keys = []rotation.StoredKey{{Key: u.Key, Role: rotation.RoleCurrent}}
	if err := u.Store.Save(ctx, u.Credential, v); err != nil {
		return fmt.Errorf("Save of the first key: %w", err)
	}
	return nil
}

func (u *universe) mint(ctx context.Context) (rotation.Key, error) {
	switch {
	case u.Provider != nil:
		return u.Provider.Mint(), nil
	case u.sim.Current != nil:
		key, err := u.sim.Current(ctx, &u.World)
		if err == nil && key.Secret.IsZero() {
			err = errors.New("a key without a secret")
		}
		if err != nil {
			err = fmt.Errorf("Simulation.Current: %w", err)
		}
		return key, err
	}
	req := rotation.IssueRequest{Credential: u.Credential, Name: u.Credential + "-v1", Token: newUUID(), Generation: 1, Overlap: u.pace.overlap}
	if c, ok := rotation.As[rotation.Chooser](u.issuer); ok {
		chosen, err := c.Choose(ctx, req)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return chosen, fmt.Errorf("Choose for the first key: %w", err)
		}
		req.Chosen = chosen
	}
	key, err := u.issuer.Issue(ctx, req)
	if err == nil && key.Secret.IsZero() {
		err = errors.New("a key without a secret")
	}
	if err != nil {
		return key, fmt.Errorf("Issue of the first key: %w", err)
	}
	key.Name = req.Name
	return key, nil
}

// settled waits until ok gives nil, for as long as the provider may take to agree with itself.
func (u *universe) settled(ok func() error) error {
	patience := time.Duration(0)
	switch p := u.traits.Propagation; {
	case p > 0:
		patience = p
	case p == 0:
		patience = 15 * time.Minute // what the engine assumes
	}
	return within(context.Background(), patience, ok)
}

// list asks the issuer; false if it cannot list.
func (u *universe) list(ctx context.Context) ([]rotation.KeyInfo, bool, error) {
	l, ok := rotation.As[rotation.Lister](u.issuer)
	if !ok {
		return nil, false, nil
	}
	infos, err := l.List(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, false, nil
	}
	return infos, true, err
}
