// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// The successor of an emergency was proven, and dies afterwards: revoked by hand, ended by the provider. Naive: it is deployed
// and verified for ever.
func TestEmergencyTurnsToAnotherSuccessor(t *testing.T) {
	for what, c := range map[string]struct {
		phase rotation.Phase
		stall func(h *hazard, until time.Time)
	}{
		"while it is deployed": {rotation.PhaseDeploy, func(h *hazard, until time.Time) {
			h.consumers[0].Inject(rotationtest.Fault{Op: "Deploy", Until: until})
		}},
		"while it is verified": {rotation.PhaseVerify, func(h *hazard, until time.Time) {
			h.consumers[0].Inject(rotationtest.Fault{Op: "Verify", Until: until})
		}},
		"while the old one dies": {rotation.PhaseConfirm, func(h *hazard, until time.Time) {
			h.cred.Issuer = stubborn{h.provider, h.seeded.ID, until}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				c.stall(h, time.Now().Add(10*time.Minute))
				r := h.rotator()
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
				st := h.until(r, c.phase)
				dead := st.Open.NewID
				require.NoError(t, h.provider.Revoke(t.Context(), rotation.Key{ID: dead}))
				h.drive(r, 30*time.Minute)
				require.NotEqual(t, dead, h.current().ID)
				require.True(t, h.present(h.current()))
				require.True(t, h.present(h.consumers[0].Key()))
				h.ended(r, 2*time.Hour, rotation.Rotated)
				h.nothingLost()
			})
		})
	}
}

// Keys that die one after the other are made three times, and then a person looks.
func TestEmergencySuccessorsAreCapped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		h.cred.Consumers[0].Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			_ = h.provider.Revoke(ctx, key) // whoever is deployed to dies of it
			return errors.New("crash loop")
		})
		r := h.rotator()
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		st := h.drive(r, time.Hour)
		require.Equal(t, 3, h.provider.Calls("Issue"))
		require.Equal(t, rotation.NewKeyRejected, diagnosis(st))
		_, _ = r.Resolve(t.Context(), name, rotation.Answer{Need: need(t, st, rotation.VerbDone).ID, Verb: rotation.VerbDone})
		h.drive(r, time.Hour)
		require.Equal(t, 6, h.provider.Calls("Issue"), "three more")
	})
}

// The same where a standard rotation has nowhere to go back to: the old key is condemned, or was dead at the beginning.
func TestNewKeyDiesWhereThereIsNoWayBack(t *testing.T) {
	for what, stall := range map[string]func(h *hazard) rotation.Phase{
		"the old one is condemned": func(h *hazard) rotation.Phase {
			h.cred.Issuer = stubborn{h.provider, h.seeded.ID, time.Now().Add(3 * time.Hour)}
			return rotation.PhaseRetire
		},
		"the old one was dead": func(h *hazard) rotation.Phase {
			h.met()
			require.NoError(h.t, h.provider.Revoke(h.t.Context(), h.seeded))
			h.consumers[0].Inject(rotationtest.Fault{Op: "Verify", Until: time.Now().Add(time.Hour)})
			return rotation.PhaseVerify
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				h.cred.Policy.Patience = 4 * time.Hour
				phase := stall(h)
				r := h.rotator()
				h.begin(r)
				dead := h.until(r, phase).Open.NewID
				require.NoError(t, h.provider.Revoke(t.Context(), rotation.Key{ID: dead}))
				h.drive(r, time.Hour)
				require.True(t, h.present(h.current()))
				require.True(t, h.present(h.consumers[0].Key()))
				h.ended(r, 24*time.Hour, rotation.Rotated)
				h.nothingLost()
			})
		})
	}
}

