// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// forms are the ways in which a secret, or a provider's answer, shows itself in a text.
var forms = [][]byte{
	[]byte(marker),
	[]byte(base64.StdEncoding.EncodeToString([]byte(marker))),
	[]byte(hex.EncodeToString([]byte(marker))),
	[]byte(answerText),
}

// text is law 8 for a text that leaves the engine. The caller holds the lock.
func (o *oracle) text(where string, data []byte) {
	for _, f := range forms {
		if bytes.Contains(data, f) {
			i := bytes.Index(data, f)
			o.broken("law 8", "%s shows a secret or a provider's answer: ...%s...", where, data[max(0, i-60):i])
		}
	}
}

// value is law 8 for a value: printed in every way, and as JSON. The caller holds the lock.
func (o *oracle) value(where string, v any) {
	o.text(where, fmt.Appendf(nil, "%+v", v))
	if data, err := json.Marshal(v); err != nil {
		o.broken("law 8", "%s does not marshal: %T", where, err)
	} else {
		o.text(where+" as JSON", data)
	}
}

// say is value for what a method of the engine returned.
func (w *World) say(where string, v any, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said++; err != nil || where != "Advance" || w.said%8 == 0 {
		w.oracle.value(where, v) // most of them say the same
	}
	if err != nil {
		w.oracle.text(where+"'s error", fmt.Appendf(nil, "%v\n%+v\n%#v", err, err, err))
	}
}

// scanner is where a process logs to.
type scanner struct{ w *World }

func (s scanner) Write(data []byte) (int, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.oracle.text("a log line", data)
	if keepLogs {
		s.w.trace = append(s.w.trace, line{time.Now(), "log", string(bytes.TrimSpace(data))})
	}
	return len(data), nil
}

// keepLogs adds the log to traces.
var keepLogs = false
