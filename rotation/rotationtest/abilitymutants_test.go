// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func mutantsOfList(add addMutant) {
	lists := func(what string, f func(*rotationtest.Provider, []rotation.KeyInfo) []rotation.KeyInfo) {
		add("List", what, func(p *rotationtest.Provider) rotation.Issuer {
			return issuer{Provider: p, list: func(infos []rotation.KeyInfo) []rotation.KeyInfo { return f(p, infos) }}
		})
	}
	add("List", "swallows its error", func(p *rotationtest.Provider) rotation.Issuer { return hushed{p} })
	lists("empty", func(*rotationtest.Provider, []rotation.KeyInfo) []rotation.KeyInfo { return nil })
	each := func(what string, change func(*rotation.KeyInfo)) {
		lists(what, func(_ *rotationtest.Provider, infos []rotation.KeyInfo) []rotation.KeyInfo {
			for i := range infos {
				change(&infos[i])
			}
			return infos
		})
	}
	each("tells values", func(i *rotation.KeyInfo) { i.Key.Secret = secret.Random(16) })
	each("use without evidence", func(i *rotation.KeyInfo) { i.Usage.LastUsed, i.Usage.AsOf = time.Now(), time.Time{} })
	each("use after the evidence", func(i *rotation.KeyInfo) { i.Usage.LastUsed = i.Usage.AsOf.Add(time.Hour) })
	each("evidence from the future", func(i *rotation.KeyInfo) { i.Usage.Since = i.Usage.AsOf.Add(time.Hour) })
	each("all disabled", func(i *rotation.KeyInfo) { i.Disabled = true })
	lists("never forgets", func() func(*rotationtest.Provider, []rotation.KeyInfo) []rotation.KeyInfo {
		seen := map[string]rotation.KeyInfo{}
		return func(_ *rotationtest.Provider, infos []rotation.KeyInfo) []rotation.KeyInfo {
			for _, i := range infos {
				seen[i.Key.ID] = i
			}
			var out []rotation.KeyInfo
			for _, i := range seen {
				out = append(out, i)
			}
			return out
		}
	}())
}

// hushed lists nothing and says nothing where it cannot list.
type hushed struct{ *rotationtest.Provider }

func (h hushed) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	infos, err := h.Provider.List(ctx)
	if err != nil {
		return nil, nil
	}
	return infos, nil
}

func mutantsOfDisable(add addMutant) {
	disables := func(what string, build func(p *rotationtest.Provider) issuer) {
		add("Disable", what, func(p *rotationtest.Provider) rotation.Issuer { return build(p) })
	}
	nothing := func(context.Context, rotation.Key) error { return nil }
	disables("does nothing", func(p *rotationtest.Provider) issuer { return issuer{Provider: p, disable: nothing} })
	disables("cannot be undone", func(p *rotationtest.Provider) issuer { return issuer{Provider: p, enable: nothing} })
	disables("revokes", func(p *rotationtest.Provider) issuer { return issuer{Provider: p, disable: p.Revoke} })
	disables("only once", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, disable: func(ctx context.Context, key rotation.Key) error {
			if p.Verify(ctx, key) != nil {
				return rotation.ErrConflict
			}
			return p.Disable(ctx, key)
		}}
	})
	disables("enabled only once", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, enable: func(ctx context.Context, key rotation.Key) error {
			if p.Verify(ctx, key) == nil {
				return rotation.ErrConflict
			}
			return p.Enable(ctx, key)
		}}
	})
	disables("toggles", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, disable: func(ctx context.Context, key rotation.Key) error {
			if p.Verify(ctx, key) != nil {
				return p.Enable(ctx, key)
			}
			return p.Disable(ctx, key)
		}}
	})
	disables("is not listed", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, list: func(infos []rotation.KeyInfo) []rotation.KeyInfo {
			for i := range infos {
				infos[i].Disabled = false
			}
			return infos
		}}
	})
}

func mutantsOfChoose(add addMutant) {
	chooses := func(what string, build func(p *rotationtest.Provider) chooser) {
		add("Choose", what, func(p *rotationtest.Provider) rotation.Issuer { return build(p) })
	}
	chooses("always the same", func(p *rotationtest.Provider) chooser {
		value := secret.Random(16)
		return chooser{issuer{Provider: p}, func(rotation.IssueRequest) (rotation.Key, error) {
			return rotation.Key{Secret: value}, nil
		}}
	})
	chooses("nothing", func(p *rotationtest.Provider) chooser {
		return chooser{issuer{Provider: p}, func(rotation.IssueRequest) (rotation.Key, error) { return rotation.Key{}, nil }}
	})
	chooses("fails", func(p *rotationtest.Provider) chooser {
		return chooser{issuer{Provider: p}, func(rotation.IssueRequest) (rotation.Key, error) {
			return rotation.Key{}, errors.New("no entropy")
		}}
	})
	chooses("has an effect", func(p *rotationtest.Provider) chooser {
		return chooser{issuer{Provider: p}, func(req rotation.IssueRequest) (rotation.Key, error) {
			return p.Issue(context.Background(), req)
		}}
	})
	chooses("is not what is issued", func(p *rotationtest.Provider) chooser {
		return chooser{issuer: issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			req.Chosen = rotation.Key{}
			return p.Issue(ctx, req)
		}}}
	})
}
