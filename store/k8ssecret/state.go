// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// What marks our Secrets.
const (
	prefix         = "handover-go.github.io/"
	bookLabel      = prefix + "versions"   // label of second Secrets: "true"
	credentialMark = prefix + "credential" // annotation of second Secrets
	managedBy      = "app.kubernetes.io/managed-by"
	manager        = "handover"
	document       = "versions" // data key of second Secrets
)

// nothing stands where there is no value, in Secrets of the types that the API server takes with one only, and with JSON in some.
const (
	nothing      = "{}"
	builtInTypes = "kubernetes.io/"
)

// pair is the two Secrets of a credential as they were read; nil: not there.
type pair struct {
	cfg        *Config
	name       string // of main; book's has the suffix behind it
	credential string
	main, book *corev1.Secret
	doc        rotation.Versions // what book holds
}

func (p *pair) names() string { return p.cfg.Namespace + "/" + p.name }

// stepMark is the annotation that both Secrets bear, with one value once a write of both has come to its end. Stores that share
// a readers' Secret have their own.
func (p *pair) stepMark() string {
	h := fnv.New64a()
	h.Write([]byte(p.name + p.cfg.Suffix))
	return fmt.Sprintf("%sstep-%x", prefix, h.Sum64())
}

// token is what the second Secret says that the readers' Secret has to bear.
func (p *pair) token() string {
	if p.book == nil {
		return ""
	}
	return p.book.Annotations[p.stepMark()]
}

// revision changes with either Secret.
func (p *pair) revision() string {
	if p.book == nil && p.main == nil {
		return ""
	}
	return version(p.book) + "." + version(p.main)
}

func version(s *corev1.Secret) string {
	if s == nil {
		return ""
	}
	return s.ResourceVersion
}

// shown is the key that readers of the Secret get; false if they get none.
func (p *pair) shown() (rotation.Key, bool) {
	if p.main == nil {
		return rotation.Key{}, false
	}
	value := string(p.main.Data[p.cfg.Field])
	if value == nothing {
		value = ""
	}
	key := rotation.Key{Secret: secret.New(value)}
	for attribute, field := range p.cfg.Fields {
		if text, ok := p.main.Data[field]; ok {
			if key.Attributes == nil {
				key.Attributes = map[string]string{}
			}
			key.Attributes[attribute] = string(text)
		}
	}
	return key, value != ""
}

// shows reports whether readers get all that they are to get of key.
func (p *pair) shows(key rotation.Key) bool {
	shown, _ := p.shown()
	if !shown.Secret.Equal(key.Secret) {
		return false
	}
	for attribute := range p.cfg.Fields {
		if want := key.Attributes[attribute]; want != "" && shown.Attributes[attribute] != want {
			return false
		}
	}
	return true
}

// inStep reports whether nothing is to be changed in the readers' Secret for v, and nobody is about to.
func (p *pair) inStep(v rotation.Versions) bool {
	var mark string
	if p.main != nil {
		mark = p.main.Annotations[p.stepMark()]
	}
	return mark == p.token() && p.shows(v.Key(rotation.RoleCurrent))
}

// versions is what is stored. What readers get is current: the document may be ahead of them, or somebody else wrote. If that is a
// compromised key they are to get it no more: without a stamp the engine writes again.
func (p *pair) versions() rotation.Versions {
	v := p.doc
	v.Keys, v.Revision = slices.Clone(v.Keys), p.revision()
	if p.shows(v.Key(rotation.RoleCurrent)) {
		return v
	}
	for i := range v.Keys {
		if v.Keys[i].Role == rotation.RoleCurrent {
			v.Keys[i].Role = free(v)
		}
	}
	key, ok := p.shown()
	if !ok {
		return v
	}
	at := slices.IndexFunc(v.Keys, func(k rotation.StoredKey) bool { return p.shows(k.Key) })
	if at < 0 {
		v.Keys = append(v.Keys, rotation.StoredKey{Key: key, Role: rotation.RoleCurrent})
	} else {
		v.Keys[at].Role = rotation.RoleCurrent
		if v.Keys[at].Compromised {
			v.Stamp = ""
		}
	}
	return v
}

// free is the role of a key that should be current and is not: there is one pending key at most.
func free(v rotation.Versions) rotation.Role {
	if slices.ContainsFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RolePending }) {
		return rotation.RolePrevious
	}
	return rotation.RolePending
}

// withLeaving is v and, as retiring, what is stored and not in v: it stays until readers have the new key.
func (p *pair) withLeaving(v rotation.Versions) (rotation.Versions, bool) {
	kept := v.Keys
	v.Keys = slices.Clone(v.Keys)
	for _, k := range p.versions().Keys {
		if !slices.ContainsFunc(kept, func(o rotation.StoredKey) bool {
			return o.Key.Serial == k.Key.Serial && o.Key.Secret.Equal(k.Key.Secret)
		}) {
			k.Role = rotation.RoleRetiring
			v.Keys = append(v.Keys, k)
		}
	}
	return v, len(v.Keys) > len(kept)
}

// change is what a write makes of the readers' data: nil removes a data key.
func (p *pair) change(key rotation.Key) map[string][]byte {
	data := map[string][]byte{p.cfg.Field: nil}
	switch {
	case !key.Secret.IsZero():
		data[p.cfg.Field] = []byte(key.Secret.Reveal())
	case p.main != nil && strings.HasPrefix(string(p.main.Type), builtInTypes):
		data[p.cfg.Field] = []byte(nothing)
	}
	for attribute, field := range p.cfg.Fields {
		if value := key.Attributes[attribute]; value != "" { // an empty user name is none
			data[field] = []byte(value)
		}
	}
	return data
}

// sameForReaders reports whether a Secret that was read again has what matters unchanged.
func (p *pair) sameForReaders(again *corev1.Secret) bool {
	if p.main == nil || again == nil {
		return p.main == nil && again == nil
	}
	mark := p.stepMark()
	return again.Annotations[mark] == p.main.Annotations[mark] && maps.EqualFunc(p.ours(p.main), p.ours(again), slices.Equal)
}

// ours is the part of the data that this store writes.
func (p *pair) ours(s *corev1.Secret) map[string][]byte {
	data := map[string][]byte{}
	for _, field := range append(slices.Collect(maps.Values(p.cfg.Fields)), p.cfg.Field) {
		if value, ok := s.Data[field]; ok {
			data[field] = value
		}
	}
	return data
}
