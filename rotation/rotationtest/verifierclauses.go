// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// verdict is what an answer of Verify means.
type verdict string

const (
	accepts verdict = "nil"
	refuses verdict = "ErrRejected"
	open    verdict = "an error other than ErrRejected"
)

func verdictOf(err error) verdict {
	switch {
	case err == nil:
		return accepts
	case errors.Is(err, rotation.ErrRejected):
		return refuses
	default:
		return open
	}
}

// question is one call of Verify, and the verdicts that are right.
type question struct {
	what  string
	ctx   func(context.Context) context.Context // nil: as it is
	of    rotation.Verifier                     // nil: the Verifier of the suite
	key   rotation.Key
	right []verdict
}

// ask calls Verify.
func (s VerifierSuite) ask(ctx context.Context, q question) error {
	if q.ctx != nil {
		ctx = q.ctx(ctx)
	}
	v := q.of
	if v == nil {
		v = s.Verifier
	}
	return v.Verify(ctx, q.key)
}

// verdictsDefinite proves V1.
func verdictsDefinite(ctx context.Context, s VerifierSuite) error {
	for _, q := range s.questions() {
		err := s.ask(ctx, q)
		if got := verdictOf(err); !slices.Contains(q.right, got) {
			return s.wrong(fmt.Sprintf("%s: got %s, want %s", q.what, got, oneOf(q.right)), err)
		}
	}
	return nil
}

func oneOf(right []verdict) string {
	var texts []string
	for _, v := range right {
		texts = append(texts, string(v))
	}
	return strings.Join(texts, " or ")
}

// wrong is text with the error of an answer, if there is one.
func (s VerifierSuite) wrong(text string, err error) error {
	if err == nil {
		return errors.New(text)
	}
	return withheld(text, err, s.secrets())
}

// questions are all that the suite asks about, the living key first and last: the others must not have harmed it.
func (s VerifierSuite) questions() []question {
	live := question{what: "the live key", key: s.Live, right: []verdict{accepts}}
	all := []question{live}
	if s.presents() {
		all = append(all, s.presented()...)
	} else {
		all = append(all, s.asked()...)
	}
	return append(append(all, s.unanswered()...), live)
}

// presented is asked of a Credential.Verifier.
func (s VerifierSuite) presented() []question {
	impostor, stranger, nameless := s.Live, s.Dead, s.Live
	impostor.Secret = s.Dead.Secret
	stranger.Secret = secret.Random(24)
	nameless.Secret = secret.Value{}
	return []question{
		{what: "the dead key", key: s.Dead, right: []verdict{refuses}},
		{what: "the dead key's value under the name of the live key", key: impostor, right: []verdict{refuses}},
		{what: "a random value under the name of the dead key", key: stranger, right: []verdict{refuses, open}},
		{what: "the live key without its secret, which cannot be presented", key: nameless, right: []verdict{open}},
		{what: "no key at all", right: []verdict{open}},
		{what: "the live key under an ended context", key: s.Live, ctx: ended, right: []verdict{open}},
		{what: "the dead key under an ended context", key: s.Dead, ctx: ended, right: []verdict{open}},
	}
}

// asked is asked of a Binding.Verifier. One that has to ask nobody may answer whatever the context.
func (s VerifierSuite) asked() []question {
	return []question{
		{what: "a key that the consumer does not use", key: s.Other, right: []verdict{open}},
		{what: "no key at all", right: []verdict{open}},
		{what: "the key in use, under an ended context", key: s.Live, ctx: ended, right: []verdict{accepts, open}},
		{what: "a key not in use, under an ended context", key: s.Other, ctx: ended, right: []verdict{open}},
	}
}

// unanswered is asked where nobody can answer.
func (s VerifierSuite) unanswered() []question {
	var all []question
	for i, v := range s.Down {
		all = append(
			all,
			question{what: fmt.Sprintf("the live key, by Down[%d]", i), of: v, key: s.Live, right: []verdict{open}},
			question{what: fmt.Sprintf("another key, by Down[%d]", i), of: v, key: s.other(), right: []verdict{open}},
		)
	}
	return all
}

// verdictsRepeat proves V2: whatever was answered first is answered always. What is right is V1's.
func verdictsRepeat(ctx context.Context, s VerifierSuite) error {
	keys := []question{{what: "the live key", key: s.Live}, {what: "the other key", key: s.other()}}
	first := []verdict{verdictOf(s.ask(ctx, keys[0])), verdictOf(s.ask(ctx, keys[1]))}
	for range 5 {
		for _, i := range []int{1, 0, 0, 1} {
			if err := s.same(ctx, keys[i], first[i], "asked again"); err != nil {
				return err
			}
		}
	}
	errs := make([]error, writers)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		wg.Go(func() {
			<-start
			errs[i] = guard(func() error { return s.same(ctx, keys[i%2], first[i%2], "asked at the same time as others") })
		})
	}
	close(start)
	wg.Wait()
	for i := range keys {
		errs = append(errs, s.same(ctx, keys[i], first[i], "asked after all that"))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s VerifierSuite) same(ctx context.Context, q question, first verdict, when string) error {
	err := s.ask(ctx, q)
	if got := verdictOf(err); got != first {
		return s.wrong(fmt.Sprintf("%s, %s: got %s, at first %s", q.what, when, got, first), err)
	}
	return nil
}

// verdictsSilent looks at every error.
func verdictsSilent(ctx context.Context, s VerifierSuite) error {
	for _, q := range s.questions() {
		if leaks(s.ask(ctx, q), append(s.secrets(), q.key.Secret)) {
			return fmt.Errorf("the error for %s carries a secret; its text is withheld", q.what)
		}
	}
	for _, v := range append([]rotation.Verifier{s.Verifier}, s.Down...) {
		if o, ok := rotation.As[rotation.Observer](v); ok {
			if _, err := o.Observe(ctx); leaks(err, s.secrets()) {
				return errors.New("the error of Observe carries a secret; its text is withheld")
			}
		}
	}
	return nil
}

// liveObserved proves an Observer.
func liveObserved(ctx context.Context, s VerifierSuite) error {
	o, ok := rotation.As[rotation.Observer](s.Verifier)
	if !ok {
		return skip("not an Observer")
	}
	instances, err := o.Observe(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return skip("not an Observer: ErrUnsupported")
	}
	if err != nil {
		return withheld("Observe", err, s.secrets())
	}
	if len(instances) == 0 {
		return errors.New("no instance is seen, though one uses the live key")
	}
	for _, i := range instances {
		if err := s.observed(i); err != nil {
			return err
		}
	}
	return nil
}

func (s VerifierSuite) observed(i rotation.Instance) error {
	k := i.Key
	switch {
	case i.Name == "":
		return errors.New("an instance has no name")
	case !k.Secret.IsZero():
		return fmt.Errorf("the secret of the key of %q is told", i.Name)
	case k.ID == "" && k.Serial == 0 && k.Generation == 0:
		return fmt.Errorf("of the key of %q neither ID nor Serial nor Generation is told", i.Name)
	case k.ID != "" && s.Live.ID != "" && k.ID != s.Live.ID,
		k.Serial != 0 && s.Live.Serial != 0 && k.Serial != s.Live.Serial,
		k.Generation != 0 && s.Live.Generation != 0 && k.Generation != s.Live.Generation:
		return fmt.Errorf("%q is seen with another key than the live one", i.Name)
	case i.AsOf.After(time.Now().Add(clocks)):
		return fmt.Errorf("%q is seen at %v, which has not been yet", i.Name, i.AsOf)
	}
	return nil
}
