// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/handover-go/handover/rotation"
)

const (
	page  = 250 // objects that are asked for at a time
	tries = 5   // of a list that expires before its end
)

// Observe returns an instance for each pod that is there, also for one that terminates: it uses its key until it is gone. Its key
// is the one that the pod was started with; a pod without a stamp is shown without a key. A workload that is scaled to nothing
// is one instance, its template: nobody uses another key, and whatever starts will use that one.
func (r *Rollout) Observe(ctx context.Context) ([]rotation.Instance, error) {
	p, err := r.get(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := r.pods(ctx, p)
	if err != nil {
		return nil, err
	}
	var instances []rotation.Instance
	for _, pod := range pods {
		instances = append(instances, rotation.Instance{Name: pod.Name, Key: stamps(pod.Annotations)[r.cfg.Credential].key()})
	}
	if len(pods) == 0 && p.want == 0 && p.seen {
		instances = append(instances, rotation.Instance{Name: "template", Key: stamps(p.annotations)[r.cfg.Credential].key()})
	}
	return instances, nil
}

// pods are those of the workload that have not ended.
func (r *Rollout) pods(ctx context.Context, p progress) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(p.selector)
	if err != nil {
		return nil, r.failf(nil, "its selector cannot be read")
	}
	others, err := r.otherSets(ctx, p, selector.String())
	if err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	err = pages(ctx, "Pods of namespace "+r.cfg.Namespace, selector.String(), func(options metav1.ListOptions) (string, error) {
		if options.Continue == "" {
			pods = nil
		}
		list, err := r.cfg.Client.CoreV1().Pods(r.cfg.Namespace).List(ctx, options)
		if err != nil {
			return "", err
		}
		for _, pod := range list.Items {
			ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
			if !ended && r.owns(p.uid, others, pod) {
				pods = append(pods, pod)
			}
		}
		return list.Continue, nil
	})
	return pods, err
}

// owns reports whether a pod that the selector matches is the workload's. One of a ReplicaSet that is gone counts.
func (r *Rollout) owns(uid types.UID, others map[types.UID]bool, pod corev1.Pod) bool {
	owner := metav1.GetControllerOf(&pod)
	switch {
	case owner == nil:
		return false // a bare pod with the same labels
	case r.cfg.Kind == Deployment:
		return owner.Kind == "ReplicaSet" && !others[owner.UID]
	}
	return owner.UID == uid
}

// otherSets are the ReplicaSets that the selector matches and that belong to somebody else.
func (r *Rollout) otherSets(ctx context.Context, p progress, selector string) (map[types.UID]bool, error) {
	if r.cfg.Kind != Deployment {
		return nil, nil
	}
	var others map[types.UID]bool
	err := pages(ctx, "ReplicaSets of namespace "+r.cfg.Namespace, selector, func(options metav1.ListOptions) (string, error) {
		if options.Continue == "" {
			others = map[types.UID]bool{}
		}
		list, err := r.cfg.Client.AppsV1().ReplicaSets(r.cfg.Namespace).List(ctx, options)
		if err != nil {
			return "", err
		}
		for _, set := range list.Items {
			if owner := metav1.GetControllerOf(&set); owner == nil || owner.UID != p.uid {
				others[set.UID] = true
			}
		}
		return list.Continue, nil
	})
	return others, err
}

// pages calls list for each page, and again from the first one where the API server has forgotten the rest (410 Expired).
func pages(ctx context.Context, what, selector string, list func(metav1.ListOptions) (string, error)) error {
	var err error
	for range tries {
		options := metav1.ListOptions{LabelSelector: selector, Limit: page}
		for {
			if options.Continue, err = list(options); err != nil || options.Continue == "" {
				break
			}
		}
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			break
		}
	}
	if err != nil {
		return failed("list", what, err)
	}
	return nil
}