// A key that an open try made is compromised too. Naive: the emergency ends before it is dead; or a hold, or a store that somebody
// changed by hand, keeps it alive.
func TestEmergencyOutlastsWhatWasUnderWay(t *testing.T) {
	for what, obstacle := range map[string]func(h *hazard, r *rotation.Rotator){
		"a hold": func(h *hazard, r *rotation.Rotator) {
			require.NoError(h.t, r.Hold(h.t.Context(), name, time.Now().Add(100*time.Hour), "freeze"))
		},
		"a key put there by hand": func(h *hazard, _ *rotation.Rotator) {
			theirs := h.provider.Mint()
			h.others = append(h.others, theirs.ID)
			h.byHand(theirs, false, true)
		},
		"another installation's store": func(h *hazard, _ *rotation.Rotator) {
			v := h.versions()
			v.Stamp = "handover1:SOMEBODYELSE:R:1:1"
			require.NoError(h.t, h.store.Save(h.t.Context(), name, v))
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				h.provider.Traits.ListLag = time.Minute
				h.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
				before := h.provider.Live()
				until := time.Now().Add(5 * time.Hour)
				minted := fmt.Sprintf("key-%03d", len(before)+1)
				h.cred.Issuer = stubborn{h.provider, minted, until}
				r := h.rotator()
				h.begin(r)
				require.Contains(t, h.provider.Live(), minted)
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
				st := h.drive(r, 2*time.Hour)
				require.NotNil(t, st.Open)
				require.Equal(t, rotation.Emergency, st.Open.Strategy)
				require.Contains(t, h.provider.Live(), minted)

				obstacle(h, r)
				for time.Now().Before(until.Add(20 * time.Minute)) {
					_, _ = r.Sweep(t.Context())
					time.Sleep(time.Minute)
				}
				require.NotContains(t, h.provider.Live(), minted)
				if what != "another installation's store" { // nothing of it proves anything
					require.Nil(t, h.status().Open)
					for _, debt := range h.status().Debts {
						require.NotEqual(t, minted, debt.Key.ID)
					}
				}
				require.True(t, h.present(h.consumers[0].Key()))
			})
		})
	}
}

// slots are two users whose revocation takes a while to land, and locks out whoever lives there by then.
type slots struct {
	*alternating
	slow time.Duration
}

func (s slots) Describe() rotation.Traits {
	return rotation.Traits{Propagation: -1, ListLag: -1, Independent: true}
}

func (s slots) Revoke(ctx context.Context, key rotation.Key) error {
	time.Sleep(s.slow)
	return s.alternating.Revoke(ctx, key)
}

// C7: both users are compromised, and one of them gets a new password while its revocation is under way. Naive: the new key is
// deployed, and then the revocation lands.
func TestC7SlotIsNotReusedUnderARevocation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		h.seeded.ID = "x"
		v := h.versions()
		v.Keys[0].Key.ID = "x"
		require.NoError(t, h.store.Save(t.Context(), name, v))
		db := &alternating{users: map[string]secret.Value{"x": h.seeded.Secret}}
		h.elsewhere(slots{db, 3 * time.Second}, db.accepts)
		h.give(h.consumers[0], h.seeded)
		r := h.rotator()
		h.begin(r)
		h.until(r, rotation.PhaseSoak)
		told := h.consumers[0].Calls("Deploy")
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.True(t, db.accepts(h.current()), "%s", h.status().Open)
		st := h.drive(r, time.Hour)
		require.Nil(t, st.Open, "%s", st.Open)
		require.True(t, db.accepts(h.current()))
		require.True(t, db.accepts(h.consumers[0].Key()))
		require.Equal(t, told+1, h.consumers[0].Calls("Deploy"), "given a key that was about to be locked out")
		require.Len(t, db.users, 1)
	})
}

// byValue is a provider that revokes by value, and lists nothing.
func byValue(w *world) { w.cred.Issuer = taciturn{w.provider, w.provider} }

// A value that leaked is named under an incident that is open, or was, while the store cannot be read. Naive: it is in no
// record, so it must be dead.
func TestLeakedValueIsAnObligation(t *testing.T) {
	for what, ended := range map[string]bool{"open": false, "ended": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1, byValue)
				r := h.rotator()
				in := rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: h.seeded.ID}}}
				if !ended {
					h.consumers[0].Inject(rotationtest.Fault{Op: "Verify", Until: time.Now().Add(2 * time.Hour)})
				}
				_, _ = r.Emergency(t.Context(), in)
				h.drive(r, time.Hour)
				require.Equal(t, ended, h.status().Open == nil)

				leaked := h.provider.Mint()
				in.Keys = []rotation.Leak{{Credential: name, Value: leaked.Secret}}
				h.store.Inject(rotationtest.Fault{Op: "Load", Until: time.Now().Add(time.Hour)})
				h.provider.Inject(rotationtest.Fault{Op: "Revoke", Call: h.provider.Calls("Revoke") + 1})
				_, _ = r.Emergency(t.Context(), in)
				require.Contains(t, h.provider.Live(), leaked.ID)
				require.NotNil(t, h.status().Open, "it was dropped")
				require.NotContains(t, h.everything(), leaked.Secret.Reveal())

				time.Sleep(time.Minute)
				_, _ = r.Emergency(t.Context(), in) // asked again, with the value
				require.NotContains(t, h.provider.Live(), leaked.ID)
				time.Sleep(time.Hour)
				h.drive(r, 2*time.Hour)
				st := h.status()
				require.NotNil(t, st.Open, "nothing can prove it dead but a person")
				h.answer(r, rotation.VerbSettle)
				h.drive(r, 24*time.Hour)
				require.Nil(t, h.status().Open, "one leak, one obligation")
				_, _ = r.Emergency(t.Context(), in)
				require.Nil(t, h.status().Open, "the same again attaches")
			})
		})
	}
}

