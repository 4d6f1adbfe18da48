// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/awsiam"
	"github.com/handover-go/handover/issuer/awsiam/internal/fakeiam"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestIssuerSuite(t *testing.T) {
	fake := newFake()
	fake.Page = 1
	i, v := parts(t, fake)
	rotationtest.IssuerSuite{Issuer: i, Verifier: v}.Run(t)
	require.Empty(t, fake.Live(user), "everything was cleaned up")
}

func TestIssuerSuiteOverANetwork(t *testing.T) {
	fake := newFake()
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	i, err := awsiam.New(awsiam.Config{Client: admin(nil, server.URL), UserARN: fake.ARN(user)})
	require.NoError(t, err)
	v, err := awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: fake.ARN(user), Region: region, Endpoint: server.URL})
	require.NoError(t, err)
	rotationtest.IssuerSuite{Issuer: i, Verifier: v}.Run(t)
}

// IAM is eventually consistent: a key is refused and not listed for a while, and accepted and listed after its end.
func TestIssuerSuiteWithALag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.Lag, fake.UsageLag = 10*time.Second, 3*time.Hour
		i, v := parts(t, fake, func(cfg *awsiam.Config) { cfg.Propagation, cfg.ListLag, cfg.UsageLag = 0, 0, 0 })
		require.NoError(t, rotationtest.IssuerSuite{Issuer: i, Verifier: v, Patience: time.Minute}.Check(t.Context()))
	})
}

func TestVerifierSuite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the SDK waits between its tries
		fake := newFake()
		i, v := parts(t, fake)
		live, dead := issue(t, i), issue(t, i)
		require.NoError(t, i.Revoke(t.Context(), dead))
		through := func(c sts.HTTPClient) rotation.Verifier {
			v, err := awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: fake.ARN(user), Region: region, Client: c})
			require.NoError(t, err)
			return v
		}
		failing := func(f fakeiam.Failure) rotation.Verifier {
			s := &fakeiam.Server{}
			s.Hook(func(string, url.Values) *fakeiam.Failure { return &f })
			return through(s)
		}
		require.NoError(t, rotationtest.VerifierSuite{
			Verifier: v, Live: live, Dead: dead,
			Down: []rotation.Verifier{
				through(closed{}),
				failing(fakeiam.Failure{Status: http.StatusBadGateway, Body: "<html>bad gateway</html>"}),
				failing(fakeiam.Failure{Status: http.StatusForbidden, Body: "<html>blocked</html>"}),
				failing(fakeiam.Failure{Status: http.StatusForbidden, Code: "AccessDenied"}),
				failing(fakeiam.Failure{Status: http.StatusForbidden, Code: "SignatureDoesNotMatch", Detail: "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"}),
				failing(fakeiam.Failure{Status: http.StatusBadRequest, Code: "Throttling"}),
				failing(fakeiam.Failure{Status: http.StatusOK, Body: "<html>welcome</html>"}),
			},
		}.Check(t.Context()))
	})
}

// closed is a port that nobody listens on.
type closed struct{}

func (closed) Do(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

func TestSimulate(t *testing.T) {
	for name, change := range map[string]func(*fakeiam.Server, *awsiam.Config){
		"exclusive": func(*fakeiam.Server, *awsiam.Config) {},
		"shared":    func(_ *fakeiam.Server, cfg *awsiam.Config) { cfg.Exclusive = false },
		"eventually consistent": func(fake *fakeiam.Server, cfg *awsiam.Config) {
			fake.Lag, cfg.Propagation, cfg.ListLag = 5*time.Second, 10*time.Second, 10*time.Second
			fake.UsageLag, cfg.UsageLag = time.Minute, time.Minute
		},
	} {
		t.Run(name, func(t *testing.T) {
			rotationtest.Simulate(t, rotationtest.Simulation{
				Issuer: func(context.Context, *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
					fake := newFake()
					i, v := parts(t, fake, func(cfg *awsiam.Config) { change(fake, cfg) })
					return i, v, nil
				},
				Sample: 8,
			})
		})
	}
}

func TestLiveIssuerSuite(t *testing.T) {
	i, v := live(t)
	rotationtest.IssuerSuite{Issuer: i, Verifier: v, Patience: 30 * time.Second}.Run(t)
}

func TestLiveVerifierSuite(t *testing.T) {
	i, v := live(t)
	made := func() rotation.Key {
		key, err := i.Issue(t.Context(), rotation.IssueRequest{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, i.Revoke(context.Background(), key)) })
		require.Eventually(t, func() bool { return v.Verify(t.Context(), key) == nil }, time.Minute, time.Second)
		return key
	}
	alive, dead := made(), made()
	require.NoError(t, i.Revoke(t.Context(), dead))
	require.Eventually(t, func() bool { return v.Verify(t.Context(), dead) != nil }, time.Minute, time.Second)
	rotationtest.VerifierSuite{Verifier: v, Live: alive, Dead: dead}.Run(t)
}
