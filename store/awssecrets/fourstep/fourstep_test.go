// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package fourstep_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/fourstep"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

const name, id = "db", "prod/db"

var steps = []string{fourstep.StepCreate, fourstep.StepSet, fourstep.StepTest, fourstep.StepFinish}

// world is one secret of AWS, its provider, and a service that uses it.
type world struct {
	t        *testing.T
	fake     *fakesm.Server
	client   *secretsmanager.Client
	provider *rotationtest.Provider
	consumer *rotationtest.Consumer
	journal  rotation.Journal
	policy   rotation.Policy
	verifies rotation.Verifier // of the service; nil: it works
	first    rotation.Key
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, fake: &fakesm.Server{}, provider: rotationtest.NewProvider(), journal: rotationtest.NewJournal()}
	w.client = secretsmanager.New(secretsmanager.Options{
		Region: "eu-west-1", HTTPClient: w.fake,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "never checked"}, nil
		}),
	})
	w.provider.Traits = rotation.Traits{Propagation: 10 * time.Second, ListLag: -1}
	w.consumer = rotationtest.NewConsumer(w.provider)
	w.first = w.provider.Mint()
	require.NoError(t, store.Seed(t.Context(), w.store(), name, w.first))
	require.NoError(t, w.consumer.Deploy(t.Context(), rotation.DeployRequest{ID: "first", Key: w.first}))
	w.policy = rotation.Policy{Overlap: 24 * time.Hour, Quiet: -1, MaxAge: 90 * 24 * time.Hour}
	return w
}

func (w *world) store() *awssecrets.Store {
	s, err := awssecrets.New(awssecrets.Config{Client: w.client, Prefix: "prod/"})
	require.NoError(w.t, err)
	return s
}

// process is a function that has just been started.
func (w *world) process() (*fourstep.Handler, *rotation.Rotator) {
	r, err := rotation.New(rotation.Config{
		Journal: w.journal, Store: w.store(), Policy: w.policy, Logger: slog.New(slog.DiscardHandler),
		Credentials: []rotation.Credential{{
			Name: name, Type: rotation.Database, Issuer: w.provider, Verifier: w.provider,
			Consumers: []rotation.Binding{{Name: "service", Consumer: w.consumer, Verifier: w.verifies}},
		}},
	})
	require.NoError(w.t, err)
	h, err := fourstep.New(fourstep.Config{Rotator: r, Client: w.client, Prefix: "prod/"})
	require.NoError(w.t, err)
	return h, r
}

// call calls one step, as AWS does: with its own words, in a process that may be a new one, for 15 minutes.
func (w *world) call(h *fourstep.Handler, step, token string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Minute)
	defer cancel()
	var e fourstep.Event
	text := fmt.Sprintf(`{"Step":%q,"SecretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:%s","ClientRequestToken":%q,"RotationToken":"x"}`, step, id, token)
	require.NoError(w.t, json.Unmarshal([]byte(text), &e))
	return h.Handle(ctx, e)
}

// all calls every step, and none fails.
func (w *world) all(h *fourstep.Handler, token string) {
	w.t.Helper()
	for _, step := range steps {
		require.NoError(w.t, w.call(h, step, token), step)
	}
}

