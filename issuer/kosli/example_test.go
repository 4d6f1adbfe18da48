// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package kosli_test

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/handover-go/handover/issuer/kosli"
)

// The key of a service account that pipelines use. The administrator's key belongs to another account.
func ExampleIssuer() {
	issuer := kosli.Issuer{
		Org:            "acme",
		ServiceAccount: "ci",
		Client:         &http.Client{Timeout: 10 * time.Second, Transport: adding{os.Getenv("KOSLI_ADMIN_KEY"), http.DefaultTransport}},
		Prober:         &http.Client{Timeout: 10 * time.Second},
	}
	fmt.Println(issuer.Validate(), issuer.Identity())
	// Output: <nil> https://app.kosli.com/api/v2/service-accounts/acme/ci
}
