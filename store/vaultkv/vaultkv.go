// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/hashicorp/vault/api"
)

// Config says where the secrets are and which fields their readers know.
type Config struct {
	// Client is required: its address, TLS and namespace are taken over by New, its token is asked for before every request, so that
	// whoever renews it may set another one at any time. A request is never repeated here, whatever the Client says: the engine does.
	Client *api.Client

	// Token is asked for before every request in place of the Client's token: a consumer.Handle's key, where handover rotates the
	// token that it works with. nil: the Client's token.
	Token func() secret.Value

	Mount  string // path of a KV version 2 mount; empty: "secret"
	Prefix string // path before the names of credentials: "api-credentials"; empty: none

	Current    string            // field with the value that readers use; empty: "api_key"
	Previous   string            // field with the value before it, while that is accepted, and "" afterwards; empty: "previous_key"
	Document   string            // field with all keys and their roles, handover's own; empty: "handover"
	Metadata   map[string]string // from Versions.Metadata to fields; nil: see doc.go. What has no field stays inside Document
	Attributes map[string]string // from attributes of the current key to fields: {"user": "username"}; nil: none

	// AnyNode takes every node's answer. Set it where no standby answers by itself (Vault without performance standbys, OpenBao with
	// disable_standby_reads), or where sys/health cannot be reached. false: the answer of a standby is refused, as it may be old.
	AnyNode bool

	CheckName string // name of a credential that Check asks the token's capabilities for; empty: "handover-check"
}

// Store keeps each credential in one secret of a KV version 2 mount. It comes from New. It is safe for concurrent use, holds nothing
// open and needs no Close.
type Store struct {
	cfg    Config
	client *api.Client // without retries and callbacks

	mu    sync.Mutex
	swept map[string]string // path to the revision whose history is known to be clean; guarded by mu
}

var (
	_ rotation.SecretStore = (*Store)(nil)
	_ rotation.Conditional = (*Store)(nil)
	_ rotation.Enumerator  = (*Store)(nil)
	_ rotation.Identifier  = (*Store)(nil)
	_ rotation.Checker     = (*Store)(nil)
)

// New returns a Store, or an error that names each field that is missing or wrong. It does no I/O.
func New(c Config) (*Store, error) {
	c.Mount, c.Prefix = strings.Trim(c.Mount, "/"), strings.Trim(c.Prefix, "/")
	for field, otherwise := range map[*string]string{
		&c.Mount: "secret", &c.Current: "api_key", &c.Previous: "previous_key", &c.Document: "handover", &c.CheckName: "handover-check",
	} {
		if *field == "" {
			*field = otherwise
		}
	}
	if c.Metadata == nil {
		c.Metadata = map[string]string{}
		for _, name := range []string{"rotated_at", "rotated_by", "rotation_verified_at", "emergency_rotation", "incident_reference"} {
			c.Metadata[name] = name
		}
	}
	c.Metadata, c.Attributes = maps.Clone(c.Metadata), maps.Clone(c.Attributes)
	if err := c.validate(); err != nil {
		return nil, err
	}
	client, err := c.Client.CloneWithHeaders()
	if err != nil {
		return nil, problem("Config.Client cannot be cloned: its address or TLS settings are wrong")
	}
	client.SetMaxRetries(0)
	return &Store{cfg: c, client: client, swept: map[string]string{}}, nil
}

func (c *Config) validate() error {
	var errs []error
	if c.Client == nil {
		errs = append(errs, problem("Config.Client is required"))
	}
	if text := badPath(c.Mount); text != "" {
		errs = append(errs, problem("Config.Mount "+text))
	}
	if text := badPath(c.Prefix); c.Prefix != "" && text != "" {
		errs = append(errs, problem("Config.Prefix "+text))
	}
	if text := badPath(c.CheckName); text != "" {
		errs = append(errs, problem("Config.CheckName "+text))
	}
	fields := slices.Concat([]string{c.Current, c.Previous, c.Document, c.sweepField()},
		slices.Sorted(maps.Values(c.Metadata)), slices.Sorted(maps.Values(c.Attributes)))
	for i, field := range fields {
		if field == "" || !utf8.ValidString(field) {
			errs = append(errs, problem("Config: the name of a field is empty or not valid UTF-8 (Current, Previous, Document, Metadata, Attributes)"))
		} else if slices.Contains(fields[:i], field) {
			errs = append(errs, problem(fmt.Sprintf("Config: the field %q is given two meanings (Current, Previous, Document, Metadata, Attributes)", field)))
		}
	}
	return errors.Join(errs...)
}