func token(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// labelled asserts which version has a label.
func (w *world) labelled(label, version string) {
	w.t.Helper()
	_, got := w.fake.Read(id, label)
	assert.Equal(w.t, version, got, label)
}

func bubble(t *testing.T, f func(*world)) {
	synctest.Test(t, func(t *testing.T) { f(newWorld(t)) })
}

func TestFourSteps(t *testing.T) {
	bubble(t, func(w *world) {
		w.fake.Begin(id, token(1))
		for _, step := range steps {
			h, _ := w.process() // each call in a process of its own
			require.NoError(t, w.call(h, step, token(1)), step)
		}
		w.labelled("AWSCURRENT", token(1))
		w.labelled("AWSPENDING", "")
		assert.Len(t, w.provider.Live(), 2, "the old key lives: consumers are waited for")

		_, r := w.process()
		for range 200 {
			time.Sleep(time.Hour)
			_, err := r.Sweep(t.Context())
			require.NoError(t, err)
		}
		assert.Len(t, w.provider.Live(), 1)
		assert.NotEqual(t, w.first.ID, w.provider.Live()[0])
		w.labelled("AWSCURRENT", token(1))
		w.labelled("AWSPREVIOUS", "")
	})
}

// Steps are repeated, left out, and called in any order, by several processes.
func TestStepsInAnyOrder(t *testing.T) {
	for _, order := range [][]string{
		{fourstep.StepCreate, fourstep.StepFinish},
		{fourstep.StepTest, fourstep.StepCreate, fourstep.StepFinish, fourstep.StepSet},
		{fourstep.StepCreate, fourstep.StepCreate, fourstep.StepFinish, fourstep.StepFinish, fourstep.StepCreate},
	} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			bubble(t, func(w *world) {
				w.fake.Begin(id, token(1))
				for _, step := range order {
					h, _ := w.process()
					require.NoError(t, w.call(h, step, token(1)))
				}
				w.labelled("AWSCURRENT", token(1))
				assert.Equal(t, 1, w.provider.Calls("Issue"))
			})
		})
	}
}

// The function dies at any call to Secrets Manager, and AWS calls again with the same token.
func TestFunctionDiesAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		survived := false
		bubble(t, func(w *world) {
			w.fake.Begin(id, token(1))
			seen := 0
			w.fake.Hook(func(string, map[string]any) *fakesm.Failure {
				if seen++; seen < n {
					return nil
				}
				return &fakesm.Failure{Status: http.StatusInternalServerError, Code: "InternalServiceError", After: seen == n}
			})
			for _, step := range []string{fourstep.StepCreate, fourstep.StepFinish} {
				h, _ := w.process()
				survived = w.call(h, step, token(1)) == nil && seen < n
			}
			w.fake.Hook(nil)
			w.retried(token(1))
			if _, current := w.fake.Read(id, "AWSCURRENT"); current != token(1) {
				// The key that went into AWS's version was given up, and a version cannot be written again: AWS has to begin anew.
				_, r := w.process()
				for range 200 {
					time.Sleep(time.Hour)
					_, _ = r.Sweep(t.Context())
				}
				w.labelled("AWSPENDING", "")
				w.fake.Begin(id, token(2))
				w.retried(token(2))
				w.labelled("AWSCURRENT", token(2))
			}
			assert.LessOrEqual(t, len(w.provider.Live()), 2)
		})
		if survived || t.Failed() {
			require.Greater(t, n, 20)
			return
		}
	}
}

// retried is what AWS does after a step that failed: all steps again, several times.
func (w *world) retried(token string) {
	for range 3 {
		time.Sleep(time.Minute)
		for _, step := range steps {
			h, _ := w.process()
			if w.call(h, step, token) != nil {
				break
			}
		}
	}
}

// The next rotation of AWS comes while the old key of the last one still lives.
func TestNextRotationWaitsForTheLast(t *testing.T) {
	bubble(t, func(w *world) {
		w.fake.Begin(id, token(1))
		h, _ := w.process()
		w.all(h, token(1))
		w.fake.Begin(id, token(2))
		err := w.call(h, fourstep.StepCreate, token(2))
		require.ErrorIs(t, err, rotation.ErrNotYet)
		require.ErrorContains(t, err, "an earlier rotation of db is not over, it stands at soak")
		w.labelled("AWSCURRENT", token(1))
		w.labelled("AWSPENDING", token(2))

		_, r := w.process()
		for range 200 { // whatever AWS retries, it is nobody's step
			time.Sleep(time.Hour)
			_, err := r.Sweep(t.Context())
			require.NoError(t, err)
		}
		w.labelled("AWSPENDING", token(2))
		w.all(h, token(2))
		w.labelled("AWSCURRENT", token(2))
	})
}

