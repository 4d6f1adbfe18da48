// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"context"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/handover-go/handover/rotation"
)

// CronJobConfig says whose jobs take a key when they begin, and how it comes to them.
type CronJobConfig struct {
	Client    kubernetes.Interface // required
	Namespace string               // required
	Name      string               // required

	Credential string               // required: the credential that its jobs use. Requests for another one are refused
	Store      rotation.SecretStore // as RolloutConfig.Store
	Before     []rotation.Consumer  // as RolloutConfig.Before

	// Longest is required: no job takes longer. One that began before the deployment may use the old key that long. Set
	// activeDeadlineSeconds of the job template to it and it is so.
	Longest time.Duration
}

// CronJob is a scheduled job, whose next run takes the key: nothing is restarted. It stamps the job template, so that every job
// tells which key it began with, and counts the jobs that have not ended. It is a rotation.Consumer, Observer, Lagger, Checker,
// Reloader and Identifier. It comes from NewCronJob, remembers nothing, and is safe for concurrent use.
type CronJob struct {
	cfg  CronJobConfig
	from arrival
	host string
}

var (
	_ rotation.Consumer   = (*CronJob)(nil)
	_ rotation.Observer   = (*CronJob)(nil)
	_ rotation.Lagger     = (*CronJob)(nil)
	_ rotation.Checker    = (*CronJob)(nil)
	_ rotation.Reloader   = (*CronJob)(nil)
	_ rotation.Identifier = (*CronJob)(nil)
)

// NewCronJob returns a CronJob, or an error that names every field that is missing or wrong. It does no I/O.
func NewCronJob(cfg CronJobConfig) (*CronJob, error) {
	cfg.Before = slices.Clone(cfg.Before)
	from := arrival{cfg.Credential, nil, cfg.Store, cfg.Before}
	errs := []error{place("CronJobConfig", cfg.Client, cfg.Namespace, cfg.Name), from.mistakes("CronJobConfig")}
	if cfg.Longest <= 0 {
		errs = append(errs, failf(nil, "CronJobConfig.Longest is required"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &CronJob{cfg, from, hostOf(cfg.Client)}, nil
}

// Workload is the CronJob, as a Discoverer names it.
func (c *CronJob) Workload() Workload { return Workload{"CronJob", c.cfg.Namespace, c.cfg.Name} }

// Identity is the CronJob and the API server's address.
func (c *CronJob) Identity() string { return c.Workload().String() + " at " + c.host }

// Lag is CronJobConfig.Longest.
func (c *CronJob) Lag() time.Duration { return c.cfg.Longest }

// Reloads says next-run.
func (c *CronJob) Reloads() rotation.Reload { return rotation.ReloadNextRun }

// Deploy stamps the job template with the key and returns nil: the next job takes it. Its errors are those of Rollout.Deploy as
// far as they are about the key.
func (c *CronJob) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	now, err := c.from.arrive(ctx, c.Workload().String(), req)
	if err != nil {
		return err
	}
	job, err := c.get(ctx)
	if err != nil {
		return err
	}
	template := job.Spec.JobTemplate.Spec.Template.Annotations
	if stamps(template)[c.cfg.Credential] == now[c.cfg.Credential] {
		return nil
	}
	patch, err := stampPatch(job.ResourceVersion, template, now, "jobTemplate", "spec", "template")
	if err != nil {
		return err
	}
	_, err = c.cfg.Client.BatchV1().CronJobs(c.cfg.Namespace).Patch(ctx, c.cfg.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	switch {
	case apierrors.IsConflict(err):
		return failf([]error{rotation.ErrNotYet}, "%s: somebody else changed it meanwhile", c.Workload())
	case err != nil:
		return failed("patch", c.Workload().String(), err)
	}
	return nil
}

// Observe returns an instance for each job that has begun and not ended, with the key that it began with, and one for the template,
// with the key that the next job will begin with.
func (c *CronJob) Observe(ctx context.Context) ([]rotation.Instance, error) {
	job, err := c.get(ctx)
	if err != nil {
		return nil, err
	}
	next := stamps(job.Spec.JobTemplate.Spec.Template.Annotations)[c.cfg.Credential]
	var running []rotation.Instance
	err = pages(ctx, "Jobs of namespace "+c.cfg.Namespace, "", func(options metav1.ListOptions) (string, error) {
		if options.Continue == "" {
			running = []rotation.Instance{{Name: "next run", Key: next.key()}}
		}
		list, err := c.cfg.Client.BatchV1().Jobs(c.cfg.Namespace).List(ctx, options)
		if err != nil {
			return "", err
		}
		for _, j := range list.Items {
			owned := slices.ContainsFunc(j.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == job.UID })
			if owned && runs(j) {
				running = append(running, rotation.Instance{Name: j.Name, Key: stamps(j.Spec.Template.Annotations)[c.cfg.Credential].key()})
			}
		}
		return list.Continue, nil
	})
	return running, err
}

// runs reports whether a job has pods, or may have them in a moment. One that is suspended has none.
func runs(j batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == "True" {
			return false
		}
	}
	suspended := j.Spec.Suspend != nil && *j.Spec.Suspend
	return !suspended || j.Status.Active > 0 || j.Status.Terminating != nil && *j.Status.Terminating > 0
}

func (c *CronJob) get(ctx context.Context) (*batchv1.CronJob, error) {
	job, err := c.cfg.Client.BatchV1().CronJobs(c.cfg.Namespace).Get(ctx, c.cfg.Name, metav1.GetOptions{})
	if err != nil {
		return nil, failed("get", c.Workload().String(), err)
	}
	return job, nil
}
