// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/handover-go/handover/secret"
)

// failure names why a consumer does not work with the key that it was given, as far as that can be told from what is seen.
func (d *drive) failure(c *consumerState, s sight) *Error {
	run, b := d.st.Run, d.reg.binding(c.Name)
	e := &Error{
		Consumer: c.Name, Diagnosis: VerificationTimeout, Evidence: "it does not work with the key it was given",
		Action: "look whether its rollout has come to an end, and in its log why it does not get well", Err: hide(s.VerifyErr),
	}
	if d.misshapen(e) || !errors.Is(s.VerifyErr, ErrRejected) {
		return e
	}
	here, there, alike := environments(d.reg.parts.Verifier, identity(b.Verifier))
	old := d.st.key(run.Old)
	overlap := old.live() && !run.NoOverlap // then who presents the key before is not refused
	switch {
	case overlap && alike:
		e.mismatch(here, there)
	case s.Observable && s.OnTarget:
		e.Diagnosis, e.Evidence, e.Action = KeyCached, "it is seen on the key that it was given, and what it presents is refused", "restart it, or drain its connections: it may be presenting the key before"
	case alike:
		e.mismatch(here, there)
	default:
		e.Diagnosis, e.Action = NewKeyRejected, "look what this consumer asks for: the key may lack a scope, or be for another environment"
	}
	return e
}

// mismatch says that a key is good in one place and not in another.
func (e *Error) mismatch(here, there string) {
	e.Diagnosis = EnvironmentMismatch
	e.Evidence = fmt.Sprintf("the key is accepted by %s, and refused by %s, which this consumer uses", here, there)
	e.Action = "look whether both are the same environment, and whether the names of the secrets agree"
}

// misshapen makes a trouble with the new key one of its form, if that is another one than before.
func (d *drive) misshapen(e *Error) bool {
	run := d.st.Run
	changed := reshaped(d.value(run.Old).Secret, d.value(run.Target).Secret)
	if changed == "" {
		return false
	}
	e.Diagnosis, e.Evidence = FormatChanged, e.Evidence+", and "+changed
	e.Action = "have the issuer give the form that it had before, or make this consumer read the new one"
	return true
}

// partly looks, when patience is over, whether a deployment that does not come to an end has reached some of the instances.
func (d *drive) partly(e *Error) *Error {
	run, b := d.st.Run, d.reg.binding(e.Consumer)
	if b == nil || b.Observer == nil || d.reg.webhook || run.Failing.IsZero() || time.Since(run.Failing) < d.reg.Policy.Patience {
		return e
	}
	if s := d.see(b, run.consumer(e.Consumer), d.value(run.Target)); s.Moved > 0 && len(s.Elsewhere) > 0 {
		e.partial(s)
	}
	return e
}

// environments are the hosts of two identities. They are alike if the same is asked of two hosts: a service that answers under an
// address of its own is no other environment.
func environments(a, b string) (here, there string, alike bool) {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	if errX != nil || errY != nil {
		return "", "", false
	}
	return x.Host, y.Host, x.Host != "" && y.Host != "" && x.Host != y.Host && len(x.Path) > 1 && x.Path == y.Path
}

// compareForms tells people of a new value that looks other than the one before, when nobody has it yet.
func (d *drive) compareForms(key Key) {
	if changed := reshaped(d.value(d.st.Run.Old).Secret, key.Secret); changed != "" {
		d.note(slog.LevelWarn, changed+": a consumer that reads the old form may not start with it")
	}
}

// reshaped says how the form of a new value differs from that of the old one; nothing where it does not, or is not known.
func reshaped(old, value secret.Value) string {
	was, is := form(old), form(value)
	if was == "" || is == "" || was == is {
		return ""
	}
	return fmt.Sprintf("the new value is %s, and the one before was %s", is, was)
}

// form is what a value looks like from outside.
func form(v secret.Value) string {
	text := v.Reveal()
	decoded, err := base64.StdEncoding.DecodeString(text)
	switch {
	case text == "":
		return ""
	case strings.TrimSpace(text) != text:
		return "text with space around it"
	case strings.HasPrefix(text, "-----BEGIN "):
		return "PEM"
	case (text[0] == '{' || text[0] == '[' || text[0] == '"') && json.Valid([]byte(text)):
		return "JSON"
	case err == nil && len(decoded) >= 12 && printable(decoded):
		return "base64 of a text"
	default:
		return "plain text"
	}
}

// printable reports whether bytes are a text: of random ones a dozen hardly ever are.
func printable(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
