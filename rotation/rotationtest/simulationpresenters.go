// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// presenter is a binding and what its consumer holds in truth.
type presenter struct {
	rotation.Binding
	yours bool // of Simulation.Consumer
	holds func(ctx context.Context) ([]rotation.Key, error)
}

// setUpPresenters makes three: the user's or a fake, another fake, and one that looks at the store by itself.
func (u *universe) setUpPresenters(ctx context.Context) error {
	var own Presenter
	if u.sim.Consumer != nil {
		var err error
		if own, err = u.sim.Consumer(ctx, &u.World); err != nil {
			return fmt.Errorf("Simulation.Consumer: %w", err)
		}
		if own.Consumer == nil {
			return errors.New("Simulation.Consumer returned a Presenter without a Consumer and no error")
		}
		if receives(ctx, own, u.Key) {
			return errors.New("Simulation.Consumer returned a UsageReporter, a receiver of webhooks, and no webhooks are simulated: see ReceiverSuite")
		}
		p, err := u.ownPresenter(own)
		if err != nil {
			return err
		}
		p.yours = true
		u.presenters = append(u.presenters, p)
	}
	for len(u.presenters) < 2 {
		u.presenters = append(u.presenters, u.service(fmt.Sprintf("service-%d", len(u.presenters)+1)))
	}
	r := &reader{u: u, key: u.Key}
	u.presenters = append(u.presenters, &presenter{
		Binding: rotation.Binding{Name: "reader", Consumer: r},
		holds:   func(ctx context.Context) ([]rotation.Key, error) { return []rotation.Key{r.look(ctx)}, nil },
	})
	for _, p := range u.presenters {
		req := rotation.DeployRequest{ID: "the beginning", Credential: u.Credential, Consumer: p.Name, Key: u.Key, Role: rotation.RoleCurrent}
		deploy := func() error { return p.Consumer.Deploy(ctx, req) }
		err := deploy()
		if errors.Is(err, rotation.ErrNotYet) {
			err = within(ctx, u.pace.lag+10*u.pace.call, deploy)
		}
		if err != nil {
			return fmt.Errorf("%s: Deploy of the first key: %w", p.Name, err)
		}
	}
	return nil
}

// receives reports whether it is a receiver of webhooks, which is told what to accept. What can be either answers
// errors.ErrUnsupported, or does not answer at all yet.
func receives(ctx context.Context, own Presenter, key rotation.Key) bool {
	u := abilityOf[rotation.UsageReporter](own.Consumer, own.Verifier)
	if u == nil {
		return false
	}
	key.Secret = secret.Value{}
	_, err := u.Usage(ctx, key)
	return err == nil || errors.Is(err, rotation.ErrNotFound)
}

// ownPresenter is the user's.
func (u *universe) ownPresenter(own Presenter) (*presenter, error) {
	p := &presenter{Binding: rotation.Binding{Name: "your-consumer", Consumer: own.Consumer, Verifier: own.Verifier, Lag: own.Lag}}
	if own.Uses != nil {
		p.holds = func(ctx context.Context) ([]rotation.Key, error) {
			key, err := own.Uses(ctx)
			return []rotation.Key{key}, err
		}
		return p, nil
	}
	o, ok := rotation.As[rotation.Observer](own.Consumer)
	if !ok {
		return nil, errors.New("Simulation.Consumer returned a Presenter without Uses, and its Consumer is no Observer")
	}
	p.holds = func(ctx context.Context) ([]rotation.Key, error) {
		instances, err := o.Observe(ctx)
		var keys []rotation.Key
		for _, i := range instances {
			keys = append(keys, i.Key)
		}
		return keys, err
	}
	return p, nil
}

// service is a fake consumer that asks the accepting side, whichever that is.
func (u *universe) service(name string) *presenter {
	s := NewConsumer(NewProvider())
	works := rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
		own := s.Key()
		if !sameKey(own, key) {
			return rotation.ErrNotYet
		}
		return u.verifier.Verify(ctx, own)
	})
	return &presenter{
		Binding: rotation.Binding{Name: name, Consumer: s, Verifier: works},
		holds:   func(context.Context) ([]rotation.Key, error) { return []rotation.Key{s.Key()}, nil },
	}
}

// reader is a consumer that looks at the store by itself, now and then: nobody deploys to it.
type reader struct {
	u  *universe
	mu sync.Mutex
	// guarded by mu
	key rotation.Key
	at  time.Time
}

func (*reader) Deploy(context.Context, rotation.DeployRequest) error { return nil }
func (r *reader) Lag() time.Duration                                 { return r.u.pace.lag }

// look looks at the store if it is time to, and returns the key that it uses. While the store fails it uses the last one.
func (r *reader) look(ctx context.Context) rotation.Key {
	r.mu.Lock()
	key, fresh := r.key, r.u.pace.lag > 0 && !r.at.IsZero() && time.Since(r.at) < r.u.pace.look
	r.mu.Unlock()
	if fresh {
		return key
	}
	v, err := r.u.Store.Load(ctx, r.u.Credential)
	if current := v.Key(rotation.RoleCurrent); err == nil && !current.IsZero() {
		key = current
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key, r.at = key, time.Now()
	return key
}

func (r *reader) Observe(ctx context.Context) ([]rotation.Instance, error) {
	k := r.look(ctx)
	return []rotation.Instance{{Name: "reader", Key: rotation.Key{Serial: k.Serial, ID: k.ID, Generation: k.Generation}}}, nil
}

// traffic has every presenter present its key, again and again.
func (u *universe) traffic(ctx context.Context) {
	for ctx.Err() == nil {
		if wait(ctx, u.pace.look) == nil {
			u.look(ctx, "as time passes")
		}
	}
}

const lawAccepted = "No presenter ever holds a key that the accepting side refuses"

// look has every presenter present its key once.
func (u *universe) look(ctx context.Context, when string) {
	select {
	case u.looking <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-u.looking }()
	for _, p := range u.presenters {
		if what := u.refused(ctx, p); what != "" && u.refused(ctx, p) != "" && ctx.Err() == nil { // else it has moved meanwhile
			u.violate(lawAccepted, "%s, %s %s", when, p.Name, what)
		}
	}
}

// refused says what is wrong with what a presenter holds; nothing if it is accepted, or if nobody knows.
func (u *universe) refused(ctx context.Context, p *presenter) string {
	keys, err := p.holds(ctx)
	if err != nil {
		if ctx.Err() != nil || u.outage() {
			return ""
		}
		return "cannot use its key: " + u.safe(err)
	}
	for _, seen := range keys {
		key, known := u.whole(seen)
		switch {
		case seen.IsZero():
			return "holds no key"
		case !known || u.isExcused(key):
		case errors.Is(u.verifier.Verify(ctx, key), rotation.ErrRejected):
			return fmt.Sprintf("holds %s, which is refused", nameOf(key))
		}
	}
	return ""
}

// outage reports whether there is a key that may die under whoever holds it.
func (u *universe) outage() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.excused) > 0
}

// nameOf names a key for people.
func nameOf(k rotation.Key) string {
	return fmt.Sprintf("%s (generation %d)", cmp.Or(k.ID, k.Name, "a key without id"), k.Generation)
}
