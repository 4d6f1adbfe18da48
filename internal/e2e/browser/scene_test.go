// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

const day = 24 * time.Hour

// scene is what a rotator says of an inventory in which much happens. Its days are a bubble's; they are shown as if they had ended
// a moment ago.
type scene struct {
	credentials []rotation.Credential
	statuses    []rotation.Status
}

func (s *scene) Credentials() []rotation.Credential { return s.credentials }

func (s *scene) List(context.Context) ([]rotation.Status, error) { return s.statuses, nil }

// The parts are the fakes of rotationtest, with names such as a reader of the page meets.
type (
	provider struct {
		*rotationtest.Provider
		name string
	}
	vault struct {
		*rotationtest.Store
		name string
	}
	service struct {
		*rotationtest.Consumer
		name string
	}
	receiver struct {
		*rotationtest.Receiver
		name string
	}
	sender struct {
		*rotationtest.Sender
		name string
	}
	// silent is a provider that does not tell when a key was used.
	silent struct{ provider }
	// unseen is a consumer of which nobody can see what it uses.
	unseen struct{ service *rotationtest.Consumer }
)

func (p provider) Identity() string { return p.name }
func (s vault) Identity() string    { return s.name }
func (s service) Identity() string  { return s.name }
func (r receiver) Identity() string { return r.name }
func (s sender) Identity() string   { return s.name }

func (s silent) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	infos, err := s.provider.List(ctx)
	for i := range infos {
		infos[i].Usage = rotation.Usage{}
	}
	return infos, err
}

func (u unseen) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return u.service.Deploy(ctx, req)
}

// stage makes a scene.
type stage struct {
	t       *testing.T
	store   vault
	journal *rotationtest.Journal
	rotator *rotation.Rotator
}

// newScene plays some days.
func newScene(t *testing.T) *scene {
	var out scene
	synctest.Test(t, func(t *testing.T) {
		s := stage{t: t, store: vault{rotationtest.NewStore(), "vault.example.com/kv/production"}, journal: rotationtest.NewJournal()}
		var err error
		s.rotator, err = rotation.New(rotation.Config{
			Journal: s.journal, Store: s.store, Actor: "rotator@ops-1", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		require.NoError(t, err)
		out = s.play()
	})
	shift(reflect.ValueOf(&out.statuses).Elem(), time.Since(bubbleEnd(out.statuses)))
	return &out
}

// bubbleEnd is when the bubble's last day ended: every status was looked at then.
func bubbleEnd(statuses []rotation.Status) time.Time {
	var end time.Time
	for _, st := range statuses {
		for _, r := range []*rotation.Record{st.Open, st.Last} {
			if r == nil {
				continue
			}
			for _, m := range r.Timeline {
				if m.At.After(end) {
					end = m.At
				}
			}
		}
	}
	return end.Add(40 * time.Second)
}

var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// shift moves every time below v, in texts too.
func shift(v reflect.Value, by time.Duration) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		if !at.IsZero() {
			*at = at.Add(by)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(stamp.ReplaceAllStringFunc(v.String(), func(text string) string {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					return text
				}
				return at.Add(by).Format(time.RFC3339)
			}))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			shift(v.Elem(), by)
		}
	case reflect.Slice:
		for i := range v.Len() {
			shift(v.Index(i), by)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				shift(v.Field(i), by)
			}
		}
	}
}

// add registers a credential whose key is so old, with consumers that use it.
func (s *stage) add(name string, t rotation.Type, age time.Duration, change func(*rotation.Credential), consumers ...string) *rotationtest.Provider {
	s.t.Helper()
	p := rotationtest.NewProvider()
	key := p.Mint()
	key.IssuedAt = time.Now().Add(-age)
	require.NoError(s.t, store.Seed(s.t.Context(), s.store, name, key))
	c := rotation.Credential{Name: name, Type: t, Issuer: provider{p, "https://api." + name + ".example.com/v1/keys"}, Contact: "#platform"}
	for _, consumer := range consumers {
		fake := rotationtest.NewConsumer(p)
		require.NoError(s.t, fake.Deploy(s.t.Context(), rotation.DeployRequest{Key: key}))
		c.Consumers = append(c.Consumers, rotation.Binding{Name: consumer, Consumer: service{fake, "kubernetes: production/" + consumer}})
	}
	if change != nil {
		change(&c)
	}
	require.NoError(s.t, s.rotator.Register(c))
	return p
}

