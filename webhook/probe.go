// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// CheckSet returns what Set would say of these secrets, and changes nothing.
func (v *Verifier) CheckSet(secrets ...Secret) error {
	_, err := v.scheme.newSet(nil, secrets, v.least)
	return err
}

// Probe signs a delivery of its own with sec and verifies it with the present set. It is not counted in Usage, Replay does not see
// it and neither does Observe, and the delivery leaves this function in no way. A nil error means that what is signed with sec is
// accepted, ErrMismatch that it is refused, and ErrNoSecret that everything is. A secret that verifies and cannot sign, which is
// a public key, gives an error that matches errors.ErrUnsupported; any other error says that sec is none of the scheme, or that
// the scheme cannot be tried. It costs as much as making a Verifier of the same secrets. sec.ID and sec.NotAfter are not used.
func (v *Verifier) Probe(sec Secret) error {
	sec.ID, sec.NotAfter = "probe", time.Time{}
	signer, err := newSigner(v.scheme, v.least, sec)
	if err != nil {
		if v.CheckSet(sec) == nil {
			return fmt.Errorf("webhook: %w: it takes a private key to sign", errors.ErrUnsupported)
		}
		return err
	}
	// Keys of its own: those of v count.
	shadow := &Verifier{
		scheme: v.scheme, tolerance: max(v.tolerance, time.Minute), maxBody: defaultMaxBody,
		url: publicURL{base: probeURL, path: true}, least: v.least,
	}
	secrets := v.secrets()
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	if err := shadow.Set(secrets...); err != nil {
		return err
	}
	r, body, err := v.scheme.probe(time.Now())
	if err != nil {
		return err
	}
	if err := signer.SignRequest(r, "probe", time.Now(), body); err != nil {
		return err
	}
	_, _, err = shadow.VerifyRequest(r)
	return err
}

const probeURL = "https://probe.invalid/hook"

// probe makes a delivery. It has no body but for a scheme that wants its time there: an empty one is as good as any, and needs no
// Content-Type.
func (s *Scheme) probe(now time.Time) (*http.Request, []byte, error) {
	var body []byte
	if name := s.config.TimestampJSON; name != "" {
		stamp := string(s.config.TimeFormat.append(nil, now))
		if s.config.TimeFormat == RFC3339 {
			stamp = strconv.Quote(stamp)
		}
		body = fmt.Appendf(nil, "{%q:%s}", name, stamp)
	}
	r, err := http.NewRequest(http.MethodPost, probeURL, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r, body, nil
}

// secrets are those of the present set.
func (v *Verifier) secrets() []Secret {
	current := v.set.Load()
	if current == nil {
		return nil
	}
	secrets := make([]Secret, len(current.slots))
	for i, sl := range current.slots {
		secrets[i] = Secret{ID: sl.id, Value: sl.value, NotAfter: sl.notAfter}
	}
	return secrets
}