// A new key that does not work goes back: AWSPENDING is taken away, which is what AWS calls cancelled, and the next one begins anew.
func TestRolledBack(t *testing.T) {
	bubble(t, func(w *world) {
		w.policy.Canaries = 1
		works := false
		w.verifies = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			if key.ID != w.first.ID && !works {
				return errors.New("it does not start")
			}
			return nil
		})
		w.fake.Begin(id, token(1))
		h, r := w.process()
		err := w.call(h, fourstep.StepCreate, token(1))
		for range 40 {
			err = w.call(h, fourstep.StepFinish, token(1))
			require.Error(t, err)
			if strings.Contains(err.Error(), "not AWSPENDING") {
				break
			}
			time.Sleep(time.Hour)
			_, _ = r.Sweep(t.Context())
		}
		require.NotErrorIs(t, err, rotation.ErrNotYet)
		w.labelled("AWSPENDING", "")
		text, _ := w.fake.Read(id, "AWSCURRENT")
		assert.Equal(t, w.first.Secret.Reveal(), text)
		require.ErrorContains(t, w.call(h, fourstep.StepCreate, token(1)), "is not AWSPENDING: this rotation was cancelled, or rolled back")
		works = true
		w.fake.Begin(id, token(2))
		w.all(h, token(2))
		w.labelled("AWSCURRENT", token(2))
	})
}

// Where rotation is set up and is not to begin at once, AWS calls testSecret alone, for a version that it takes away again. Nothing is
// issued for that. Whether AWS gives that version a value it does not say.
func TestOnlyTheTest(t *testing.T) {
	for _, filled := range []bool{false, true} {
		bubble(t, func(w *world) {
			w.fake.Begin(id, token(1))
			if filled {
				w.fake.Put(id, "AWSPENDING", token(1), w.first.Secret.Reveal())
			}
			h, r := w.process()
			require.NoError(t, w.call(h, fourstep.StepTest, token(1)))
			for _, step := range []string{fourstep.StepSet, fourstep.StepFinish} {
				require.ErrorContains(t, w.call(h, step, token(1)), "createSecret comes first")
			}
			w.provider.Traits.MaxKeys = 1
			h, _ = w.process()
			require.ErrorContains(t, w.call(h, fourstep.StepTest, token(1)), "could not be rotated now")
			assert.Zero(t, w.provider.Calls("Issue"))
			st, err := r.Status(t.Context(), name)
			require.NoError(t, err)
			assert.Nil(t, st.Open)
			w.labelled("AWSPENDING", token(1))
		})
	}
}

// What takes longer than a step may is an error in time, and goes on with the next call.
func TestStepHasAnEnd(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Err: rotation.Manual("make one by hand")})
		w.fake.Begin(id, token(1))
		h, _ := w.process()
		began := time.Now()
		err := w.call(h, fourstep.StepCreate, token(1))
		require.ErrorIs(t, err, rotation.ErrNotYet)
		assert.Less(t, time.Since(began), 15*time.Minute)
		require.ErrorContains(t, err, "make one by hand")
		w.labelled("AWSPENDING", token(1))
	})
}

func TestWhatIsNoRotation(t *testing.T) {
	bubble(t, func(w *world) {
		h, _ := w.process()
		require.ErrorContains(t, w.call(h, "dropSecret", token(1)), `there is no step "dropSecret"`)
		require.ErrorContains(t, w.call(h, fourstep.StepCreate, token(1)), "is not set up for rotation")
		w.fake.Begin(id, token(1))
		require.ErrorContains(t, w.call(h, fourstep.StepCreate, token(2)), "is not AWSPENDING")
		other, err := fourstep.New(fourstep.Config{Rotator: &rotation.Rotator{}, Client: w.client, Prefix: "test/"})
		require.NoError(t, err)
		require.ErrorContains(t, w.call(other, fourstep.StepCreate, token(1)), `does not begin with "test/"`)
		w.fake.Hook(func(string, map[string]any) *fakesm.Failure { return &fakesm.Failure{Code: "AccessDeniedException"} })
		err = w.call(h, fourstep.StepCreate, token(1))
		require.ErrorIs(t, err, rotation.ErrDenied)
		assert.NotContains(t, err.Error(), fakesm.Canary)
		assert.Zero(t, w.provider.Calls("Issue"))
	})
}

func TestNewNamesTheField(t *testing.T) {
	_, err := fourstep.New(fourstep.Config{Patience: -1})
	for _, want := range []string{"Config.Rotator is required", "Config.Client is required", "Config.Patience is negative"} {
		require.ErrorContains(t, err, "fourstep: "+want)
	}
}
