// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// diary is everything that this library says to anybody: logs, events, records, errors.
type diary struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
	told int             // guarded by mu
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told++
	return d.text.Write(p)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// says writes a value down in every way in which somebody could print it.
func (d *diary) says(v any) {
	fmt.Fprintf(d, "%v %+v %#v %s %q\n", v, v, v, v, v)
	if err := json.NewEncoder(d).Encode(v); err != nil {
		fmt.Fprintln(d, err)
	}
	slog.New(slog.NewJSONHandler(d, nil)).Info("value", "v", v)
	slog.New(slog.NewTextHandler(d, nil)).Info("value", "v", v)
	if err, ok := v.(error); ok {
		for _, inner := range unwrapped(err) {
			fmt.Fprintf(d, "%v %+v %#v\n", inner, inner, inner)
		}
	}
}

// unwrapped is what errors.Unwrap gets at, through joins too.
func unwrapped(err error) []error {
	switch e := err.(type) { //nolint:errorlint // its own layers are wanted
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return append(unwrapped(inner), inner)
		}
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(append(all, inner), unwrapped(inner)...)
		}
		return all
	}
	return nil
}

// spied is a journal that writes down what it is given.
type spied struct {
	*rotationtest.Journal
	d *diary
}

func (j spied) Save(ctx context.Context, e rotation.Entry) error {
	fmt.Fprintf(j.d, "%s %s\n", e.Credential, e.Data)
	return j.Journal.Save(ctx, e)
}

// canary is the text that no adapter should put into an error, and every adapter does.
const canary = "canary-9f3b7c21-answer-of-the-provider"

const often = 7 // calls until the next failure

// blabber fails often, with a different kind of error each time, all of which hold the canary.
type blabber struct {
	mu sync.Mutex
	n  int // guarded by mu
}

type kindOfError struct{ Body string }

func (e *kindOfError) Error() string { return "status 500: " + e.Body }

func (b *blabber) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	if b.n%often != 0 {
		return nil
	}
	switch b.n / often % 9 {
	case 0:
		return errors.New(canary)
	case 1:
		return fmt.Errorf("%s: %w", canary, rotation.ErrNotIssued)
	case 2:
		return &kindOfError{canary}
	case 3:
		return &url.Error{Op: "Get", URL: "https://user:" + canary + "@pay.example", Err: context.DeadlineExceeded}
	case 4:
		return rotation.RetryAt(errors.New(canary), time.Now().Add(time.Second))
	case 5:
		return errors.Join(errors.New(canary), rotation.ErrDenied)
	case 6:
		panic(canary)
	case 7:
		return &rotation.Error{Evidence: "the part's own", Err: errors.New(canary)}
	default:
		return fmt.Errorf("%s: %w", canary, rotation.Manual("look at the console"))
	}
}

type blabbing struct {
	*rotationtest.Provider
	b *blabber
}

func (p blabbing) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := p.b.err(); err != nil {
		return rotation.Key{}, err
	}
	return p.Provider.Issue(ctx, req)
}

func (p blabbing) Revoke(ctx context.Context, k rotation.Key) error {
	return errors.Join(p.b.err(), p.Provider.Revoke(ctx, k))
}

func (p blabbing) Verify(ctx context.Context, k rotation.Key) error {
	if err := p.b.err(); err != nil {
		return err
	}
	return p.Provider.Verify(ctx, k)
}

type blabbingStore struct {
	*rotationtest.Store
	b *blabber
}

func (s blabbingStore) Load(ctx context.Context, n string) (rotation.Versions, error) {
	if err := s.b.err(); err != nil {
		return rotation.Versions{}, err
	}
	return s.Store.Load(ctx, n)
}

type blabbingConsumer struct {
	*rotationtest.Consumer
	b *blabber
}

func (c blabbingConsumer) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := c.b.err(); err != nil {
		return err
	}
	return c.Consumer.Deploy(ctx, req)
}

func (c blabbingConsumer) Observe(ctx context.Context) ([]rotation.Instance, error) {
	if err := c.b.err(); err != nil {
		return nil, err
	}
	return c.Consumer.Observe(ctx)
}

// forms are the shapes in which a secret would be found.
func forms(secret string) []string {
	all := []string{secret, hex.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprint([]byte(secret)), "[]")}
	for i := range 3 {
		part := []byte(secret)[i:]
		part = part[:len(part)/3*3]
		all = append(all, base64.StdEncoding.EncodeToString(part), base64.URLEncoding.EncodeToString(part))
	}
	return all
}

