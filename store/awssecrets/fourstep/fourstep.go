// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package fourstep

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/awssecrets/internal/smerr"
)

// Event is what Secrets Manager calls a rotation function with.
type Event struct {
	Step               string `json:"Step"`
	SecretID           string `json:"SecretId"`           // the secret's ARN
	ClientRequestToken string `json:"ClientRequestToken"` // the id of the version that is to become current
}

// Steps, in the order in which they are called.
const (
	StepCreate = "createSecret" // done when the new key is in the store as pending
	StepSet    = "setSecret"    // the same: an issuer makes keys that work
	StepTest   = "testSecret"   // done when the new key is proven
	StepFinish = "finishSecret" // done when the new key is current
)

// Config of a Handler. Rotator and Client are required.
type Config struct {
	Rotator  *rotation.Rotator      // with the credential, whose Store is an awssecrets.Store
	Client   *secretsmanager.Client // of that store
	Prefix   string                 // of that store
	Patience time.Duration          // how long a step waits for what takes only time; zero: 5 minutes. It ends before the context does
}

// Handler is a rotation function. It is made by New and safe for concurrent use. It holds nothing open.
type Handler struct {
	cfg Config
}

// reserve is what is left of the context to answer in.
const reserve = 5 * time.Second

// New checks cfg and returns a Handler. It does no I/O. The error joins every mistake, each naming its field.
func New(cfg Config) (*Handler, error) {
	var errs []error
	if cfg.Rotator == nil {
		errs = append(errs, smerr.New("fourstep: Config.Rotator is required"))
	}
	if cfg.Client == nil {
		errs = append(errs, smerr.New("fourstep: Config.Client is required"))
	}
	if cfg.Patience < 0 {
		errs = append(errs, smerr.New("fourstep: Config.Patience is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Patience = cmp.Or(cfg.Patience, 5*time.Minute)
	return &Handler{cfg}, nil
}

// Handle does one step: it carries the rotation on until the step is done, or until nothing more can be done within Config.Patience. It
// is done at once where it was done before, and steps may be repeated in any order. Only StepCreate begins a rotation. A StepTest without
// one is what Secrets Manager calls when rotation is set up and is not to begin at once: then everything is asked whether it could do
// its part (Rotator.Plan), and nothing is changed.
//
// Its error is for Secrets Manager, which calls all steps again some time later: nothing is lost by that. It matches rotation.ErrNotYet
// where the rotation goes on and only waits, and its text says for what. It holds no secret, so it may be logged.
func (h *Handler) Handle(ctx context.Context, e Event) error {
	if !slices.Contains([]string{StepCreate, StepSet, StepTest, StepFinish}, e.Step) {
		return smerr.Newf("fourstep: there is no step %q", e.Step)
	}
	name, seen, err := h.look(ctx, e)
	if err != nil || seen.current {
		return err
	}
	if !seen.pending {
		return cancelled()
	}
	if e.Step != StepCreate {
		begun, err := h.begun(ctx, name, e)
		switch {
		case err != nil:
			return err
		case !begun && e.Step == StepTest:
			return h.rehearse(ctx, name)
		case !begun:
			return smerr.Newf("fourstep: no rotation of %s was begun for this version: %s comes first", name, StepCreate)
		}
	}
	return h.carry(ctx, name, e)
}

// begun reports whether a rotation is there that this version belongs to, or will.
func (h *Handler) begun(ctx context.Context, name string, e Event) (bool, error) {
	st, err := h.cfg.Rotator.Status(ctx, name)
	return st.Open != nil || st.Last != nil && st.Last.Trigger == e.ClientRequestToken, err
}

// rehearse looks whether a rotation could begin.
func (h *Handler) rehearse(ctx context.Context, name string) error {
	plan, err := h.cfg.Rotator.Plan(ctx, name, rotation.Standard)
	if err != nil || plan.Ready() {
		return err
	}
	text := "fourstep: " + name + " could not be rotated now"
	for _, b := range plan.Blockers {
		text += "; " + b.Error()
	}
	return smerr.New(text)
}

// carry advances the rotation until the step is done.
func (h *Handler) carry(ctx context.Context, name string, e Event) error {
	until := time.Now().Add(h.cfg.Patience)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-reserve).Before(until) {
		until = deadline.Add(-reserve)
	}
	for {
		st, err := h.advance(ctx, name, e)
		if err != nil && !errors.Is(err, rotation.ErrConflict) { // that: another process drives it, and will be done soon
			return err
		}
		_, seen, err := h.look(ctx, e)
		switch {
		case err != nil:
			return err
		case seen.done(e.Step, st):
			return nil
		case st.Open == nil && st.Last != nil && st.Last.Trigger == e.ClientRequestToken:
			return ended(st)
		case !seen.pending, st.Open == nil && e.Step != StepCreate:
			return cancelled()
		}
		wait := st.Delay()
		if st.Open == nil {
			wait = time.Second // an earlier rotation has ended in this call: now ours can begin
		}
		if time.Now().Add(wait).After(until) {
			return waiting(e, st)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return smerr.New("fourstep: the context ended while the rotation of "+name+" went on", ctx.Err(), rotation.ErrNotYet)
		}
	}
}

// advance begins a rotation in the first step, and carries on in all of them.
func (h *Handler) advance(ctx context.Context, name string, e Event) (rotation.Status, error) {
	if e.Step != StepCreate {
		return h.cfg.Rotator.Advance(ctx, name)
	}
	return h.cfg.Rotator.Rotate(ctx, name, rotation.Trigger{ID: e.ClientRequestToken, Reason: "rotation schedule of AWS Secrets Manager"})
}

func cancelled() error {
	return smerr.New("fourstep: the version that is to be made is not AWSPENDING: this rotation was cancelled, or rolled back. Start another one")
}

// version is what is seen of the version that AWS has chosen.
type version struct {
	pending, current bool // its labels
	filled           bool // it has a value
}

// look reads the labels. The name is that of the credential.
func (h *Handler) look(ctx context.Context, e Event) (name string, v version, err error) {
	out, err := h.cfg.Client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &e.SecretID})
	if err != nil {
		return "", v, smerr.Fail(ctx, "fourstep", "DescribeSecret", e.SecretID, err)
	}
	name, ok := strings.CutPrefix(aws.ToString(out.Name), h.cfg.Prefix)
	switch {
	case !ok:
		return "", v, smerr.Newf("fourstep: secret %q does not begin with %q (Config.Prefix)", aws.ToString(out.Name), h.cfg.Prefix)
	case !aws.ToBool(out.RotationEnabled):
		return "", v, smerr.Newf("fourstep: secret %q is not set up for rotation, or that was cancelled", aws.ToString(out.Name))
	}
	stages := out.VersionIdsToStages[e.ClientRequestToken]
	v.current, v.pending = slices.Contains(stages, "AWSCURRENT"), slices.Contains(stages, "AWSPENDING")
	if v.pending && !v.current {
		_, err := h.cfg.Client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &e.SecretID, VersionId: &e.ClientRequestToken})
		if err != nil && smerr.Code(err) != "ResourceNotFoundException" { // that: RotateSecret has made it without a value
			return "", v, smerr.Fail(ctx, "fourstep", "GetSecretValue", e.SecretID, err)
		}
		v.filled = err == nil
	}
	return name, v, nil
}

