// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Reload tells one process to read its configuration again: by an HTTP POST, or by a signal. It sends the identity of the key,
// never the secret. It is a rotation.Consumer, Checker and Identifier, and safe for concurrent use.
//
// It does not see what comes of it: give the binding a Verifier that is an Observer, or a person has to attest.
type Reload struct {
	URL    string       // this or PIDFile is required. Gets {"deploy", "credential", "role", "id", "serial", ...} by POST
	Client *http.Client // for URL; nil: http.DefaultClient. Redirects are not followed

	PIDFile string    // holds the number of the process to signal; not on Windows
	Signal  os.Signal // for PIDFile; nil: SIGHUP
}

var (
	_ rotation.Consumer   = Reload{}
	_ rotation.Checker    = Reload{}
	_ rotation.Reloader   = Reload{}
	_ rotation.Validator  = Reload{}
	_ rotation.Identifier = Reload{}
)

// Validate reports every mistake in the fields. Deploy and Check return the same error before they do anything.
func (r Reload) Validate() error {
	switch {
	case r.URL == "" && r.PIDFile == "":
		return required("Reload.URL or Reload.PIDFile")
	case r.URL != "" && r.PIDFile != "":
		return fail(nil, "Reload.URL and Reload.PIDFile are both set: one Reload tells one process")
	case r.URL != "":
		return wire.URLProblem("consumer: Reload.URL", r.URL)
	case !signals:
		return fail(errors.ErrUnsupported, "Reload.PIDFile: there are no signals on this system")
	}
	return nil
}

// Check fails if the process to signal does not run. What answers at URL is not asked: that would be a reload.
func (r Reload) Check(context.Context) error {
	if err := r.Validate(); err != nil || r.PIDFile == "" {
		return err
	}
	return r.signal(probe)
}

// Reloads says live: the process reads again and is not started anew. Where what answers at URL starts something anew, embed the
// Reload and say rotation.ReloadRestart.
func (r Reload) Reloads() rotation.Reload { return rotation.ReloadLive }

// Identity is URL without user information and query, or PIDFile.
func (r Reload) Identity() string {
	if r.URL != "" {
		return wire.Redact(r.URL)
	}
	return "process of " + r.PIDFile
}

// Deploy tells the process. By HTTP, an answer of 2xx is nil; 409 and 425 match rotation.ErrNotYet, 401 and 403
// rotation.ErrDenied, 501 errors.ErrUnsupported: the right answer to the role pending where only the current key is read, because
// a 2xx would promise a canary. After 429 and 503 nothing is tried before the time that the answer names. By signal, nil means
// that the signal was sent, and a pending key, of which a signal cannot tell, is an error that matches errors.ErrUnsupported. So
// is a set of secrets to accept: what only knows that it has to read again promises nothing of them.
func (r Reload) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := errors.Join(r.Validate(), oneKey("Reload", req)); err != nil {
		return err
	}
	if r.PIDFile != "" {
		if err := errors.Join(onlyCurrent("Reload.PIDFile", req), alive(ctx)); err != nil {
			return err
		}
		sig := r.Signal
		if sig == nil {
			sig = hangUp
		}
		return r.signal(sig)
	}
	body, err := json.Marshal(order(req))
	if err != nil {
		return fail(nil, "Reload: the request cannot be written")
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return fail(nil, "Reload: the request cannot be made")
	}
	post.Header.Set("Content-Type", "application/json")
	resp, err := wire.Client(r.Client).Do(post)
	if err != nil {
		reason, is := wire.Reason(ctx, err)
		return fail(errors.Join(is...), "reload %s: %s", r.Identity(), reason)
	}
	defer wire.Drain(resp.Body)
	return r.judge(resp)
}

func (r Reload) judge(resp *http.Response) error {
	var cause error
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case code == http.StatusConflict, code == http.StatusTooEarly:
		cause = rotation.ErrNotYet
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		cause = rotation.ErrDenied
	case code == http.StatusNotImplemented:
		cause = errors.ErrUnsupported
	}
	err := fail(cause, "reload %s: status %s", r.Identity(), wire.Status(resp.StatusCode))
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		if at, ok := wire.Reset(resp.Header, time.Now()); ok {
			return rotation.RetryAt(err, at)
		}
	}
	return err
}

func (r Reload) signal(sig os.Signal) error {
	text, err := os.ReadFile(r.PIDFile)
	if err != nil {
		return fmt.Errorf("consumer: Reload.PIDFile: %w", err)
	}
	pid, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 32) // a kernel looks at 32 bits: 4294967295 is -1 to it
	if err != nil || pid <= 0 {                                           // zero and below are groups of processes, or all
		return fail(nil, "Reload.PIDFile %s holds no process number", r.PIDFile)
	}
	process, err := os.FindProcess(int(pid))
	if err != nil {
		return fmt.Errorf("consumer: process %d of %s: %w", pid, r.PIDFile, err)
	}
	defer process.Release()
	if err := process.Signal(sig); err != nil {
		return fail(err, "process %d of %s cannot be signalled: it has ended, or is not ours to signal", pid, r.PIDFile)
	}
	return nil
}
