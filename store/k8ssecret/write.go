// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// tries is how often a call begins anew because somebody else was at it at the same time.
const tries = 5

// read reads both Secrets as they were at one moment. The second one is read first: if readers have what it says, they belong
// together. Else it is read again, and if it is the same one still, nobody wrote between.
func (s *Store) read(ctx context.Context, credential string) (pair, error) {
	name, err := s.secretName(credential)
	if err != nil {
		return pair{}, err
	}
	for range tries {
		p := pair{cfg: &s.cfg, name: name, credential: credential}
		if p.book, err = s.get(ctx, name+s.cfg.Suffix); err != nil {
			return p, err
		}
		if p.main, err = s.get(ctx, name); err != nil {
			return p, err
		}
		if err := p.decode(); err != nil {
			return p, err
		}
		if p.shows(p.doc.Key(rotation.RoleCurrent)) {
			return p, nil
		}
		again, err := s.get(ctx, name+s.cfg.Suffix)
		if err != nil {
			return p, err
		}
		if version(again) == version(p.book) {
			return p, nil
		}
	}
	return pair{}, failf([]error{rotation.ErrConflict}, "read Secret %s/%s: others write it all the time", s.cfg.Namespace, name)
}

// get returns nil for a Secret that is not there.
func (s *Store) get(ctx context.Context, name string) (*corev1.Secret, error) {
	found, err := s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, failed("get", "Secret "+s.cfg.Namespace+"/"+name, err)
	}
	return found, nil
}

// decode reads the document, and refuses what belongs to somebody else.
func (p *pair) decode() error {
	if p.main != nil && p.main.Labels[bookLabel] != "" {
		return failf(nil, "Secret %s is the second Secret of credential %q: give credential %q another one in Config.Names",
			p.names(), p.main.Annotations[credentialMark], p.credential)
	}
	if p.book == nil {
		return nil
	}
	if of := p.book.Annotations[credentialMark]; p.book.Labels[bookLabel] == "" || of != p.credential {
		return failf(nil, "Secret %s%s is not the one of credential %q (but of %q): give the credential another name, or the store another Config.Suffix",
			p.names(), p.cfg.Suffix, p.credential, of)
	}
	doc, err := store.Unmarshal(p.book.Data[document])
	if err != nil {
		return failf(nil, "Secret %s%s is damaged: %v", p.names(), p.cfg.Suffix, err) // its text quotes nothing
	}
	p.doc = doc
	return nil
}

// keep writes the second Secret, at the version that was read.
func (s *Store) keep(ctx context.Context, p *pair, doc []byte, token string) error {
	name, secrets := p.name+s.cfg.Suffix, s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace)
	marks := map[string]string{credentialMark: p.credential}
	if token != "" {
		marks[p.stepMark()] = token
	}
	var written *corev1.Secret
	var err error
	if p.book == nil {
		written, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{managedBy: manager, bookLabel: "true"}, Annotations: marks},
			Type:       corev1.SecretTypeOpaque,
			Data:       map[string][]byte{document: doc},
		}, metav1.CreateOptions{FieldManager: manager})
	} else {
		written, err = s.patch(ctx, name, p.book.ResourceVersion, marks, map[string][]byte{document: doc})
	}
	if err != nil {
		return missed(failed("write", "Secret "+s.cfg.Namespace+"/"+name, err), p.book != nil)
	}
	p.book = written
	return nil
}

// move writes the second Secret first, with every key from before and after, then what readers see, and then takes away what
// left. Wherever it ends, no key is lost, and Load says which one readers have.
func (s *Store) move(ctx context.Context, p *pair, v rotation.Versions, doc []byte) error {
	all, leaving := p.withLeaving(v)
	first := doc
	if leaving {
		var err error
		if first, err = store.Marshal(all); err != nil {
			return err
		}
	}
	token := rand.Text()
	if err := s.keep(ctx, p, first, token); err != nil {
		return err
	}
	if err := s.show(ctx, p, v.Key(rotation.RoleCurrent), token); err != nil {
		return err
	}
	if !leaving {
		return nil
	}
	return s.keep(ctx, p, doc, token)
}

// show writes the readers' Secret. A change of what is not ours does not stop it, a change of what is ours does.
func (s *Store) show(ctx context.Context, p *pair, key rotation.Key, token string) error {
	var err error
	for range tries {
		if err = s.showOnce(ctx, p, key, token); !errors.Is(err, rotation.ErrConflict) {
			return err
		}
		again, getErr := s.get(ctx, p.name)
		if getErr != nil {
			return getErr
		}
		if !p.sameForReaders(again) {
			return err
		}
		p.main = again
	}
	return err
}

func (s *Store) showOnce(ctx context.Context, p *pair, key rotation.Key, token string) error {
	data, marks := p.change(key), map[string]string{p.stepMark(): token}
	var err error
	if p.main == nil {
		_, err = s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: p.name, Labels: map[string]string{managedBy: manager}, Annotations: marks},
			Type:       corev1.SecretTypeOpaque,
			Data:       dropNil(data),
		}, metav1.CreateOptions{FieldManager: manager})
	} else {
		_, err = s.patch(ctx, p.name, p.main.ResourceVersion, marks, data, applied(p.main, data))
	}
	if err != nil {
		return missed(failed("write", "Secret "+p.names(), err), p.main != nil)
	}
	return nil
}

func dropNil(data map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for field, value := range data {
		if value != nil {
			out[field] = value
		}
	}
	return out
}

// missed makes a conflict of a Secret that was there and is not any more. One that could not be created has no namespace.
func missed(err error, existed bool) error {
	if existed && errors.Is(err, rotation.ErrNotFound) {
		return failf([]error{rotation.ErrConflict}, "a Secret was deleted since it was loaded")
	}
	return err
}

// patch changes only what is named, so that nothing of anybody else gets lost, and only at that version.
func (s *Store) patch(ctx context.Context, name, version string, marks map[string]string, data map[string][]byte, more ...map[string]*string) (*corev1.Secret, error) {
	annotations := map[string]*string{}
	for k, v := range marks {
		annotations[k] = &v
	}
	for _, m := range more {
		for k, v := range m {
			annotations[k] = v
		}
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": version, "annotations": annotations},
		"data":     data,
	})
	if err != nil {
		return nil, err
	}
	return s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: manager})
}

// list pages through the second Secrets. A page that has expired makes it begin anew.
func (s *Store) list(ctx context.Context) ([]string, error) {
	for range tries {
		names, err := s.listOnce(ctx)
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			if err != nil {
				return nil, failed("list", "Secrets of namespace "+s.cfg.Namespace, err)
			}
			slices.Sort(names)
			return names, nil
		}
	}
	return nil, failf(nil, "list Secrets of namespace %s: each list expired before its end", s.cfg.Namespace)
}

func (s *Store) listOnce(ctx context.Context) ([]string, error) {
	var names []string
	options := metav1.ListOptions{LabelSelector: bookLabel + "=true", Limit: 200}
	for {
		page, err := s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for _, found := range page.Items {
			credential := found.Annotations[credentialMark]
			if name, err := s.secretName(credential); err == nil && name+s.cfg.Suffix == found.Name { // else of another store
				names = append(names, credential)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return names, nil
		}
	}
}
