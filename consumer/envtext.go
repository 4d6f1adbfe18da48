// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"strings"
)

// setVariable returns text with every assignment to name replaced by one of value, or with one added at the end.
func setVariable(text, name, value string, docker bool) (string, error) {
	quoted, err := quote(value, docker)
	if err != nil {
		return "", err
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
		head, ok := assigns(entry, name)
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
	equals := strings.IndexByte(s[:line], '=')
	if docker || equals < 0 || strings.HasPrefix(begin, "#") || strings.HasPrefix(begin, ";") {
		return line, nil
	}
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

// assigns reports whether entry sets name, and returns what stands before the equals sign.
func assigns(entry, name string) (head string, ok bool) {
	head, _, ok = strings.Cut(entry, "=")
	words := strings.Fields(head)
	switch {
	case !ok, len(words) == 0, words[len(words)-1] != name:
		return "", false
	case len(words) == 1, len(words) == 2 && words[0] == "export": // a file for shells
		return strings.TrimRight(head, " \t"), true
	}
	return "", false
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