// The value that leaked is that of a key in a store that could not be read: once it can, the key is known.
func TestLeakedValueIsRecognised(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		h.cred.Issuer = named{h.provider}
		r := h.rotator()
		h.begin(r)
		h.ended(r, 24*time.Hour, rotation.Rotated)
		leaked := h.current()
		h.store.Inject(rotationtest.Fault{Op: "Load", Until: time.Now().Add(30 * time.Minute)})
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, Value: leaked.Secret}}})
		require.Contains(t, h.provider.Live(), leaked.ID, "nobody knows which it is")
		time.Sleep(30 * time.Minute)
		h.ended(r, time.Hour, rotation.Rotated)
		require.NotContains(t, h.provider.Live(), leaked.ID)
	})
}

// named is a provider that revokes by id only.
type named struct{ *rotationtest.Provider }

func (n named) Revoke(ctx context.Context, key rotation.Key) error {
	if key.ID == "" {
		return errors.New("which one?")
	}
	return n.Provider.Revoke(ctx, key)
}

// An id that nobody ever knew is named, by a slip of the pen perhaps. Naive: it is reported dead, and whoever named it goes
// home while the key that leaked lives on.
func TestLeakThatNobodyKnows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		told := &recorder{}
		h.cfg.Sinks = []rotation.Sink{told}
		r := h.rotator()
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: "key-0O1"}, {Credential: name, KeyID: h.others[0]}}})
		h.drive(r, time.Hour)
		st := h.status()
		require.Nil(t, st.Open, "there is nothing to wait for")
		is := func(id string) *rotation.Event {
			return told.first(func(e rotation.Event) bool { return e.Kind == rotation.EventDead && strings.Contains(e.Text, id) })
		}
		require.Contains(t, is("key-0O1").Text, "never seen")
		require.Equal(t, slog.LevelWarn, is("key-0O1").Level)
		require.Contains(t, st.Last.String(), "never seen")
		require.Contains(t, h.provider.Live(), h.seeded.ID)
	})
}

// The record tells when a revocation was sent, not when its answer was looked at.
func TestTimelineTellsWhenItWasSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		h.provider.Inject(rotationtest.Fault{Op: "Revoke", Call: 1, Delay: 5 * time.Second})
		told := &recorder{}
		h.cfg.Sinks = []rotation.Sink{told}
		r := h.rotator()
		began := time.Now()
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", RevokeFirst: true, Credentials: []string{name}})
		h.drive(r, time.Hour)
		st := h.status()
		require.True(t, slices.IsSortedFunc(st.Last.Timeline, func(a, b rotation.Moment) int { return a.At.Compare(b.At) }), "%s", st.Last)
		i := slices.IndexFunc(st.Last.Timeline, func(m rotation.Moment) bool { return strings.HasSuffix(m.Text, "was revoked") })
		require.True(t, st.Last.Timeline[i].At.Equal(began), "%s", st.Last)
		require.True(t, told.first(func(e rotation.Event) bool { return e.Kind == rotation.EventRevoked }).At.Equal(began))
	})
}

// A key that is not proven dead is a debt for that reason, whoever may be using it. Naive: the next look says "old key in use",
// of which nobody has seen anything.
func TestDebtKeepsItsReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		h.cred.Issuer = mute{h.provider, false}
		told := &recorder{}
		h.cfg.Sinks = []rotation.Sink{told}
		r := h.rotator()
		h.begin(r)
		h.drive(r, 24*time.Hour)
		require.Len(t, h.paid(r), 1)
		for _, e := range told.all() {
			if e.Kind == rotation.EventDebt {
				require.Equal(t, rotation.RevocationNotEffective, e.Problem.Diagnosis, e.Text)
			}
		}
		require.NotNil(t, told.first(func(e rotation.Event) bool { return e.Kind == rotation.EventDebt }))
	})
}

