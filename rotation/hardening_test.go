// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// H1: the current key is dead already. Naive: prepare refuses, and the one tool that could repair it does not start; or it
// waits a day of overlap with a dead key while everybody is out.
func TestH1DeadCurrentIsRepairedAtFullSpeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 4)
		h.cred.Policy.Overlap, h.cred.Policy.Quiet = 24*time.Hour, 24*time.Hour
		h.met()
		require.NoError(t, h.provider.Revoke(t.Context(), h.seeded))
		r := h.rotator()
		h.begin(r)
		h.ended(r, 5*time.Minute, rotation.Rotated)
		h.nothingLost()
		for _, c := range h.consumers {
			require.True(t, h.present(c.Key()))
		}
	})
}

// H2: a rotation that holds for a person names the verbs that apply, takes each, and records who answered. Naive: a hold is a
// log line, and the only way on is to edit the database.
func TestH2EveryHoldNamesItsVerbs(t *testing.T) {
	for what, c := range map[string]struct {
		verb rotation.Verb
		hold func(h *hazard)
		end  rotation.Outcome
	}{
		"attest": {rotation.VerbAttest, func(h *hazard) {
			withoutUsage(h.world)
			h.cred.Consumers[0].Consumer = rotation.ConsumerFunc(h.consumers[0].Deploy)
		}, rotation.Rotated},
		"roll back": {rotation.VerbRollBack, func(h *hazard) {
			withoutUsage(h.world)
			h.cred.Consumers[0].Consumer = observing{rotation.ConsumerFunc(h.consumers[0].Deploy), seeing(func() rotation.Key { return h.seeded })}
		}, rotation.RolledBack},
		"settle": {rotation.VerbSettle, func(h *hazard) {
			withoutNames(h.world)
			h.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1})
			h.others = append(h.others, "") // somebody makes a key at the same time, below
		}, rotation.Rotated},
		"done": {rotation.VerbDone, func(h *hazard) {
			h.cred.Consumers[0].Consumer = observing{rotation.ConsumerFunc(func(_ context.Context, req rotation.DeployRequest) error {
				h.give(h.consumers[0], req.Key) // somebody reads the instructions
				return rotation.Manual("restart it by hand")
			}), h.consumers[0]}
		}, rotation.Rotated},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				c.hold(h)
				r := h.rotator()
				h.begin(r)
				if i := slices.Index(h.others, ""); i >= 0 {
					h.others[i] = h.provider.Mint().ID
				}
				st := h.drive(r, 12*time.Hour)
				require.NotNil(t, st.Open, "it did not hold")
				h.answer(r, c.verb)
				st = h.ended(r, 24*time.Hour, c.end)
				h.laws()
				if c.verb != rotation.VerbRollBack {
					require.True(t, slices.ContainsFunc(st.Last.Timeline, func(m rotation.Moment) bool { return m.Actor == "ann" }), "who answered?")
				}
			})
		})
	}
}

// seeing is an Observer of one instance.
type seeing func() rotation.Key

func (s seeing) Observe(context.Context) ([]rotation.Instance, error) {
	k := s()
	return []rotation.Instance{{Name: "pod", Key: rotation.Key{ID: k.ID, Generation: k.Generation}}}, nil
}

// H3: Deploy panics with the key in its text, or ends its goroutine. Naive: the panic ends the host service, at every resume;
// after runtime.Goexit errgroup's Wait returns nil, and the consumer counts as deployed.
func TestH3UserCodeCannotEndTheHost(t *testing.T) {
	const leak = "panic-text-with-a-secret"
	ways := map[string]func(){"panic": func() { panic(leak) }, "Goexit": runtime.Goexit}
	for what, misbehave := range ways {
		for _, where := range []string{"Deploy", "Verify", "Observe", "Issue"} {
			t.Run(what+" in "+where, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					h := newHazard(t, 1)
					bad, c := true, h.consumers[0]
					in := func(op string) {
						if bad && op == where {
							misbehave()
						}
					}
					h.cred.Issuer = calling{h.provider, in}
					h.cred.Consumers[0].Consumer = consuming{c, in}
					r := h.rotator()
					h.begin(r)
					st := h.drive(r, 10*time.Minute)
					require.NotNil(t, st.Open)
					require.Empty(t, h.outages())
					require.Contains(t, h.provider.Live(), h.seeded.ID)
					if where == "Deploy" {
						require.Zero(t, st.Open.Consumers[0].DeployedAt, "it did not return, so it did not succeed")
					}
					require.NotContains(t, h.everything(), leak)
					bad = false
					h.ended(r, 24*time.Hour, rotation.Rotated)
					h.laws()
				})
			})
		}
	}
}

