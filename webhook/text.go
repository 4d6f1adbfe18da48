// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// A MAC is compared as text: what we would have written with what came. There is one text for a MAC, so that nobody can write
// the same signature in another way, and there is nothing to decode that could be decoded in two ways.

// length is the length of n bytes as text.
func (e Encoding) length(n int) int {
	if e == Base64 {
		return base64.StdEncoding.EncodedLen(n)
	}
	return hex.EncodedLen(n)
}

// append appends src as text.
func (e Encoding) append(dst, src []byte) []byte {
	if e == Base64 {
		return base64.StdEncoding.AppendEncode(dst, src)
	}
	return hex.AppendEncode(dst, src)
}

// same reports whether text is a, and sameHex whether it is the hexadecimal form of a MAC. Like subtle.ConstantTimeCompare
// they take a time that depends on the lengths only, and unlike it eight bytes at a time.
func same(a []byte, text string) bool {
	b := []byte(text) // not copied
	if len(a) != len(b) {
		return false
	}
	var difference uint64
	for len(a) >= 8 && len(b) >= 8 {
		difference |= binary.LittleEndian.Uint64(a) ^ binary.LittleEndian.Uint64(b)
		a, b = a[8:], b[8:]
	}
	for i := range a {
		difference |= uint64(a[i] ^ b[i])
	}
	return difference == 0
}

func sameHex(mac []byte, text string) bool {
	b := []byte(text) // not copied
	if len(b) != 2*len(mac) || len(mac)%4 != 0 {
		return false
	}
	var difference uint64
	for len(mac) >= 4 && len(b) >= 8 {
		x := uint64(binary.BigEndian.Uint32(mac))
		x = (x | x<<16) & 0x0000ffff0000ffff
		x = (x | x<<8) & 0x00ff00ff00ff00ff
		x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f                             // a digit in each byte
		letters := ((x + 0x0606060606060606) >> 4) & 0x0101010101010101 // 1 where it is above 9
		x += 0x3030303030303030 + letters*('a'-'0'-10)
		difference |= x ^ binary.BigEndian.Uint64(b)
		mac, b = mac[4:], b[8:]
	}
	return difference == 0
}
