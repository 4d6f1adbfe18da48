// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
)

// applied is what is to become of the annotation in which kubectl apply keeps the manifest, values and all: without the data that
// is written here. It would keep the old value, and apply would delete the data key once the manifest does not have it any more.
// An annotation that cannot be read is removed.
func applied(s *corev1.Secret, data map[string][]byte) map[string]*string {
	text, ok := s.Annotations[corev1.LastAppliedConfigAnnotation]
	if !ok {
		return nil
	}
	remove := map[string]*string{corev1.LastAppliedConfigAnnotation: nil}
	manifest := map[string]json.RawMessage{}
	if json.Unmarshal([]byte(text), &manifest) != nil {
		return remove
	}
	for _, member := range []string{"data", "stringData"} {
		if manifest[member] == nil {
			continue
		}
		fields := map[string]json.RawMessage{}
		if json.Unmarshal(manifest[member], &fields) != nil {
			return remove
		}
		for field := range data {
			delete(fields, field)
		}
		rest, err := json.Marshal(fields)
		if err != nil {
			return remove
		}
		manifest[member] = rest
	}
	rest, err := json.Marshal(manifest)
	if err != nil {
		return remove
	}
	left := string(rest)
	return map[string]*string{corev1.LastAppliedConfigAnnotation: &left}
}