type calling struct {
	*rotationtest.Provider
	in func(op string)
}

func (c calling) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	c.in("Issue")
	return c.Provider.Issue(ctx, req)
}

type consuming struct {
	*rotationtest.Consumer
	in func(op string)
}

func (c consuming) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	c.in("Deploy")
	return c.Consumer.Deploy(ctx, req)
}

func (c consuming) Verify(ctx context.Context, key rotation.Key) error {
	c.in("Verify")
	return c.Consumer.Verify(ctx, key)
}

func (c consuming) Observe(ctx context.Context) ([]rotation.Instance, error) {
	c.in("Observe")
	return c.Consumer.Observe(ctx)
}

// everything is what a reader of the journal's record and of the status can see.
func (h *hazard) everything() string {
	h.t.Helper()
	e, err := h.journal.Load(context.Background(), name)
	require.NoError(h.t, err)
	st := h.status()
	text, err := json.Marshal(st)
	require.NoError(h.t, err)
	return fmt.Sprintf("%s\n%s\n%+v\n%s\n%s", e.Data, text, st, st.Open, st.Last)
}

// H4: the caller gives up between the answer of Issue and the write to the store. Naive: the value is lost. And where the
// store definitely does not take it, the key is killed while its id is known.
func TestH4CancellationLosesNoKey(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			ctx, cancel := context.WithCancel(t.Context())
			h.cred.Issuer = calling{h.provider, func(string) { cancel() }}
			_, _ = h.rotator().Rotate(ctx, name, rotation.Trigger{})
			require.Equal(t, 1, h.provider.Calls("Issue"))
			require.Len(t, h.versions().Keys, 2, "the value was not saved")
			h.ended(h.rotator(), 24*time.Hour, rotation.Rotated)
			require.Equal(t, 1, h.provider.Calls("Issue"), "the first key was good")
			h.laws()
		})
	})
	t.Run("the store refuses", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			var once sync.Once
			h.cred.Issuer = calling{h.provider, func(string) {
				once.Do(func() {
					h.store.Inject(rotationtest.Fault{Op: "Save", Until: time.Now().Add(time.Minute), Err: rotation.ErrDenied})
				})
			}}
			r := h.rotator()
			h.begin(r)
			h.nothingLost()
			require.ElementsMatch(t, append(h.others, h.seeded.ID), h.provider.Live(), "a key that nothing can keep is killed")
			h.ended(r, 24*time.Hour, rotation.Rotated)
			h.laws()
		})
	})
}

// off is a journal on a machine whose clock is not this one's.
type off struct {
	*rotationtest.Journal
	by     time.Duration
	silent bool // it has no clock
}

func (o off) Load(ctx context.Context, credential string) (rotation.Entry, error) {
	e, err := o.Journal.Load(ctx, credential)
	if e.SavedAt = e.SavedAt.Add(o.by); o.silent {
		e.SavedAt = time.Time{}
	}
	return e, err
}

// H5: a machine's clock is wrong. Naive: with two minutes there are two drivers, and two days pass every window at once.
func TestH5ClocksDecideNothingAlone(t *testing.T) {
	for _, by := range []time.Duration{-48 * time.Hour, -2 * time.Minute, 2 * time.Minute} {
		t.Run(fmt.Sprint("off by ", -by), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				good := h.rotator()
				h.begin(good)
				h.until(good, rotation.PhaseSoak)
				time.Sleep(47 * time.Hour) // by the wrong clock; by the right one no time has passed
				h.cfg.Journal = off{h.journal, by, false}
				wrong := h.rotator()
				for range 5 {
					_, err := wrong.Advance(t.Context(), name)
					require.ErrorIs(t, err, rotation.ClockSkew)
					time.Sleep(6 * time.Minute)
				}
				require.Contains(t, h.provider.Live(), h.seeded.ID)
				require.Zero(t, h.provider.Calls("Revoke"))
				h.cfg.Journal = h.journal
				h.ended(good, 24*time.Hour, rotation.Rotated)
				h.laws()
			})
		})
	}
	for what, silent := range map[string]bool{"a journal with a clock": false, "a journal without a clock": true} {
		t.Run("a lease is observed to its end, "+what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				h.cfg.Journal = off{h.journal, 0, silent}
				h.begin(h.doomed(cut{op: "Issue"}))
				second := h.rotator()
				began := time.Now()
				for h.provider.Calls("Issue") == 0 && time.Since(began) < 3*time.Minute {
					_, _ = second.Advance(t.Context(), name)
					time.Sleep(time.Second)
				}
				require.GreaterOrEqual(t, time.Since(began), 30*time.Second, "taken over too soon")
				require.Less(t, time.Since(began), 2*time.Minute, "never taken over")
				h.ended(second, 24*time.Hour, rotation.Rotated)
				h.laws()
			})
		})
	}
}

