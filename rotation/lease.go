// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// errLost ends an Advance quietly: somebody else drives now, and whoever lost the lease starts no further effect.
var errLost = errors.New("the lease was lost")

// sighting is when this process first saw an entry under somebody's lease.
type sighting struct {
	revision int64
	at       time.Time // with its monotonic reading
}

// newID is unguessable and unique: 16 letters and digits.
func newID() string { return rand.Text()[:idLength] }

const idLength = 16

// entry reads an entry.
func (r *Rotator) entry(ctx context.Context, name string) (Entry, error) {
	e, err := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Entry, error) {
		return r.cfg.Journal.Load(ctx, name)
	})
	if err != nil {
		return e, &Error{Credential: name, Evidence: "the journal does not answer", Err: hide(err)}
	}
	return e, nil
}

// load reads an entry and what is in it.
func (r *Rotator) load(ctx context.Context, name string) (Entry, *state, error) {
	e, err := r.entry(ctx, name)
	if err != nil {
		return e, nil, err
	}
	st, err := decode(e)
	return e, st, err
}

// expired reports whether the lease in e is over. Its end is not a time on anybody's clock: either this process has seen the
// entry unchanged for the whole lease, or the journal's own time stamp is older than the lease and the clocks' tolerance.
func (r *Rotator) expired(e Entry, l *lease) bool {
	now := time.Now()
	r.mu.Lock()
	seen, ok := r.sightings[e.Credential]
	if !ok || seen.revision != e.Revision {
		seen = sighting{e.Revision, now}
		r.sightings[e.Credential] = seen
	}
	r.mu.Unlock()
	if now.Sub(seen.at) >= l.For {
		return true
	}
	return !e.SavedAt.IsZero() && now.Sub(e.SavedAt) > l.For+r.cfg.ClockSkew
}

// busy is what a method answers that needs the lease while somebody else has it.
func busy(name string, l *lease) error {
	by := "another process"
	if l != nil {
		by = l.Actor
	}
	return &Error{Credential: name, Evidence: "it is being driven by " + by, Action: "try again in a moment", Err: ErrConflict}
}

// acquire takes the lease. It returns nil and the state if somebody else has it. An emergency takes it from anybody: the
// holder is ejected at its next write, and must settle like one whose lease ran out.
func (r *Rotator) acquire(ctx context.Context, reg *registration, e Entry, st *state, by force) (*drive, *state, error) {
	now := time.Now()
	if l := st.Lease; l != nil {
		if by != byForce && !r.expired(e, l) {
			return nil, st, nil
		}
		if end := now.Add(l.Settle); end.After(st.Settle) {
			st.Settle = end
		}
	}
	st.Epoch++
	st.Lease = &lease{
		Owner:  newID(),
		Actor:  r.actor(ctx),
		For:    r.cfg.Lease,
		Settle: r.settle(reg),
	}
	st.Outbox.know(r.cfg.Sinks, now)
	d := &drive{r: r, ctx: ctx, reg: reg, st: st, revision: e.Revision, began: now}
	if err := d.save(); err != nil {
		if errors.Is(err, errLost) { // somebody was faster
			_, st, err := r.load(ctx, reg.Name)
			return nil, st, err
		}
		return nil, nil, err
	}
	r.rouse(reg.Name)
	return d, st, nil
}

// force is how the lease is taken.
type force bool

const (
	politely force = false // nobody has it, or it has expired
	byForce  force = true
)

// settle is how long an effect that was begun can still land after it was given up.
func (r *Rotator) settle(reg *registration) time.Duration {
	return r.cfg.CallTimeout + r.cfg.ClockSkew + reg.Traits.ListLag
}

