// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// refersTo reports whether pods of spec need a Secret to start: for the environment, whole or by key, for a volume, to pull an
// image. Optional references count. accounts are those whose pods get the Secret to pull images with.
func refersTo(spec *corev1.PodSpec, secret string, accounts map[string]bool) bool {
	named := func(r corev1.LocalObjectReference) bool { return r.Name == secret }
	account := spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	return slices.ContainsFunc(spec.ImagePullSecrets, named) ||
		len(spec.ImagePullSecrets) == 0 && accounts[account] || // what a pod names itself is not added to
		slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool { return inEnv(c.Env, c.EnvFrom, secret) }) ||
		slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool { return inEnv(c.Env, c.EnvFrom, secret) }) ||
		slices.ContainsFunc(spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return inEnv(c.Env, c.EnvFrom, secret) }) ||
		slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return inVolume(v.VolumeSource, secret) })
}

func inEnv(env []corev1.EnvVar, from []corev1.EnvFromSource, secret string) bool {
	return slices.ContainsFunc(env, func(e corev1.EnvVar) bool {
		return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == secret
	}) || slices.ContainsFunc(from, func(e corev1.EnvFromSource) bool {
		return e.SecretRef != nil && e.SecretRef.Name == secret
	})
}

func inVolume(v corev1.VolumeSource, secret string) bool {
	local := func(r *corev1.LocalObjectReference) bool { return r != nil && r.Name == secret }
	switch {
	case v.Secret != nil:
		return v.Secret.SecretName == secret
	case v.Projected != nil:
		return slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.Secret != nil && s.Secret.Name == secret
		})
	case v.CSI != nil:
		return local(v.CSI.NodePublishSecretRef)
	case v.AzureFile != nil:
		return v.AzureFile.SecretName == secret
	case v.CephFS != nil:
		return local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		return local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return local(v.FlexVolume.SecretRef)
	case v.ISCSI != nil:
		return local(v.ISCSI.SecretRef)
	case v.RBD != nil:
		return local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		return local(v.ScaleIO.SecretRef)
	case v.StorageOS != nil:
		return local(v.StorageOS.SecretRef)
	}
	return false
}
