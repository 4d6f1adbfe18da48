// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/redisacl"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

func clients(places ...*place) []*redis.Client {
	var all []*redis.Client
	for _, p := range places {
		all = append(all, p.admin)
	}
	return all
}

// redis-cli prints WRONGPASS and goes on as the user "default" where that has no password. A verifier that did so would accept
// anything.
func TestOpenDefaultUserProvesNothing(t *testing.T) {
	p := start(t)
	p.do(t, "ACL SETUSER default on nopass ~* &* +@all")
	i := newIssuer(t, p)
	require.NoError(t, i.Verify(t.Context(), p.first()))
	require.ErrorIs(t, i.Verify(t.Context(), choose(t, i)), rotation.ErrRejected)
	err := i.Verify(t.Context(), rotation.Key{ID: p.first().ID})
	require.ErrorContains(t, err, "no secret to present")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

// swallowing is a Verifier that asks through a proxy, which says OK to every login and lets what follows through.
func swallowing(t *testing.T, p *place) rotation.Verifier {
	t.Helper()
	p.do(t, "ACL SETUSER default on nopass ~* &* +@all")
	proxy := swallowLogins(t, p.Addr)
	c := redis.NewClient(&redis.Options{Addr: proxy, Username: "handover", Password: p.passes, ContextTimeoutEnabled: true})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	i, err := redisacl.New(redisacl.Config{User: app, Nodes: []*redis.Client{c}})
	require.NoError(t, err)
	return i
}

// swallowLogins listens at the address that it returns. It answers AUTH and HELLO itself.
func swallowLogins(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go swallow(conn, to)
		}
	}()
	return l.Addr().String()
}

func swallow(conn net.Conn, to string) {
	defer conn.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(conn, server)
		conn.Close()
	}()
	in := bufio.NewReader(conn)
	for {
		command, words, err := readCommand(in)
		if err != nil {
			return
		}
		switch strings.ToUpper(words[0]) {
		case "AUTH":
			_, err = io.WriteString(conn, "+OK\r\n")
		case "HELLO":
			_, err = io.WriteString(conn, "-ERR unknown command\r\n")
		default:
			_, err = server.Write(command)
		}
		if err != nil {
			return
		}
	}
}

// readCommand reads an array of bulk strings.
func readCommand(in *bufio.Reader) (raw []byte, words []string, err error) {
	var n int
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, nil, err
	}
	raw = append(raw, line...)
	if _, err := fmt.Sscanf(line, "*%d", &n); err != nil {
		return nil, nil, err
	}
	for range n {
		var size int
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, nil, err
		}
		if _, err := fmt.Sscanf(line, "$%d", &size); err != nil {
			return nil, nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, nil, err
		}
		raw = append(append(raw, line...), word...)
		words = append(words, string(word[:size]))
	}
	return raw, words, nil
}

// A proxy that answers AUTH with OK and logs nobody in makes every password look good.
func TestSwallowedLoginProvesNothing(t *testing.T) {
	p := start(t)
	i := swallowing(t, p)
	err := i.Verify(t.Context(), p.first())
	require.ErrorContains(t, err, "serves another one: is there a proxy?")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

// A user that may not ask who it is has logged in nevertheless.
func TestUserWithoutWhoAmI(t *testing.T) {
	p := start(t)
	p.do(t, "ACL SETUSER app -@all +get")
	i := newIssuer(t, p)
	require.NoError(t, i.Verify(t.Context(), p.first()))
	require.ErrorIs(t, i.Verify(t.Context(), choose(t, i)), rotation.ErrRejected)
}

// nopass takes any password, and adding one would lock those out who log in without.
func TestNopass(t *testing.T) {
	p := start(t)
	p.do(t, "ACL SETUSER app nopass")
	i := newIssuer(t, p)
	const want = "lets user app in with any password (nopass)"
	require.ErrorContains(t, i.Check(t.Context()), want)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorContains(t, err, want)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	assert.Contains(t, p.hashes(t), "nopass", "nothing was changed")
	err = i.Verify(t.Context(), choose(t, i))
	require.ErrorContains(t, err, want, "a login proves nothing")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

// ACL SETUSER makes the user that it does not find, switched off.
func TestNoUserIsMade(t *testing.T) {
	p := start(t)
	p.do(t, "ACL DELUSER app")
	i := newIssuer(t, p)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotFound)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, err, "has no user app")
	require.NoError(t, i.Revoke(t.Context(), p.first()), "its passwords are gone with it")
	_, err = i.List(t.Context())
	require.ErrorIs(t, err, rotation.ErrNotFound, "no user is not a user without passwords")
	assert.NotContains(t, fmt.Sprint(p.do(t, "ACL USERS")), app)
}

