// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"
)

// canary brings the pending key to the first consumers and looks whether they work with it, before anybody who reads the
// store can.
func (d *drive) canary() error {
	run := d.st.Run
	if run.NoOverlap {
		return nil // nothing left to protect, and no time to lose
	}
	first := d.canaries()
	for {
		if err := d.deploy(first, RolePending); err != nil {
			return err
		}
		able := d.canaries()
		if slices.Equal(first, able) {
			return d.adopted(first)
		}
		first = able // one of them reads nothing but the current key: the next one takes its place
	}
}

// canaries are the first consumers that can be given a pending key.
func (d *drive) canaries() []*consumerState {
	var first []*consumerState
	for _, b := range d.reg.Bindings {
		if c := d.st.Run.consumer(b.Name); c != nil && !c.CurrentOnly && b.Group == "" && len(first) < d.reg.Policy.Canaries {
			first = append(first, c)
		}
	}
	return first
}

// promote makes the target current in the store: for whoever reads it, that is the deployment.
func (d *drive) promote() error {
	run, st := d.st.Run, d.st
	already := st.Current == run.Target
	if !already {
		if err := d.inWindow(); err != nil {
			return err
		}
	}
	key := st.key(run.Target)
	key.Presented = key.Presented || !d.reg.webhook
	run.Promoted = run.Promoted || run.Target == run.New
	if err := d.read(); err != nil {
		return err
	}
	if !already {
		st.Current, st.Writing, run.PromotedAt = run.Target, true, time.Now()
	}
	d.fresh = nil
	meta := map[string]string{
		"rotated_at": timeText(run.BeganAt),
		"rotated_by": run.Actor,
		"version":    strconv.Itoa(key.Key.Generation),
	}
	if d.emergency() {
		meta["emergency_rotation"], meta["incident_reference"] = "true", run.Incidents[len(run.Incidents)-1]
	}
	if err := d.project(meta); err != nil {
		return err
	}
	st.Writing = false
	if run.Announced != run.Target { // whoever made it current may have died before it could say so
		run.Announced = run.Target
		d.emit(Event{Kind: EventPromoted, Key: key.Key.named(), Text: key.Key.String() + " is current in the store"})
	}
	return nil
}

// deployAll brings the target to every consumer.
func (d *drive) deployAll() error { return d.deploy(d.st.Run.Consumers, RoleCurrent) }

// verifyAll waits until every consumer is seen on the target and works.
func (d *drive) verifyAll() error {
	run := d.st.Run
	if err := d.keepTarget(); err != nil {
		return err
	}
	if err := d.nobodyBehind(); err != nil {
		return err
	}
	if err := d.adopted(run.Consumers); err != nil {
		if d.overtaken() {
			return to(d.reg.moving(run.Strategy), "a consumer uses another key than it was told")
		}
		return err
	}
	if run.Strategy == RollBack && run.BackTakes == 0 {
		run.BackTakes = time.Since(run.RollBackAt)
		d.note(levelOf(run.BackTakes > d.reg.Policy.Rollback), fmt.Sprintf("every consumer is back on %s, after %v", d.st.key(run.Target).Key, run.BackTakes.Round(time.Millisecond)))
	}
	return nil
}

// nobodyBehind turns back to the deployment where somebody was not told: whatever the phase, nobody is left behind.
func (d *drive) nobodyBehind() error {
	run := d.st.Run
	if !d.neverLeft() && len(d.pendingDeploy(run.Consumers, RoleCurrent)) > 0 {
		return to(d.reg.moving(run.Strategy), "a consumer was added")
	}
	return nil
}

// overtaken forgets the deployments to consumers that took the target and are seen on another key: an earlier deployment may
// have landed after it. Where there is another key to go back to, failing is the answer, and not this.
func (d *drive) overtaken() (again bool) {
	run := d.st.Run
	if run.Strategy == Standard && !run.NoOverlap && !d.reg.webhook {
		return false
	}
	for _, c := range run.Consumers {
		b := d.reg.binding(c.Name)
		if b == nil || c.Problem == nil || c.Problem.Diagnosis != ConsumerNotUpdated && c.Problem.Diagnosis != PartialRollout {
			continue
		}
		if time.Since(c.AckedAt) >= b.Lag+d.r.settle(d.reg) {
			c.unlearn()
			again = true
		}
	}
	return again
}

// pendingDeploy are the consumers that have to be told. role distinguishes the canaries' first deployment from the one after
// the promotion, which carries the same ID: where the consumer is stamped, the second does nothing.
func (d *drive) pendingDeploy(consumers []*consumerState, role Role) []*consumerState {
	run := d.st.Run
	var todo []*consumerState
	for _, c := range consumers {
		if d.reg.binding(c.Name) == nil || run.untouched(c) {
			continue
		}
		told := c.Acked == run.Target && c.Sent == run.Target && (c.Role == role || c.Role == RoleCurrent) ||
			role == RolePending && c.CurrentOnly
		if d.reg.webhook {
			told = d.toldAll(c)
		}
		if !told {
			todo = append(todo, c)
		}
	}
	return todo
}

