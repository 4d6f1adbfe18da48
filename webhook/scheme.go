// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"time"
)

// Scheme is how a sender signs. It is immutable and safe for concurrent use. The presets are variables only because Go has no
// constants of this kind: do not assign to them.
type Scheme struct {
	name      string
	config    SchemeConfig // as given
	headers   []string     // canonical: the first is required
	tags      []string     // of MACs
	id        string       // canonical header, empty: none
	separator string       // of pairs
	stamp     string       // canonical header, empty: none or elsewhere
	before    []part       // of what is signed, in front of the body
	after     []part       // behind it
	body      bool         // the body itself is signed
	request   bool         // so is something of the request
	timed     bool         // a time is signed, or in the body that is
	fence     string       // what an id may not hold, empty: nothing
	length    int          // of a MAC as text
	public    int          // of an ed25519 signature as text
}

// String is the name of the scheme.
func (s *Scheme) String() string { return s.name }

// Config returns what the scheme was made from: a start for one that differs in a header or a tag.
func (s *Scheme) Config() SchemeConfig { return s.config.clone() }

// SchemeConfig is a scheme of one's own. Header is the only required field: alone it means HMAC-SHA256 of the body under the
// secret as it stands, in lower-case hexadecimal.
type SchemeConfig struct {
	// Name is part of errors and of the ids that Replay sees. Empty: Header.
	Name string
	// Header has the signature, or a list of them.
	Header string
	// MoreHeaders may have a signature each beside Header: senders that use a second header while a secret changes.
	MoreHeaders []string
	// List is the form of the header. The zero value, Single, is one signature and nothing else.
	List List
	// Separator of Pairs and Continued. Zero: a comma.
	Separator byte
	// Tags are those of the signatures to look at in a list: "v1". Others are ignored. Required for lists, and for lists only.
	Tags []string
	// PublicTag is the tag of ed25519 signatures in the same list: "v1a". Needs KeyStandard, whose prefix tells which secret
	// is for which. Empty: none.
	PublicTag string
	// Prefix stands in front of a single signature: "sha256=". It is mandatory and exact.
	Prefix string
	// Encoding of signatures. Zero: Hex, in lower case.
	Encoding Encoding
	// Algorithm of signatures. Zero: HMACSHA256.
	Algorithm Algorithm
	// Key says how a secret becomes a key. Zero: KeyText, the text as it is.
	Key KeyForm
	// Signed is what is signed, made of {id}, {timestamp}, {method}, {url}, {form}, {body} and any other text.
	// Empty: "{body}". {url} is the public URL, see [Config]. {form} is all names and values of a form body, sorted by
	// name, then value; of any other body it is empty and the URL parameter bodySHA256 has to hold the body's hash, which is
	// what Twilio does.
	Signed string
	// ID is the header with the message id. Required with {id}, and only then: an id that is not signed identifies nothing.
	ID string
	// Timestamp is the header with the time. At most one of Timestamp, TimestampTag and TimestampJSON is set; the first two
	// need {timestamp}: a time that is not signed proves nothing.
	Timestamp string
	// TimestampTag is the tag of the time within the list in Header: "t".
	TimestampTag string
	// TimestampJSON is the member of the body, a JSON object, that has the time. It is read after the body has verified.
	TimestampJSON string
	// TimeFormat of the time. Zero: Seconds.
	TimeFormat TimeFormat
	// Tolerance is how far the time may be from now, both ways. Zero: 5 minutes.
	Tolerance time.Duration
	// Handshake is a question the sender asks of a new endpoint, which Middleware answers. Zero: none.
	Handshake Handshake
}

// List is the form of a signature header.
type List uint8

// Forms of a signature header.
const (
	Single    List = iota // one signature, behind Prefix
	Pairs                 // tag=signature, between Separators: t=1,v1=a,v1=b
	Continued             // as Pairs, but a tag may be followed by several: v0=a,b
	Spaced                // tag,signature between spaces: v1,a v1,b
)

// Encoding is how bytes become the text of a signature.
type Encoding uint8

// Encodings. Verifying compares text with text, so there is one way only to write a MAC.
const (
	Hex    Encoding = iota // lower case
	Base64                 // of the standard alphabet, padded
)

// Algorithm is how a signature is made.
type Algorithm uint8

// Algorithms.
const (
	HMACSHA256 Algorithm = iota
	HMACSHA512
	HMACSHA1 // for senders that define it, and for no new scheme; refused under GODEBUG=fips140=only
	Ed25519  // the secret of a Verifier is the public key
	Token    // the secret itself is in the header: nothing is signed, and whoever sees a delivery can make others
)

// KeyForm is how the text of a secret becomes a key.
type KeyForm uint8

// Key forms. What is the key is the scheme's business: the same whsec_ text is the key of Stripe, and base64 of it elsewhere.
const (
	KeyText     KeyForm = iota // the bytes of the text
	KeyStandard                // base64 behind whsec_ (which may be missing); with PublicTag also ed25519 keys: whpk_, whsk_
	KeyHex                     // hexadecimal
)

// TimeFormat is how a time is written.
type TimeFormat uint8

// Formats of a time. Numbers are digits only.
const (
	Seconds      TimeFormat = iota // since 1970
	Milliseconds                   // since 1970
	RFC3339
)

// Handshake is a question that a sender asks of a new endpoint. Middleware answers it; the handler does not see it.
type Handshake uint8

// Handshakes.
const (
	NoHandshake Handshake = iota
	// ZoomHandshake answers the event endpoint.url_validation with the HMAC of its plainToken, made with the secret that
	// verified the request.
	ZoomHandshake
	// OktaHandshake answers a GET with the header X-Okta-Verification-Challenge by its value as JSON. It is for Token
	// schemes only: the question is not signed and the answer holds nothing of ours.
	OktaHandshake
)
