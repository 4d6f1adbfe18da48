// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// HooksConfig says which webhook's secret is rotated.
type HooksConfig struct {
	URL     string       // required: of the server, with its path if it has one
	Client  *http.Client // required: its Transport adds a token that may write:repository, or write:organization
	Owner   string       // required: owner of the repository, or the organization
	Repo    string       // empty: the hooks of the organization
	Address string       // required: where they deliver, as Gitea shows it (config.url)

	// Events are all that is delivered, as the API names them: "push", "pull_request". Required. They and the two fields below are what
	// the webhook has from now on: Gitea forgets what it is not told again. It ignores a name that it does not know.
	Events        []string
	BranchFilter  string       // a glob; empty: every branch
	Authorization secret.Value // value of the Authorization header that Gitea sends; zero: none

	Exclusive bool // nobody else makes hooks for Address: before 1.26 hooks have no names, and a lost one is only found so
}

// Hooks returns the sender of a webhook whose secret is rotated by a second hook, see [issuer.Subscriptions]. The receiver verifies
// with webhook.Gitea, or webhook.GitHub, as Gitea sends that header too.
//
// That it takes a second hook, and not a change of the first, is because of what Gitea 1.26.0 does (routers/api/v1/utils/hook.go): a
// change of config.secret is accepted and ignored, and every change puts the events back to "push", the branch filter and the
// Authorization header to nothing, if they are not sent with it.
//
// Gitea repeats no failed delivery by itself. One that waits in the queue when its hook is switched off is not made
// (services/webhook/deliver.go): in the moment of the switch both hooks are on, and what happens then is delivered by either, but an
// event of the moments before can be lost while the queue is long. Where no event may be lost, choose the time (Policy.Windows), or
// read the list of recent deliveries afterwards.
//
// Verify makes Gitea deliver a test where there is one: hooks of a repository, with "push" among Events. Gitea answers that a test is
// under way, and delivers none, where the repository has no commit, and where BranchFilter leaves out its default branch.
func Hooks(cfg HooksConfig) (issuer.Subscriptions, error) {
	if err := cfg.validate(); err != nil {
		return issuer.Subscriptions{}, err
	}
	cfg.Events = slices.Clone(cfg.Events)
	path := "/api/v1/orgs/" + url.PathEscape(cfg.Owner) + "/hooks"
	if cfg.Repo != "" {
		path = "/api/v1/repos/" + url.PathEscape(cfg.Owner) + "/" + url.PathEscape(cfg.Repo) + "/hooks"
	}
	hooks := strings.TrimRight(cfg.URL, "/") + path
	s := issuer.Subscriptions{
		REST: issuer.REST{
			URL: hooks, Client: cfg.Client, Body: cfg.body,
			Traits: rotation.Traits{ListLag: -1, RetryHorizon: -1, Exclusive: cfg.Exclusive},
		},
		Address: cfg.Address, AddressField: "config.url",
		Make:   func() secret.Value { return secret.Random(32) },
		Switch: func(on bool) any { return cfg.whole(on) },
	}
	if cfg.Repo != "" && slices.Contains(cfg.Events, "push") {
		s.Test = hooks + "/{id}/tests"
	}
	return s, s.Validate()
}

func (c HooksConfig) validate() error {
	var errs []error
	wrong := func(text string) { errs = append(errs, problem("gitea: HooksConfig."+text)) }
	errs = append(errs, urlProblem("gitea: HooksConfig.URL", c.URL))
	if c.Client == nil {
		wrong("Client is required: it carries the authority over the hooks")
	}
	if c.Owner == "" {
		wrong("Owner is required")
	}
	if u, err := url.Parse(c.Address); err != nil || u.Host == "" { // its error quotes the URL
		wrong("Address is not an absolute URL")
	}
	if len(c.Events) == 0 || slices.Contains(c.Events, "") {
		wrong("Events is required, and none of them is empty")
	}
	return errors.Join(errs...)
}

// whole is what every change has to repeat.
func (c HooksConfig) whole(on bool) map[string]any {
	return map[string]any{
		"active": on, "events": c.Events, "branch_filter": c.BranchFilter, "authorization_header": c.Authorization.Reveal(),
	}
}

// body makes a hook that is switched off.
func (c HooksConfig) body(req rotation.IssueRequest) any {
	hook := c.whole(false)
	hook["type"], hook["name"] = "gitea", req.Name
	hook["config"] = map[string]string{"url": c.Address, "content_type": "json", "secret": req.Chosen.Secret.Reveal()}
	return hook
}
