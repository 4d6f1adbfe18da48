// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/handover-go/handover/secret"
)

// key is a secret that is ready to verify and to sign. It outlives the set it came with: its figures are those of Usage.
type key struct {
	id      string
	value   secret.Value
	token   [sha256.Size]byte  // of a Token: what is compared has one length then
	public  ed25519.PublicKey  // of ed25519
	private ed25519.PrivateKey // of ed25519, nil where only the public key is known
	states  *sync.Pool         // of *state
	usage   usage
}

// state is what one use of a key needs beside the stack. The HMAC in it is keyed: to take it from the pool costs next to
// nothing, to make it costs more than the hash of a small body. It holds key material that nobody can wipe, and goes with
// the pool some time after its key has gone.
type state struct {
	mac     hash.Hash
	sum     [128]byte // 64 of sha512 or ed25519, and room to decode
	text    [128]byte // those 64 in hexadecimal
	scratch []byte
}

func (a Algorithm) hmac() bool { return a <= HMACSHA1 }

func (a Algorithm) size() int {
	switch a {
	case HMACSHA512:
		return sha512.Size
	case HMACSHA1:
		return sha1.Size
	case Ed25519:
		return signatureSize
	default:
		return sha256.Size
	}
}

func (a Algorithm) newHash() func() hash.Hash {
	switch a {
	case HMACSHA512:
		return sha512.New
	case HMACSHA1:
		return sha1.New
	default:
		return sha256.New
	}
}

// probe reports whether the algorithm may be used in this process: GODEBUG=fips140=only makes crypto/hmac panic.
func (a Algorithm) probe(raw []byte) (err error) {
	if !a.hmac() {
		return nil
	}
	defer func() {
		if recover() != nil {
			err = errors.New("GODEBUG=fips140=only refuses the algorithm, or a key this short")
		}
	}()
	mac := hmac.New(a.newHash(), raw)
	mac.Write(raw)
	mac.Sum(nil)
	return nil
}

// probeScheme tries the algorithm with a key that is long enough.
func (a Algorithm) probeScheme() error {
	if err := a.probe(make([]byte, leastSecret)); err != nil {
		return fmt.Errorf("webhook: scheme: %w", err)
	}
	return nil
}

// newKey decodes and tries a secret.
func (s *Scheme) newKey(sec Secret, least int) (*key, error) {
	m, err := s.decode(sec.Value.Reveal(), least)
	if err != nil {
		return nil, fmt.Errorf("webhook: secret %q %w", sec.ID, err)
	}
	k := &key{id: sec.ID, value: sec.Value, public: m.public, private: m.private}
	newState := func() any { return &state{scratch: make([]byte, 0, scratchSize)} }
	switch {
	case m.public != nil:
	case s.config.Algorithm == Token:
		k.token = sha256.Sum256(m.mac)
	default:
		if err := s.config.Algorithm.probe(m.mac); err != nil {
			return nil, fmt.Errorf("webhook: secret %q: %w", sec.ID, err)
		}
		raw, newHash := m.mac, s.config.Algorithm.newHash()
		newState = func() any { return &state{mac: hmac.New(newHash, raw), scratch: make([]byte, 0, scratchSize)} }
	}
	k.states = &sync.Pool{New: newState}
	return k, nil
}

const (
	blockSize   = 128      // a multiple of the block of every hash
	scratchSize = 1024     // what a state begins with
	maxScratch  = 64 << 10 // what it may keep between two uses
	joinUpTo    = 512      // a body that is cheaper to copy than to hash apart from what is in front of it
)

func (k *key) get() *state { return k.states.Get().(*state) }

func (k *key) put(st *state) {
	if cap(st.scratch) <= maxScratch {
		k.states.Put(st)
	}
}

// authenticate leaves the MAC of d and body in st.sum and returns it.
func (s *Scheme) authenticate(st *state, d *delivery, body []byte) []byte {
	st.mac.Reset()
	if len(s.before) > 0 {
		front := d.append(st.scratch[:0], s.before, s.config.TimeFormat)
		if s.body {
			n := len(body)
			if n > joinUpTo {
				n = -len(front) & (blockSize - 1) // the rest is hashed in place
			}
			front, body = append(front, body[:n]...), body[n:]
		}
		st.mac.Write(front)
		st.scratch = front
	}
	if s.body && len(body) > 0 {
		st.mac.Write(body)
	}
	if len(s.after) > 0 {
		st.scratch = d.append(st.scratch[:0], s.after, s.config.TimeFormat)
		st.mac.Write(st.scratch)
	}
	return st.mac.Sum(st.sum[:0])
}

// join leaves all that is signed in st.scratch, for algorithms that need it in one piece.
func (s *Scheme) join(st *state, d *delivery, body []byte) {
	st.scratch = d.append(st.scratch[:0], s.before, s.config.TimeFormat)
	if s.body {
		st.scratch = append(st.scratch, body...)
	}
	st.scratch = d.append(st.scratch, s.after, s.config.TimeFormat)
}
