// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Source is what the page reads. A *rotation.Rotator is one. Implementations are safe for concurrent use.
type Source interface {
	Credentials() []rotation.Credential                  // the inventory
	List(ctx context.Context) ([]rotation.Status, error) // where each stands; beside an error: those that could be read
}

// Config of a Handler.
type Config struct {
	Rotator Source        // required: a *rotation.Rotator
	Title   string        // the page's heading; empty: Credential rotations
	Fresh   time.Duration // what was read is shown for this long; zero: 5 s, negative: every view reads
	Timeout time.Duration // of one reading; zero: 30 s. A reading goes on when whoever asked for it has left
	Refresh time.Duration // browsers load the page again after this long, whatever a reader is at; zero: never. At least 5 s
}

// Handler is the page. New makes one; the zero Handler is not usable. It is safe for concurrent use. A request that meets the
// reading of another one waits for it, for at most Config.Timeout.
type Handler struct {
	cfg    Config
	reader reader
	render *renderer
}

// New checks cfg and returns the page. It does no I/O. The error joins every mistake found, each naming its field.
func New(cfg Config) (*Handler, error) {
	var errs []error
	if v := reflect.ValueOf(cfg.Rotator); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		errs = append(errs, errors.New("statuspage: Config.Rotator is required"))
	}
	if cfg.Timeout < 0 {
		errs = append(errs, errors.New("statuspage: Config.Timeout cannot be negative: a reading without an end would never be given up"))
	}
	if cfg.Refresh != 0 && cfg.Refresh < 5*time.Second {
		errs = append(errs, fmt.Errorf("statuspage: Config.Refresh is %v; it has to be 5 s at least, or zero", cfg.Refresh))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Title = cmp.Or(cfg.Title, "Credential rotations")
	cfg.Fresh = cmp.Or(cfg.Fresh, 5*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	return &Handler{
		cfg:    cfg,
		reader: reader{source: cfg.Rotator, fresh: cfg.Fresh, timeout: cfg.Timeout, slot: make(chan struct{}, 1)},
		render: newRenderer(),
	}, nil
}

// ServeHTTP answers with the page, or with JSON. Its parameters are those of the package comment.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.headers(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.fail(w, wantsJSON(r.Header), http.StatusMethodNotAllowed, "only GET and HEAD are answered here: the page changes nothing")
		return
	}
	q, err := parseQuery(r)
	if err != nil {
		h.fail(w, q.json, http.StatusBadRequest, err.Error())
		return
	}
	s, err := h.reader.read(r.Context())
	if err != nil {
		h.fail(w, q.json, http.StatusServiceUnavailable, "another reading of the journal takes too long")
		return
	}
	doc, ok := s.document(q)
	if !ok {
		h.fail(w, q.json, http.StatusNotFound, "no such credential is registered: "+clean(q.Credential))
		return
	}
	doc.Title = clean(h.cfg.Title)
	status := http.StatusOK
	if doc.Summary.Unread > 0 && doc.Summary.Unread == doc.Summary.Credentials {
		status = http.StatusServiceUnavailable
	}
	if q.json {
		h.write(w, status, jsonType, encode(doc))
		return
	}
	page, err := h.render.page(h.cfg, doc, q, s)
	if err != nil { // a mistake in the template
		h.fail(w, false, http.StatusInternalServerError, "the page could not be made")
		return
	}
	h.write(w, status, htmlType, page)
}

const (
	htmlType = "text/html; charset=utf-8"
	jsonType = "application/json; charset=utf-8"
)

// headers allow the one style sheet that is in the page, and nothing else.
func (h *Handler) headers(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", h.render.policy)
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
}

func (h *Handler) fail(w http.ResponseWriter, asJSON bool, status int, text string) {
	if asJSON {
		h.write(w, status, jsonType, encode(map[string]string{"error": text}))
		return
	}
	page, err := h.render.failure(h.cfg, status, text)
	if err != nil {
		page = []byte(http.StatusText(status))
	}
	h.write(w, status, htmlType, page)
}

func (h *Handler) write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader has left: nothing to do about it. net/http sends no body to HEAD
}

// encode writes v as JSON. Every v here is made of texts, numbers and times, so that it cannot fail.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return []byte("{\"error\":\"the answer could not be written\"}\n")
	}
	return b.Bytes()
}
