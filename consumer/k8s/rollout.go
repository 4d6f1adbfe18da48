// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/handover-go/handover/rotation"
)

// Kind of a workload that can be rolled out.
type Kind string

// Kinds of workloads.
const (
	Deployment  Kind = "Deployment"
	StatefulSet Kind = "StatefulSet"
	DaemonSet   Kind = "DaemonSet"
)

// RolloutConfig says what is restarted, and how the key comes to it.
type RolloutConfig struct {
	Client    kubernetes.Interface // required
	Kind      Kind                 // empty: Deployment
	Namespace string               // required
	Name      string               // required

	Credential string // required: the credential that it uses. Requests for another one are refused

	// Store is the store that the pods read when they start, such as store/k8ssecret: nothing is restarted before it shows the key.
	// Store or Before is required.
	Store rotation.SecretStore

	// Before are told before the restart, in order, and it comes when all of them have returned nil: an ExternalSecret, or what
	// else brings the key to the Secret that the pods read.
	Before []rotation.Consumer

	// Shared are the other credentials that the pods read from Store when they start. A restart for one of them counts for all
	// (Binding.Group): each pod is stamped with all their keys. It cannot be used with Before.
	Shared []string

	// Lag is how long an old pod may go on after the rollout, until it has terminated, and open work of it elsewhere. Zero: Deploy
	// waits until the last old pod is gone.
	Lag time.Duration
}

// Rollout restarts a Deployment, a StatefulSet or a DaemonSet so that its pods read a key anew, and sees which key each pod was
// started with. It is a rotation.Consumer, Observer, Lagger, Checker, Reloader and Identifier, and no Verifier: give its binding
// one that asks the service whether it works. It comes from NewRollout, remembers nothing, and is safe for concurrent use.
type Rollout struct {
	cfg  RolloutConfig
	from arrival
	host string
}

var (
	_ rotation.Consumer   = (*Rollout)(nil)
	_ rotation.Observer   = (*Rollout)(nil)
	_ rotation.Lagger     = (*Rollout)(nil)
	_ rotation.Checker    = (*Rollout)(nil)
	_ rotation.Reloader   = (*Rollout)(nil)
	_ rotation.Identifier = (*Rollout)(nil)
)