// sweepField is the field that names the versions whose values have left, and that are destroyed with all before them; see state.
func (c *Config) sweepField() string { return c.Document + "_destroyed" }

// Load returns the keys of the credential name. A current value that somebody wrote by hand is the current key, without an ID; what
// was current before it is then the previous one. Values that an interrupted Save has still to destroy are retiring keys. It fails if
// the latest version of the secret is deleted or destroyed, and says how to go on.
func (s *Store) Load(ctx context.Context, name string) (rotation.Versions, error) {
	p, err := s.path(name)
	if err != nil {
		return rotation.Versions{}, err
	}
	if err := s.active(ctx); err != nil {
		return rotation.Versions{}, err
	}
	latest, err := s.read(ctx, p, 0)
	if err != nil {
		return rotation.Versions{}, err
	}
	if latest.version == 0 {
		return rotation.Versions{}, s.mounted(ctx)
	}
	st, err := s.state(ctx, p, latest)
	return st.versions, err
}

// Save writes v as a new version of the secret, with check-and-set, and keeps the fields that are not handover's. If a value has
// left, it then destroys every version before that one, as each of them may hold it. It fails with rotation.ErrConflict if the
// secret is not at v.Revision. After any other error Load tells whether v was stored, and what is still to be destroyed.
func (s *Store) Save(ctx context.Context, name string, v rotation.Versions) error {
	p, err := s.path(name)
	if err != nil {
		return err
	}
	document, err := store.Marshal(v)
	if err != nil {
		return err
	}
	if !utf8.ValidString(v.Key(rotation.RoleCurrent).Secret.Reveal()) || !utf8.ValidString(v.Key(rotation.RolePrevious).Secret.Reveal()) {
		return problem("write " + p + ": the value of a key is not valid UTF-8, and a field cannot hold it")
	}
	latest, err := s.read(ctx, p, 0)
	if err != nil {
		return err
	}
	var st state
	if latest.version > 0 {
		st, err = s.state(ctx, p, latest)
	} else {
		err = s.mounted(ctx) // any path is absent where nothing is mounted, or where a mount keeps no versions
	}
	if err != nil {
		return err
	}
	if latest.revision() != v.Revision {
		return &failure{text: p + " changed since it was loaded", is: []error{rotation.ErrConflict}}
	}
	fields := s.encode(latest.fields, st.versions, v, document)
	condemned := st.leave(v)
	if len(condemned) > 0 {
		fields[s.cfg.sweepField()] = strings.Join(condemned, separator)
	} else if st.destroyed == 0 { // all that is in the history is in v: to destroy it is for the Save that takes it away
		delete(fields, s.cfg.sweepField())
	}
	written, err := s.write(ctx, p, latest.version, fields)
	if err != nil {
		return err
	}
	if len(condemned) > 0 {
		if err := s.destroy(ctx, p, st.destroyed+1, latest.version); err != nil {
			return err
		}
	}
	s.setSwept(p, written)
	return nil
}

// Names returns the names of all secrets under the prefix, in order, whoever wrote them. It lists folder by folder.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	names := []string{}
	folders := []string{""}
	for len(folders) > 0 {
		folder := folders[0]
		folders = folders[1:]
		keys, err := s.list(ctx, join(s.cfg.Prefix, folder))
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if strings.HasSuffix(key, "/") {
				folders = append(folders, folder+key)
			} else {
				names = append(names, folder+key)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// Conditional is true: Save writes with check-and-set.
func (s *Store) Conditional() bool { return true }

// Identity is the server's address, the namespace, the mount and the prefix.
func (s *Store) Identity() string {
	where := s.client.Address()
	if ns := strings.Trim(s.client.Namespace(), "/"); ns != "" {
		where += " " + ns
	}
	return "vault " + where + " " + join(s.cfg.Mount, s.cfg.Prefix)
}

// path is the secret of a credential, below the mount.
func (s *Store) path(name string) (string, error) {
	if text := badPath(name); text != "" {
		return "", problem(fmt.Sprintf("the name of the credential, %q, %s", name, text))
	}
	return join(s.cfg.Prefix, name), nil
}

func join(folder, name string) string { return strings.Trim(folder+"/"+name, "/") }

// badPath says why p is no path of a secret: Vault refuses what is not printable, and clients clean paths.
func badPath(p string) string {
	switch {
	case p == "":
		return "is empty"
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "is not printable"
	case strings.HasPrefix(p, " ") || strings.HasSuffix(p, " "):
		return "begins or ends with a space"
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return "has an empty part, or . or .. as one"
		}
	}
	return ""
}
