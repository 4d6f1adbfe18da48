// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// kind is what a line is: the name of the member that holds its content.
type kind string

const (
	kindEvent      kind = "event"
	kindBegin      kind = "begin"
	kindHealed     kind = "healed"
	kindCheckpoint kind = "checkpoint"
)

const (
	lineStart  = `{"v":1,"seq":`
	hashStart  = `,"hash":"`
	hashTail   = len(hashStart) + 2*sha256.Size + len(`"}`) // bytes of a line that its hash does not cover
	signStart  = `,"sig":"`
	signTail   = len(signStart) + 2*ed25519.SignatureSize + len(`"}`)
	signDomain = "handover audit checkpoint\n" // the key may sign other things elsewhere
	maxLine    = 16 << 20
)

// genesis is the hash before the first line.
var genesis = strings.Repeat("0", 2*sha256.Size)

// line is one line that was read, and whose hash is that of its bytes.
type line struct {
	Seq   int64
	At    time.Time
	Prev  string
	Kind  kind
	Data  []byte // its content, a JSON object; part of what was read
	Hash  string
	body  []byte // what the hash covers
	torn  *tornPart
	begin beginPart
	check checkpointPart
}

// tornPart is what lies between a line and the one before it.
type tornPart struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type beginPart struct {
	File   string    `json:"file"`
	After  string    `json:"after"`  // the file before; empty in the first
	Events int64     `json:"events"` // in the files before
	Torn   *tornPart `json:"torn,omitzero"`
}

type checkpointPart struct {
	Events int64  `json:"events"`
	Key    string `json:"key"` // public, in hexadecimal
	Sig    string `json:"sig"`
}

// appendLine adds the line that follows prev, with its newline, and returns its hash.
func appendLine(b []byte, seq int64, at time.Time, prev string, k kind, data []byte) ([]byte, string) {
	start := len(b)
	b = appendOpen(b, seq, at, prev, k)
	b = append(b, data...)
	return appendHash(b, start)
}

// appendCheckpoint adds a checkpoint that follows prev, with its newline, and returns its hash.
func appendCheckpoint(b []byte, seq int64, at time.Time, prev string, events int64, key ed25519.PrivateKey) ([]byte, string) {
	start := len(b)
	b = appendOpen(b, seq, at, prev, kindCheckpoint)
	b = append(b, `{"events":`...)
	b = strconv.AppendInt(b, events, 10)
	b = append(b, `,"key":"`...)
	b = hex.AppendEncode(b, key.Public().(ed25519.PublicKey))
	b = append(b, '"')
	sig := ed25519.Sign(key, signed(b[start:]))
	b = append(b, signStart...)
	b = hex.AppendEncode(b, sig)
	b = append(b, `"}`...)
	return appendHash(b, start)
}

func appendOpen(b []byte, seq int64, at time.Time, prev string, k kind) []byte {
	b = append(b, lineStart...)
	b = strconv.AppendInt(b, seq, 10)
	b = append(b, `,"at":"`...)
	b = at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","prev":"`...)
	b = append(b, prev...)
	b = append(b, `","`...)
	b = append(b, k...)
	return append(b, `":`...)
}

func appendHash(b []byte, start int) ([]byte, string) {
	sum := sha256.Sum256(b[start:])
	b = append(b, hashStart...)
	b = hex.AppendEncode(b, sum[:])
	return append(b, "\"}\n"...), hex.EncodeToString(sum[:])
}

// signed is what a signature is of.
func signed(body []byte) []byte { return append([]byte(signDomain), body...) }

// verify reports whether l, a checkpoint, was signed with the private half of key.
func (l *line) verify(key ed25519.PublicKey) bool {
	sig, err := hex.DecodeString(l.check.Sig)
	return err == nil && ed25519.Verify(key, signed(l.body[:len(l.body)-signTail]), sig)
}

var (
	errNewer     = errors.New("it is of a newer format than this program knows")
	errHash      = errors.New("its hash is not that of its content: it was changed")
	errMalformed = errors.New("it is no line of a trail: it was changed, or never finished")
)

// parse reads a line without its newline. The result keeps parts of raw.
func parse(raw []byte) (line, error) {
	if len(raw) < len(lineStart)+hashTail || len(raw) > maxLine {
		return line{}, errMalformed
	}
	body, tail := raw[:len(raw)-hashTail], raw[len(raw)-hashTail:]
	if !bytes.HasPrefix(tail, []byte(hashStart)) || !bytes.HasSuffix(tail, []byte(`"}`)) {
		return line{}, errMalformed
	}
	sum := sha256.Sum256(body)
	l := line{Hash: hex.EncodeToString(sum[:]), body: body}
	if string(tail[len(hashStart):len(tail)-2]) != l.Hash {
		return line{}, errHash
	}
	if !bytes.HasPrefix(body, []byte(lineStart)) {
		if rest, ok := bytes.CutPrefix(body, []byte(`{"v":`)); ok && len(rest) > 1 && rest[0] >= '1' && rest[0] <= '9' {
			return line{}, errNewer
		}
		return line{}, errMalformed
	}
	if !l.header(body[len(lineStart):]) || !l.content() {
		return line{}, errMalformed
	}
	return l, nil
}

// header reads what stands between the version and the content.
func (l *line) header(rest []byte) bool {
	digits, rest, _ := bytes.Cut(rest, []byte(`,"at":"`))
	at, rest, _ := bytes.Cut(rest, []byte(`","prev":"`))
	prev, rest, _ := bytes.Cut(rest, []byte(`","`))
	k, data, found := bytes.Cut(rest, []byte(`":`))
	if !found {
		return false
	}
	var seqErr, timeErr error
	l.Seq, seqErr = strconv.ParseInt(string(digits), 10, 64)
	l.At, timeErr = time.Parse(time.RFC3339Nano, string(at))
	l.Prev, l.Kind, l.Data = string(prev), kind(k), data
	canonical := seqErr == nil && timeErr == nil && l.Seq > 0 &&
		string(digits) == strconv.FormatInt(l.Seq, 10) && string(at) == l.At.UTC().Format(time.RFC3339Nano)
	return canonical && isHash(l.Prev)
}

// content reads what the line is of.
func (l *line) content() bool {
	if len(l.Data) == 0 || l.Data[0] != '{' {
		return false
	}
	switch l.Kind {
	case kindEvent:
		return json.Valid(l.Data)
	case kindBegin:
		ok := l.strict(&l.begin)
		l.torn = l.begin.Torn
		return ok
	case kindHealed:
		l.torn = &tornPart{}
		return l.strict(l.torn)
	case kindCheckpoint:
		return l.strict(&l.check) && len(l.check.Key) == 2*ed25519.PublicKeySize && len(l.check.Sig) == 2*ed25519.SignatureSize
	default:
		return false
	}
}

// strict decodes content of this package, which has one form only.
func (l *line) strict(v any) bool {
	if json.Unmarshal(l.Data, v) != nil {
		return false
	}
	same, err := json.Marshal(v)
	return err == nil && bytes.Equal(same, l.Data)
}

func isHash(s string) bool {
	return len(s) == len(genesis) && strings.Trim(s, "0123456789abcdef") == ""
}
