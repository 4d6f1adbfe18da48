// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Config says which users take turns, or which one has two passwords, and who may change them.
type Config struct {
	DB     *sql.DB // required: opened with go-sql-driver/mysql, as an account that may alter the users, and is none of them; see [Issuer.Check]
	Server string  // required: what records call the server, "db.example.com:3306". A change stops an open rotation

	// Users are the two users that take turns: different, both existing, with the same rights. The one that is not in use yet is
	// locked (ACCOUNT LOCK). One user alone gets two passwords at a time, where the server can do that. Required.
	Users []string
	Host  string // of the accounts: 'user'@'host'; empty: %

	ReplicaLag time.Duration // how far a replica that consumers log in to can be behind; zero: they log in to the primary alone
}

// Issuer is a rotation.Issuer for the passwords of MySQL and MariaDB users. It comes from [New], holds nothing open and is safe for
// concurrent use, by several processes on one server too: they change a user one after the other.
type Issuer struct{ cfg Config }

var (
	_ rotation.Issuer     = (*Issuer)(nil)
	_ rotation.Chooser    = (*Issuer)(nil)
	_ rotation.Lister     = (*Issuer)(nil)
	_ rotation.Disabler   = (*Issuer)(nil)
	_ rotation.Describer  = (*Issuer)(nil)
	_ rotation.Identifier = (*Issuer)(nil)
	_ rotation.Checker    = (*Issuer)(nil)
)

// maxName is the length of a name in MariaDB, in characters. MySQL has 32.
const maxName = 80

// New returns an Issuer, or an error that names every field that is missing or wrong. It does no I/O.
func New(cfg Config) (*Issuer, error) {
	var wrong []string
	if cfg.DB == nil {
		wrong = append(wrong, "Config.DB is required")
	}
	if u, err := url.Parse(cfg.Server); cfg.Server == "" {
		wrong = append(wrong, "Config.Server is required")
	} else if strings.Contains(cfg.Server, "@") || err == nil && u.User != nil {
		wrong = append(wrong, "Config.Server holds a user: it ends in records, host:port will do")
	}
	if n := len(cfg.Users); n != 1 && n != 2 {
		wrong = append(wrong, "Config.Users: two are required, or one that gets two passwords")
	}
	for _, user := range cfg.Users {
		switch {
		case user == "":
			wrong = append(wrong, "Config.Users: a name is empty")
		case utf8.RuneCountInString(user) > maxName:
			wrong = append(wrong, fmt.Sprintf("Config.Users: %q is longer than %d characters", user, maxName))
		case !utf8.ValidString(user), strings.ContainsAny(user, "\x00#"):
			wrong = append(wrong, fmt.Sprintf("Config.Users: %q is no name, or one with a #, which keys cannot have", user))
		}
	}
	if len(cfg.Users) == 2 && cfg.Users[0] == cfg.Users[1] {
		wrong = append(wrong, "Config.Users: both are the same")
	}
	if cfg.ReplicaLag < 0 {
		wrong = append(wrong, "Config.ReplicaLag is negative")
	}
	if len(wrong) > 0 {
		return nil, problem("mysqlusers: " + strings.Join(wrong, "; "))
	}
	if cfg.Host == "" {
		cfg.Host = "%"
	}
	cfg.Users = slices.Clone(cfg.Users)
	return &Issuer{cfg}, nil
}

// dual reports whether one user has two passwords.
func (i *Issuer) dual() bool { return len(i.cfg.Users) == 1 }

// Choose makes a new password, 32 random bytes in hexadecimal, for the user whose turn it is: the one that is not req.Current's.
// Nothing is changed. Its ID is the user; where one user has two passwords a "#" and a fingerprint follow.
func (i *Issuer) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	user, err := i.turn(ctx, UserOf(req.Current))
	if err != nil {
		return rotation.Key{}, err
	}
	value := secret.Random(32)
	return i.keyOf(user, nativeHash(value), value), nil
}

// turn is whose turn it is after a user.
func (i *Issuer) turn(ctx context.Context, current string) (string, error) {
	if i.dual() {
		return i.cfg.Users[0], nil
	}
	if n := slices.Index(i.cfg.Users, current); n >= 0 {
		return i.cfg.Users[1-n], nil
	}
	accounts, err := i.accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range accounts {
		if a.free() {
			return a.user, nil
		}
	}
	return i.cfg.Users[0], nil // Issue says that there is no free slot
}