// deploy tells consumers, wave after wave, each wave's intent journaled first: a consumer that was to be told counts as told.
func (d *drive) deploy(consumers []*consumerState, role Role) error {
	run := d.st.Run
	todo := d.pendingDeploy(consumers, role)
	if slices.ContainsFunc(todo, d.newly) {
		if err := d.inWindow(); err != nil {
			return err
		}
	}
	todo, needs, err := d.gather(todo)
	if err != nil {
		return err
	}
	if d.reg.webhook && len(todo) > 0 {
		if err := d.sacrifice(todo); err != nil {
			return err
		}
	}
	wave := d.reg.Policy.Parallel
	if d.emergency() || run.NoOverlap || d.deadlineNear() {
		wave = max(len(todo), 1)
	}
	for group := range slices.Chunk(todo, wave) {
		if slices.ContainsFunc(group, d.newly) {
			if err := d.inWindow(); err != nil {
				return err
			}
		}
		for _, c := range group {
			c.Sent, c.Moved = run.Target, c.Moves
			if d.reg.webhook {
				c.Offered = labelOf(d.acceptSet())
				d.calling(c.Name, time.Now())
			}
		}
		d.st.key(run.Target).Presented = d.st.key(run.Target).Presented || !d.reg.webhook
		d.fresh = nil
		if err := d.save(); err != nil {
			return err
		}
		if err := d.tell(group, role); err != nil {
			return err
		}
		if d.ctx.Err() != nil {
			break
		}
	}
	if len(d.pendingDeploy(consumers, role)) > 0 {
		return &waiting{needs: needs}
	}
	return nil
}

// newly reports whether to tell a consumer is more than to ask once more how that goes on.
func (d *drive) newly(c *consumerState) bool {
	if d.reg.webhook {
		return c.Offered != labelOf(d.acceptSet())
	}
	return c.Sent != d.st.Run.Target || c.Moved != c.Moves
}

// tell deploys to one wave at the same time.
func (d *drive) tell(group []*consumerState, role Role) error {
	key := d.value(d.st.Run.Target)
	results := make([]error, len(group))
	var g errgroup.Group
	for i, c := range group {
		b, req := d.reg.binding(c.Name), d.request(c, key, role)
		g.Go(func() error {
			results[i] = guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return b.Consumer.Deploy(ctx, req) })
			return nil
		})
	}
	_ = g.Wait() // the results hold the errors: each consumer has its own
	return d.told(group, results, role)
}

func (d *drive) request(c *consumerState, key Key, role Role) DeployRequest {
	req := DeployRequest{
		ID:         fmt.Sprintf("%s/%s/%d", d.st.Run.ID, c.Name, key.Serial),
		Credential: d.reg.Name, Consumer: c.Name, Key: key, Role: role,
		Emergency: d.emergency() || d.st.Run.NoOverlap,
	}
	if d.reg.webhook {
		req.Accept = d.acceptSet()
		req.ID = fmt.Sprintf("%s/%s/%s", d.st.Run.ID, c.Name, labelOf(req.Accept))
	}
	if c.Moves > 0 {
		req.ID += fmt.Sprintf("/%d", c.Moves)
	}
	return req
}

// told records what the consumers of a wave answered.
func (d *drive) told(group []*consumerState, results []error, role Role) error {
	run := d.st.Run
	var needs []Need
	var slow []*Error
	var failed *multierror.Error
	for i, c := range group {
		err := results[i]
		d.answeredBy(c.Name, err)
		if errors.Is(err, ErrManual) && d.doneByHand(c) {
			err = nil // a person said that it is done
			c.Sworn = c.Offered
		}
		if err == nil {
			err = d.cover(c)
		}
		switch {
		case err == nil:
			c.Acked, c.AckedAt, c.Role, c.Problem = run.Target, time.Now(), role, nil
			c.Holds = c.Offered
			run.DeployedAt = c.AckedAt
			d.emit(Event{Kind: EventDeployed, Consumer: c.Name, Text: d.givenText(c)})
		case role == RolePending && unsupported(err) && !d.reg.webhook:
			c.CurrentOnly, c.Sent = true, 0
		case errors.Is(err, ErrManual):
			needs = append(needs, d.personNeed(d.deployment(), c.Name, c.Name+": "+publicText(err), VerbDone, VerbRollBack))
		case errors.Is(err, ErrNotYet):
			n := Need{ID: d.needID("deploy/" + c.Name), Kind: NeedConsumer, Name: c.Name, Text: c.Name + ": the deployment is under way"}
			if why, said := strings.CutPrefix(publicText(err), ErrNotYet.Error()+": "); said {
				n.Text += ": " + why
			}
			needs = append(needs, n)
			slow = append(slow, &Error{Consumer: c.Name, Diagnosis: VerificationTimeout, Evidence: "its deployment did not come to an end", Action: "look at its rollout", Err: hide(err)})
		default:
			c.Problem = &Error{Consumer: c.Name, Evidence: "it was not given the key", Action: "repair it, or what brings the key to it; it is tried again", Err: hide(err)}
			if !d.reg.webhook {
				d.misshapen(c.Problem)
			}
			failed = multierror.Append(failed, c.Problem)
		}
	}
	if failed.ErrorOrNil() != nil {
		return d.failing(troubles(failed, fmt.Sprintf("%d of %d deployments failed", failed.Len(), len(group))))
	}
	if len(needs) > 0 {
		return d.slowly(needs, slow)
	}
	if !d.reg.webhook { // what counts is whether they accept it
		run.Failing = time.Time{}
	}
	return nil
}