// A connection outlives the password that it came with, so Revoke closes it.
func TestRevokeEndsLiveConnections(t *testing.T) {
	p := start(t)
	i := newIssuer(t, p)
	old := p.first()
	ctx := t.Context()

	session := p.client(t, app, old.Secret.Reveal()).Conn()
	defer session.Close()
	require.ErrorIs(t, session.Get(ctx, "app:x").Err(), redis.Nil, "it is logged in")
	next := issue(t, i)
	p.do(t, "ACL SETUSER app <"+old.Secret.Reveal())
	require.ErrorIs(t, session.Get(ctx, "app:x").Err(), redis.Nil, "the password is gone, and its connection is not")

	other := p.client(t, "handover", p.passes).Conn()
	defer other.Close()
	require.NoError(t, other.Info(ctx, "server").Err())
	require.NoError(t, i.Revoke(ctx, old), "after the password was taken away by another process, which died there")
	err := session.Get(ctx, "app:x").Err()
	require.Error(t, err)
	require.NotErrorIs(t, err, redis.Nil)
	require.NoError(t, other.Info(ctx, "server").Err(), "others are left alone")

	pool := p.client(t, app, next.Secret.Reveal())
	require.NoError(t, pool.Set(ctx, "app:x", 1, 0).Err())
	session = p.client(t, app, next.Secret.Reveal()).Conn()
	defer session.Close()
	require.NoError(t, session.Get(ctx, "app:x").Err())
	require.NoError(t, i.Revoke(ctx, old))
	require.NoError(t, session.Get(ctx, "app:x").Err(), "a repetition cuts nobody off")
	p.do(t, "ACL SETUSER app >"+old.Secret.Reveal())
	require.NoError(t, i.Revoke(ctx, old))
	require.Error(t, session.Get(ctx, "app:x").Err(), "somebody may have come with the password that was back")
	require.NoError(t, pool.Get(ctx, "app:x").Err(), "a pool with the new password connects again")
}

// What is not saved is lost in a restart: a new password locks everybody out, and one that was revoked is back.
func TestRestart(t *testing.T) {
	for _, where := range []servers.RedisUsers{servers.RedisACLFile, servers.RedisConfig} {
		t.Run(fmt.Sprint(where), func(t *testing.T) {
			p := startAt(t, where)
			i := newIssuer(t, p)
			next := issue(t, i)
			p.Kill()
			p.Start()
			require.NoError(t, i.Verify(t.Context(), next))
			require.NoError(t, i.Verify(t.Context(), p.first()))
			require.NoError(t, i.Revoke(t.Context(), p.first()))
			p.Kill()
			p.Start()
			require.ErrorIs(t, i.Verify(t.Context(), p.first()), rotation.ErrRejected)
			require.NoError(t, i.Verify(t.Context(), next))
		})
	}
}

// A password that was taken away in memory and not saved, as by a process that died in between, is saved by the next Revoke.
func TestRevokeSavesWhatWasGone(t *testing.T) {
	p := start(t)
	i := newIssuer(t, p)
	issue(t, i)
	p.do(t, "ACL SETUSER app <"+p.first().Secret.Reveal())
	require.NoError(t, i.Revoke(t.Context(), p.first()))
	p.Kill()
	p.Start()
	require.ErrorIs(t, i.Verify(t.Context(), p.first()), rotation.ErrRejected)
}

// A server that keeps its users nowhere is refused, unless that is meant.
func TestVolatile(t *testing.T) {
	p := startAt(t, servers.RedisMemory)
	i := newIssuer(t, p)
	const want = "forgets passwords when it restarts"
	require.ErrorContains(t, i.Check(t.Context()), want)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorContains(t, err, want)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.NoError(t, i.Revoke(t.Context(), p.first()), "to end a password is always right")

	i, err = redisacl.New(redisacl.Config{User: app, Nodes: clients(p), AllowVolatile: true})
	require.NoError(t, err)
	require.NoError(t, i.Check(t.Context()))
	require.NoError(t, i.Verify(t.Context(), issue(t, i)))
}

