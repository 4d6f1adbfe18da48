// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/statuspage"
)

// looks is what is asked of the page in the browser: functions that return what they find wrong.
//
//go:embed looks.js
var looks string

// path is where the page is mounted.
const path = "/ops/rotations"

// tab is a page in the browser, and what the browser said and asked for.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	messages []string // guarded by mu
	requests []string // guarded by mu
}

// newTab serves the scene on loopback, and beside it what is left of it while the journal fails.
func newTab(t *testing.T, ctx context.Context, s *scene) *tab {
	t.Helper()
	mux := http.NewServeMux()
	for where, source := range map[string]statuspage.Source{path: s, path + "/troubled": troubled{s}} {
		page, err := statuspage.New(statuspage.Config{Rotator: source})
		require.NoError(t, err)
		mux.Handle(where, page)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	b := &tab{t: t, ctx: ctx, url: "http://" + listener.Addr().String() + path}
	require.NoError(t, chromedp.Listen(ctx, b.hear))
	return b
}

func (b *tab) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		b.messages = append(b.messages, ev.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		b.messages = append(b.messages, fmt.Sprint(ev.Type))
	case *runtime.EventExceptionThrown:
		b.messages = append(b.messages, ev.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, ev.Request.URL)
	}
}

// show loads the page on a screen of this size, with these colours.
func (b *tab) show(query string, width, height int64, colours string) {
	b.t.Helper()
	b.screen(width, height, colours)
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.Navigate(b.url+query)))
}

// screen sets the size and the colours of the screen.
func (b *tab) screen(width, height int64, colours string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: colours}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	require.NoError(b.t, err)
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height)))
}

// look calls one of the functions of looks.js.
func look[T any](b *tab, call string) T {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("(() => {"+looks+"\nreturn JSON.stringify("+call+")})()"))
	require.NoError(b.t, err)
	var out T
	require.NoError(b.t, json.Unmarshal([]byte(text), &out), "%s", text)
	return out
}

func (b *tab) press(keys string) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.KeyEvent(keys)))
}

// pages are every kind of page, and the credentials of which there is most to show.
var pages = []string{
	"", "?state=open", "?state=unread", "?sort=due&limit=3&page=2", "?credential=sms-gateway", "?credential=billing-db",
	"?credential=git-events", "?credential=legacy-gateway", "?credential=audit-archive", "?credential=sandbox-api",
	"/troubled", "/troubled?credential=crm-export",
}

// troubled is a scene of which not everything can be read, with a rotation that was taken over and an emergency that is late.
type troubled struct{ *scene }

func (s troubled) List(context.Context) ([]rotation.Status, error) {
	statuses := slices.Clone(s.statuses)
	for i := range statuses {
		switch st := &statuses[i]; st.Credential {
		case "sandbox-api", "maps-tiles":
			*st = rotation.Status{Credential: st.Credential}
		case "crm-export":
			last := *st.Last
			last.Outcome, last.Phase, last.Outage = rotation.TakenOver, rotation.PhaseSoak, time.Minute
			st.Last = &last
		case "sms-gateway":
			open := *st.Open
			open.Deadline, open.DeadlineMet, open.RevokedAt = open.BeganAt.Add(time.Minute), false, time.Time{}
			st.Open = &open
		}
	}
	return statuses, errors.Join(
		&rotation.Error{Credential: "sandbox-api", Evidence: "the journal does not answer", Err: context.DeadlineExceeded},
		&rotation.Error{Credential: "maps-tiles", Evidence: "the journal does not answer", Err: context.DeadlineExceeded},
	)
}

func TestStatusPage(t *testing.T) {
	browser := open(t)
	s := newScene(t)
	b := newTab(t, browser, s)
	for _, sub := range []struct {
		name string
		do   func(*tab, *scene)
	}{
		{"counts", counts},
		{"looks", looksOfEveryPage},
		{"keyboard", keyboard},
		{"search", search},
		{"pictures", pictures},
	} {
		t.Run(sub.name, func(t *testing.T) {
			b.t = t
			sub.do(b, s)
		})
	}
	b.t = t
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(t, b.messages, "the console")
	assert.NotEmpty(t, b.requests)
	for _, url := range b.requests {
		assert.True(t, url == b.url || strings.HasPrefix(url, b.url+"?") || strings.HasPrefix(url, b.url+"/troubled"), "something else is loaded: %s", url)
	}
}