// Issue gives the password of req.Chosen to its user and unlocks it, in one statement. The server gets a hash that is computed here,
// but for the second password of a MySQL user, which MySQL takes as it is.
//
// A user that holds another password, or two others, is left alone: rotation.ErrNoSlot. An error that does not match ErrNotIssued
// is ambiguous. The same request again does no harm: a password that the server has is not set again.
func (i *Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	value, user := req.Chosen.Secret, UserOf(req.Chosen)
	why := ""
	switch {
	case value.IsZero():
		why = "IssueRequest.Chosen holds no secret: Choose makes it"
	case !plain(value):
		why = "the password is not of ASCII letters and digits, as Choose makes it"
	case !slices.Contains(i.cfg.Users, user):
		why = fmt.Sprintf("IssueRequest.Chosen is for user %q, which is none of Config.Users", user)
	}
	if why != "" {
		return rotation.Key{}, problem("mysqlusers: Issue: "+why, rotation.ErrNotIssued)
	}
	err := i.change(ctx, "Issue", user, func(c *call, a account) error {
		n, known := a.find(value)
		switch {
		case !known:
			return i.strange("Issue", a)
		case n >= 0 && !a.locked:
			return nil // it landed before: to set it again would end the other one
		case i.dual() && !a.free():
			return c.add(ctx, a, value)
		case !a.free() && n < 0:
			return problem(fmt.Sprintf("mysqlusers: Issue: user %q holds a password already: revoke that key, or, if nobody uses it, lock the account and set no password", user),
				rotation.ErrNoSlot, rotation.ErrNotIssued)
		}
		return c.alter(ctx, a, a.identified(hashFor(a.entries[0].plugin, value))+" ACCOUNT UNLOCK")
	})
	if err != nil {
		return rotation.Key{}, err
	}
	key := i.keyOf(user, nativeHash(value), value)
	key.Name, key.Serial, key.Generation = req.Chosen.Name, req.Chosen.Serial, req.Chosen.Generation
	key.IssuedAt = time.Now()
	return key, nil
}

// Revoke takes the password away. A user that has no other is locked, and its sessions are ended, as a session outlives the password
// that it was opened with. If the user does not hold the password any more nothing is done, and nil is returned. A login that was let in
// before, and takes the server more than a tenth of a second to show, is not seen.
//
// Where the user keeps another password its sessions stay: nobody can tell which of them were opened with which. See [Issuer.EndSessions].
//
// Without its value a key can be told from another one only by the fingerprint in its attributes, and not by that where the
// account's plugin is caching_sha2_password: then Revoke fails.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	user, err := i.userOf(ctx, "Revoke", key)
	if err != nil {
		return err
	}
	last := false
	err = i.change(ctx, "Revoke", user, func(c *call, a account) error {
		n, err := i.held("Revoke", a, key)
		last = n >= 0 && len(a.entries) == 1 || a.free()
		switch {
		case err != nil || n < 0:
			return err
		case len(a.entries) > 1:
			return c.drop(ctx, a, n)
		case a.doubled:
			if err := c.alter(ctx, a, discardOld); err != nil {
				return err
			}
		}
		return c.alter(ctx, a, a.identified(entry{a.entries[0].plugin, freedHash(a.entries[0].plugin)})+" ACCOUNT LOCK")
	})
	switch {
	case errors.Is(err, rotation.ErrNotFound): // of such a user nothing is left
		return nil
	case err != nil || !last:
		return err
	}
	return i.EndSessions(ctx, user)
}

// Disable locks the account of key. That leaves sessions as they are, so it would prove nothing of a connection pool that is full:
// while a session of the user is open Disable changes nothing, and its error tells where it comes from. That is the last look
// before a password is taken away for good, and it comes from the server. An account that is locked already, and has a session all the
// same, is unlocked again: whoever has it will want another one.
//
// It fails with rotation.ErrNotFound if the user holds another password, and with errors.ErrUnsupported where one user has two.
func (i *Issuer) Disable(ctx context.Context, key rotation.Key) error {
	user, err := i.switched(ctx, "Disable", key)
	if err != nil {
		return err
	}
	err = i.change(ctx, "Disable", user, func(c *call, a account) error {
		if err := i.holds("Disable", a, key); err != nil || a.locked {
			return err
		}
		if err := i.unused(ctx, user); err != nil {
			return err
		}
		return c.alter(ctx, a, " ACCOUNT LOCK")
	})
	if err != nil {
		return err
	}
	err = pause(ctx, opening) // one can have begun in between
	if err == nil {
		err = i.unused(ctx, user)
	}
	if err == nil {
		return nil
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return errors.Join(failed(ctx, "Disable", user, err), i.Enable(undo, key))
}

// undoTime is how long a Disable that came to nothing may take to unlock the account again.
const undoTime = 3 * time.Second

// Enable unlocks the account of key, with the password that it has. It fails with rotation.ErrNotFound if that was taken away, and
// with errors.ErrUnsupported where one user has two.
func (i *Issuer) Enable(ctx context.Context, key rotation.Key) error {
	user, err := i.switched(ctx, "Enable", key)
	if err != nil {
		return err
	}
	return i.change(ctx, "Enable", user, func(c *call, a account) error {
		if err := i.holds("Enable", a, key); err != nil {
			return err
		}
		return c.alter(ctx, a, " ACCOUNT UNLOCK")
	})
}

// holds returns rotation.ErrNotFound if the account has not got the key.
func (i *Issuer) holds(what string, a account, key rotation.Key) error {
	n, err := i.held(what, a, key)
	if err == nil && n < 0 {
		err = problem(fmt.Sprintf("mysqlusers: %s: user %q does not hold this key any more", what, a.user), rotation.ErrNotFound)
	}
	return err
}

// switched is the user that is switched off or on.
func (i *Issuer) switched(ctx context.Context, what string, key rotation.Key) (string, error) {
	if i.dual() {
		return "", problem("mysqlusers: "+what+": a user with two passwords cannot be switched off for one of them", errors.ErrUnsupported)
	}
	return i.userOf(ctx, what, key)
}

// List returns what each user holds, locked ones as disabled. Where one user has two passwords of caching_sha2_password it fails with
// errors.ErrUnsupported: nothing tells which is which. Use is not told: see the package.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	accounts, err := i.accounts(ctx)
	if err != nil {
		return nil, err
	}
	infos := []rotation.KeyInfo{}
	for _, a := range accounts {
		for _, e := range a.entries {
			if i.dual() && e.plugin != native {
				return nil, problem("mysqlusers: List: passwords of "+e.plugin+" cannot be told apart", errors.ErrUnsupported)
			}
			if a.free() {
				continue
			}
			infos = append(infos, rotation.KeyInfo{Key: i.keyOf(a.user, e.auth, secret.Value{}), Disabled: a.locked})
		}
	}
	return infos, nil
}