// An ACL file that cannot be written: what was added is taken back, and the error says that nothing was issued only if that holds.
func TestSaveFails(t *testing.T) {
	a, b := start(t), start(t)
	i := newIssuer(t, a, b)
	file := filepath.Join(b.Dir(), "users.acl")
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Mkdir(file, 0o700)) // no file can be renamed to it
	before := a.hashes(t)
	key := choose(t, i)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: key})
	require.ErrorContains(t, err, b.Addr)
	require.NotContains(t, err.Error(), a.Addr)
	require.NotErrorIs(t, err, rotation.ErrNotIssued, "the file may hold it")
	silent(t, err, key.Secret.Reveal())
	assert.Equal(t, before, a.hashes(t), "taken back")
	a.Kill()
	a.Start()
	assert.Equal(t, before, a.hashes(t), "and saved")
	require.NoError(t, os.Remove(file))
	issue(t, i)
}

// A node without the right to change users refuses: the others lose the new password again.
func TestHalfMadeIssueIsTakenBack(t *testing.T) {
	a, b := start(t), start(t)
	b.do(t, "ACL SETUSER handover -acl|setuser")
	i := newIssuer(t, a, b)
	before := a.hashes(t)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, b.Addr+": ACL SETUSER: the server answers NOPERM: the administrator needs +acl|setuser")
	assert.Equal(t, before, a.hashes(t))
	a.Kill()
	a.Start()
	assert.Equal(t, before, a.hashes(t), "and that is saved")
}

// A node that is down refuses the new key before any other has it. One that hangs has not answered.
func TestNodeDown(t *testing.T) {
	a, b := start(t), start(t)
	i := newIssuer(t, a, b)
	before := a.hashes(t)
	b.Stop()
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, err, b.Addr+": ACL GETUSER: the server cannot be reached")
	assert.Equal(t, before, a.hashes(t))

	b.Start()
	key := issue(t, i)
	b.Pause()
	defer b.Resume()
	err = i.Revoke(soon(t), key)
	require.ErrorContains(t, err, b.Addr+": ACL GETUSER: no answer in time")
	require.NotContains(t, err.Error(), a.Addr)
	assert.Equal(t, before, a.hashes(t), "an emergency does not wait for a node that hangs")
	_, err = i.List(soon(t))
	require.Error(t, err, "what one node has may be missing in the list")
}

// Nodes that disagree are neither a yes nor a no, and are named. ACLs are not replicated, so a replica is one of them.
func TestNodesDisagree(t *testing.T) {
	a, b := start(t), start(t)
	host, port, _ := net.SplitHostPort(a.Addr)
	b.do(t, "CONFIG SET masteruser admin masterauth "+a.Password)
	b.do(t, "REPLICAOF "+host+" "+port)
	a.do(t, "SET app:x replicated")
	require.Eventually(t, func() bool {
		return b.root.Get(t.Context(), "app:x").Val() == "replicated"
	}, 30*time.Second, 20*time.Millisecond)

	onlyA, both := newIssuer(t, a), newIssuer(t, a, b)
	a.do(t, "ACL SETUSER app >shared")
	b.do(t, "ACL SETUSER app >shared resetpass >shared")
	a.do(t, "ACL SETUSER app resetpass >shared")
	require.NoError(t, both.Check(t.Context()))
	key := issue(t, onlyA)
	require.NoError(t, onlyA.Verify(t.Context(), key))

	err := both.Verify(t.Context(), key)
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrRejected)
	require.ErrorContains(t, err, fmt.Sprintf("accepted by %s, refused by %s", a.Addr, b.Addr))
	silent(t, err, key.Secret.Reveal())
	require.ErrorContains(t, both.Check(t.Context()), "the nodes disagree about the passwords of user app: "+a.Addr+" has ")
	infos, err := both.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 2, "what any node has is alive")

	_, err = both.Issue(t.Context(), rotation.IssueRequest{Chosen: key})
	require.NoError(t, err, "the same value again completes it")
	require.NoError(t, both.Verify(t.Context(), key))
	require.NoError(t, both.Revoke(t.Context(), key))
	require.ErrorIs(t, both.Verify(t.Context(), key), rotation.ErrRejected)
}

