// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

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

// Config says which users take turns, and who may change them.
type Config struct {
	DB     *sql.DB // required: to the primary, as a role that may alter the users, and is none of them; see [Issuer.Check]. Each process that rotates them uses the same database
	Server string  // required: what records call the server, "db.example.com:5432/orders". A change stops an open rotation

	// Users are the two users that take turns: required, different, both existing, with the same rights, as the catalog spells
	// them. The one that is not in use yet is NOLOGIN. One user alone has no overlap: see the package.
	Users []string

	ValidFor   time.Duration // of a password, as VALID UNTIL, and then it ends by itself; zero: for ever
	ReplicaLag time.Duration // how far a standby that consumers log in to can be behind; zero: they log in to the primary alone
}

// Issuer is a rotation.Issuer for the passwords of PostgreSQL users. It comes from [New], holds nothing open and is safe for
// concurrent use, by several processes too: they change a user one after the other (an advisory lock, which is of one database).
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

// New returns an Issuer, or an error that names every field that is missing or wrong. It does no I/O.
func New(cfg Config) (*Issuer, error) {
	var wrong []string
	if cfg.DB == nil {
		wrong = append(wrong, "Config.DB is required")
	}
	if u, err := url.Parse(cfg.Server); cfg.Server == "" {
		wrong = append(wrong, "Config.Server is required")
	} else if err == nil && u.User != nil {
		wrong = append(wrong, "Config.Server holds a user: it ends in records, host:port/database will do")
	}
	if n := len(cfg.Users); n != 1 && n != 2 {
		wrong = append(wrong, "Config.Users: two are required, or one where an outage is accepted")
	}
	for _, user := range cfg.Users {
		switch {
		case user == "":
			wrong = append(wrong, "Config.Users: a name is empty")
		case len(user) > maxName:
			wrong = append(wrong, fmt.Sprintf("Config.Users: %q is longer than %d bytes, which PostgreSQL would cut off", user, maxName))
		case !utf8.ValidString(user), strings.ContainsRune(user, 0):
			wrong = append(wrong, fmt.Sprintf("Config.Users: %q is no name", user))
		}
	}
	if len(cfg.Users) == 2 && cfg.Users[0] == cfg.Users[1] {
		wrong = append(wrong, "Config.Users: both are the same")
	}
	if cfg.ValidFor < 0 {
		wrong = append(wrong, "Config.ValidFor is negative")
	}
	if cfg.ReplicaLag < 0 {
		wrong = append(wrong, "Config.ReplicaLag is negative")
	}
	if len(wrong) > 0 {
		return nil, problem("pgusers: " + strings.Join(wrong, "; "))
	}
	cfg.Users = slices.Clone(cfg.Users)
	return &Issuer{cfg}, nil
}

// maxName is NAMEDATALEN-1 of a server as it is built by everybody.
const maxName = 63

// alone reports whether one user has to do, without an overlap.
func (i *Issuer) alone() bool { return len(i.cfg.Users) == 1 }

// Choose makes a new password, 32 random bytes in hexadecimal, for the user whose turn it is: the one that is not req.Current's.
// Nothing is changed. Its ID is the user.
func (i *Issuer) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	user, err := i.turn(ctx, UserOf(req.Current))
	if err != nil {
		return rotation.Key{}, err
	}
	return keyOf(user, "", secret.Random(32)), nil
}

