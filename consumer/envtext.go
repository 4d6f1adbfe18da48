// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// setVariable returns text with every assignment to name replaced by one of value, or with one added at the end.
func setVariable(text, name, value string, docker bool) (string, error) {
	quoted, err := quote(value, docker)
	if err != nil {
		return "", err
	}
	if !docker && loneReturn(text) {
		return "", fail(nil, "EnvFile: the file has a carriage return without a line feed: systemd ends a line there, shells do not")
	}
	var b strings.Builder
	found := false
	for rest := text; rest != ""; {
		n, err := entryEnd(rest, docker)
		if err != nil {
			return "", err
		}
		entry := rest[:n]
		rest = rest[n:]
		head, ok := assigns(entry, name, docker)
		if !ok {
			b.WriteString(entry)
			continue
		}
		found = true
		b.WriteString(head + "=" + quoted + lineEnd(entry))
	}
	if !found {
		if text != "" && !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
		if !docker && strings.HasSuffix(strings.TrimSuffix(text, "\n"), `\`) {
			b.WriteByte('\n') // the backslash takes a line end, also that of a comment before systemd 254
		}
		b.WriteString(name + "=" + quoted + "\n")
	}
	return b.String(), nil
}

// entryEnd returns where the first entry of s ends: a line, or the lines that a quoted or continued value takes. The rules are
// those of systemd's parser: a quote opens only before the first other character of a value, a backslash takes the next
// character as it is, except in single quotes, and # begins a comment only at the beginning of a line. Docker has lines only.
func entryEnd(s string, docker bool) (int, error) {
	line := strings.IndexByte(s, '\n') + 1
	if line == 0 {
		line = len(s)
	}
	begin := strings.TrimLeft(s[:line], " \t")
	if docker || begin == "" || begin[0] == '#' || begin[0] == ';' {
		return line, nil
	}
	equals := strings.IndexByte(begin[1:], '=') // a name has at least one character, whatever it is
	if equals < 0 {
		return line, nil
	}
	equals += line - len(begin) + 1
	open, plain := byte(0), false // the quote we are in, and whether a character outside of quotes has come
	for i := equals + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && open != '\'':
			i++
			plain = plain || open == 0
		case open != 0:
			if c == open {
				open = 0
			}
		case c == '\n':
			return i + 1, nil
		case !plain && (c == '"' || c == '\''):
			open = c
		case c != ' ' && c != '\t':
			plain = true
		}
	}
	if open != 0 {
		return 0, fail(nil, "EnvFile: the file ends inside a quoted value")
	}
	return len(s), nil
}

// assigns reports whether entry sets name, and returns what stands before the equals sign. Blanks are the reader's: to systemd
// and shells a space that cannot break a line, say, is part of the name.
func assigns(entry, name string, docker bool) (head string, ok bool) {
	head, _, ok = strings.Cut(entry, "=")
	head = strings.TrimRight(head, " \t")
	if docker {
		return head, ok && strings.TrimLeftFunc(head, unicode.IsSpace) == name
	}
	words := strings.FieldsFunc(head, func(r rune) bool { return r == ' ' || r == '\t' })
	return head, ok && (slices.Equal(words, []string{name}) || slices.Equal(words, []string{"export", name})) // a file for shells
}

func loneReturn(text string) bool {
	return strings.Count(text, "\r") > strings.Count(text, "\r\n")
}

func lineEnd(entry string) string {
	if strings.HasSuffix(entry, "\r\n") {
		return "\r\n"
	}
	return "\n"
}

const (
	plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,"
	escaped         = "\"\\`$" // in double quotes: systemd's rule and a shell's
)

// quote writes value so that it is read as value. Errors do not show it.
func quote(value string, docker bool) (string, error) {
	switch {
	case strings.ContainsAny(value, "\n\r\x00"):
		return "", fail(nil, "EnvFile: the value holds a line end or a NUL, which such a file cannot hold")
	case !utf8.ValidString(value):
		return "", fail(nil, "EnvFile: the value is not UTF-8, and systemd and Docker take no file with such a value")
	case docker, strings.Trim(value, plainCharacters) == "":
		return value, nil
	case !strings.Contains(value, "'"):
		return "'" + value + "'", nil
	}
	var b strings.Builder
	for _, c := range []byte(value) {
		if strings.IndexByte(escaped, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return `"` + b.String() + `"`, nil
}