// drive carries a rotation on for so long.
func (s *stage) drive(name string, d time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	_ = s.rotator.Wait(ctx, name)
}

func (s *stage) rotate(name, by, reason string) {
	s.t.Helper()
	ctx := rotation.WithActor(s.t.Context(), by)
	_, err := s.rotator.Rotate(ctx, name, rotation.Trigger{Reason: reason})
	if err != nil {
		s.t.Log(name, err)
	}
}

// known lets the rotator look at credentials that are not due.
func (s *stage) known(names ...string) {
	s.t.Helper()
	for _, name := range names {
		_, err := s.rotator.Advance(s.t.Context(), name)
		require.NoError(s.t, err)
	}
}

func (s *stage) play() scene {
	t := s.t
	high := func(contact string) func(*rotation.Credential) {
		return func(c *rotation.Credential) { c.Risk, c.Contact = rotation.HighRisk, contact }
	}
	// Rotated long ago, in order.
	for _, name := range []string{"crm-export", "object-storage"} {
		s.add(name, rotation.APIKey, 80*day, nil, "web", "worker")
		s.rotate(name, "ci@pipeline", "monthly run")
		s.drive(name, 4*day)
	}
	s.add("maps-tiles", rotation.APIKey, 21*day, nil, "web")
	s.add("translation-api", rotation.APIKey, 55*day, nil, "web", "worker")
	s.known("maps-tiles", "translation-api")
	s.add("audit-archive", rotation.ServiceAccount, 89*day+20*time.Hour, nil, "archiver")
	s.known("audit-archive")
	require.NoError(t, s.rotator.Hold(rotation.WithActor(t.Context(), "bo@example.com"), "audit-archive", time.Now().Add(20*day), "the archive is being moved"))
	s.add("customer-db", rotation.Database, 20*day, high("#data"), "api", "reports")
	s.rotate("customer-db", "ana@example.com", "she leaves the team")
	s.drive("customer-db", 3*day)
	s.add("newsletter-smtp", rotation.ServiceAccount, 30*day, nil, "mailer")
	s.add("partner-sso", rotation.OAuthClient, 40*day, nil, "login", "admin-console")
	s.known("newsletter-smtp", "partner-sso")

	// A debt: what was seeded has no id, so that nothing can end it or prove it dead.
	s.addNameless("legacy-gateway")
	s.rotate("legacy-gateway", "ci@pipeline", "taken over from the old scripts")
	s.drive("legacy-gateway", 3*day)

	// Due soon, and never looked at.
	s.add("search-index", rotation.APIKey, 82*day, nil, "search")
	s.add("warehouse-etl", rotation.Database, 25*day, high("#data"), "etl")
	s.known("search-index", "warehouse-etl")
	require.NoError(t, s.rotator.Register(rotation.Credential{
		Name: "sandbox-api", Type: rotation.APIKey, Scope: rotation.ScopeReadOnly,
		Issuer: provider{rotationtest.NewProvider(), "https://sandbox.example.com/keys"},
	}))

	// A standard rotation in soak.
	s.add("payment-gateway-api", rotation.APIKey, 31*day, high("#payments"), "checkout", "refunds", "ledger", "fraud-scores")
	s.rotate("payment-gateway-api", "rotator@ops-1", "")
	s.drive("payment-gateway-api", 7*time.Hour)

	s.webhook("git-events")
	s.rotate("git-events", "cy@example.com", "yearly review")
	s.drive("git-events", 90*time.Minute)

	// Only a person can see whether the batch job moved.
	s.add("billing-db", rotation.Database, 29*day, func(c *rotation.Credential) {
		c.Risk, c.Contact = rotation.HighRisk, "#billing"
		fake := rotationtest.NewConsumer(c.Issuer.(provider).Provider)
		c.Consumers = append(c.Consumers, rotation.Binding{Name: "invoice-batch", Consumer: unseen{fake}})
		c.Issuer = silent{c.Issuer.(provider)}
	}, "invoices")
	s.rotate("billing-db", "ana@example.com", "before the audit")
	s.drive("billing-db", 30*time.Minute)

	// The provider takes no new key.
	p := s.add("geo-lookup", rotation.APIKey, 95*day, nil, "shipping")
	p.Inject(rotationtest.Fault{Op: "Issue", Err: fmt.Errorf("issue: %w", rotation.ErrNoSlot)})
	s.rotate("geo-lookup", "rotator@ops-1", "")
	s.drive("geo-lookup", 2*time.Minute)

	// A leak; one of the services is down.
	s.add("sms-gateway", rotation.APIKey, 12*day, func(c *rotation.Credential) {
		c.Risk, c.Contact = rotation.HighRisk, "#on-call"
		c.Consumers[1].Consumer.(service).Inject(rotationtest.Fault{Op: "Deploy"})
	}, "alerts", "two-factor")
	_, err := s.rotator.Emergency(rotation.WithActor(t.Context(), "dee@example.com"), rotation.Incident{
		Reference: "INC-2026-0117", Credentials: []string{"sms-gateway"}, Reason: "key in a public log archive", ConfirmedAt: time.Now().Add(-2 * time.Minute),
	})
	if err != nil {
		t.Log(err)
	}
	s.drive("sms-gateway", 6*time.Minute)

	statuses, err := s.rotator.List(t.Context())
	require.NoError(t, err)
	return scene{credentials: s.rotator.Credentials(), statuses: statuses}
}

