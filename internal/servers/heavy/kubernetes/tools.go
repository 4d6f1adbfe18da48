// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package kubernetes names two programs of Kubernetes, so that its go.mod and go.sum pin what they are built of.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
