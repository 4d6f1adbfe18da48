// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/handover-go/handover/rotation"
)

// Verify logs in to every node as the user, with AUTH and its name, and asks who it is: nil if all nodes know it, and
// rotation.ErrRejected if all of them refuse the password. Everything else is not known: nodes that disagree, which the text
// names, a node that does not answer, and a user that any password lets in.
//
// A client that presents no password, or goes on after a refused one, works as the user "default" where that has none. Verify
// does neither.
func (i *Issuer) Verify(ctx context.Context, key rotation.Key) error {
	if key.Secret.IsZero() {
		return failf("Verify: the key has no secret to present")
	}
	verdicts := make([]error, len(i.nodes))
	err := i.each(ctx, func(ctx context.Context, n node) error {
		err := n.logIn(ctx, i.user, key)
		if errors.Is(err, rotation.ErrRejected) {
			verdicts[slices.Index(i.nodes, n)], err = err, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	var accept, refuse []string
	for at, n := range i.nodes {
		if verdicts[at] == nil {
			accept = append(accept, n.addr)
		} else {
			refuse = append(refuse, n.addr)
		}
	}
	switch {
	case len(refuse) == 0:
		return nil
	case len(accept) == 0:
		return verdicts[0]
	}
	return failf("the nodes disagree about password %s of user %s: accepted by %s, refused by %s; add it there, or take it from the others, with ACL SETUSER",
		ID(key.Secret), i.user, strings.Join(accept, ", "), strings.Join(refuse, ", "))
}

// logIn presents the password on a connection of its own.
func (n node) logIn(ctx context.Context, name string, key rotation.Key) error {
	if err := ctx.Err(); err != nil {
		return n.fail("not asked: the context has ended", err)
	}
	o := n.client.Options()
	c := redis.NewClient(&redis.Options{
		Network: o.Network, Addr: o.Addr, Dialer: o.Dialer, TLSConfig: o.TLSConfig,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		Username: name, Password: key.Secret.Reveal(),
		Protocol: 2, PoolSize: 1, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer c.Close()
	who, err := c.Do(ctx, "ACL", "WHOAMI").Text()
	var answer redis.Error
	switch {
	case err == nil && who != name:
		return n.fail(fmt.Sprintf("takes the login of user %s and serves another one: is there a proxy?", name))
	case err == nil, errors.As(err, &answer) && code.FindString(answer.Error()) == "NOPERM": // logged in, and not allowed to ask
		return n.notNopass(ctx, name)
	case errors.As(err, &answer) && code.FindString(answer.Error()) == "WRONGPASS":
		return n.fail("refuses the password", rotation.ErrRejected)
	}
	return n.failed(ctx, []any{"AUTH"}, err)
}

// notNopass makes sure that the login says something of the password.
func (n node) notNopass(ctx context.Context, name string) error {
	u, err := n.lookUp(ctx, name)
	if err == nil && u.nopass {
		err = n.usable(name, u)
	}
	return err
}

// Check asks every node whether the user can be rotated there: it exists, is on and has passwords; the administrator has the permissions, of
// which the error names those that are missing; passwords outlive a restart; and all nodes have the same ones. It changes
// nothing.
func (i *Issuer) Check(ctx context.Context) error {
	err := i.each(ctx, func(ctx context.Context, n node) error {
		if err := i.ready(ctx, n); err != nil {
			return err
		}
		return n.permitted(ctx, i.user)
	})
	if err != nil {
		return err
	}
	return i.agree(ctx)
}

// permitted asks what the administrator may do, without doing it. Redis 6 cannot be asked.
func (n node) permitted(ctx context.Context, name string) error {
	var admin any
	if err := n.run(ctx, &admin, "ACL", "WHOAMI"); err != nil {
		return err
	}
	save := []any{"ACL", "SAVE"}
	keeps, err := n.persistence(ctx)
	switch {
	case err != nil:
		return err
	case keeps == rewrites:
		save = []any{"CONFIG", "REWRITE"}
	case keeps == forgets:
		save = nil
	}
	var missing []string
	for _, command := range [][]any{{"ACL", "SETUSER", name}, {"CLIENT", "KILL", "USER", name}, save} {
		if len(command) == 0 {
			continue
		}
		var said any
		err := n.run(ctx, &said, append([]any{"ACL", "DRYRUN", admin}, command...)...)
		var f *failure
		if errors.As(err, &f) && f.answered && !errors.Is(err, rotation.ErrDenied) {
			return nil // it has no ACL DRYRUN
		}
		if err != nil {
			return err
		}
		if said != "OK" {
			missing = append(missing, "+"+strings.ToLower(fmt.Sprintf("%s|%s", command[0], command[1])))
		}
	}
	if len(missing) > 0 {
		return n.fail(fmt.Sprintf("the administrator %v needs %s", admin, strings.Join(missing, " ")), rotation.ErrDenied)
	}
	return nil
}

// agree fails where nodes have different passwords.
func (i *Issuer) agree(ctx context.Context) error {
	hashes, err := i.passwords(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for at, n := range i.nodes[1:] {
		if has := sorted(hashes[at+1]); !slices.Equal(has, sorted(hashes[0])) {
			errs = append(errs, failf("the nodes disagree about the passwords of user %s: %s has %s, %s has %s",
				i.user, i.nodes[0].addr, ids(hashes[0]), n.addr, ids(hashes[at+1])))
		}
	}
	return joined(errs...)
}

func sorted(hashes []string) []string { return slices.Sorted(slices.Values(hashes)) }

func ids(hashes []string) string {
	if len(hashes) == 0 {
		return "none"
	}
	var out []string
	for _, h := range sorted(hashes) {
		out = append(out, h[:idLength])
	}
	return strings.Join(out, ", ")
}
