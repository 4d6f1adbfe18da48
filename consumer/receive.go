// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// Receiver keeps the secrets of a webhook.Verifier equal to what the store says. Make one with Receive; a zero Receiver accepts
// nothing and does nothing. It is safe for concurrent use, and so is verifying meanwhile: a delivery meets the secrets from
// before a change or those from after it.
//
// The webhook.Secret.ID of a key is its generation and its serial, "4-9": what Match.SecretID and metrics show. It is not secret,
// stays the same while roles change, and differs for each key, which Key.ID need not: it may be empty, or the webhook's. A secret
// that was put there by hand has the serial 0, "1-0", until its first rotation, and its name for as long as this process has it.
//
// It is a rotation.Consumer, Verifier, Observer, UsageReporter, Lagger, Checker and Identifier that stands for this process
// alone: a service with replicas serves the Receiver (ServeHTTP) and binds Replicas.
type Receiver struct {
	watch

	v     *webhook.Verifier
	began time.Time

	// mu guards what follows, and each change of the verifier's secrets
	memory  memory
	told    bool                    // the verifier has the secrets that the store, or a Deploy, wants
	want    []rotation.Key          // these, newest first
	held    map[string]rotation.Key // those of them that the verifier takes, by webhook.Secret.ID
	problem error                   // the others
	past    map[int64]use           // secrets that the verifier has no more, up to when it had them, by serial
}

// Receive gives v the secrets that the store accepts (rotation.Versions.Accepted: pending, current and previous), and keeps them
// equal until Close; ctx bounds only the wait for the first look. From then on the secrets of v are the Receiver's: call no Set.
//
// A store without any secret is no error, other than for Follow: v refuses everything with webhook.ErrNoSecret, which
// webhook.Middleware answers by 503, so that senders try again, and takes the first secret when there is one. Nothing is ever
// accepted for want of a secret. A store that refuses is an error that matches rotation.ErrDenied, and one that holds nothing but
// secrets which the scheme of v does not take is an error too; while the store fails otherwise, Receive asks again until ctx
// ends, and v stays as it was.
//
// Afterwards, while the store fails the last secrets stay. If some of the secrets cannot be taken, the others are; it is logged,
// Deploy fails, and ServeHTTP tells.
func Receive(ctx context.Context, src Source, v *webhook.Verifier) (*Receiver, error) {
	err := src.validate()
	if v == nil {
		err = errors.Join(err, required("Receive: the verifier"))
	}
	if err != nil {
		return nil, err
	}
	r := &Receiver{v: v, began: time.Now()}
	r.begin(src, r.load)
	if err := r.first(ctx); err != nil && (!errors.Is(err, errUnusable) || len(r.accepts()) == 0) {
		r.Close()
		return nil, fmt.Errorf("consumer: receive %s: %w", src.Credential, err)
	}
	r.work.Go(r.follow)
	return r, nil
}

// Close stops following and returns when nothing runs any more. The verifier keeps the last secrets. Closing again does nothing.
// The error is always nil.
func (r *Receiver) Close() error {
	r.close()
	return nil
}

// load asks the store and takes the secrets to accept. A failure leaves them as they are.
func (r *Receiver) load() error {
	text := "no answer from the store; the secrets stay as they are"
	versions, err := r.ask()
	if err == nil {
		text = "not everything that the store accepts is accepted"
		err = r.takeDocument(versions)
	}
	r.note(err, text)
	return err
}

func (r *Receiver) takeDocument(v rotation.Versions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, err := r.memory.document(v)
	if err != nil {
		return err
	}
	for _, k := range r.memory.ended { // one that was put there by hand has been given its serial
		if p, ok := r.past[0]; ok && k.Serial != 0 && p.key.Secret.Equal(k.Secret) {
			delete(r.past, 0)
			p.key.Serial = k.Serial
			r.retire(p)
		}
	}
	return r.accept(keys)
}

// accept gives the verifier these keys and no others. Those that it cannot take are left out, and are the error. r.mu is held.
func (r *Receiver) accept(keys []rotation.Key) error {
	if r.told && slices.EqualFunc(r.want, keys, rotation.Key.Equal) {
		return r.problem
	}
	secrets, held, problem := r.usable(keys)
	now, before := time.Now(), r.v.Usage()
	if len(secrets) == 0 {
		r.v.Clear()
	} else if err := r.v.Set(secrets...); err != nil {
		return fail(errUnusable, "the verifier refuses the secrets: %s", err)
	}
	for _, u := range before {
		k, ours := r.held[u.SecretID]
		if _, stays := held[u.SecretID]; ours && !stays {
			r.retire(use{u.SecretID, k, rotation.Usage{LastUsed: u.LastMatch, Since: u.Since, AsOf: now}})
		}
	}
	r.told, r.want, r.held, r.problem = true, keys, held, problem
	return problem
}

// usable divides keys into those that the verifier can take beside each other and the others, which are the error.
func (r *Receiver) usable(keys []rotation.Key) (secrets []webhook.Secret, held map[string]rotation.Key, err error) {
	held = map[string]rotation.Key{}
	var errs []error
	for _, k := range keys {
		s := webhook.Secret{ID: r.nameOf(k), Value: k.Secret}
		if k.Secret.IsZero() {
			errs = append(errs, fail(errUnusable, "%v cannot be accepted: it has no value", k))
			continue
		}
		if err := r.v.CheckSet(append(secrets, s)...); err != nil { // which quotes no value
			errs = append(errs, fail(errUnusable, "%v cannot be accepted: %s", k, strings.TrimPrefix(err.Error(), "webhook: ")))
			continue
		}
		secrets = append(secrets, s)
		held[s.ID] = k
	}
	return secrets, held, errors.Join(errs...)
}

// secretID is how a key is called in matches and metrics.
func secretID(k rotation.Key) string { return fmt.Sprintf("%d-%d", k.Generation, k.Serial) }

// nameOf is secretID, or what a secret is called here already that was given its serial since.
func (r *Receiver) nameOf(k rotation.Key) string {
	for name, h := range r.held {
		if h.Secret.Equal(k.Secret) && (h.Serial == 0 || h.Serial == k.Serial) {
			return name
		}
	}
	return secretID(k)
}

const mostPast = 16 // secrets whose use is remembered

// retire remembers how a secret was used that is not accepted any more.
func (r *Receiver) retire(u use) {
	if r.past == nil {
		r.past = map[int64]use{}
	}
	u.LastUsed = later(u.LastUsed, r.past[u.key.Serial].LastUsed)
	if u.key.Serial != 0 { // else its value tells which it was
		u.key.Secret = secret.Value{}
	}
	r.past[u.key.Serial] = u
	if len(r.past) > mostPast {
		delete(r.past, slices.Min(slices.Collect(maps.Keys(r.past))))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