// H6: adapters fail with the provider's answer in their texts. Naive: err.Error() reaches the journal, the events and the log.
func TestH6AnswersAreNotRecorded(t *testing.T) {
	const body = "answer-body-with-a-secret"
	bad := fmt.Errorf("POST /keys: 500: {\"key\": %q}", body)
	for _, op := range []string{"Issue", "Revoke", "List", "Disable", "Verify", "Deploy", "Observe", "Load", "Save", "Journal"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				var log bytes.Buffer
				sink := &recorder{}
				h.cfg.Sinks, h.cfg.Logger = []rotation.Sink{sink}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				fault := rotationtest.Fault{Op: op, Until: time.Now().Add(5 * time.Hour), Err: bad}
				switch op {
				case "Deploy", "Observe":
					h.consumers[0].Inject(fault)
				case "Load", "Save":
					h.store.Inject(fault)
				case "Journal":
					fault.Op, fault.From = "Save", time.Now().Add(time.Second)
					h.journal.Inject(fault)
				default:
					h.provider.Inject(fault)
				}
				r := h.rotator()
				_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
				text := fmt.Sprintf("%v %+v", err, err)
				h.drive(r, 3*time.Hour)
				events, jsonErr := json.Marshal(sink.all())
				require.NoError(t, jsonErr)
				for where, s := range map[string]string{"error": text, "journal and status": h.everything(), "events": string(events), "log": log.String()} {
					assert.NotContains(t, s, body, where)
					assert.NotContains(t, s, h.seeded.Secret.Reveal(), where)
				}
			})
		})
	}
}

// walled stands behind a firewall that refuses everything from the first Revoke on, which itself answers nil and does nothing.
type walled struct {
	*rotationtest.Provider
	open func() bool // it is over

	mu  sync.Mutex
	hit bool // guarded by mu
}

func (w *walled) Revoke(ctx context.Context, key rotation.Key) error {
	w.mu.Lock()
	w.hit = true
	w.mu.Unlock()
	if w.open() {
		return w.Provider.Revoke(ctx, key)
	}
	return nil
}

func (w *walled) Verify(ctx context.Context, key rotation.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hit && !w.open() {
		return rotation.ErrRejected
	}
	return w.Provider.Verify(ctx, key)
}

func (w *walled) Disable(context.Context, rotation.Key) error { return errors.ErrUnsupported }

func (w *walled) List(context.Context) ([]rotation.KeyInfo, error) { return nil, errors.ErrUnsupported }

// H7: after the revocation a firewall refuses every key, and the revocation did nothing. Naive: refused means dead; the value
// is dropped, and the key lives on.
func TestH7DeathNeedsAPositiveControl(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		until := time.Now().Add(6 * time.Hour)
		h.cred.Issuer = &walled{Provider: h.provider, open: func() bool { return time.Now().After(until) }}
		r := h.rotator()
		h.begin(r)
		st := h.drive(r, 5*time.Hour)
		require.Contains(t, h.provider.Live(), h.seeded.ID, "the revocation did nothing: this test tests nothing otherwise")
		require.Len(t, h.versions().Keys, 2, "the value of a key that is not proven dead")
		if st.Open == nil {
			require.Len(t, st.Debts, 1)
		}
		h.nothingLost()
		time.Sleep(time.Until(until))
		h.ended(r, 24*time.Hour, rotation.Rotated)
		h.laws()
	})
}

