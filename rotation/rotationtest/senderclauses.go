// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// activated proves an Activator.
func activated(ctx context.Context, r *trial) error {
	a, ok := rotation.As[rotation.Activator](r.Issuer)
	if !ok {
		return skip("not an Activator")
	}
	return r.borrowed(ctx, a, func() error {
		first, second, err := r.alternate(ctx, a)
		if err != nil {
			return err
		}
		if a.Activate(ended(ctx), first) == nil {
			return errors.New("Activate reports success although its context had ended")
		}
		for _, key := range []rotation.Key{first, second} {
			if err := r.activate(ctx, a, key, "Activate after one whose context had ended"); err != nil {
				return err
			}
		}
		if err := r.neverUnsigned(ctx, a, first, second); err != nil {
			return err
		}
		if v, ok := rotation.As[rotation.Verifier](r.Issuer); ok { // a test delivery, whatever becomes of it
			_ = v.Verify(ctx, second)
			if err := r.signs(ctx, second, "after a test delivery"); err != nil {
				return err
			}
		}
		err = r.Issuer.Revoke(ctx, first)
		if err != nil && !errors.Is(err, rotation.ErrManual) {
			return r.failed("Revoke of the key that it does not sign with", err)
		}
		return r.stillSigns(ctx, second, "after Revoke of the other key")
	})
}

// alternate has the sender sign with one key and then another, there and back.
func (r *trial) alternate(ctx context.Context, a rotation.Activator) (first, second rotation.Key, err error) {
	if first, err = r.first(ctx); err != nil {
		return first, second, err
	}
	if err = r.activate(ctx, a, first, "Activate"); err != nil {
		return first, second, err
	}
	if second, err = r.issue(ctx, first); err != nil {
		return first, second, err
	}
	if err = r.stillSigns(ctx, first, "after another key was made, of which it was not told"); err != nil {
		return first, second, err
	}
	for _, step := range []struct {
		key  rotation.Key
		what string
	}{
		{second, "Activate of a second key"},
		{second, "Activate, repeated"},
		{first, "Activate of the older key, as in a roll-back"},
		{first, "Activate of the older key, repeated"},
		{second, "Activate of the newer key once more"},
	} {
		if err = r.activate(ctx, a, step.key, step.what); err != nil {
			return first, second, err
		}
	}
	return first, second, r.stillSigns(ctx, second, "a while after Activate")
}

// activate has the sender sign with key.
func (r *trial) activate(ctx context.Context, a rotation.Activator, key rotation.Key, what string) error {
	if err := r.tell(ctx, a, key, what); err != nil {
		return err
	}
	return r.signs(ctx, key, what)
}

// tell asks until the answer is another one than ErrNotYet.
func (r *trial) tell(ctx context.Context, a rotation.Activator, key rotation.Key, what string) error {
	var answer error
	err := within(ctx, r.Patience, func() error {
		if answer = a.Activate(ctx, key); errors.Is(answer, rotation.ErrNotYet) {
			return answer
		}
		return nil
	})
	switch {
	case err != nil:
		return r.failed(fmt.Sprintf("%s does not get on, after %v", what, r.Patience), err)
	case errors.Is(answer, rotation.ErrManual):
		return r.person(answer)
	case errors.Is(answer, errors.ErrUnsupported):
		return skip("not an Activator: ErrUnsupported")
	case answer != nil:
		return r.failed(what, answer)
	}
	return nil
}

// neverUnsigned tells the sender of a key without a value. It may know the key by its id, or refuse; it must not sign with nothing.
func (r *trial) neverUnsigned(ctx context.Context, a rotation.Activator, first, second rotation.Key) error {
	if r.Signs == nil {
		return nil
	}
	unknown := first
	unknown.Secret = secret.Value{}
	_ = a.Activate(ctx, unknown)
	what := "after Activate of a key without a value"
	if err := r.signs(ctx, first, what); err != nil {
		if err := r.signs(ctx, second, what); err != nil {
			return err
		}
	}
	return r.activate(ctx, a, second, "Activate after that of a key without a value")
}

// signs waits until the sender signs with key.
func (r *trial) signs(ctx context.Context, key rotation.Key, what string) error {
	if r.Signs == nil {
		return nil
	}
	return within(ctx, r.Patience, func() error {
		switch now, err := r.Signs(ctx); {
		case err != nil:
			return r.failed("IssuerSuite.Signs", err)
		case now.IsZero():
			return fmt.Errorf("%s: it signs with nothing", what)
		case !shows(now, key):
			return fmt.Errorf("%s: it does not sign with %v but %s", what, key, named(now))
		}
		return nil
	})
}

// stillSigns is signs, after anything that was done has had the time to be seen.
func (r *trial) stillSigns(ctx context.Context, key rotation.Key, what string) error {
	if r.Signs == nil {
		return nil
	}
	if err := wait(ctx, r.Patience); err != nil {
		return err
	}
	return r.signs(ctx, key, what)
}

// borrowed has the sender sign afterwards with what it signs with now, where that is known well enough to be told.
func (r *trial) borrowed(ctx context.Context, a rotation.Activator, use func() error) error {
	if r.Signs == nil {
		return use()
	}
	own, err := r.Signs(ctx)
	if err != nil {
		return r.failed("IssuerSuite.Signs", err)
	}
	r.secrets = append(r.secrets, own.Secret)
	err = guard(use)
	if own.Secret.IsZero() {
		return err
	}
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime+r.Patience)
	defer cancel()
	back := r.tell(over, a, own, "clean-up: Activate of the key that it signed with before")
	switch {
	case back == nil || isSkip(back):
		return err
	case isSkip(err):
		return back
	}
	return errors.Join(err, back)
}

// activateSilent makes calls of Activate that cannot succeed, with keys in them.
func (r *trial) activateSilent(ctx context.Context, key, odd rotation.Key, see func(string, error)) error {
	a, ok := rotation.As[rotation.Activator](r.Issuer)
	if !ok {
		return nil
	}
	return r.borrowed(ctx, a, func() error {
		see("Activate under an ended context", a.Activate(ended(ctx), key))
		see("Activate with an impossible key", a.Activate(ctx, odd))
		if v, ok := rotation.As[rotation.Verifier](r.Issuer); ok {
			see("Verify under an ended context", v.Verify(ended(ctx), key))
		}
		return nil
	})
}
