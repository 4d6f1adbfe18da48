// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// furthest bounds a reset time: what a provider answers must not stop a rotation for ever.
const furthest = 24 * time.Hour

// Reset returns when a rate limit ends, as the headers of an answer received at now say: Retry-After (seconds or a date, RFC
// 9110 10.2.3), then X-RateLimit-Reset (seconds since 1970, or from now), then RateLimit-Reset (seconds from now). It is
// between now and a day later. It reports false if no header says anything that can be understood.
func Reset(h http.Header, now time.Time) (time.Time, bool) {
	for _, name := range []string{"Retry-After", "X-Ratelimit-Reset", "Ratelimit-Reset"} {
		if t, ok := resetTime(h.Get(name), now); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

func resetTime(text string, now time.Time) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, false
	}
	if t, err := http.ParseTime(text); err == nil {
		return clamp(t, now), true
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return clamp(t, now), true
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return time.Time{}, false
	}
	if n >= 1e8 { // three years of seconds: nobody means a delay
		return clamp(Epoch(n), now), true
	}
	return clamp(now.Add(time.Duration(min(n, furthest.Seconds())*float64(time.Second))), now), true
}

func clamp(t, now time.Time) time.Time {
	switch latest := now.Add(furthest); {
	case t.Before(now):
		return now
	case t.After(latest):
		return latest
	}
	return t
}

// Epoch is n seconds after 1970 to the microsecond, or n milliseconds where n is too large to be seconds. It needs a finite n.
func Epoch(n float64) time.Time {
	if n >= 1e11 { // the year 5138 in seconds, 1973 in milliseconds
		n /= 1e3
	}
	n = min(n, 253402300799) // the end of the year 9999, which is as far as RFC 3339 goes
	whole, fraction := math.Modf(n)
	return time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1e3).UTC()
}
