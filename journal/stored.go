// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// suffix of the name under which a Stored keeps the entry of a credential.
const suffix = "/handover"

// Stored is a journal that lies beside the secrets: for CI jobs and functions that have a secret store and nothing else. The
// entry of a credential lies in rotation.Versions.Metadata under its name and "/handover", with no keys, so the store has
// to take names with a slash and without keys. A credential that is itself named "a/handover" cannot share the store with
// the journal of "a": the method that meets it fails and writes nothing.
//
// It compares revisions exactly as far as the store does (see Conditional), its clock is time.Now, and it is safe for
// concurrent use. A Save is one Load and one Save of the store. A Due is one Load for each of its names, one after the
// other: it is meant for tens of credentials.
type Stored struct{ store rotation.SecretStore }

// InStore returns a journal in store. It does no I/O; a nil store is an error of every method.
func InStore(store rotation.SecretStore) *Stored { return &Stored{store} }

// Load returns the entry of credential, or a zero Entry. It fails if something else lies under the name.
func (j *Stored) Load(ctx context.Context, credential string) (rotation.Entry, error) {
	e, _, err := j.load(ctx, credential)
	return e, wrap(err, "load", credential)
}

// Save writes e if its Revision is the one that is stored, and fails with rotation.ErrConflict if it is not, or if the store
// says that it was changed between Save's look and its write.
func (j *Stored) Save(ctx context.Context, e rotation.Entry) error {
	return wrap(j.save(ctx, e), "save", e.Credential)
}

func (j *Stored) save(ctx context.Context, e rotation.Entry) error {
	if err := checkSave(ctx, e); err != nil {
		return err
	}
	stored, revision, err := j.load(ctx, e.Credential)
	if err != nil {
		return err
	}
	if stored.Revision != e.Revision {
		return rotation.ErrConflict
	}
	e.Revision++
	e.SavedAt = time.Now()
	v := rotation.Versions{Metadata: encode(e), Revision: revision}
	return j.store.Save(ctx, e.Credential+suffix, v)
}

// load returns the entry and the store's own revision of it, both zero if it is absent.
func (j *Stored) load(ctx context.Context, credential string) (rotation.Entry, string, error) {
	if err := errors.Join(j.setup(), checkLoad(ctx, credential)); err != nil {
		return rotation.Entry{}, "", err
	}
	v, err := j.store.Load(ctx, credential+suffix)
	if err != nil {
		return rotation.Entry{}, "", err
	}
	if len(v.Keys) > 0 {
		return rotation.Entry{}, "", malformedf("%q holds keys: it is another credential", credential+suffix)
	}
	if len(v.Metadata) == 0 {
		return rotation.Entry{}, v.Revision, nil
	}
	e, err := decode(v.Metadata)
	if err == nil && e.Credential != credential {
		err = malformedf("%q holds the entry of another credential", credential+suffix)
	}
	if err != nil {
		return rotation.Entry{}, "", err
	}
	return e, v.Revision, nil
}

// Due loads the entry of each of names and returns those due before t, soonest first, at most limit of them. An entry that
// cannot be read keeps nobody else waiting: it is passed over, and what is due is returned beside an error that names it.
// Any other error ends the call.
func (j *Stored) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	if err := errors.Join(j.setup(), ctx.Err()); err != nil || limit < 1 {
		return nil, wrapDue(err)
	}
	var due []rotation.Entry
	var unreadable []error
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] || checkName(name) != nil {
			continue
		}
		seen[name] = true
		e, _, err := j.load(ctx, name)
		if bad := malformed(""); errors.As(err, &bad) {
			unreadable = append(unreadable, wrap(err, "load", name))
			continue
		}
		if err != nil {
			return nil, wrapDue(err)
		}
		if !e.Due.IsZero() && e.Due.Before(t) {
			due = append(due, e)
		}
	}
	sortSoonest(due)
	return due[:min(len(due), limit)], wrapDue(errors.Join(unreadable...))
}

// Conditional is that of the store: rotation.New refuses a journal on a store where the last write wins.
func (j *Stored) Conditional() bool {
	c, ok := rotation.As[rotation.Conditional](j.store)
	return ok && c.Conditional()
}

// Identity is that of the store, or its Go type if it has none.
func (j *Stored) Identity() string {
	if id, ok := rotation.As[rotation.Identifier](j.store); ok {
		return "journal in " + id.Identity()
	}
	return fmt.Sprintf("journal in %T", j.store)
}

// Validate says what is missing, without I/O.
func (j *Stored) Validate() error {
	if err := j.setup(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *Stored) setup() error {
	if j.store == nil {
		return setupError("InStore: store is required")
	}
	return nil
}

// Check says whether the journal can do its part: the store is there, compares revisions and passes its own Check, if it has
// one.
func (j *Stored) Check(ctx context.Context) error {
	if err := j.Validate(); err != nil {
		return err
	}
	if !j.Conditional() {
		return setupErrorf("journal: InStore: %T does not compare revisions: two writers would lose entries", j.store)
	}
	if c, ok := rotation.As[rotation.Checker](j.store); ok {
		return c.Check(ctx)
	}
	return nil
}