// H8: something breaks while the old key is disabled. Naive: everybody is rolled back, the healthy ones too; or the watch is
// blind, and the key is revoked.
func TestH8BreakageWhileDisabledEnablesAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 3)
		withoutUsage(h.world)
		h.provider.Traits.Propagation = 10 * time.Minute
		sidecar, c := h.seeded, h.consumers[2] // its health covers a part that nobody told
		h.cred.Consumers[2].Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			if !h.present(sidecar) {
				return errors.New("the sidecar is down")
			}
			return c.Verify(ctx, key)
		})
		told := &recorder{}
		h.cfg.Sinks = []rotation.Sink{told}
		r := h.rotator()
		h.begin(r)
		st := h.drive(r, time.Hour+15*time.Minute)
		require.NotZero(t, h.provider.Calls("Disable"))
		require.NotZero(t, h.provider.Calls("Enable"))
		require.NotNil(t, st.Open)
		require.Equal(t, rotation.Standard, st.Open.Strategy)
		require.NotNil(t, told.first(func(e rotation.Event) bool { return e.Problem != nil && e.Problem.Diagnosis == rotation.OldKeyInUse }))
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase, "%s", st.Open)
		require.Contains(t, h.provider.Live(), h.seeded.ID, "enabled again")
		require.Zero(t, h.provider.Calls("Revoke"))
		sidecar = h.current()
		h.ended(r, 48*time.Hour, rotation.Rotated)
		h.laws()
		for _, c := range h.consumers {
			require.LessOrEqual(t, c.Calls("Deploy"), 3, "by hand, pending and current, and never again")
		}
	})
}

// selfish issues only to whoever shows a live key.
type selfish struct {
	*rotationtest.Provider
	hangs bool // ... and takes forever
	did   *[]string
}

func (s selfish) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	*s.did = append(*s.did, "issue")
	if s.hangs {
		<-ctx.Done()
		return rotation.Key{}, ctx.Err()
	}
	if err := s.Provider.Verify(ctx, req.Current); err != nil {
		return rotation.Key{}, rotation.ErrDenied
	}
	return s.Provider.Issue(ctx, req)
}

func (s selfish) Revoke(ctx context.Context, key rotation.Key) error {
	*s.did = append(*s.did, "revoke")
	return s.Provider.Revoke(ctx, key)
}

// H9: the compromised key authorises the calls of its own issuer. Naive: it is revoked first or at the same time, and no
// successor can ever be made; or issuing hangs, and the compromised key lives as long.
func TestH9SelfAuthorisingKeyIssuesFirst(t *testing.T) {
	for what, hangs := range map[string]bool{"issued, then revoked": false, "issuing hangs": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				var did []string
				h.cred.Issuer = selfish{h.provider, hangs, &did}
				r, began := h.rotator(), time.Now()
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
				require.NotContains(t, h.provider.Live(), h.seeded.ID)
				require.LessOrEqual(t, time.Since(began), 45*time.Second, "the limit of issuing is part of the record")
				require.Equal(t, []string{"issue", "revoke"}, did[:2])
				if !hangs {
					h.ended(r, time.Hour, rotation.Rotated)
				}
				h.nothingLost()
			})
		})
	}
}

// H10: both keys are compromised at a provider that takes two; or the store is down. Naive: "no slot" ends the emergency; a
// key is minted that nothing can keep.
func TestH10EmergencyWithoutRoom(t *testing.T) {
	t.Run("no slot", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1, func(w *world) { w.provider.Traits.MaxKeys = 2 })
			r := h.rotator()
			h.begin(r)
			h.until(r, rotation.PhaseSoak)
			both := h.provider.Live()
			require.Len(t, both, 2)
			_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
			h.ended(r, time.Hour, rotation.Rotated)
			for _, id := range both {
				require.NotContains(t, h.provider.Live(), id)
			}
		})
	})
	t.Run("no store", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			h.store.Inject(rotationtest.Fault{Op: "Save", Until: time.Now().Add(time.Hour)})
			r := h.rotator()
			_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
			require.NotContains(t, h.provider.Live(), h.seeded.ID)
			for range 50 {
				time.Sleep(time.Minute)
				_, _ = r.Advance(t.Context(), name)
				require.Zero(t, h.provider.Calls("Issue"), "minted with nowhere to put it")
			}
			h.ended(r, 2*time.Hour, rotation.Rotated)
		})
	})
}