// Through rotations, an emergency and every verb, with parts that blab in each of their errors: no value of a key and no
// text of a part is in anything that is written, told or returned.
func TestNothingTellsASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := &diary{}, &blabber{}
		w := newBrief(t, 2)
		secrets := []string{w.seeded.Secret.Reveal(), canary}
		w.cred.Issuer = blabbing{w.provider, b}
		w.cfg.Store = blabbingStore{w.store, b}
		w.cfg.Journal = spied{w.journal, d}
		w.cfg.Logger = slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: slog.LevelDebug}))
		w.cfg.Sinks = []rotation.Sink{sinkFunc(func(_ context.Context, e rotation.Event) error {
			d.says(e)
			return b.err()
		})}
		for i := range w.cred.Consumers {
			w.cred.Consumers[i].Consumer = blabbingConsumer{w.consumers[i], b}
		}
		r := w.rotator()
		note := func(v any, err error) {
			d.says(v)
			if err != nil {
				d.says(err)
			}
		}
		pace := func(hours int) {
			for range hours * 30 {
				note(r.Advance(t.Context(), name))
				time.Sleep(2 * time.Minute)
				for _, k := range w.versions().Keys {
					if v := k.Key.Secret.Reveal(); !slices.Contains(secrets, v) {
						secrets = append(secrets, v)
					}
				}
			}
			note(r.List(t.Context()))
			note(r.Inspect(t.Context()))
		}
		note(r.Rotate(t.Context(), name, rotation.Trigger{Reason: "test"}))
		pace(4)
		leaked := w.provider.Mint()
		secrets = append(secrets, leaked.Secret.Reveal())
		note(r.Supply(t.Context(), name, w.provider.Mint()))
		note(r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}, Keys: []rotation.Leak{{Credential: name, KeyID: leaked.ID, Value: leaked.Secret}}}))
		pace(8)
		note(r.Incident(t.Context(), "INC-1"))
		note(r.Abort(t.Context(), name, "no"))
		note(r.Resolve(t.Context(), name, rotation.Answer{Need: "nothing", Verb: rotation.VerbDone}))

		text := d.String()
		require.Greater(t, len(secrets), 3, "too little happened: this test tests nothing")
		require.Greater(t, b.n, 40*often)
		require.Regexp(t, `emergency rotation to generation \d( ended: rotated|, rotated at)`, text[max(0, strings.LastIndex(text, "emergency rotation to")):])
		require.True(t, strings.Contains(text, "failed (*errors.errorString)"), "failed (*errors.errorString)")
		for _, s := range secrets {
			for _, f := range forms(s) {
				if i := strings.Index(text, f); i >= 0 {
					t.Fatalf("%q is told: …%s…", s[:8], text[max(0, i-200):i])
				}
			}
		}
	})
}

// The test above would see it.
func TestTheDiaryHearsASecret(t *testing.T) {
	for what, v := range map[string]any{
		"an error":      errors.New(canary),
		"a wrapped one": fmt.Errorf("a: %w", errors.New(canary)),
		"a value":       rotation.Need{Text: canary},
		"an event":      rotation.Event{Problem: &rotation.Error{Evidence: canary}},
	} {
		d := &diary{}
		d.says(v)
		require.Contains(t, d.String(), canary, what)
	}
	d := &diary{}
	d.says(&rotation.Error{Evidence: "it failed", Err: &kindOfError{canary}})
	require.NotContains(t, d.String(), canary)
	require.Contains(t, d.String(), "kindOfError")
}

// errors.As reaches the error of a part, for a program that asks; nothing that prints does.
func TestErrorsSeesAllAndPrintersDoNot(t *testing.T) {
	e := &rotation.Error{Credential: "a", Diagnosis: rotation.StoreDenied, Evidence: "the store does not answer", Err: fmt.Errorf("%w: %w", &kindOfError{canary}, rotation.ErrDenied)}
	var own *kindOfError
	require.ErrorAs(t, e, &own)
	require.Equal(t, canary, own.Body)
	require.ErrorIs(t, e, rotation.ErrDenied)
	require.ErrorIs(t, e, rotation.StoreDenied)
	var diagnosis rotation.Diagnosis
	require.ErrorAs(t, e, &diagnosis)
	require.Equal(t, rotation.StoreDenied, diagnosis)
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %s %q", e, e, e, e, errors.Join(e, io.EOF))
	data, err := json.Marshal(e)
	require.NoError(t, err)
	out.Write(data)
	require.NotContains(t, out.String(), canary)
	require.Contains(t, out.String(), "permission denied")
}

// An Error survives its JSON: the same text, the same fields, the same answers of errors.Is.
func TestErrorJSON(t *testing.T) {
	sentinels := []error{
		rotation.ErrRejected, rotation.ErrNotYet, rotation.ErrManual, rotation.ErrConflict, rotation.ErrNotFound,
		rotation.ErrDenied, rotation.ErrNoSlot, rotation.ErrNotIssued,
	}
	for _, s := range sentinels {
		e := &rotation.Error{
			Credential: "a", Rotation: "R", Consumer: "web", Phase: rotation.PhaseDeploy, Diagnosis: rotation.Drift,
			Evidence: "seen", Action: "do", Err: fmt.Errorf("%s: %w", canary, s),
		}
		data, err := json.Marshal(e)
		require.NoError(t, err)
		require.NotContains(t, string(data), canary)
		var again rotation.Error
		require.NoError(t, json.Unmarshal(data, &again))
		require.Equal(t, e.Error(), again.Error())
		require.ErrorIs(t, &again, s)
		require.ErrorIs(t, &again, rotation.Drift)
		for _, other := range sentinels {
			require.Equal(t, other == s, errors.Is(&again, other), "%v read from %v", other, s)
		}
		twice, err := json.Marshal(&again)
		require.NoError(t, err)
		require.JSONEq(t, string(data), string(twice))
	}
	data, err := json.Marshal(&rotation.Error{Evidence: "alone"})
	require.NoError(t, err)
	require.JSONEq(t, `{"evidence":"alone"}`, string(data))
	var bad rotation.Error
	require.Error(t, json.Unmarshal([]byte(`[]`), &bad))
	require.NoError(t, rotation.RetryAt(nil, time.Now()))
}
