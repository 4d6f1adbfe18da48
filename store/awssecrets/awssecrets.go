// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/handover-go/handover/rotation"
)

// Config of a Store. Only Client is required.
type Config struct {
	Client  *secretsmanager.Client // required; its region is where the secrets are, and where they are not replicas
	Account string                 // the account's number, 12 digits: part of Identity, and Check compares it; empty: not told
	Prefix  string                 // of the names of the secrets: "prod/" keeps the credential "db" in the secret "prod/db"
	KMSKey  string                 // for secrets that Save creates; empty: aws/secretsmanager

	// Field makes what readers find a JSON object, with the secret in this field. Empty: the secret and nothing else. IDField takes
	// Key.ID, and Fields takes attributes, by their names: {"user": "username"}. A key without the attribute leaves the field alone,
	// and so does every rotation the fields that are not named here.
	Field   string
	IDField string
	Fields  map[string]string

	Credentials []string // names whose secrets Check looks into; empty: Check only validates
}

// Store keeps credentials in AWS Secrets Manager. It is made by New and safe for concurrent use. It holds nothing open.
type Store struct {
	cfg Config
}

var (
	_ rotation.SecretStore = (*Store)(nil)
	_ rotation.Conditional = (*Store)(nil)
	_ rotation.Identifier  = (*Store)(nil)
	_ rotation.Checker     = (*Store)(nil)
	_ rotation.Enumerator  = (*Store)(nil)
)

var (
	secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`) // API reference of CreateSecret
	account    = regexp.MustCompile(`^[0-9]{12}$`)
)

// New checks cfg and returns a Store. It does no I/O. The error joins every mistake, each naming its field.
func New(cfg Config) (*Store, error) {
	var errs []error
	if cfg.Client == nil {
		errs = append(errs, problem("awssecrets: Config.Client is required"))
	} else if cfg.Client.Options().Region == "" {
		errs = append(errs, problem("awssecrets: Config.Client has no region"))
	}
	if cfg.Account != "" && !account.MatchString(cfg.Account) {
		errs = append(errs, problem("awssecrets: Config.Account is not a number of 12 digits"))
	}
	if cfg.Prefix != "" && !secretName.MatchString(cfg.Prefix) {
		errs = append(errs, problem("awssecrets: Config.Prefix cannot be part of a secret's name: letters, digits and /_+=.@- can"))
	}
	if cfg.Field == "" && (cfg.IDField != "" || len(cfg.Fields) > 0) {
		errs = append(errs, problem("awssecrets: Config.IDField and Config.Fields need Config.Field"))
	}
	errs = append(errs, oneEach(cfg))
	for _, name := range cfg.Credentials {
		if !secretName.MatchString(cfg.Prefix + name) {
			errs = append(errs, problemf("awssecrets: Config.Credentials: %q with the prefix is no name of a secret", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Credentials = slices.Clone(cfg.Credentials)
	return &Store{cfg}, nil
}

// oneEach refuses a field that two things would be written to.
func oneEach(cfg Config) error {
	var used []string
	for _, field := range append([]string{cfg.Field, cfg.IDField}, fieldsOf(cfg)...) {
		switch {
		case field == "":
		case field == nobodyField:
			return problemf("awssecrets: the field %q is this package's own", field)
		case slices.Contains(used, field):
			return problemf("awssecrets: Config.Field, IDField and Fields name the field %q twice", field)
		}
		used = append(used, field)
	}
	return nil
}

func fieldsOf(cfg Config) []string {
	var fields []string
	for _, field := range cfg.Fields {
		fields = append(fields, field)
	}
	slices.Sort(fields)
	return fields
}

// Load returns what the secret holds. A secret that was there before this library is one current key without an ID. What readers find
// under AWSCURRENT is what is returned as current, whatever the document says: after an interrupted Save, and where somebody changed
// the secret by hand.
//
// It fails for a secret that is scheduled for deletion, for one whose current value is binary, and with rotation.ErrDenied where an
// action is not allowed, which the error names.
func (s *Store) Load(ctx context.Context, name string) (rotation.Versions, error) {
	st, err := s.read(ctx, name)
	if err != nil {
		return rotation.Versions{}, err
	}
	v, err := st.versions()
	if err != nil || v.Stamp == "" || !st.shows(st.doc.Key(rotation.RoleCurrent)) {
		return v, err
	}
	followed, err := st.followed(ctx)
	if err != nil {
		return rotation.Versions{}, err
	}
	if !followed {
		v.Stamp = "" // the engine writes again what has no stamp
	}
	return v, nil
}

// Save writes v: the document first, by a compare-and-swap of the label "handover", and then what readers find. AWSCURRENT moves only
// where v has another current key than before. See the package's documentation for what an interruption leaves.
//
// It fails with rotation.ErrConflict if v.Revision is not what is stored. Secrets that are not valid UTF-8 are refused, and so is what
// is larger than AWS takes: 64 KiB for all keys together.
func (s *Store) Save(ctx context.Context, name string, v rotation.Versions) error {
	doc, err := document(v)
	if err != nil {
		return err
	}
	st, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	if st.revision() != v.Revision {
		return conflict(st.id)
	}
	if st.there {
		if err := s.suits(st.id, st.out); err != nil {
			return err
		}
	}
	w := &writer{store: s, ctx: ctx, state: st}
	return w.write(v, doc)
}

// Names lists the credentials under Prefix, as ListSecrets shows them: it may be five minutes behind.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	in := &secretsmanager.ListSecretsInput{}
	if s.cfg.Prefix != "" {
		in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{s.cfg.Prefix}}}
	}
	var names []string
	for pages := secretsmanager.NewListSecretsPaginator(s.cfg.Client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fail(ctx, "ListSecrets", s.cfg.Prefix+"*", err)
		}
		for _, entry := range page.SecretList {
			if name, ok := strings.CutPrefix(aws.ToString(entry.Name), s.cfg.Prefix); ok && name != "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// Conditional is true: Save compares revisions.
func (s *Store) Conditional() bool { return true }

// Identity is the region, the account if it is known, and the prefix.
func (s *Store) Identity() string {
	return "aws secrets manager " + strings.Join([]string{s.cfg.Client.Options().Region, s.cfg.Account, s.cfg.Prefix}, ":")
}

// String names the place.
func (s *Store) String() string { return s.Identity() }

// GoString keeps %#v as silent as %v.
func (s *Store) GoString() string { return s.Identity() }

func conflict(id string) error {
	return problem("awssecrets: secret \""+id+"\" changed since it was loaded: load it again", rotation.ErrConflict)
}