// givenText tells what a consumer was given.
func (d *drive) givenText(c *consumerState) string {
	if !d.reg.webhook {
		return c.Name + " was given " + d.st.key(d.st.Run.Target).Key.String()
	}
	var generations []string
	for _, k := range d.acceptSet() {
		generations = append(generations, strconv.Itoa(k.Generation))
	}
	return c.Name + " was told to accept generation " + strings.Join(generations, " and ")
}

// deployment names what a person is asked to do about a consumer. One answer must not fit two sets of a receiver.
func (d *drive) deployment() string {
	if d.reg.webhook && d.st.Run.Phase == PhaseDrop {
		return "drop"
	}
	return "deploy"
}

func (d *drive) doneByHand(c *consumerState) bool {
	if d.reg.webhook {
		return c.DoneSet != "" && c.DoneSet == c.Offered
	}
	return c.Done == d.st.Run.Target
}

// troubles is what is told of consumers in trouble: of one alone what it has, of more how many there are and what each has.
func troubles(failed *multierror.Error, many string) *Error {
	e := *failed.Errors[0].(*Error)
	if failed.Len() > 1 {
		e.Evidence, e.Err = many, failed
	}
	return &e
}

// failing counts the patience with deployments and verifications that fail. When it is used up a standard rotation turns
// back; who has nowhere to turn to goes on trying, unless it is the key that has died.
func (d *drive) failing(err error) error {
	run := d.st.Run
	if run.Strategy != Standard || run.NoOverlap {
		if err := d.targetDied(); err != nil {
			return err
		}
	}
	if run.Failing.IsZero() {
		run.Failing = time.Now()
	}
	if run.Strategy == Standard && !run.NoOverlap && time.Since(run.Failing) >= d.reg.Policy.Patience {
		return turnBack(publicText(err), err)
	}
	return err
}

// slowly waits for consumers that are under way, as long as patience lasts; for a person without an end.
func (d *drive) slowly(needs []Need, slow []*Error) error {
	if len(slow) > 0 {
		var t *turn
		if err := d.failing(d.partly(slow[0])); errors.As(err, &t) {
			return err
		}
	}
	return d.again(needs...)
}

// adopted returns nil once each of the consumers works and, where it can be seen, uses the target. What nothing can see is
// left to the gate.
func (d *drive) adopted(consumers []*consumerState) error {
	run := d.st.Run
	seen := d.look(consumers, run.Target)
	var needs []Need
	var failed *multierror.Error
	for _, c := range consumers {
		s, b := seen[c.Name], d.reg.binding(c.Name)
		if b == nil || run.untouched(c) {
			continue
		}
		canary := run.Phase == PhaseCanary
		lagEnd := c.AckedAt.Add(b.Lag)
		switch {
		case s.Verifiable && s.VerifyErr != nil && !lagEnd.After(time.Now()):
			failed = multierror.Append(failed, c.Problem)
		case s.Verifiable && s.VerifyErr != nil:
			needs = append(needs, Need{ID: d.needID("verify/" + c.Name), Kind: NeedConsumer, Name: c.Name, Until: lagEnd, Text: c.Name + ": it is not seen working yet"})
		case s.Observable && !s.OnTarget && canary && c.Problem != nil:
			failed = multierror.Append(failed, c.Problem)
		case s.Observable && !s.OnTarget:
			needs = append(needs, Need{ID: d.needID("observe/" + c.Name), Kind: NeedConsumer, Name: c.Name, Text: fmt.Sprintf("%s: it is not seen on %s yet", c.Name, d.st.key(run.Target).Key), Verbs: []Verb{VerbRollBack}})
			d.st.Problem = c.Problem
		}
	}
	if failed.ErrorOrNil() != nil {
		return d.failing(troubles(failed, fmt.Sprintf("%d of %d consumers do not work with the key they were given", failed.Len(), len(consumers))))
	}
	run.Failing = time.Time{}
	if len(needs) > 0 {
		return d.again(needs...)
	}
	return nil
}