// done reports whether a step has nothing left to do.
func (v version) done(step string, st rotation.Status) bool {
	switch {
	case v.current:
		return true
	case step == StepCreate, step == StepSet:
		return v.filled
	case step == StepTest:
		early := []rotation.Phase{rotation.PhasePrepare, rotation.PhaseIssue, rotation.PhaseProve}
		return v.filled && st.Open != nil && st.Open.Strategy == rotation.Standard && !slices.Contains(early, st.Open.Phase)
	default:
		return false
	}
}

// ended is the error of a rotation that has come to another end.
func ended(st rotation.Status) error {
	why := ""
	if st.Last.Problem != nil {
		why = ": " + st.Last.Problem.Error()
	}
	return smerr.Newf("fourstep: the rotation of %s ended as %q, and its version is not current%s", st.Credential, st.Last.Outcome, why)
}

// waiting is the error of a rotation that goes on.
func waiting(e Event, st rotation.Status) error {
	text := "fourstep: the rotation of " + st.Credential + " is not that far yet"
	if st.Open == nil {
		return smerr.New(text, rotation.ErrNotYet)
	}
	if st.Open.Trigger != e.ClientRequestToken {
		text = "fourstep: an earlier rotation of " + st.Credential + " is not over"
	}
	text += ", it stands at " + string(st.Open.Phase)
	if st.Open.Problem != nil {
		text += ": " + st.Open.Problem.Error()
	}
	for _, n := range st.Needs {
		text += "; " + n.Text
	}
	return smerr.New(text, rotation.ErrNotYet)
}