// A chosen value leaks while the call that sets it is on its way, and it is all that the incident names, or the current key too.
// Naive: it is refused, so it is believed dead, and then the call lands; or the same value is set again.
func TestChosenValueLeaksOnItsWay(t *testing.T) {
	for what, both := range map[string]bool{"it lands": false, "it never lands, and the current key leaked too": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newBrief(t, 1)
				var set []rotation.Key
				w.cred.Issuer = choosing{w.provider, func(req rotation.IssueRequest) error {
					set = append(set, req.Chosen)
					if w.provider.Calls("Issue") != 1 {
						return nil
					}
					if !both {
						time.AfterFunc(5*time.Second, func() { _, _ = w.provider.Issue(context.Background(), req) })
					}
					w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 2})
					_, err := w.provider.Issue(context.Background(), req)
					return err
				}}
				r := w.rotator()
				w.rotate(r)
				w.ends(r)
				before := w.current()
				w.rotate(r)
				chosen := w.versions().Key(rotation.RolePending)
				require.False(t, chosen.Secret.IsZero())
				in := rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, Value: chosen.Secret}}}
				if both {
					in.Keys = append(in.Keys, rotation.Leak{Credential: name, KeyID: before.ID})
					time.Sleep(time.Minute) // nothing can land any more
				}
				_, _ = r.Emergency(t.Context(), in)
				accepted := 0
				for range 60 {
					st := w.paces(r, time.Second)
					if w.provider.Verify(t.Context(), chosen) == nil {
						require.NotNil(t, st.Open, "it was believed dead, and is not")
						accepted++
					}
				}
				st := w.ends(r)
				require.LessOrEqual(t, accepted, 30, "it lived for longer than it took to see that it had landed")
				require.Equal(t, rotation.Rotated, st.Last.Outcome, "%s", st.Last)
				require.ErrorIs(t, w.provider.Verify(t.Context(), chosen), rotation.ErrRejected)
				set = slices.DeleteFunc(set, func(k rotation.Key) bool { return !k.Secret.Equal(chosen.Secret) })
				require.Len(t, set, 1, "it was set again")
				require.Equal(t, both, w.current().ID != before.ID, "%s", st.Last)
				require.Equal(t, []string{w.current().ID}, w.provider.Live())
				require.Empty(t, st.Debts)
			})
		})
	}
}

// An incident names the id of a key whose answer of Issue was lost. Naive: the key is known twice, once by its id and once by its
// try, and the emergency waits for ever for the other one.
func TestLeakedIDIsThatOfALostAnswer(t *testing.T) {
	for what, in := range map[string]rotation.Incident{
		"with the credential":  {Credentials: []string{name}},
		"with the current key": {},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newBrief(t, 1)
				r := w.rotator()
				w.rotate(r)
				w.ends(r)
				before := w.current().ID
				w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 2, After: true})
				w.rotate(r)
				lost := slices.DeleteFunc(w.provider.Live(), func(id string) bool { return id == before })[0]
				time.Sleep(10 * time.Minute)
				in.Reference, in.Keys = "INC-1", []rotation.Leak{{Credential: name, KeyID: lost}}
				if in.Credentials == nil {
					in.Keys = append(in.Keys, rotation.Leak{Credential: name, KeyID: before})
				}
				_, _ = r.Emergency(t.Context(), in)
				st := w.paces(r, time.Hour)
				require.Nil(t, st.Open, "%s %+v", st.Open, st.Needs)
				require.Empty(t, st.Debts)
				require.NotContains(t, []string{before, lost}, w.current().ID)
				require.Equal(t, []string{w.current().ID}, w.provider.Live())
				require.NotContains(t, st.Last.String(), "never seen")
			})
		})
	}
}

// An incident comes upon a lost answer of Issue, and the store is down. Naive: what the try made is looked for once the store
// answers, and lives until then.
func TestLostTryDiesWhileTheStoreIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		r := w.rotator()
		w.rotate(r)
		require.Len(t, w.provider.Live(), 2)
		w.store.Inject(rotationtest.Fault{Op: "Load", Until: time.Now().Add(time.Hour)})
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		st := w.paces(r, 5*time.Minute)
		require.NotNil(t, st.Open)
		require.Empty(t, w.provider.Live())
		w.paces(r, time.Hour)
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
	})
}