// turn is whose turn it is after a user.
func (i *Issuer) turn(ctx context.Context, current string) (string, error) {
	if i.alone() {
		return i.cfg.Users[0], nil
	}
	if n := slices.Index(i.cfg.Users, current); n >= 0 {
		return i.cfg.Users[1-n], nil
	}
	slots, err := i.slots(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range slots {
		if s.free() {
			return s.user, nil
		}
	}
	return i.cfg.Users[0], nil // Issue says that there is no free slot
}

// Issue gives the password of req.Chosen to its user and lets it log in, in one transaction. The server gets a SCRAM verifier that
// is computed here: neither its log nor pg_stat_statements ever holds the password. The comment of the user tells from then on
// under which name its password was issued.
//
// A user that holds another password is left alone: rotation.ErrNoSlot. An error that does not match ErrNotIssued is ambiguous,
// which is only said when the answer to COMMIT is missing. The same request again does no harm.
func (i *Issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key := req.Chosen
	user := UserOf(key)
	if err := i.issuable(user, req); err != nil {
		return rotation.Key{}, err
	}
	verifier, err := scramVerifier(key.Secret)
	if err != nil {
		return rotation.Key{}, problem("pgusers: Issue: "+err.Error(), rotation.ErrNotIssued)
	}
	key = keyOf(user, key.Name, key.Secret)
	key.Serial, key.Generation = req.Chosen.Serial, req.Chosen.Generation
	key.IssuedAt = time.Now()
	until := "infinity" // an older deadline would end this password too
	if i.cfg.ValidFor > 0 {
		key.ExpiresAt = key.IssuedAt.Add(i.cfg.ValidFor).UTC().Truncate(time.Second)
		until = key.ExpiresAt.Format(time.RFC3339)
	}
	err = i.change(ctx, "Issue", user, func(tx *sql.Tx, s slot) error {
		own := s.mark == mark{holding, req.Name}
		if !s.free() && !own && !i.alone() {
			return problem(fmt.Sprintf("pgusers: Issue: user %q holds a password already (%s): revoke that key, or, if nobody uses it, make the user NOLOGIN", user, s.holder()),
				rotation.ErrNoSlot, rotation.ErrNotIssued)
		}
		alter := "ALTER ROLE " + identifier(user) + " WITH LOGIN PASSWORD " + literal(verifier) + " VALID UNTIL " + literal(until)
		if err := s.write(ctx, tx, alter, mark{holding, req.Name}); err != nil || !i.alone() {
			return err
		}
		// A session outlives the password that it was opened with. If the answer to COMMIT is lost nobody comes here again.
		_, err := tx.ExecContext(ctx, endSessions, user)
		return err
	})
	if err != nil {
		return rotation.Key{}, err
	}
	if i.alone() { // those that were opened until COMMIT
		if err := i.terminate(ctx, user); err != nil {
			return rotation.Key{}, err
		}
	}
	return key, nil
}

// issuable says why nothing can be issued; nil if it can.
func (i *Issuer) issuable(user string, req rotation.IssueRequest) error {
	why := ""
	switch {
	case req.Chosen.Secret.IsZero():
		why = "IssueRequest.Chosen holds no secret: Choose makes it"
	case !slices.Contains(i.cfg.Users, user):
		why = fmt.Sprintf("IssueRequest.Chosen is for user %q, which is none of Config.Users", user)
	case req.Name == "" || strings.ContainsRune(req.Name, 0) || !utf8.ValidString(req.Name):
		why = "IssueRequest.Name is none"
	default:
		return nil
	}
	return problem("pgusers: Issue: "+why, rotation.ErrNotIssued)
}

// Revoke takes the password from the user of key, forbids it to log in and ends its sessions, as a session outlives the password
// that it was opened with. If the user holds another key by now nothing is done, and nil is returned: key has died with that. A login that
// was let in before, and takes the server more than a tenth of a second to show, is not seen.
//
// Where the value of key is known it is tried, by a login to the server of Config.DB, and a password that somebody has set by hand since
// stays; so do sessions then, as nobody can tell which of them are older. Where it is not, or no login tells, the user's comment
// does. A user that was never given a key by this package holds whatever key without a name is asked for; of one that was nobody can
// tell then, which is an error.
func (i *Issuer) Revoke(ctx context.Context, key rotation.Key) error {
	d, err := i.door(ctx, "Revoke")
	if err != nil {
		return err
	}
	user, err := i.userOf(ctx, d, "Revoke", key)
	if err != nil || user == "" {
		return err
	}
	gone := true
	err = i.change(ctx, "Revoke", user, func(tx *sql.Tx, s slot) error {
		held, err := i.holds(ctx, d, "Revoke", s, key)
		gone = s.free() || held
		if err != nil || !held {
			return err
		}
		return s.write(ctx, tx, "ALTER ROLE "+identifier(user)+" WITH NOLOGIN PASSWORD NULL", mark{freed, ""})
	})
	switch {
	case errors.Is(err, rotation.ErrNotFound): // of such a user nothing is left
		return nil
	case err != nil || !gone:
		return err
	}
	return i.terminate(ctx, user)
}

// Disable forbids the user of key to log in. That leaves sessions as they are, so it would prove nothing of a connection pool that
// is full: while a session of the user is open Disable changes nothing, and its error tells who holds it. That is the last
// look before a password is taken away for good, and it comes from the server. A user that is switched off already, and has a session
// all the same, is switched on again: whoever has it will want another one.
//
// It fails with rotation.ErrNotFound if the user holds another key, and with errors.ErrUnsupported where there is one user alone.
func (i *Issuer) Disable(ctx context.Context, key rotation.Key) error {
	user, d, err := i.switched(ctx, "Disable", key)
	if err != nil {
		return err
	}
	s, err := look(ctx, i.cfg.DB, user)
	if err != nil {
		return failed(ctx, "Disable", user, err)
	}
	held, err := i.holds(ctx, d, "Disable", s, key)
	switch {
	case err != nil:
		return err
	case !held:
		return notHeld("Disable", user)
	case s.login:
		if err := i.unused(ctx, user); err != nil {
			return err
		}
		if err := i.login(ctx, d, "Disable", user, key, false); err != nil {
			return err
		}
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
	return errors.Join(failed(ctx, "Disable", user, err), i.login(undo, d, "Disable", user, key, true))
}

// undoTime is how long a Disable that came to nothing may take to let the user log in again.
const undoTime = 3 * time.Second

func notHeld(what, user string) error {
	return problem(fmt.Sprintf("pgusers: %s: user %q does not hold this key any more", what, user), rotation.ErrNotFound)
}

// Enable lets the user of key log in again, with the password that it has. It fails with rotation.ErrNotFound if that was taken
// away, and with errors.ErrUnsupported where there is one user alone.
func (i *Issuer) Enable(ctx context.Context, key rotation.Key) error {
	user, d, err := i.switched(ctx, "Enable", key)
	if err != nil {
		return err
	}
	return i.login(ctx, d, "Enable", user, key, true)
}

// switched is the user that is switched off or on.
func (i *Issuer) switched(ctx context.Context, what string, key rotation.Key) (string, *door, error) {
	if i.alone() {
		return "", nil, problem("pgusers: "+what+": the only user cannot be switched off for one password", errors.ErrUnsupported)
	}
	d, err := i.door(ctx, what)
	if err != nil {
		return "", nil, err
	}
	user, err := i.userOf(ctx, d, what, key)
	if err == nil && user == "" {
		err = problem("pgusers: "+what+": no user holds this key any more", rotation.ErrNotFound)
	}
	return user, d, err
}

func (i *Issuer) login(ctx context.Context, d *door, what, user string, key rotation.Key, may bool) error {
	option := " WITH NOLOGIN"
	if may {
		option = " WITH LOGIN"
	}
	return i.change(ctx, what, user, func(tx *sql.Tx, s slot) error {
		held, err := i.holds(ctx, d, what, s, key)
		if err != nil {
			return err
		}
		if !held {
			return notHeld(what, user)
		}
		return s.write(ctx, tx, "ALTER ROLE "+identifier(user)+option, mark{holding, key.Name})
	})
}

// List returns what each user holds that can log in, or could before Disable. Its use is not told: see the package.
func (i *Issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	slots, err := i.slots(ctx)
	if err != nil {
		return nil, err
	}
	infos := []rotation.KeyInfo{}
	for _, s := range slots {
		if s.free() {
			continue
		}
		key := keyOf(s.user, s.mark.name, secret.Value{})
		key.ExpiresAt = s.ends
		infos = append(infos, rotation.KeyInfo{Key: key, Disabled: !s.login})
	}
	return infos, nil
}

// Describe says that a change is seen at once, or after Config.ReplicaLag, that two keys can live at one time, and that with one
// user alone issuing ends the old key.
func (i *Issuer) Describe() rotation.Traits {
	t := rotation.Traits{MaxKeys: len(i.cfg.Users), Propagation: -1, ListLag: -1, Independent: true}
	if i.cfg.ReplicaLag > 0 {
		t.Propagation = i.cfg.ReplicaLag
	}
	if i.alone() {
		t.MaxKeys, t.KillsOld = 0, true // its one place is never free, and needs not be
	}
	return t
}

// Identity is Config.Server and the users.
func (i *Issuer) Identity() string {
	users := slices.Sorted(slices.Values(i.cfg.Users))
	return fmt.Sprintf("pgusers %s %q", i.cfg.Server, users)
}

// UserOf returns the name of the user to log in with: the key's attribute "user", or else its ID. Keys that were stored by hand need
// only one of them.
func UserOf(key rotation.Key) string {
	if user := key.Attributes["user"]; user != "" {
		return user
	}
	return key.ID
}

func keyOf(user, name string, value secret.Value) rotation.Key {
	return rotation.Key{ID: user, Name: name, Secret: value, Attributes: map[string]string{"user": user}}
}

// userOf is the user that a key belongs to; none if no user holds a key that does not say so.
func (i *Issuer) userOf(ctx context.Context, d *door, what string, key rotation.Key) (string, error) {
	user := UserOf(key)
	switch {
	case slices.Contains(i.cfg.Users, user):
		return user, nil
	case user != "":
		return "", problem(fmt.Sprintf("pgusers: %s: user %q is none of Config.Users, and is not touched", what, user))
	}
	slots, err := i.slots(ctx)
	if err != nil {
		return "", err
	}
	var untold error
	for _, s := range slots {
		held, err := i.holds(ctx, d, what, s, key)
		switch {
		case err != nil:
			untold = err
		case held && user != "":
			return "", problem("pgusers: " + what + ": the key has no ID, and it cannot be told which user it belongs to: give it the user's name as ID")
		case held:
			user = s.user
		}
	}
	if user == "" {
		return "", untold
	}
	return user, nil
}