// save writes the state under the lease, which it renews. It is at once the record of what was done and the intent of what
// comes next: every effect is preceded by a save, and runs under a time limit that is shorter than the lease.
func (d *drive) save() error {
	for range saveTries {
		if err := d.write(time.Now().Add(d.st.Lease.For)); err != nil {
			return err
		}
		if time.Since(d.savedFrom)+d.r.cfg.CallTimeout < d.st.Lease.For { // else the effect would outlast what is left of it
			return nil
		}
	}
	return &Error{Credential: d.reg.Name, Evidence: "the journal is too slow to keep the lease", Action: "raise Config.Lease"}
}

// release writes the state without a lease.
func (d *drive) release() error {
	now := time.Now()
	d.st.Lease = nil
	d.st.Look = d.st.nextLook(d.reg, now, d.r.cfg.CallTimeout).Round(0)
	return d.write(d.st.wake(d.reg, now))
}

const saveTries = 3

func (d *drive) write(due time.Time) error {
	d.st.Schema = schema
	d.st.WriteID = newID()
	data, err := json.Marshal(d.st)
	if err != nil { // a secret got into the state: the encoding refuses it
		return &Error{Credential: d.reg.Name, Evidence: "the record does not encode", Err: recorded(fmt.Sprintf("%T", err))}
	}
	e := Entry{Credential: d.reg.Name, Revision: d.revision, Due: due, Data: data}
	d.savedFrom = time.Now()
	for range saveTries {
		err = guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.r.cfg.Journal.Save(ctx, e) })
		d.savedTo = time.Now()
		if err == nil {
			d.revision++
			return nil
		}
		// The answer may have been lost: look whether the write is there.
		now, st, loadErr := d.r.load(d.ctx, d.reg.Name)
		switch {
		case loadErr != nil:
			continue
		case st.WriteID == d.st.WriteID:
			d.savedTo = time.Now()
			d.revision = now.Revision
			return nil
		case now.Revision != d.revision:
			return errLost
		}
	}
	return &Error{Credential: d.reg.Name, Evidence: "the journal does not take the record", Err: hide(err)}
}

// installationName is the reserved entry that tells this journal from every other one.
const installationName = "handover/installation"

// installationRecord is what the reserved entry holds.
type installationRecord struct {
	Schema int    `json:"schema"`
	ID     string `json:"id"`
}

// knownInstallation reads the journal's own id without giving it one; empty: it has none, nothing was ever rotated from it.
func (r *Rotator) knownInstallation(ctx context.Context) (string, error) {
	r.mu.Lock()
	id := r.installation
	r.mu.Unlock()
	if id != "" {
		return id, nil
	}
	e, err := r.entry(ctx, installationName)
	if err != nil || e.Revision == 0 {
		return "", err
	}
	var rec installationRecord
	if err := read(e, &rec); err != nil {
		return "", err
	}
	if rec.ID == "" {
		return "", unreadable(e, "it has no id")
	}
	r.mu.Lock()
	r.installation = rec.ID
	r.mu.Unlock()
	return rec.ID, nil
}

// freshInstallation asks the journal once more whose it is.
func (r *Rotator) freshInstallation(ctx context.Context) (string, error) {
	r.mu.Lock()
	r.installation = ""
	r.mu.Unlock()
	return r.installationID(ctx)
}

// installationID reads the journal's own id, or gives it one.
func (r *Rotator) installationID(ctx context.Context) (string, error) {
	var err error
	for range saveTries {
		id, readErr := r.knownInstallation(ctx)
		if readErr != nil || id != "" {
			return id, readErr
		}
		data, encodeErr := json.Marshal(installationRecord{Schema: schema, ID: newID()})
		if encodeErr != nil {
			return "", encodeErr
		}
		// Whatever becomes of the write, the next read says whose id it is.
		err = guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error {
			return r.cfg.Journal.Save(ctx, Entry{Credential: installationName, Data: data})
		})
	}
	if id, readErr := r.knownInstallation(ctx); readErr == nil && id != "" {
		return id, nil
	}
	return "", &Error{Evidence: "the journal does not take its installation id", Err: hide(err)}
}