// H11: a sink is dead for hundreds of events. Naive: they grow the record past what the journal takes, and then even an
// emergency stops.
func TestH11DeadSinkHoldsNothingUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		sink := &recorder{down: true}
		h.cfg.Sinks = []rotation.Sink{sink}
		r := h.rotator()
		for i := range 600 {
			require.NoError(t, r.Hold(t.Context(), name, time.Now().Add(time.Hour), fmt.Sprint("hold ", i)))
		}
		e, err := h.journal.Load(t.Context(), name)
		require.NoError(t, err)
		require.Less(t, len(e.Data), 100_000, "the record grows with what a sink does not take")
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NotContains(t, h.provider.Live(), h.seeded.ID)
		sink.set(false)
		for range 120 {
			time.Sleep(time.Minute)
			_, _ = r.Advance(t.Context(), name)
		}
		var held []string
		for _, e := range sink.all() {
			if _, reason, ok := strings.Cut(e.Text, ": hold "); ok {
				held = append(held, reason)
			}
		}
		held = slices.Compact(held) // at least once, in order
		require.Len(t, held, 600)
		require.Equal(t, "0", held[0])
		require.Equal(t, "599", held[599])
	})
}

// H12: a credential that is being driven is not due. Naive: leased entries come first in every answer of Due and starve the
// rest.
func TestH12DueWhileLeasedIsTheEndOfTheLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		asked := 0
		h.cred.Consumers[0].Consumer = consuming{h.consumers[0], func(op string) {
			if op != "Deploy" {
				return
			}
			asked++
			due, err := h.journal.Due(context.Background(), []string{name}, time.Now().Add(29*time.Second), 10)
			assert.NoError(t, err)
			assert.Empty(t, due, "due under lease")
			due, err = h.journal.Due(context.Background(), []string{name}, time.Now().Add(31*time.Second), 10)
			assert.NoError(t, err)
			assert.Len(t, due, 1, "nobody would look after a process that died")
		}}
		r := h.rotator()
		h.begin(r)
		h.ended(r, 24*time.Hour, rotation.Rotated)
		require.NotZero(t, asked)
	})
}

// H13: a Save of the journal is applied and its answer is lost. Naive: the retry conflicts with itself, and the owner thinks
// that somebody else drives: the rotation waits for its own lease, or an effect is made twice.
func TestH13AmbiguousJournalSave(t *testing.T) {
	saves, took := 0, time.Duration(0)
	run := func(t *testing.T, call int) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			if call > 0 {
				h.journal.Inject(rotationtest.Fault{Op: "Save", Call: call, After: true})
			}
			r := h.rotator()
			began := time.Now()
			for _, err := r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"}); err != nil; time.Sleep(time.Second) {
				_, err = r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
			}
			h.ended(r, 24*time.Hour, rotation.Rotated)
			if call == 0 {
				took, saves = time.Since(began), h.journal.Calls("Save")
			}
			require.LessOrEqual(t, time.Since(began), took+20*time.Second, "it waited for itself")
			for _, op := range []string{"Issue", "Disable", "Revoke"} {
				require.Equal(t, 1, h.provider.Calls(op), op)
			}
			require.LessOrEqual(t, h.consumers[0].Calls("Deploy"), 2, "by hand, and once")
			h.laws()
		})
	}
	run(t, 0)
	require.Greater(t, saves, 8)
	for call := 2; call <= saves; call++ { // the first one is the installation's
		t.Run(fmt.Sprint("save ", call), func(t *testing.T) { run(t, call) })
	}
}

// H14: for whoever reads the store, the promotion is the deployment. Naive: promote, then the canary, which finds out what
// everybody else finds out at the same time.
func TestH14CanaryComesBeforePromote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		f := h.follow()
		h.cred.Consumers = append(h.cred.Consumers, f.binding())
		h.cred.Policy.Canaries = 1
		canary := h.consumers[0]
		h.cred.Consumers[0].Verifier = rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error {
			if key.ID != h.seeded.ID {
				return errors.New("crash loop")
			}
			return canary.Verify(t.Context(), key)
		})
		var roles []rotation.Role
		h.cred.Consumers[0].Consumer = observing{rotation.ConsumerFunc(func(ctx context.Context, req rotation.DeployRequest) error {
			roles = append(roles, req.Role)
			return canary.Deploy(ctx, req)
		}), canary}
		r := h.rotator()
		h.begin(r)
		for range 120 {
			require.Equal(t, h.seeded.ID, h.current().ID, "promoted although the canary fails")
			time.Sleep(time.Minute)
			if st, _ := r.Advance(t.Context(), name); st.Open == nil {
				break
			}
		}
		h.ended(r, 24*time.Hour, rotation.RolledBack)
		h.laws()
		require.Equal(t, rotation.RolePending, roles[0])
	})
}