// MONITOR, the slow log, ACL LOG and the ACL file show what is sent and kept.
func TestServerRecordsHoldNoValue(t *testing.T) {
	p := start(t)
	p.do(t, "CONFIG SET slowlog-log-slower-than 0")
	conn, err := net.Dial("tcp", p.Addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprintf(conn, "AUTH %s %s\r\nMONITOR\r\n", p.User, p.Password)
	require.NoError(t, err)
	monitor := bufio.NewReader(conn)
	for range 2 {
		line, err := monitor.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "+OK\r\n", line)
	}

	i := newIssuer(t, p)
	key := issue(t, i)
	require.NoError(t, i.Verify(t.Context(), key))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.ErrorIs(t, i.Verify(t.Context(), key), rotation.ErrRejected)
	p.do(t, "PING the-end")

	var seen strings.Builder
	for !strings.Contains(seen.String(), "the-end") {
		line, err := monitor.ReadString('\n')
		require.NoError(t, err)
		seen.WriteString(line)
	}
	file, err := os.ReadFile(filepath.Join(p.Dir(), "users.acl"))
	require.NoError(t, err)
	records := fmt.Sprint(seen.String(), p.do(t, "SLOWLOG GET 1000"), p.do(t, "ACL LOG 100"), string(file))
	require.Contains(t, records, "SAVE")
	require.Contains(t, records, "AUTH", "the refused login is in ACL LOG")
	assert.NotContains(t, records, key.Secret.Reveal())
}

// dies is an Issuer whose process dies when the first of two nodes has the password.
type dies struct {
	*redisacl.Issuer
	first *redisacl.Issuer
	alive bool
}

func (d *dies) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if d.alive {
		return d.Issuer.Issue(ctx, req)
	}
	if _, err := d.first.Issue(ctx, req); err != nil {
		return rotation.Key{}, err
	}
	return rotation.Key{}, errors.New("the process is dead")
}

// What a process that died between two nodes has left holds the rotation, whose problem names the nodes and what to do. It goes on by
// itself when that is done.
func TestDeathBetweenNodes(t *testing.T) {
	for name, cure := range map[string]func(t *testing.T, a, b *place, rule string){
		"added to the other":   func(t *testing.T, a, b *place, rule string) { b.do(t, "ACL SETUSER app #"+rule) },
		"taken from the first": func(t *testing.T, a, b *place, rule string) { a.do(t, "ACL SETUSER app !"+rule) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t), start(t)
			b.do(t, "ACL SETUSER app resetpass >"+a.first().Secret.Reveal())
			both := newIssuer(t, a, b)
			secrets := store.NewMemory()
			require.NoError(t, store.Seed(t.Context(), secrets, "app-redis", a.first()))
			broken := &dies{Issuer: both, first: newIssuer(t, a)}
			r, err := rotation.New(rotation.Config{
				Journal: journal.NewMemory(), Store: secrets, CallTimeout: 200 * time.Millisecond, ClockSkew: -1,
				Logger: slog.New(slog.DiscardHandler),
				Credentials: []rotation.Credential{{
					Name: "app-redis", Type: rotation.Database, Issuer: broken,
					Policy: rotation.Policy{Overlap: time.Millisecond, Quiet: -1},
				}},
			})
			require.NoError(t, err)
			_, err = r.Rotate(t.Context(), "app-redis", rotation.Trigger{Reason: "test"})
			require.Error(t, err)
			broken.alive = true
			require.Eventually(t, func() bool {
				_, err = r.Advance(t.Context(), "app-redis")
				return err != nil && strings.Contains(err.Error(), "the nodes disagree")
			}, time.Minute, 50*time.Millisecond)
			require.ErrorContains(t, err, fmt.Sprintf("accepted by %s, refused by %s", a.Addr, b.Addr))

			v, err := secrets.Load(t.Context(), "app-redis")
			require.NoError(t, err)
			pending := v.Key(rotation.RolePending)
			require.ErrorContains(t, both.Verify(t.Context(), pending), "password "+pending.ID)
			cure(t, a, b, fmt.Sprintf("%x", sha256.Sum256([]byte(pending.Secret.Reveal()))))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.NoError(t, r.Wait(ctx, "app-redis"))
			require.NoError(t, both.Verify(t.Context(), pending), "the same value is in use now")
			require.ErrorIs(t, both.Verify(t.Context(), a.first()), rotation.ErrRejected)
		})
	}
}
