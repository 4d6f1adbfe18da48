// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// Config says where the Secrets are.
type Config struct {
	Client    kubernetes.Interface // required. Its rest.Config should have a Timeout, and a QPS above the default of 5
	Namespace string               // required

	// Field is the data key that holds the current key's value; empty: "value".
	Field string

	// Fields are more data keys that readers take from the same Secret: the attribute of a key, and the data key that holds it, such
	// as {"user": "username"}. The data key of an attribute that a key does not have is left as it is.
	Fields map[string]string

	// Names are the Secrets of credentials; empty: each credential's Secret is called like the credential, with "." for "/". Where
	// Names is set there are no other credentials, and a Role may be limited to these Secrets by resourceNames.
	Names map[string]string

	// Suffix makes the name of the second Secret, which no pod should refer to; empty: "-handover". Two stores that write different
	// Fields of one Secret need two of them.
	Suffix string
}

// Store keeps each credential in two Secrets of one namespace. It comes from New, holds nothing open, and is safe for concurrent
// use.
type Store struct {
	cfg  Config
	host string
}

var (
	_ rotation.SecretStore = (*Store)(nil)
	_ rotation.Conditional = (*Store)(nil)
	_ rotation.Enumerator  = (*Store)(nil)
	_ rotation.Identifier  = (*Store)(nil)
	_ rotation.Checker     = (*Store)(nil)
)

// New returns a Store, or an error that names every field that is missing or wrong. It does no I/O: see Check.
func New(cfg Config) (*Store, error) {
	cfg.Field, cfg.Suffix = cmp.Or(cfg.Field, "value"), cmp.Or(cfg.Suffix, "-handover")
	cfg.Fields, cfg.Names = maps.Clone(cfg.Fields), maps.Clone(cfg.Names)
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, failf(nil, "Config."+format, args...)) }
	if cfg.Client == nil {
		mistake("Client is required")
	}
	if wrong := validation.IsDNS1123Label(cfg.Namespace); len(wrong) > 0 {
		mistake("Namespace %q is no name of a namespace", cfg.Namespace)
	}
	if wrong := validation.IsDNS1123Subdomain("x" + cfg.Suffix); len(wrong) > 0 {
		mistake("Suffix %q is no end of a Secret's name", cfg.Suffix)
	}
	used := map[string]bool{}
	for _, f := range append(slices.Sorted(maps.Values(cfg.Fields)), cfg.Field) {
		if len(validation.IsConfigMapKey(f)) > 0 {
			mistake("Field or Config.Fields: %q is no key of a Secret's data", f)
		}
		if used[f] {
			mistake("Field or Config.Fields: %q is written twice", f)
		}
		used[f] = true
	}
	for _, credential := range slices.Sorted(maps.Keys(cfg.Names)) {
		if name := cfg.Names[credential]; len(validation.IsDNS1123Subdomain(name+cfg.Suffix)) > 0 || name == "" {
			mistake("Names[%q]: %q is no name of a Secret", credential, name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Store{cfg, hostOf(cfg.Client)}, nil
}

// hostOf is where a real client talks to.
func hostOf(c kubernetes.Interface) string {
	if r, ok := c.CoreV1().RESTClient().(*rest.RESTClient); ok && r != nil {
		return r.Get().URL().Host
	}
	return "a client without an address"
}

// Load returns what is stored of a credential, with the key that readers see as current, whatever the second Secret says: where
// they differ a Save was interrupted, or somebody else wrote. A Secret that was there before this library is one current key
// without an ID.
func (s *Store) Load(ctx context.Context, name string) (rotation.Versions, error) {
	p, err := s.read(ctx, name)
	if err != nil {
		return rotation.Versions{}, err
	}
	return p.versions(), nil
}

// Save writes both Secrets, or the second one alone where what readers see stays as it is. It fails with rotation.ErrConflict if
// either changed since Load, by whomever. It refuses a Secret that is immutable before it writes anything.
func (s *Store) Save(ctx context.Context, name string, v rotation.Versions) error {
	doc, err := store.Marshal(v)
	if err != nil {
		return err
	}
	p, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	if v.Revision != p.revision() {
		return failf([]error{rotation.ErrConflict}, "Secret %s changed since it was loaded", p.names())
	}
	if p.inStep(v) {
		return s.keep(ctx, &p, doc, p.token())
	}
	if p.main != nil && p.main.Immutable != nil && *p.main.Immutable {
		return failf(nil, "Secret %s/%s is immutable: replace it by one that can be changed", s.cfg.Namespace, p.name)
	}
	return s.move(ctx, &p, v, doc)
}

// Names returns the credentials that were saved, in order. Without Config.Names that needs the right to list Secrets.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	if len(s.cfg.Names) == 0 {
		return s.list(ctx)
	}
	var names []string
	for _, credential := range slices.Sorted(maps.Keys(s.cfg.Names)) {
		book, err := s.get(ctx, s.cfg.Names[credential]+s.cfg.Suffix)
		if err != nil {
			return nil, err
		}
		if book != nil {
			names = append(names, credential)
		}
	}
	return names, nil
}

// Conditional is true: Save compares resource versions.
func (s *Store) Conditional() bool { return true }

// Identity is the API server's address and the namespace.
func (s *Store) Identity() string {
	return fmt.Sprintf("Secrets of namespace %s at %s", s.cfg.Namespace, s.host)
}

// secretName is the readers' Secret of a credential.
func (s *Store) secretName(credential string) (string, error) {
	if len(s.cfg.Names) > 0 {
		if name := s.cfg.Names[credential]; name != "" {
			return name, nil
		}
		return "", failf(nil, "credential %q is not in Config.Names", credential)
	}
	name := strings.ReplaceAll(credential, "/", ".")
	if len(validation.IsDNS1123Subdomain(name+s.cfg.Suffix)) > 0 || name == "" {
		return "", failf(nil, "credential %q cannot be the name of a Secret: give it one in Config.Names", credential)
	}
	return name, nil
}
