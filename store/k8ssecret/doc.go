// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package k8ssecret keeps credentials in Kubernetes Secrets, which pods read as they always did: it is a rotation.SecretStore on
// client-go. It was checked against Kubernetes 1.36.3.
//
// # Two Secrets
//
// Each credential has two Secrets in one namespace. The readers' Secret is called like the credential (see Config.Names) and holds
// the current key's value in one data key (Config.Field), and attributes of it, such as the user of a password, in others
// (Config.Fields). The second one, with "-handover" behind its name, holds every key with its role. With envFrom each data key of a
// Secret becomes a variable of each process, and a volume shows them all: a pending or a retiring key must not be where pods look.
// No pod, and nobody else, should be able to read the second one.
//
// Whatever else is in the readers' Secret stays: other data keys, labels, annotations, owner references, the type. A data key of
// Fields whose attribute a key does not have, or has empty, is left alone. A Secret that is not there is made, of the type Opaque;
// none is ever deleted. One that was there before becomes a current key without an ID, with the attributes that Fields finds.
// store.Seed with the same value adds what is known besides, such as its ID and its age. It is not needed.
//
// Where no key may be served, because the only one is compromised, the data key of Field is taken away, and pods that are started
// meanwhile wait for it. In Secrets of the types kubernetes.io/..., some of which the API server takes with a value only, it becomes "{}".
//
// # Writes
//
// Every write is conditional on the resourceVersion that was read: Save fails with rotation.ErrConflict if either Secret has
// changed since Load, also where somebody else changed only a label. There is no transaction over two Secrets. Where readers get
// another key, Save writes the second Secret first, with every key from before and after, then the readers' Secret, and then takes
// out what left. Wherever it is interrupted no key is lost, and Load calls that key current which readers have; the engine then
// writes what should be. A write that was held up meanwhile does not come through.
//
// A value that left is in neither Secret any more. It may be in backups of etcd, and in etcd until it is compacted; encrypt Secrets
// at rest (https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/). client-go logs the bodies of requests from verbosity 8
// on: do not run it so with real keys.
//
// # kubectl apply, and others who write
//
// kubectl apply keeps the whole manifest in the annotation kubectl.kubernetes.io/last-applied-configuration, values too. Each time
// the readers' Secret is written here, our data keys are taken out of it: else it would keep the replaced value. Take the value out of
// the manifest as well, since the next apply would put it back. If that happens Load calls the old value current, and the engine
// says that somebody changed the store. With apply --server-side the field belongs to the manager "handover", and apply reports a
// conflict. Tools that set a Secret to what a repository says need to be told to leave the data keys alone.
//
// A Secret with immutable: true is refused, by Check if Config.Names has it and by Save before anything is written.
//
// # Pods
//
// An environment is read when a container starts: after a change pods have to be restarted, and observed; consumer/k8s does that.
// A mounted volume follows by itself, after the kubelet's sync period and the delay of its cache, a minute or two, unless it is
// mounted with subPath (https://kubernetes.io/docs/concepts/configuration/secret/). Whether a process reads the file again is its own
// affair: give such consumers a Lag, and something that observes them.
//
// # Rights
//
// Check asks with a SelfSubjectAccessReview what this client may do and names the verb that is missing. Without list, Names needs
// Config.Names. The right to create cannot be limited to names.
//
//	apiVersion: rbac.authorization.k8s.io/v1
//	kind: Role
//	metadata: {name: handover, namespace: payments}
//	rules:
//	- {apiGroups: [""], resources: [secrets], verbs: [create]}
//	- {apiGroups: [""], resources: [secrets], verbs: [get, patch], resourceNames: [database, database-handover]}
//
// # Limits
//
// A Secret holds 1 MiB, and etcd has to take it. client-go lets five requests a second through unless rest.Config.QPS says
// otherwise: for many credentials raise it. Load reads two Secrets, or three where they differ. An answer 429 is repeated by client-go
// as the server asks, and what is left of it is a rotation.RetryAt.
package k8ssecret