func counts(b *tab, s *scene) {
	b.show("", 1280, 900, "light")
	open, debts, emergencies := 0, 0, 0
	for _, st := range s.statuses {
		debts += len(st.Debts)
		if st.Open != nil {
			open++
			if st.Open.Strategy == rotation.Emergency {
				emergencies++
			}
		}
	}
	type found struct {
		Tiles                                                    map[string]int
		Rows, Emergencies, Open, Debts, Asking, Current, Stepped int
	}
	got := look[found](b, "counted()")
	assert.Equal(b.t, map[string]int{
		"credentials": len(s.credentials), "emergency": emergencies, "waiting for a person": 1, "overdue": 2, "due within 14 days": 3,
		"rotations open": open, "failing": 3, "debt": debts, "held": 1,
	}, got.Tiles)
	assert.Equal(b.t, len(s.credentials), got.Rows)
	assert.Equal(b.t, emergencies, got.Emergencies)
	assert.Equal(b.t, open-emergencies, got.Open)
	assert.Equal(b.t, debts, got.Debts)
	assert.Equal(b.t, 1, got.Asking, "needs that ask a person")
	assert.Equal(b.t, open, got.Stepped, "rotations with their steps drawn")
	assert.Equal(b.t, open, got.Current, "one current step in each")
	assert.Equal(b.t, 1, emergencies)
}

// looksOfEveryPage looks at each page on wide and narrow screens, in light and dark: how it is built, that it does not scroll
// sideways, that every text stands out from what is behind it, and that nothing moves for those who asked for that.
func looksOfEveryPage(b *tab, _ *scene) {
	for _, page := range pages {
		b.show(page, 1280, 900, "light")
		assert.Empty(b.t, look[[]string](b, "misbuilt()"), page)
		assert.Empty(b.t, look[[]string](b, "moving()"), page)
		for _, width := range []int64{1280, 768, 360} {
			for _, colours := range []string{"light", "dark"} {
				b.screen(width, 900, colours)
				assert.Empty(b.t, look[[]string](b, "tooWide()"), "%q in %s at %d pixels", page, colours, width)
				assert.Empty(b.t, look[[]string](b, "faint(4.5)"), "%q in %s at %d pixels", page, colours, width)
				assert.Equal(b.t, colours == "dark", look[bool](b, "luminance(ground(document.body)) < 0.2"), "%q in %s", page, colours)
			}
		}
	}
}

// keyboard goes through the page with the tabulator: everything that can be used is reached, in the order of the page, and is seen
// to be.
func keyboard(b *tab, _ *scene) {
	for _, width := range []int64{1280, 360} {
		b.show("", width, 900, "light")
		want := look[[]string](b, "usable()")
		require.Greater(b.t, len(want), 30)
		var got []string
		for range len(want) + 5 {
			b.press("\t")
			at := look[string](b, "focused()")
			if at == "" || len(got) > 0 && at == got[0] {
				break
			}
			assert.Empty(b.t, look[[]string](b, "dim()"), at)
			got = append(got, at)
		}
		assert.Equal(b.t, want, got, "at %d pixels", width)
	}
	b.show("", 1280, 900, "light")
	b.press("\t")
	b.press("\r")
	assert.Equal(b.t, "main", look[string](b, "focused()"), "the first link skips to the content")
}

func search(b *tab, _ *scene) {
	b.show("", 1280, 900, "light")
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.SendKeys(chromedp.CSS("input[type=search]"), "PAYMENT\r")))
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.WaitVisible(chromedp.CSS(".filter a"))))
	assert.Equal(b.t, []string{"payment-gateway-api"}, look[[]string](b, "rows()"))
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(".inventory th a[href*=credential]")), chromedp.WaitVisible(chromedp.CSS(".timeline"))))
	heading, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("h1 bdi")))
	require.NoError(b.t, err)
	assert.Equal(b.t, "payment-gateway-api", heading)
	require.NoError(b.t, chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(".crumb a")), chromedp.WaitVisible(chromedp.CSS(".tiles"))))
	assert.Greater(b.t, len(look[[]string](b, "rows()")), 10)
}
