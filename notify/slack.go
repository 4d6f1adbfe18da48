// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Slack is a Sink that posts to an incoming webhook of Slack, or of a chat that takes the same: Mattermost, Rocket.Chat, and
// Discord under the webhook's URL with /slack behind it. What is posted is {"text": ...}. It is safe for concurrent use.
//
// Text of the event has &, < and > escaped (docs.slack.dev, Formatting message text) and mentions nobody, neither in Slack's
// way nor with a plain @here, which other chats would follow: an invisible character stands behind each < and @. It makes no
// link of another text and no code block either.
type Slack struct {
	URL     secret.Value  // required: whoever has it can post
	Name    string        // tells webhooks of one host apart in Identity: "#payments". One that changes is another sink
	Text    *Text         // nil: the default
	Limit   int           // longest message, in characters; zero: 2000, which Discord takes. Slack takes 40,000
	Client  *http.Client  // nil: http.DefaultClient. No redirect is followed
	Timeout time.Duration // of one delivery; zero: 5 s
}

var (
	_ rotation.Sink       = Slack{}
	_ rotation.Identifier = Slack{}
	_ rotation.Validator  = Slack{}
	_ rotation.Checker    = Slack{}
)

const (
	defaultLimit = 2000
	leastLimit   = 200
)

// Deliver posts e. It blocks until the answer is there, ctx ends or Timeout is over. 401 and 403 match rotation.ErrDenied, 404
// and 410 rotation.ErrNotFound: the webhook is gone. 429 and 503 are a rotation.RetryAt where the answer names a time.
func (s Slack) Deliver(ctx context.Context, e rotation.Event) error {
	if err := s.Validate(); err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"text": s.text(e)})
	if err != nil {
		return wire.Problem("notify: Slack: the text does not marshal")
	}
	url := s.URL.Reveal()
	return destination{name: "Slack " + origin(url), url: url, client: s.Client, timeout: s.Timeout}.post(ctx, body, nil)
}

// text has room for what happened and for what to do, however long either is.
func (s Slack) text(e rotation.Event) string {
	limit := cmp.Or(s.Limit, defaultLimit)
	subject, body := s.Text.render(style{line: min(120, limit/10), block: limit / 5, escape: escapeChat}, e)
	return cut(subject+"\n"+strings.TrimSpace(body), limit)
}

// unseen is a zero-width space. Text of an event has none: see visible.
const unseen = "\u200b"

var chatEscapes = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;"+unseen, ">", "&gt;", "@", "@"+unseen, "`", "'", "](", "]"+unseen+"(",
)

func escapeChat(text string) string { return chatEscapes.Replace(text) }

// Identity is the host of URL, and Name. Nothing else of URL is in it: the path is the secret.
func (s Slack) Identity() string {
	return strings.TrimSpace("slack " + origin(s.URL.Reveal()) + " " + s.Name)
}

// Validate names every field that is missing or wrong. It does no I/O.
func (s Slack) Validate() error {
	var limit error
	if s.Limit != 0 && s.Limit < leastLimit {
		limit = wire.Problem("notify: Slack.Limit is less than 200")
	}
	return errors.Join(wire.URLProblem("notify: Slack.URL", s.URL.Reveal()), limit, timeoutProblem("Slack", s.Timeout))
}

// Check is Validate: nothing can be asked of an incoming webhook that would not be seen in the chat.
func (s Slack) Check(context.Context) error { return s.Validate() }
