// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// progress is what the API server tells of a rollout.
type progress struct {
	uid         types.UID
	version     string
	annotations map[string]string // of the pod template
	selector    *metav1.LabelSelector

	seen      bool // by its controller, as it is now
	want      int32
	updated   int32
	total     int32 // pods that do not terminate, old ones too
	available int32 // of all
	revised   bool  // a StatefulSet's pods are of one revision; true for others

	stuck  string // why its controller will not begin; empty: it will
	byHand bool   // OnDelete: pods are replaced when somebody deletes them
	failed bool   // its controller has given up
}

// waiting says what is missing to the end of the rollout; nothing: it has ended.
func (p progress) waiting() string {
	switch {
	case !p.seen:
		return "its controller has not seen the change yet"
	case p.updated < p.want:
		return fmt.Sprintf("%d of %d pods are updated", p.updated, p.want)
	case p.total > p.updated:
		return fmt.Sprintf("%d old pods are left", p.total-p.updated)
	case p.available < p.want:
		return fmt.Sprintf("%d of %d updated pods are available", p.available, p.want)
	case !p.revised:
		return "its pods are of two revisions"
	}
	return ""
}

func deploymentProgress(d *appsv1.Deployment) progress {
	s := d.Status
	p := progress{
		uid: d.UID, version: d.ResourceVersion, annotations: d.Spec.Template.Annotations, selector: d.Spec.Selector,
		seen: s.ObservedGeneration >= d.Generation, want: orOne(d.Spec.Replicas),
		updated: s.UpdatedReplicas, total: s.Replicas, available: s.AvailableReplicas, revised: true,
	}
	if d.Spec.Paused {
		p.stuck = "it is paused: kubectl rollout resume"
	}
	for _, c := range s.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" {
			p.failed = p.seen
		}
	}
	return p
}

func statefulSetProgress(s *appsv1.StatefulSet) progress {
	st := s.Status
	p := progress{
		uid: s.UID, version: s.ResourceVersion, annotations: s.Spec.Template.Annotations, selector: s.Spec.Selector,
		seen: st.ObservedGeneration >= s.Generation, want: orOne(s.Spec.Replicas),
		updated: st.UpdatedReplicas, total: st.Replicas, available: st.AvailableReplicas, revised: st.CurrentRevision == st.UpdateRevision,
		byHand: s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType,
	}
	if p.byHand {
		p.revised = true // status.currentRevision stays what it was
	}
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil && *r.Partition > 0 && !p.byHand {
		p.stuck = fmt.Sprintf("its partition is %d, and the pods below it would keep their key: set spec.updateStrategy.rollingUpdate.partition to 0", *r.Partition)
	}
	return p
}

func daemonSetProgress(d *appsv1.DaemonSet) progress {
	s := d.Status
	return progress{
		uid: d.UID, version: d.ResourceVersion, annotations: d.Spec.Template.Annotations, selector: d.Spec.Selector,
		seen: s.ObservedGeneration >= d.Generation, want: s.DesiredNumberScheduled,
		updated: s.UpdatedNumberScheduled, total: s.UpdatedNumberScheduled, available: s.NumberAvailable, revised: true,
		byHand: d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType,
	}
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
