// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/rotation"
)

// node is one server, by a client that the administrator is logged in with.
type node struct {
	client *redis.Client
	addr   string
}

// user is what a node says of the ACL user.
type user struct {
	there  bool
	on     bool
	nopass bool     // any password is accepted
	hashes []string // SHA-256 in hexadecimal
}

// each calls f for all nodes at the same time and joins what failed.
func (i *Issuer) each(ctx context.Context, f func(context.Context, node) error) error {
	errs := make([]error, len(i.nodes))
	var all sync.WaitGroup
	for n := range i.nodes {
		all.Go(func() { errs[n] = f(ctx, i.nodes[n]) })
	}
	all.Wait()
	return joined(errs...)
}

// run sends one command. What it answers is stored in out if that is not nil.
func (n node) run(ctx context.Context, out *any, args ...any) error {
	answer, err := n.client.Do(ctx, args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return n.failed(ctx, args, err)
	}
	if out != nil {
		*out = answer
	}
	return nil
}

// lookUp asks for the user. One that is not there is an error.
func (n node) lookUp(ctx context.Context, name string) (user, error) {
	u, err := n.user(ctx, name)
	if err == nil && !u.there {
		err = n.fail("has no user "+name+": make it there first, see the package's documentation", rotation.ErrNotFound)
	}
	return u, err
}

func (n node) user(ctx context.Context, name string) (user, error) {
	var answer any
	if err := n.run(ctx, &answer, "ACL", "GETUSER", name); err != nil {
		return user{}, err
	}
	if answer == nil {
		return user{}, nil
	}
	fields := pairs(answer)
	flags, ok := texts(fields["flags"])
	hashes, ok2 := texts(fields["passwords"])
	if !ok || !ok2 || slices.ContainsFunc(hashes, func(h string) bool { return len(h) != 64 }) {
		return user{}, n.fail("does not answer ACL GETUSER in the way that is known")
	}
	return user{
		there:  true,
		on:     slices.Contains(flags, "on"),
		nopass: slices.Contains(flags, "nopass"),
		hashes: hashes,
	}, nil
}

// pairs reads a map, which the older protocol sends as a list.
func pairs(answer any) map[string]any {
	fields := map[string]any{}
	switch a := answer.(type) {
	case map[any]any:
		for k, v := range a {
			if name, ok := k.(string); ok {
				fields[name] = v
			}
		}
	case []any:
		for at := 0; at+1 < len(a); at += 2 {
			if name, ok := a[at].(string); ok {
				fields[name] = a[at+1]
			}
		}
	}
	return fields
}

func texts(v any) ([]string, bool) {
	list, ok := v.([]any)
	var out []string
	for _, item := range list {
		text, isText := item.(string)
		out, ok = append(out, text), ok && isText
	}
	return out, ok
}

// usable fails where the user cannot be rotated as it is.
func (n node) usable(name string, u user) error {
	switch {
	case u.nopass:
		return n.fail("lets user " + name + " in with any password (nopass): end that with ACL SETUSER " + name + " resetpass and a password")
	case !u.on:
		return n.fail("has user " + name + " switched off: ACL SETUSER " + name + " on")
	}
	return nil
}

// set changes the passwords of the user and saves that.
func (n node) set(ctx context.Context, name, rule string) error {
	if err := n.run(ctx, nil, "ACL", "SETUSER", name, rule); err != nil {
		return err
	}
	return n.save(ctx)
}

// remove takes the password away whose hash begins with find, and saves that also if it was gone: who took it away may not have
// come so far. there is false where the user does not exist, and had is true where it had the password until now.
func (n node) remove(ctx context.Context, name, find string) (there, had bool, err error) {
	u, err := n.user(ctx, name)
	if err != nil || !u.there {
		return false, false, err
	}
	var found []string
	for _, hash := range u.hashes {
		if strings.HasPrefix(hash, find) {
			found = append(found, hash)
		}
	}
	switch len(found) {
	case 0:
		return true, false, n.save(ctx)
	case 1:
		return true, true, n.set(ctx, name, "!"+found[0]) // to take away what is not there would be an error
	default:
		return true, true, n.fail("has two passwords with the id " + find + ": take one away by hand")
	}
}

// persistence of the users of a server.
type persistence string

const (
	savesFile persistence = "aclfile"
	rewrites  persistence = "configuration file"
	forgets   persistence = "none"
)

func (n node) persistence(ctx context.Context) (persistence, error) {
	var answer any
	if err := n.run(ctx, &answer, "CONFIG", "GET", "aclfile"); err != nil {
		return "", err
	}
	if file, _ := pairs(answer)["aclfile"].(string); file != "" {
		return savesFile, nil
	}
	if err := n.run(ctx, &answer, "INFO", "server"); err != nil {
		return "", err
	}
	info, _ := answer.(string)
	for line := range strings.Lines(info) {
		if file, ok := strings.CutPrefix(line, "config_file:"); ok && strings.TrimSpace(file) != "" {
			return rewrites, nil
		}
	}
	return forgets, nil
}

// save writes the users to the disk of the server.
func (n node) save(ctx context.Context) error {
	keeps, err := n.persistence(ctx)
	switch {
	case err != nil:
		return err
	case keeps == savesFile:
		return n.run(ctx, nil, "ACL", "SAVE")
	case keeps == rewrites:
		return n.run(ctx, nil, "CONFIG", "REWRITE")
	}
	return nil
}
