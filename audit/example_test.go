// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
)

func ExampleSlog() {
	handler := slog.NewTextHandler(os.Stdout, nil)
	sink := audit.Slog{Handler: handler}
	err := sink.Deliver(context.Background(), rotation.Event{
		ID: "payment/1", At: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Kind: rotation.EventRevoked, Level: slog.LevelInfo,
		Credential: "payment", Actor: "ada", Text: "key-3 (generation 3) was revoked",
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// time=2026-03-01T09:00:00.000Z level=INFO msg="key-3 (generation 3) was revoked" id=payment/1 kind=revoked credential=payment actor=ada
}

func ExampleSyslog() {
	sink := audit.Syslog{Network: "tls", Address: "collector.example.com:6514"}
	fmt.Println(sink.Identity(), sink.Validate())
	// Output:
	// syslog tls collector.example.com:6514 <nil>
}

func ExampleNewKeyHistory() {
	at := func(hour int) time.Time { return time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC) }
	before := rotation.KeyInfo{ // from the issuer's List, before the key was revoked
		Key:   rotation.Key{ID: "key-3"},
		Usage: rotation.Usage{LastUsed: at(7), AsOf: at(8), Source: "203.0.113.7"},
	}
	record := rotation.Record{
		ID: "payment-4", Credential: "payment", Strategy: rotation.Emergency, Outcome: rotation.Rotated, Actor: "ada",
		Incident: "INC-2026-0042", RevokedAt: at(9), DeadAt: at(10),
	}
	history, err := audit.NewKeyHistory([]rotation.KeyInfo{before}, record, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := history.Write(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {
	//   "version": 1,
	//   "credential": "payment",
	//   "key_id": "key-3",
	//   "first_used": "2026-03-01T07:00:00Z",
	//   "last_used": "2026-03-01T07:00:00Z",
	//   "reports": [
	//     {
	//       "last_used": "2026-03-01T07:00:00Z",
	//       "as_of": "2026-03-01T08:00:00Z",
	//       "source": "203.0.113.7"
	//     }
	//   ],
	//   "rotation": "payment-4",
	//   "strategy": "emergency",
	//   "outcome": "rotated",
	//   "actor": "ada",
	//   "incident": "INC-2026-0042",
	//   "revoked_at": "2026-03-01T09:00:00Z",
	//   "dead_at": "2026-03-01T10:00:00Z",
	//   "events": []
	// }
}