// H15: a process dies after a Deploy, and the next one deploys again. That cannot be avoided; the same ID lets a consumer that
// is stamped do nothing the second time. Naive: every resumed run restarts everybody.
func TestH15DeploymentIDIsStable(t *testing.T) {
	for call := 1; call <= 3; call++ {
		t.Run(fmt.Sprint("after deployment ", call), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 3)
				restarts := map[string]int{}
				stamps, calls := make([]string, 3), 0
				for i, c := range h.consumers {
					h.cred.Consumers[i].Consumer = observing{rotation.ConsumerFunc(func(ctx context.Context, req rotation.DeployRequest) error {
						calls++
						if stamps[i] == req.ID {
							return nil
						}
						stamps[i] = req.ID
						restarts[req.Consumer+" "+req.Key.ID]++
						return c.Deploy(ctx, req)
					}), c}
				}
				h.begin(h.doomed(cut{op: "Deploy", call: call, after: true}))
				r := h.rotator()
				h.until(r, rotation.PhaseSoak)
				h.abort(r)
				h.ended(r, 24*time.Hour, rotation.RolledBack)
				h.laws()
				require.Len(t, restarts, 6, "three consumers to the new key, and back")
				for what, n := range restarts {
					require.Equal(t, 1, n, what)
				}
				require.Greater(t, calls, 6, "nothing was repeated: this test tests nothing")
			})
		})
	}
}

// mute answers every revocation with nil and does nothing: a 404 under masked permissions.
type mute struct {
	*rotationtest.Provider
	disables bool
}

func (m mute) Revoke(context.Context, rotation.Key) error { return nil }

func (m mute) Disable(ctx context.Context, key rotation.Key) error {
	if !m.disables {
		return errors.ErrUnsupported
	}
	return m.Provider.Disable(ctx, key)
}

// H16: the first key is in no attempt and has no id; or Revoke's nil was a 404. Naive: it is guessed at, or counts as dead.
func TestH16UnprovenDeathsAreDebts(t *testing.T) {
	t.Run("the first key has no id", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			v := h.versions()
			v.Keys[0].Key.ID = ""
			require.NoError(t, h.store.Save(t.Context(), name, v))
			h.others = append(h.others, h.seeded.ID) // the library cannot know
			withoutUsage(h.world)
			r := h.rotator()
			h.begin(r)
			st := h.drive(r, 24*time.Hour)
			require.Nil(t, st.Open, "%s", st.Open)
			require.Equal(t, rotation.Rotated, st.Last.Outcome)
			require.Len(t, st.Debts, 1)
			require.Zero(t, h.provider.Calls("Revoke"))
			h.laws()
		})
	})
	// A key that was disabled before is refused anyway: that proves nothing of the revocation.
	for what, disables := range map[string]bool{"nil is no proof": false, "nil is no proof, nor is a key that was disabled": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				h.cred.Issuer = mute{h.provider, disables}
				r := h.rotator()
				h.begin(r)
				st := h.drive(r, 24*time.Hour)
				require.Nil(t, st.Open, "%s", st.Open)
				debts := h.paid(r)
				require.Len(t, debts, 1)
				require.Equal(t, rotation.RevocationNotEffective, debts[0].Problem.Diagnosis)
				require.Len(t, h.versions().Keys, 2)
				h.laws()
				h.cred.Issuer = h.provider
				h.ended(h.rotator(), 24*time.Hour, rotation.Rotated)
			})
		})
	}
}

// H17: a CI job times out and asks again. Naive: a second rotation begins.
func TestH17TriggerAttaches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		ask := func(id string) {
			_, err := h.rotator().Rotate(t.Context(), name, rotation.Trigger{ID: id})
			require.NoError(t, err)
		}
		ask("run 1")
		ask("run 1") // while it is open
		h.ended(h.rotator(), 24*time.Hour, rotation.Rotated)
		ask("run 1") // when it has ended
		require.Nil(t, h.status().Open)
		require.Equal(t, 1, h.provider.Calls("Issue"))
		ask("run 2")
		require.NotNil(t, h.status().Open)
		h.ended(h.rotator(), 24*time.Hour, rotation.Rotated)
		require.Equal(t, 2, h.provider.Calls("Issue"))
		h.laws()
	})
}
