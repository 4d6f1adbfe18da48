// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzEnvFile: whatever stands in a file, a variable that was set is read as it was set, and every other one as before. The
// readers here are written apart from the code, after the parsers of systemd (src/basic/env-file.c) and of Docker
// (opts/file.go).
func FuzzEnvFile(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, value string, docker bool) {
		read := func(text string) []pair { pairs, _ := asSystemd(text); return pairs }
		if docker {
			read = asDocker
		}
		if strings.ContainsRune(text, 0) || strings.HasPrefix(text, "\ufeff") {
			return // nobody's file, and one that Docker alone reads
		}
		now, err := setVariable(text, "TOKEN", value, docker)
		if err != nil {
			require.Empty(t, now)
			require.True(t, strings.ContainsAny(value, "\n\r\x00") || !utf8.ValidString(value) || !docker && odd(text),
				"a file and a value that could be written: %v", err)
			if len(value) > 8 {
				require.NotContains(t, err.Error(), value)
			}
			return
		}
		again, err := setVariable(now, "TOKEN", value, docker)
		require.NoError(t, err)
		require.Equal(t, now, again, "set twice")

		before, token := others(read(text), docker)
		after, seen := others(read(now), docker)
		require.Equal(t, before, after, "other variables of\n%q\n%q", text, now)
		require.NotEmpty(t, seen)
		require.GreaterOrEqual(t, len(seen), len(token))
		for _, v := range seen {
			require.Equal(t, value, v, "%q", now)
		}
	})
}

// pair is one assignment.
type pair struct{ name, value string }

// others takes the assignments to TOKEN out.
func others(pairs []pair, docker bool) (rest []pair, token []string) {
	for _, p := range pairs {
		exported, ok := strings.CutPrefix(p.name, "export")
		if p.name == "TOKEN" || ok && !docker && strings.TrimLeft(exported, " \t") == "TOKEN" && exported != "TOKEN" {
			token = append(token, p.value)
		} else {
			rest = append(rest, p)
		}
	}
	return rest, token
}

// odd reports what is refused of a file: a quote that nobody closes, and a carriage return that is a line end to systemd and
// to nobody else.
func odd(text string) bool {
	_, open := asSystemd(text)
	return open || strings.Contains(strings.ReplaceAll(text, "\r\n", "\n"), "\r")
}

// asDocker reads lines: nothing is quoted, nothing goes on.
func asDocker(text string) (pairs []pair) {
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimLeftFunc(strings.TrimSuffix(line, "\r"), unicode.IsSpace)
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pairs = append(pairs, pair{strings.TrimRight(name, " \t"), value})
	}
	return pairs
}

// asSystemd reads lines whose value may be quoted, in parts, and may go on behind a backslash. It reports whether the last
// quote is still open.
func asSystemd(text string) (pairs []pair, open bool) {
	for text = strings.TrimLeft(text, " \t\r\n"); text != ""; text = strings.TrimLeft(text, " \t\r\n") {
		line := text
		if end := strings.IndexAny(text, "\r\n"); end >= 0 {
			line = text[:end]
		}
		equals := strings.IndexByte(line[1:], '=') + 1 // the first character belongs to the name, whatever it is
		if equals == 0 || line[0] == '#' || line[0] == ';' {
			text = text[len(line):]
			continue
		}
		var value, rest string
		value, rest, open = systemdValue(text[equals+1:])
		pairs = append(pairs, pair{strings.TrimRight(text[:equals], " \t"), value})
		text = rest
	}
	return pairs, open
}

// systemdValue reads a value up to the end of its line, and returns what follows.
func systemdValue(text string) (value, rest string, open bool) {
	text = strings.TrimLeft(text, " \t")
	for text != "" && (text[0] == '\'' || text[0] == '"') { // as many quoted parts as there are
		var part, after string
		part, after, open = quotedPart(text[1:], text[0])
		value += part
		text = strings.TrimLeft(after, " \t")
	}
	end := len(value) // of what is no trailing blank
	for text != "" && text[0] != '\n' && text[0] != '\r' {
		c := text[0]
		text = text[1:]
		switch {
		case c == '\\' && text == "":
			end = len(value)
		case c == '\\':
			if text[0] != '\n' && text[0] != '\r' {
				value += text[:1]
			}
			text = text[1:]
			end = len(value)
		default:
			value += string([]byte{c})
			if c != ' ' && c != '\t' {
				end = len(value)
			}
		}
	}
	return value[:end], text, open
}

// quotedPart reads up to the closing quote.
func quotedPart(text string, quote byte) (part, rest string, open bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return part, text[i+1:], false
		case c == '\\' && quote == '"' && i+1 < len(text):
			i++
			switch next := text[i]; {
			case strings.IndexByte("\"\\`$", next) >= 0:
				part += string([]byte{next})
			case next != '\n':
				part += string([]byte{'\\', next})
			}
		default:
			part += string([]byte{c})
		}
	}
	return part, "", true
}
