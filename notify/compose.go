// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// compose makes the mail (RFC 5322), with lines that end in CRLF and are not longer than a server takes.
func (m Email) compose(e rotation.Event, now time.Time, refused []string) []byte {
	subject, body := m.Text.render(plain, e)
	if len(refused) > 0 {
		body += "\nThe server refused to take this mail for: " + strings.Join(refused, ", ") + "\n"
	}
	from, _ := address(m.From) // as Validate did
	var to []string
	for _, raw := range m.To {
		if a, err := address(raw); err == nil {
			to = append(to, a.String()) // a name is encoded, if it has to be
		}
	}
	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("Date", now.Format(time.RFC1123Z))
	header("From", fold(from.String()))
	header("To", fold(strings.Join(to, ",\r\n ")))
	header("Message-ID", messageIDOf(e.ID, from.Address))
	header("Subject", encodeSubject(subject))
	header("Auto-Submitted", "auto-generated") // RFC 3834: no holiday notice comes back
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = q.Write([]byte(body)) // a bytes.Buffer takes everything, and each end of a line becomes CRLF
	_ = q.Close()
	return b.Bytes()
}

// encodeSubject makes one header value of text, in ASCII, whatever is in it. Text that looks encoded already is not decoded.
func encodeSubject(text string) string {
	text = strings.ReplaceAll(plain.one(text), "=?", "= ?")
	return fold(mime.QEncoding.Encode("utf-8", text))
}

// fold puts each encoded word on a line of its own: together they are longer than a line may be.
func fold(value string) string { return strings.ReplaceAll(value, "?= =?", "?=\r\n =?") }

// messageIDOf is the same for the same event, and says nothing of it.
func messageIDOf(id, from string) string {
	sum := sha256.Sum256([]byte(id))
	return "<" + hex.EncodeToString(sum[:16]) + from[strings.LastIndexByte(from, '@'):] + ">"
}
