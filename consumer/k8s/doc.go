// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package k8s brings keys to what runs in Kubernetes, on client-go: [Rollout] restarts a Deployment, a StatefulSet or a DaemonSet
// and sees which key each pod has, [CronJob] gives a key to the next job, [ExternalSecret] has the External Secrets Operator copy
// it, and [Discoverer] names who refers to a Secret. It was checked against Kubernetes 1.36.3 (API server and controllers; pods
// were declared ready by the tests) and, for ExternalSecret, against what the operator's documentation and source say.
//
// # How a key gets to a pod
//
// A pod reads its environment when its containers start. So the order is: the Secret gets the key, then every pod is replaced, then
// each is seen. What writes the Secret is either the store of the credential itself (store/k8ssecret: RolloutConfig.Store), or
// something in between, that is told first (RolloutConfig.Before: an ExternalSecret, or a consumer of your own). Give Store as well
// where there is Before: it tells one write of the store from another.
//
// # What is seen
//
// A Rollout stamps the pod template with the identity of the key (annotation handover-go.github.io/keys; no value). That makes the
// controller replace the pods, as kubectl rollout restart does, and each pod bears the stamp that it was started with. Observe lists
// all pods of the workload, terminating ones too, and says of each which key its stamp names. Deploy returns nil when the
// controller is done and the last old pod has terminated (but see RolloutConfig.Lag).
//
// Rollout and CronJob are Observers, and no Verifiers: that a pod was started with a key is no proof that the application works
// with it. Readiness probes are a good deal of one, since a rollout waits for them. For more give the binding a Verifier. An
// Observer that this Verifier may be too is not asked: the Consumer's comes first.
//
// The stamp says what the Secret held when the template was stamped. A kubelet that watches Secrets may be a moment behind when a
// pod starts on a node where another one uses the same Secret already
// (https://kubernetes.io/docs/concepts/configuration/secret/). An issuer that reports use, or consumer.Replicas on an endpoint of
// the application, sees what such a pod really has.
//
// Other restarts do no harm. A rollout of somebody else keeps the stamp, unless it replaces the template's annotations: then the new
// pods count as pods without a known key, and the next Deploy stamps again. kubectl rollout undo brings back an older stamp, which
// is on the safe side. Pods that are rescheduled bear the template's stamp.
//
// # What takes part in no rollout
//
// A paused Deployment and a StatefulSet with a partition are refused, before anything is changed. With the update strategy OnDelete a
// person is asked to delete the pods (rotation.ErrManual). If the controller gives up (ProgressDeadlineExceeded, after
// progressDeadlineSeconds, 600 by default) Deploy fails and says so; the engine rolls back when Policy.Patience is over, which is 15
// minutes by default. StatefulSets and DaemonSets never give up. A workload that is scaled to nothing is seen by its template.
//
// # Several credentials
//
// Each binding has a Rollout of its own, with its Credential. Bindings of one workload share a Binding.Group, so that a restart for
// one credential counts for the others, and their Rollouts name each other's credentials in Shared, so that the pods' stamps say so.
//
// # No watches, no leases
//
// Deploy and Observe ask and return: nothing is watched, and no watch can break off or fall behind. The engine asks again. It also sees
// to it that one process drives a rotation, by compare-and-swap in its journal; a Lease of coordination.k8s.io would add a clock and
// take nothing away, since no lease reaches what was already sent. What was sent is conditional on the resourceVersion that was read
// with it: if it comes late it does nothing.
//
// # Rights
//
// Check asks with a SelfSubjectAccessReview and names the verb that is missing. A Discoverer needs list for all kinds that it
// looks at, also serviceaccounts.
//
//	apiVersion: rbac.authorization.k8s.io/v1
//	kind: Role
//	metadata: {name: handover, namespace: payments}
//	rules:
//	- {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, patch], resourceNames: [api]}
//	- {apiGroups: [apps], resources: [replicasets], verbs: [list]}
//	- {apiGroups: [""], resources: [pods], verbs: [list]}
//	- {apiGroups: [batch], resources: [cronjobs], verbs: [get, patch], resourceNames: [report]}
//	- {apiGroups: [batch], resources: [jobs], verbs: [list]}
//	- {apiGroups: [external-secrets.io], resources: [externalsecrets], verbs: [get, patch], resourceNames: [database]}
//	- {apiGroups: [""], resources: [secrets], verbs: [get], resourceNames: [database]} # of an ExternalSecret, and what a Store needs
//
// Whoever may patch a Deployment can run what he likes in its namespace. Limit it to names.
//
// # External Secrets Operator
//
// The operator synchronises again when an annotation changes (https://external-secrets.io/latest/api/externalsecret/), and tells
// in status.syncedResourceVersion, which begins with the generation, what it has synchronised. It never does so again with
// refreshPolicy CreatedOnce, or with refreshInterval 0 unless refreshPolicy is OnChange: Check refuses both. A synchronisation can
// bring an old value, from a cache or a replica: what counts is that the Secret holds the key, and each field of it.
package k8s
