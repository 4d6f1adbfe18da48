// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"io"
	"net/http"
	"sync"
)

const (
	presize = 64 << 10 // of a body whose length is only claimed
	retain  = 1 << 20  // what a pooled buffer may keep
)

// buffers are those of bodies in Middleware.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func putBuffer(buf *[]byte) {
	if cap(*buf) <= retain+1 {
		*buf = (*buf)[:0]
		buffers.Put(buf)
	}
}

// readBody reads r.Body into buf and refuses one that is longer than most: never a part of it. A Content-Length is a claim:
// it sizes the buffer, up to a bound from which only what arrives makes it grow.
func readBody(r *http.Request, most int64, buf *[]byte) error {
	b := (*buf)[:0]
	from := bodyOf(r)
	want := 512
	if r.ContentLength >= 0 {
		want = int(min(r.ContentLength, presize)) + 1 // one more shows the end
	}
	if cap(b) < want {
		b = make([]byte, 0, want)
	}
	for {
		if len(b) == cap(b) {
			b = grow(b, r.ContentLength)
		}
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*buf = b
		switch {
		case int64(len(b)) > most:
			return ErrTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return bodyError(err)
		}
	}
}

// bodyOf is r.Body; one that a test left out is empty.
func bodyOf(r *http.Request) io.ReadCloser {
	if r.Body == nil {
		return http.NoBody
	}
	return r.Body
}

// grow makes room. Whoever has sent as much as is presized is believed what was claimed; else there is twice as much.
func grow(b []byte, claimed int64) []byte {
	size := int64(2 * cap(b))
	if claimed >= int64(len(b)) {
		size = claimed + 1
	}
	return append(make([]byte, 0, max(size, int64(len(b))+1)), b...)
}

// verifiedBody reads the bytes that were verified, until the handler has returned and they belong to the next request.
type verifiedBody struct {
	mu     sync.Mutex
	data   []byte
	ended  bool
	closer io.Closer
}

// Read copies. After the handler has returned it fails.
func (b *verifiedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
		return 0, http.ErrBodyReadAfterClose
	case len(b.data) == 0:
		return 0, io.EOF
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// Close closes the request's own body.
func (b *verifiedBody) Close() error {
	b.end()
	return b.closer.Close()
}

func (b *verifiedBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data, b.ended = nil, true
}
