// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	idLength     = 12              // hexadecimal digits of the hash
	takeBackTime = 5 * time.Second // for what has to be undone after ctx has ended
	userAttr     = "user"          // in Key.Attributes
)

// Config of an Issuer.
type Config struct {
	User string // required: the ACL user. It has to exist on every node

	// Nodes are clients of every server that accepts the user, primaries and replicas, logged in as an administrator that is another
	// user (see the package's documentation for its permissions). Each has to be a client of one server, with
	// Options.ContextTimeoutEnabled, or the deadline of a call would not end it. Verify logs in at the same address by the same
	// Dialer and TLSConfig. The caller closes them.
	Nodes []*redis.Client // required

	AllowVolatile bool // for servers with neither an aclfile nor a configuration file, which forget passwords when they restart
}

// Issuer adds passwords to one ACL user and takes them away. It is the Verifier of its keys, too: it logs in. It comes from New, is safe for
// concurrent use, and starts nothing that outlives a call.
type Issuer struct {
	user          string
	nodes         []node
	allowVolatile bool
	closed        *sync.Map // node and id: of which password the connections were closed there, after it was gone
}

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Chooser    = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Verifier   = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

// New returns an Issuer, or an error that names every field that is missing or wrong. It does no I/O.
func New(c Config) (*Issuer, error) {
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, failf("Config."+format, args...)) }
	if c.User == "" || strings.ContainsAny(c.User, " \t\r\n\x00") {
		mistake("User is required, and has no spaces")
	}
	if len(c.Nodes) == 0 {
		mistake("Nodes is required: a client of every server that accepts the user")
	}
	i := &Issuer{user: c.User, allowVolatile: c.AllowVolatile, closed: &sync.Map{}}
	for n, client := range c.Nodes {
		if client == nil {
			mistake("Nodes[%d] is nil", n)
			continue
		}
		o := client.Options()
		if !o.ContextTimeoutEnabled {
			mistake("Nodes[%d]: its Options need ContextTimeoutEnabled: true", n)
		}
		if o.CredentialsProvider == nil && o.CredentialsProviderContext == nil && o.StreamingCredentialsProvider == nil && orDefault(o.Username) == c.User {
			mistake("Nodes[%d] logs in as %q, the user that is rotated: it would lock itself out", n, c.User)
		}
		if slices.ContainsFunc(i.nodes, func(m node) bool { return m.addr == o.Addr }) {
			mistake("Nodes[%d] is %s once more", n, o.Addr)
		}
		i.nodes = append(i.nodes, node{client: client, addr: o.Addr})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return i, nil
}

func orDefault(user string) string {
	if user == "" {
		return "default"
	}
	return user
}

// ID is what a key with this value is called: the beginning of its SHA-256. Use it for store.Seed. Zero gives "".
func ID(v secret.Value) string {
	if v.IsZero() {
		return ""
	}
	return hashOf(v)[:idLength]
}

func hashOf(v secret.Value) string {
	sum := sha256.Sum256([]byte(v.Reveal()))
	return hex.EncodeToString(sum[:])
}

// Choose returns a new key of 32 random bytes in hexadecimal. No server hears of it.
func (i *Issuer) Choose(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	value := secret.Random(32)
	return rotation.Key{ID: ID(value), Secret: value, Attributes: map[string]string{userAttr: i.user}}, nil
}

// Issue adds the value of req.Chosen to the user on every node and saves it there. The same value again does no harm. If a node
// does not take it, it is taken back from the others: an error then matches rotation.ErrNotIssued if every node has answered, and is otherwise
// open, as what was sent to a silent node can still arrive. rotation.ErrNotFound: a node has no such user. rotation.ErrDenied: the administrator
// lacks a permission, which the text names.
func (i *Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key := req.Chosen
	if key.Secret.IsZero() {
		return rotation.Key{}, failf("IssueRequest.Chosen holds no secret", rotation.ErrNotIssued)
	}
	if err := ctx.Err(); err != nil {
		return rotation.Key{}, failf("Issue: the context has ended", rotation.ErrNotIssued, err)
	}
	if err := i.each(ctx, i.ready); err != nil {
		return rotation.Key{}, notIssued(err) // nothing was changed yet
	}
	hash := hashOf(key.Secret)
	err := i.each(ctx, func(ctx context.Context, n node) error { return n.set(ctx, i.user, "#"+hash) })
	if err != nil {
		return rotation.Key{}, i.takeBack(ctx, hash, err)
	}
	key.ID, key.Attributes = ID(key.Secret), map[string]string{userAttr: i.user}
	if key.IssuedAt.IsZero() {
		key.IssuedAt = time.Now()
	}
	return key, nil
}

