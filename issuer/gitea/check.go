// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"

	"github.com/handover-go/handover/rotation"
)

// Check asks for what Issue, Revoke and List need: it lists the tokens, and asks for one with a scope that does not exist, which Gitea
// refuses after it has looked at the permission.
func (i *Issuer) Check(ctx context.Context) error {
	if _, err := i.tokens(ctx); err != nil {
		return err
	}
	option := gitea.CreateAccessTokenOption{Name: "handover-check", Scopes: []gitea.AccessTokenScope{"no:such:scope"}}
	_, err := call(ctx, i.admin, "try to create a token", func(c *gitea.Client) (*gitea.AccessToken, *gitea.Response, error) {
		return c.CreateAccessToken(option)
	})
	switch {
	case badRequest(err):
		return nil
	case err == nil:
		return problem("gitea: Check: the server made a token with a scope that does not exist; delete the token handover-check")
	}
	return err
}

// Verify asks with the token whose it is. nil: it is Config.User's. ErrRejected: Gitea has refused it, then listed the tokens, of
// which none ends as this one does, and has refused it again. A single 401 proves nothing, as it is also the answer while the
// database is away; the list cannot be had then. Everything else is not known: another user's token, one without the scope read:user,
// a login that is prohibited, an answer that is not Gitea's.
func (i *Issuer) Verify(ctx context.Context, key rotation.Key) error {
	if key.Secret.IsZero() {
		return problem("gitea: Verify: the key has no secret")
	}
	refused, err := i.whose(ctx, key)
	if !refused {
		return err
	}
	tokens, err := i.tokens(ctx)
	if err != nil {
		return problem("gitea: Verify: the token was refused, and the list that could tell why cannot be had")
	}
	for _, t := range tokens {
		if len(t.TokenLastEight) == 8 && strings.HasSuffix(key.Secret.Reveal(), t.TokenLastEight) {
			return problem("gitea: Verify: the token was refused, and is listed all the same")
		}
	}
	if refused, err = i.whose(ctx, key); refused {
		return problem("gitea: Verify: 401, twice, and it is not listed", rotation.ErrRejected)
	}
	return err
}

// whose asks once. refused: it was Gitea who said 401.
func (i *Issuer) whose(ctx context.Context, key rotation.Key) (refused bool, err error) {
	user, err := call(ctx, i.presenting(key), "ask whose token it is", func(c *gitea.Client) (*gitea.User, *gitea.Response, error) {
		return c.GetMyUserInfo()
	})
	if err == nil && !strings.EqualFold(user.UserName, i.cfg.User) {
		return false, problem("gitea: Verify: the answer is for another user than Config.User")
	}
	var a *answer
	if !errors.As(err, &a) {
		return false, err
	}
	switch {
	case a.gitea && a.status == http.StatusUnauthorized:
		return true, nil
	case a.gitea && a.status == http.StatusForbidden:
		return false, problem("gitea: Verify: 403: the token needs the scope read:user to be asked, or its user may not sign in")
	}
	a.is = slices.DeleteFunc(a.is, func(is error) bool { return is == rotation.ErrNotFound }) // which says nothing of the token
	return false, err
}