func (s *stage) addNameless(name string) {
	p := rotationtest.NewProvider()
	key := p.Mint()
	key.ID, key.IssuedAt = "", time.Now().Add(-200*day)
	require.NoError(s.t, store.Seed(s.t.Context(), s.store, name, key))
	fake := rotationtest.NewConsumer(p)
	require.NoError(s.t, fake.Deploy(s.t.Context(), rotation.DeployRequest{Key: key}))
	require.NoError(s.t, s.rotator.Register(rotation.Credential{
		Name: name, Type: rotation.APIKey, Scope: rotation.ScopeBroad, Contact: "#platform",
		Issuer:    provider{p, "https://" + name + ".example.com/api/keys"},
		Consumers: []rotation.Binding{{Name: "exporter", Consumer: service{fake, "ssh: exporter-1"}}},
	}))
}

// webhook registers a webhook secret whose sender has nothing to deliver for the time being.
func (s *stage) webhook(name string) {
	key := rotationtest.NewProvider().Mint()
	key.IssuedAt = time.Now().Add(-170 * day)
	require.NoError(s.t, store.Seed(s.t.Context(), s.store, name, key))
	one, two := rotationtest.NewReceiver(key), rotationtest.NewReceiver(key)
	from := rotationtest.NewSender(one, two)
	require.NoError(s.t, from.Activate(s.t.Context(), key))
	from.Inject(rotationtest.Fault{Op: "Verify", Err: rotation.ErrNotYet})
	require.NoError(s.t, s.rotator.Register(rotation.Credential{
		Name: name, Type: rotation.WebhookSecret, Issuer: sender{from, "https://git.example.com/hooks/41"}, Contact: "#developer-tools",
		Consumers: []rotation.Binding{{Name: "ci-trigger", Consumer: receiver{one, "https://ci.example.com/hooks"}}, {Name: "chat-bot", Consumer: receiver{two, "https://bot.example.com/git"}}},
	}))
}
