// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/rotation"
)

const (
	prefix  = "handover-go.github.io/"
	keysTag = prefix + "keys" // annotation of pod templates, and so of pods: which key of each credential they were started with
	manager = "handover"
)

// stamp is the identity of a key as pods bear it.
type stamp struct {
	ID         string `json:"id,omitzero"`
	Serial     int64  `json:"serial,omitzero"`
	Generation int    `json:"generation,omitzero"`

	// State tells one write of the store from another. What went back and forth again is not what it was: a pod that started in
	// between has the other key.
	State string `json:"state,omitzero"`
}

func stampOf(k rotation.Key, v rotation.Versions) stamp {
	s := stamp{ID: k.ID, Serial: k.Serial, Generation: k.Generation}
	if v.Stamp != "" {
		sum := sha256.Sum256([]byte(v.Stamp))
		s.State = hex.EncodeToString(sum[:6])
	}
	return s
}

func (s stamp) key() rotation.Key {
	return rotation.Key{ID: s.ID, Serial: s.Serial, Generation: s.Generation}
}

// stamps are those of every credential. What somebody else made of the annotation counts as none.
func stamps(annotations map[string]string) map[string]stamp {
	all := map[string]stamp{}
	if json.Unmarshal([]byte(annotations[keysTag]), &all) != nil {
		return map[string]stamp{}
	}
	return all
}

// stampPatch is a merge patch that stamps the pod template at path, and only at that version of the workload: a patch that was
// held up on its way does not undo what came after it.
func stampPatch(version string, before map[string]string, now map[string]stamp, path ...string) ([]byte, error) {
	all := stamps(before)
	maps.Copy(all, now)
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	var template any = map[string]any{"metadata": map[string]any{"annotations": map[string]string{keysTag: string(text)}}}
	for i := len(path) - 1; i >= 0; i-- {
		template = map[string]any{path[i]: template}
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": version}, "spec": template})
}

// same reports whether a store shows the key of a request.
func same(a, b rotation.Key) bool {
	return a.Serial == b.Serial && a.ID == b.ID && a.Generation == b.Generation && a.Secret.Equal(b.Secret)
}

// hostOf is where a real client talks to.
func hostOf(c kubernetes.Interface) string {
	if r, ok := c.CoreV1().RESTClient().(*rest.RESTClient); ok && r != nil {
		return r.Get().URL().Host
	}
	return "a client without an address"
}

// Workload is what runs pods, or did.
type Workload struct {
	Kind            string // as in its manifest: Deployment
	Namespace, Name string
}

// String is like "Deployment payments/api".
func (w Workload) String() string { return fmt.Sprintf("%s %s/%s", w.Kind, w.Namespace, w.Name) }
