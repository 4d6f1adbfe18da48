// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Deploy tells every address to look at the store now. It returns nil when each of them uses req.Key or, if they are Receivers,
// accepts req.Accept and nothing else; an error that matches rotation.ErrNotYet says which do not see that in the store yet. No
// secret is sent.
func (f Replicas) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	o := order(req)
	o.Accept = identities(req.Accept) // which a Handle does not look at, unless there are some
	answers, err := f.ask(ctx, question{order: &o})
	if err != nil {
		return err
	}
	behind := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		if a.report.receives() {
			return acceptsOnly(a.accepts(), req.Accept)
		}
		return a.status == http.StatusOK && same(a.report.key(), req.Key) && len(req.Accept) == 0
	})
	if slices.ContainsFunc(behind, func(a answer) bool { return a.report.receives() }) {
		return fail(rotation.ErrNotYet, "%d of %d replicas do not accept exactly %s: %s", len(behind), len(answers), keyList(req.Accept), list(behind))
	}
	if len(behind) > 0 {
		cause := rotation.ErrNotYet
		if slices.ContainsFunc(behind, func(a answer) bool { return a.report.DerivedError }) {
			cause = errBehind // not a matter of time
		}
		return fail(cause, "%d of %d replicas do not use %v: %s", len(behind), len(answers), req.Key, list(behind))
	}
	return nil
}

// Observe tells the key of every process, of a Receiver each that it accepts. AsOf is when it was asked, by the clock of this
// machine.
func (f Replicas) Observe(ctx context.Context) ([]rotation.Instance, error) {
	answers, err := f.ask(ctx, question{})
	if err != nil {
		return nil, err
	}
	instances := make([]rotation.Instance, 0, len(answers))
	for _, a := range answers {
		if a.report.receives() {
			instances = append(instances, instancesOf(a.report.Instance, a.accepts(), a.asked)...)
			continue
		}
		instances = append(instances, rotation.Instance{Name: a.report.Instance, Key: a.report.key(), AsOf: a.asked})
	}
	return instances, nil
}

// Verify returns nil if every process uses key and could build from it what it derives. It tells no process to do anything.
//
// Receivers it asks whether they accept what is signed with key, without sending it: nil if all do, an error that matches
// rotation.ErrRejected if all refuse, errors.ErrUnsupported if none can sign with it, and another error if they do not agree.
func (f Replicas) Verify(ctx context.Context, key rotation.Key) error {
	var q question
	if !key.Secret.IsZero() {
		var err error
		if q.probe, err = newProbe(key.Secret); err != nil {
			return err
		}
	}
	answers, err := f.ask(ctx, q)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(answers, func(a answer) bool { return a.report.receives() }) {
		return together(answers, key)
	}
	wrong := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return same(a.report.key(), key) && !a.report.DerivedError
	})
	if len(wrong) > 0 {
		return fail(nil, "%d of %d replicas do not work with %v: %s", len(wrong), len(answers), key, list(wrong))
	}
	return nil
}

// together is one verdict of many processes.
func together(answers []answer, key rotation.Key) error {
	if key.Secret.IsZero() {
		return fail(nil, "the value of %v is not known", key)
	}
	count := map[verdict]int{}
	for _, a := range answers {
		count[a.report.Probe]++
	}
	switch len(answers) {
	case count[accepts]:
		return nil
	case count[refuses]:
		return fail(rotation.ErrRejected, "%d replicas refuse what is signed with %v", len(answers), key)
	case count[cannotProbe]:
		return fail(errors.ErrUnsupported, "%d replicas cannot sign with %v", len(answers), key)
	}
	return fail(nil, "of %d replicas %d accept what is signed with %v, and %d refuse it: %s",
		len(answers), count[accepts], key, count[refuses], list(answers))
}

// Usage tells, over all processes, the latest delivery that matched key, the latest start of counting, and the earliest time up to
// which all have told, by the clock of this machine. A process that does not know key is an error that matches
// rotation.ErrNotFound: what the others tell is not all. For Handles it is one that matches errors.ErrUnsupported.
func (f Replicas) Usage(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	answers, err := f.ask(ctx, question{})
	if err != nil {
		return rotation.Usage{}, err
	}
	var all rotation.Usage
	for i, a := range answers {
		if !a.report.receives() {
			return rotation.Usage{}, fail(errors.ErrUnsupported, "%s serves a Handle: nothing matches there", a.report.Instance)
		}
		u, ok := usageOf(key, a.accepts(), a.former())
		if !ok {
			return rotation.Usage{}, fail(rotation.ErrNotFound, "%s at %s does not know %v, and so not when a delivery matched it", a.report.Instance, a.address, key)
		}
		all.LastUsed, all.Since = later(all.LastUsed, u.LastUsed), later(all.Since, u.Since)
		if i == 0 || u.AsOf.Before(all.AsOf) {
			all.AsOf = u.AsOf
		}
	}
	return all, nil
}

// answer is what one address says.
type answer struct {
	address string
	asked   time.Time
	status  int
	report  reportJSON
	err     error
}

// accepts is what a Receiver says that it accepts, by the clock of this machine.
func (a answer) accepts() []use { return uses(a.report.Accepts, a.asked.Sub(a.report.AsOf)) }

func (a answer) former() []use { return uses(a.report.Former, a.asked.Sub(a.report.AsOf)) }

func (a answer) String() string {
	if a.report.receives() {
		text := fmt.Sprintf("%s at %s accepts %s", a.report.Instance, a.address, keyList(keysOf(a.accepts())))
		if a.report.Problem {
			text += ", and has a problem with what the store shows"
		}
		return text
	}
	text := fmt.Sprintf("%s at %s uses %v", a.report.Instance, a.address, a.report.key())
	if a.report.DerivedError {
		text += ", because it could not build from the new one"
	}
	return text
}