// Describe says that a change is seen at once, or after Config.ReplicaLag, and that two keys can live at one time.
func (i *Issuer) Describe() rotation.Traits {
	t := rotation.Traits{MaxKeys: 2, Propagation: -1, ListLag: -1, Independent: true}
	if i.cfg.ReplicaLag > 0 {
		t.Propagation = i.cfg.ReplicaLag
	}
	return t
}

// Identity is Config.Server and the accounts.
func (i *Issuer) Identity() string {
	users := slices.Sorted(slices.Values(i.cfg.Users))
	return fmt.Sprintf("mysqlusers %s %q@%q", i.cfg.Server, users, i.cfg.Host)
}

// UserOf returns the name of the user to log in with: the key's attribute "user", or else its ID up to a "#". Keys that were stored by
// hand need only one of them.
func UserOf(key rotation.Key) string {
	if user := key.Attributes["user"]; user != "" {
		return user
	}
	user, _, _ := strings.Cut(key.ID, "#")
	return user
}

// keyOf is the key of a hash of mysql_native_password. A hash of another plugin has no fingerprint: it has a salt in it.
func (i *Issuer) keyOf(user, hash string, value secret.Value) rotation.Key {
	key := rotation.Key{ID: user, Secret: value, Attributes: map[string]string{"user": user}}
	if isNative(hash) {
		key.Attributes["print"] = fingerprint(hash)
	}
	if i.dual() {
		key.ID = user + "#" + key.Attributes["print"]
	}
	return key
}

// userOf is the user that a key belongs to.
func (i *Issuer) userOf(ctx context.Context, what string, key rotation.Key) (string, error) {
	user := UserOf(key)
	switch {
	case slices.Contains(i.cfg.Users, user):
		return user, nil
	case user != "":
		return "", problem(fmt.Sprintf("mysqlusers: %s: user %q is none of Config.Users, and is not touched", what, user))
	case key.Secret.IsZero():
		return "", problem("mysqlusers: " + what + ": the key has neither an ID nor a value")
	}
	accounts, err := i.accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range accounts {
		n, known := a.find(key.Secret)
		if !known {
			return "", i.strange(what, a)
		}
		if n >= 0 {
			return a.user, nil
		}
	}
	return i.cfg.Users[0], nil // nobody has it: it is gone
}

// held is the place of a key among the passwords of an account, -1 if it is gone. What cannot be told is an error.
func (i *Issuer) held(what string, a account, key rotation.Key) (int, error) {
	if a.free() {
		return -1, nil
	}
	if !key.Secret.IsZero() {
		if n, known := a.find(key.Secret); known {
			return n, nil
		}
		return -1, i.strange(what, a)
	}
	want := key.Attributes["print"]
	if want == "" {
		_, want, _ = strings.Cut(key.ID, "#")
	}
	for n, e := range a.entries {
		switch {
		case want == "" || e.plugin != native:
			return -1, problem(fmt.Sprintf("mysqlusers: %s: without its value it cannot be told whether user %q holds this key", what, a.user))
		case fingerprint(e.auth) == want:
			return n, nil
		}
	}
	return -1, nil
}

// strange is the error for a plugin that this package cannot read.
func (i *Issuer) strange(what string, a account) error {
	return problem(fmt.Sprintf("mysqlusers: %s: user %q has a password of plugin %s: change it to %s", what, a.user, strings.Join(a.plugins(), ", "), usable(a.maria)),
		rotation.ErrNotIssued)
}