// ready fails where a password cannot be added without harm, or would be lost.
func (i *Issuer) ready(ctx context.Context, n node) error {
	u, err := n.lookUp(ctx, i.user)
	if err != nil {
		return err
	}
	if err := n.usable(i.user, u); err != nil {
		return err
	}
	keeps, err := n.persistence(ctx)
	if err == nil && keeps == forgets && !i.allowVolatile {
		err = n.fail("forgets passwords when it restarts: give it an aclfile or a configuration file, or set Config.AllowVolatile")
	}
	return err
}

// takeBack undoes what failed with err. Nobody has the value, so no connection is closed.
func (i *Issuer) takeBack(ctx context.Context, hash string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	left := i.each(ctx, func(ctx context.Context, n node) error {
		_, _, err := n.remove(ctx, i.user, hash)
		return err
	})
	if left != nil {
		return joined(err, failf("the password may be left on a node until Revoke"), left)
	}
	var f *failure
	if errors.As(err, &f) && f.answered {
		return notIssued(err)
	}
	return err
}

// Revoke takes the password away from the user on every node, saves that, and closes every connection of the user: which
// password one came with cannot be known. Where the password is gone already, that is done once, and not by every repetition. All nodes are told, whatever one of them says; the error names those that failed. A
// password, or a user, that is not there any more is nil. Where key.Secret is zero, key.ID says which password it is.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	if of := key.Attributes[userAttr]; of != "" && of != i.user {
		return failf("Revoke: the key belongs to user %q, not to %q", of, i.user)
	}
	find := hashOf(key.Secret)
	if key.Secret.IsZero() {
		find = key.ID
		if !isID(find) {
			return failf("Revoke: the key has no secret, and its id is none of this package: see ID")
		}
	}
	return i.each(ctx, func(ctx context.Context, n node) error {
		there, found, err := n.remove(ctx, i.user, find)
		if err != nil || !there {
			return err
		}
		place := n.addr + " " + find[:idLength]
		if _, done := i.closed.Load(place); done && !found {
			return nil // another node is what is waited for: live consumers are not cut off for it again and again
		}
		if err := n.run(ctx, nil, "CLIENT", "KILL", "USER", i.user); err != nil {
			return err
		}
		i.closed.Store(place, true)
		return nil
	})
}

func isID(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == idLength
}

// List returns the passwords that any node has, by their ids. The server tells neither names nor times.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	hashes, err := i.passwords(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, of := range hashes {
		for _, hash := range of {
			ids[hash[:idLength]] = true
		}
	}
	var infos []rotation.KeyInfo
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		infos = append(infos, rotation.KeyInfo{Key: rotation.Key{ID: id, Attributes: map[string]string{userAttr: i.user}}})
	}
	return infos, nil
}

// passwords are the hashes of each node, in the order of the nodes.
func (i *Issuer) passwords(ctx context.Context) ([][]string, error) {
	hashes := make([][]string, len(i.nodes))
	err := i.each(ctx, func(ctx context.Context, n node) error {
		u, err := n.lookUp(ctx, i.user)
		hashes[slices.IndexFunc(i.nodes, func(m node) bool { return m.addr == n.addr })] = u.hashes
		return err
	})
	return hashes, err
}

// Describe says that a node that has answered has changed, and that issuing needs no key of the user.
func (i *Issuer) Describe() rotation.Traits {
	return rotation.Traits{Propagation: -1, ListLag: -1, Independent: true}
}

// Identity is the user and its nodes.
func (i *Issuer) Identity() string {
	var addrs []string
	for _, n := range i.nodes {
		addrs = append(addrs, n.addr)
	}
	slices.Sort(addrs)
	return fmt.Sprintf("redis user %s at %s", i.user, strings.Join(addrs, ", "))
}
