// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// The clauses of the suites are those of the interfaces' comments, and the abilities.
func TestClausesAreThoseOfTheInterfaces(t *testing.T) {
	text, err := os.ReadFile("../interfaces.go")
	require.NoError(t, err)
	written := func(letter string) []string {
		var out []string
		for _, m := range regexp.MustCompile(`(?m)^//\t(`+letter+`[0-9]+)  `).FindAllStringSubmatch(string(text), -1) {
			out = append(out, m[1])
		}
		require.NotEmpty(t, out)
		return out
	}
	assert.Equal(t, append(written("I"), "List", "Disable", "Choose", "Activate"), rotationtest.IssuerSuite{}.Clauses())
	assert.Equal(t, append(written("S"), "Names"), rotationtest.StoreSuite{}.Clauses())
	assert.Equal(t, append(written("C"), "Errors", "Context", "Value", "Observe", "Lag", "Verify", "Check", "Validate"),
		rotationtest.ConsumerSuite{}.Clauses())
	assert.Equal(t, append(written("J"), "SavedAt", "Conditional", "Identity", "Check"), rotationtest.JournalSuite{}.Clauses())
	assert.Equal(t, slices.Concat(written("C"), []string{"Empty", "Emergency", "Context", "Value", "Errors"}, written("V"),
		[]string{"Deliver", "Observe", "Usage", "Lag", "Identity", "Check"}), rotationtest.ReceiverSuite{}.Clauses())
	assert.Equal(t, append(written("V"), "Errors", "Observe", "Identity", "Check"), rotationtest.VerifierSuite{}.Clauses())
}

func TestIssuerSuiteRun(t *testing.T) {
	p := rotationtest.NewProvider()
	rotationtest.IssuerSuite{Issuer: p, Verifier: p}.Run(t)
}

func TestStoreSuiteRun(t *testing.T) {
	rotationtest.StoreSuite{Store: rotationtest.NewStore(), Name: "conformance"}.Run(t)
}

func TestConsumerSuiteRun(t *testing.T) {
	new(app).suite().Run(t)
}

func TestReceiverSuiteRun(t *testing.T) {
	r := rotationtest.NewReceiver()
	rotationtest.ReceiverSuite{Consumer: r, Deliver: func(ctx context.Context, key rotation.Key) error {
		return r.Receive(ctx, key.Secret)
	}}.Run(t)
}

// failing names the process that runs the tests below, which have to fail.
const failingRun = "HANDOVER_FAILING_RUN"

func TestRunThatFails(t *testing.T) {
	p := rotationtest.NewProvider()
	switch os.Getenv(failingRun) {
	case "":
		t.Skip("run by TestRunFails")
	case "issuer":
		bad := plain{issuer{Provider: p, revoke: func(context.Context, rotation.Key) error { return nil }}}
		rotationtest.IssuerSuite{Issuer: bad, Verifier: p}.Run(t)
	case "store":
		rotationtest.StoreSuite{Store: bare{rotationtest.NewStore()}, Name: "conformance"}.Run(t)
	case "consumer":
		deaf := rotation.ConsumerFunc(func(ctx context.Context, _ rotation.DeployRequest) error { return ctx.Err() })
		uses := func(context.Context) (rotation.Key, error) { return p.Mint(), nil }
		rotationtest.ConsumerSuite{Consumer: deaf, Uses: uses}.Run(t)
	case "receiver":
		deaf := rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil })
		rotationtest.ReceiverSuite{Consumer: deaf}.Run(t)
	case "person":
		by := rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return rotation.Manual("enter it there") })
		uses := func(context.Context) (rotation.Key, error) { return rotation.Key{}, nil }
		rotationtest.ConsumerSuite{Consumer: by, Uses: uses}.Run(t)
		t.Error("to be looked at")
	case "invalid":
		rotationtest.StoreSuite{}.Run(t)
	}
}

func TestRunFails(t *testing.T) {
	for which, want := range map[string]struct{ fail, skip []string }{
		"issuer": {[]string{"I4"}, []string{"I2", "List", "Disable", "Choose", "Activate"}},
		"store":  {[]string{"S3"}, []string{"Names"}},
		"consumer": {
			[]string{"C1", "C2", "C3", "C4", "Errors", "Context", "Value"},
			[]string{"Observe", "Lag", "Verify", "Check", "Validate"},
		},
		"receiver": {[]string{"Context", "Value"}, []string{
			"C1", "C2", "C3", "C4", "Empty", "Emergency", "V1", "V2", "Deliver", "Observe", "Usage", "Lag", "Identity", "Check",
		}},
		"person": {nil, []string{
			"C1", "C2", "C3", "C4", "Context", "Value", "Observe", "Lag", "Verify", "Check", "Validate",
		}},
		"invalid": {nil, nil},
	} {
		t.Run(which, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRunThatFails$", "-test.v")
			cmd.Env = append(os.Environ(), failingRun+"="+which)
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			assert.ElementsMatch(t, want.fail, ended(out, "FAIL"))
			assert.ElementsMatch(t, want.skip, ended(out, "SKIP"))
			switch which {
			case "invalid":
				assert.Contains(t, string(out), "StoreSuite.Store is required")
			case "receiver":
				assert.Contains(t, string(out), "nothing tells what it accepts")
			case "person":
				assert.Contains(t, string(out), "a person has to act: enter it there")
			}
		})
	}
}

// ended are the subtests that ended so.
func ended(out []byte, how string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`--- `+how+`: TestRunThatFails/(\w+)`).FindAllSubmatch(out, -1) {
		names = append(names, string(m[1]))
	}
	return slices.Compact(names)
}