// NewRollout returns a Rollout, or an error that names every field that is missing or wrong. It does no I/O.
func NewRollout(cfg RolloutConfig) (*Rollout, error) {
	if cfg.Kind == "" {
		cfg.Kind = Deployment
	}
	cfg.Before, cfg.Shared = slices.Clone(cfg.Before), slices.Clone(cfg.Shared)
	from := arrival{cfg.Credential, cfg.Shared, cfg.Store, cfg.Before}
	errs := []error{place("RolloutConfig", cfg.Client, cfg.Namespace, cfg.Name), from.mistakes("RolloutConfig")}
	if !slices.Contains([]Kind{Deployment, StatefulSet, DaemonSet}, cfg.Kind) {
		errs = append(errs, failf(nil, "RolloutConfig.Kind %q is none of Deployment, StatefulSet, DaemonSet", cfg.Kind))
	}
	if cfg.Lag < 0 {
		errs = append(errs, failf(nil, "RolloutConfig.Lag is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Rollout{cfg, from, hostOf(cfg.Client)}, nil
}

// place names what is wrong with where something is.
func place(config string, client kubernetes.Interface, namespace, name string) error {
	var errs []error
	if client == nil {
		errs = append(errs, failf(nil, "%s.Client is required", config))
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		errs = append(errs, failf(nil, "%s.Namespace %q is no name of a namespace", config, namespace))
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		errs = append(errs, failf(nil, "%s.Name %q is no name of an object", config, name))
	}
	return errors.Join(errs...)
}

// Workload is what is restarted, as a Discoverer names it.
func (r *Rollout) Workload() Workload {
	return Workload{string(r.cfg.Kind), r.cfg.Namespace, r.cfg.Name}
}

// Identity is the workload and the API server's address.
func (r *Rollout) Identity() string { return r.Workload().String() + " at " + r.host }

// Lag is RolloutConfig.Lag.
func (r *Rollout) Lag() time.Duration { return r.cfg.Lag }

// Reloads says restart.
func (r *Rollout) Reloads() rotation.Reload { return rotation.ReloadRestart }

// Deploy stamps the pod template with the key, which makes its controller replace every pod, and returns nil once each pod that
// is there bears the stamp and is available. Until then the error matches rotation.ErrNotYet: the same request goes on from where
// the rollout stands, and begins none of its own, whoever asks. A template that bears the stamp is not touched.
//
// Other errors: the credential is another one, the workload is paused or partitioned, its controller has given up
// (ProgressDeadlineExceeded). With the update strategy OnDelete a person has to delete the pods: rotation.ErrManual. A pending key
// and a set of secrets to accept are errors that match errors.ErrUnsupported.
func (r *Rollout) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	now, err := r.from.arrive(ctx, r.Workload().String(), req)
	if err != nil {
		return err
	}
	p, err := r.stamped(ctx, now)
	if err != nil {
		return err
	}
	missing := p.waiting()
	switch {
	case missing == "" || p.byHand:
	case p.failed:
		return r.failf(nil, "its controller has given up (ProgressDeadlineExceeded), %s: look at its newest pods", missing)
	default:
		return r.failf([]error{rotation.ErrNotYet}, "%s", missing)
	}
	if err := r.replaced(ctx, p, now[req.Credential]); err != nil {
		return err
	}
	if missing != "" { // the old pods were deleted, and the new ones are not there yet
		return r.failf([]error{rotation.ErrNotYet}, "%s", missing)
	}
	return nil
}

// stamped stamps the template unless it is. If somebody changes the workload meanwhile everything is looked at again: the key may
// have been taken back.
func (r *Rollout) stamped(ctx context.Context, now map[string]stamp) (progress, error) {
	p, err := r.get(ctx)
	switch {
	case err != nil:
		return p, err
	case p.stuck != "":
		return p, r.failf(nil, "%s", p.stuck)
	case stamps(p.annotations)[r.cfg.Credential] == now[r.cfg.Credential]:
		return p, nil
	}
	patch, err := stampPatch(p.version, p.annotations, now, "template")
	if err != nil {
		return p, err
	}
	p, err = r.patch(ctx, patch)
	switch {
	case apierrors.IsConflict(err):
		return p, r.failf([]error{rotation.ErrNotYet}, "somebody else changed it meanwhile")
	case err != nil:
		return p, failed("patch", r.Workload().String(), err)
	}
	return p, nil
}

// replaced looks at the pods themselves: those that terminate are in no status, and use their key until they are gone.
func (r *Rollout) replaced(ctx context.Context, p progress, want stamp) error {
	pods, err := r.pods(ctx, p)
	if err != nil {
		return err
	}
	old, terminating := 0, 0
	for _, pod := range pods {
		switch {
		case stamps(pod.Annotations)[r.cfg.Credential] == want:
		case pod.DeletionTimestamp != nil:
			terminating++
		default:
			old++
		}
	}
	switch {
	case old > 0 && p.byHand:
		return rotation.Manual(fmt.Sprintf("k8s: %s has the update strategy OnDelete: delete its %d old pods", r.Workload(), old))
	case old > 0:
		return r.failf([]error{rotation.ErrNotYet}, "%d old pods are left", old)
	case terminating > 0 && r.cfg.Lag == 0:
		return r.failf([]error{rotation.ErrNotYet}, "%d old pods have not terminated yet", terminating)
	}
	return nil
}

func (r *Rollout) failf(is []error, format string, args ...any) error {
	return failf(is, "%s: %s", r.Workload(), fmt.Sprintf(format, args...))
}

func (r *Rollout) get(ctx context.Context) (progress, error) {
	p, err := r.ask(ctx)
	if err != nil {
		return p, failed("get", r.Workload().String(), err)
	}
	return p, nil
}

func (r *Rollout) ask(ctx context.Context) (progress, error) {
	apps := r.cfg.Client.AppsV1()
	switch r.cfg.Kind {
	case StatefulSet:
		s, err := apps.StatefulSets(r.cfg.Namespace).Get(ctx, r.cfg.Name, metav1.GetOptions{})
		if err != nil {
			return progress{}, err
		}
		return statefulSetProgress(s), nil
	case DaemonSet:
		d, err := apps.DaemonSets(r.cfg.Namespace).Get(ctx, r.cfg.Name, metav1.GetOptions{})
		if err != nil {
			return progress{}, err
		}
		return daemonSetProgress(d), nil
	}
	d, err := apps.Deployments(r.cfg.Namespace).Get(ctx, r.cfg.Name, metav1.GetOptions{})
	if err != nil {
		return progress{}, err
	}
	return deploymentProgress(d), nil
}

func (r *Rollout) patch(ctx context.Context, patch []byte) (progress, error) {
	apps, options := r.cfg.Client.AppsV1(), metav1.PatchOptions{FieldManager: manager}
	switch r.cfg.Kind {
	case StatefulSet:
		s, err := apps.StatefulSets(r.cfg.Namespace).Patch(ctx, r.cfg.Name, types.MergePatchType, patch, options)
		if err != nil {
			return progress{}, err
		}
		return statefulSetProgress(s), nil
	case DaemonSet:
		d, err := apps.DaemonSets(r.cfg.Namespace).Patch(ctx, r.cfg.Name, types.MergePatchType, patch, options)
		if err != nil {
			return progress{}, err
		}
		return daemonSetProgress(d), nil
	}
	d, err := apps.Deployments(r.cfg.Namespace).Patch(ctx, r.cfg.Name, types.MergePatchType, patch, options)
	if err != nil {
		return progress{}, err
	}
	return deploymentProgress(d), nil
}
