// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// VerifyRequest reads and checks the body. Without an error it returns the body, and leaves r.Body as a reader of the same
// bytes. With one, what is left of r.Body is unspecified. See Verify for what it costs and what the Match says.
func (v *Verifier) VerifyRequest(r *http.Request) ([]byte, Match, error) {
	var body []byte
	m, _, err := v.verifyRequest(r, &body)
	if err != nil {
		return nil, m, err
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), bodyOf(r)}
	return body, m, nil
}

// verifyRequest reads the body into the space of buf, which may be nil, and tells Observe.
func (v *Verifier) verifyRequest(r *http.Request, buf *[]byte) (m Match, k *key, err error) {
	var d delivery
	k, err = v.checkRequest(&d, r, buf)
	if k != nil {
		d.match(&m, k)
	}
	if v.observe != nil {
		v.observe(m, err)
	}
	return m, k, err
}

// checkRequest refuses what it can before it reads the body, and what it can of that before it hashes anything. A body can take
// its time: which secrets are live, and whether the delivery is fresh, is decided once more when it is there.
func (v *Verifier) checkRequest(d *delivery, r *http.Request, buf *[]byte) (*key, error) {
	if r.ContentLength > v.maxBody {
		return nil, ErrTooLarge
	}
	if _, err := v.open(d, r.Header); err != nil {
		return nil, err
	}
	if err := readBody(r, v.maxBody, buf); err != nil {
		return nil, err
	}
	current, err := v.reopen(d)
	if err != nil {
		return nil, err
	}
	if v.scheme.request {
		if err := v.fillRequest(d, r, *buf); err != nil {
			return nil, err
		}
	}
	return v.check(r.Context(), current, d, *buf)
}

// Middleware lets through to next what verifies. next gets exactly the bytes that were verified, as r.Body, and the Match from
// FromContext. The body is gone when next returns: a goroutine that outlives it has to have read it before.
//
// What does not verify is answered with 401 and nothing that says why (Observe knows), a body that is too long with 413 and a
// repetition with 409. ErrNoSecret and ErrReplayStore are 503: the sender is to try again when the receiver is well.
//
// If Replay has Forget (see [Forgetter]) and next panics or answers with anything but 2xx, the delivery is forgotten, and so
// the sender's next try of the same delivery is welcome. Without it a try that follows a failure is a repetition. To see the
// answer, Middleware wraps the ResponseWriter then; http.ResponseController works.
//
// Middleware answers the scheme's Handshake by itself.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v.answerOkta(w, r) {
			return
		}
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		m, k, err := v.verifyRequest(r, buf)
		if err != nil {
			refuse(w, err)
			return
		}
		if v.answerZoom(w, k, *buf) {
			return
		}
		body := &verifiedBody{data: *buf, closer: bodyOf(r)}
		defer body.end() // before the buffer goes
		r = r.WithContext(context.WithValue(r.Context(), matchKey{}, m))
		r.Body, r.ContentLength = body, int64(len(*buf))
		v.deliver(w, r, next, m)
	})
}

type matchKey struct{}

// FromContext returns the match of a request that passed Middleware.
func FromContext(ctx context.Context) (Match, bool) {
	m, ok := ctx.Value(matchKey{}).(Match)
	return m, ok
}

// refuse answers without a word about the reason.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusUnauthorized
	switch {
	case errors.Is(err, ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrReplayed):
		status = http.StatusConflict
	case errors.Is(err, ErrNoSecret), errors.Is(err, ErrReplayStore):
		status = http.StatusServiceUnavailable
	case errors.Is(err, errBody):
		status = http.StatusBadRequest
	}
	http.Error(w, http.StatusText(status), status)
}

// deliver calls next, and forgets the delivery if next could not take it.
func (v *Verifier) deliver(w http.ResponseWriter, r *http.Request, next http.Handler, m Match) {
	if _, ok := v.replay.(Forgetter); !ok {
		next.ServeHTTP(w, r)
		return
	}
	answer := &answer{ResponseWriter: w}
	done := false
	defer func() {
		if !done || answer.status/100 != 2 && answer.status != 0 {
			// What goes wrong here costs a try of the sender, and there is nobody left to tell.
			_ = v.Forget(context.WithoutCancel(r.Context()), m)
		}
	}()
	next.ServeHTTP(answer, r)
	done = true
}

// answer notes the status of a response.
type answer struct {
	http.ResponseWriter
	status int // zero: 200
}

// WriteHeader notes the first final status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write is a 200 if nothing else was said.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// errBody marks a body that could not be read.
var errBody = errors.New("webhook: reading the body")

func bodyError(err error) error { return fmt.Errorf("%w: %w", errBody, err) }
