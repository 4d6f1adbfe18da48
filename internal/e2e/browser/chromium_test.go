// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// requireServers turns the skip for a browser that is not installed into a failure.
const requireServers = "HANDOVER_REQUIRE_SERVERS"

// open starts a browser with a profile of its own and returns the context of its first tab. Without a browser it skips the test
// with one line, or fails it if HANDOVER_REQUIRE_SERVERS is 1. The browser ends with the test.
func open(t *testing.T) context.Context {
	t.Helper()
	path, err := find()
	if err != nil {
		if os.Getenv(requireServers) == "1" {
			t.Fatalf("%s=1: %v", requireServers, err)
		}
		t.Skipf("skipped: %v", err)
	}
	alone, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	alloc, cancel := chromedp.NewExecAllocator(alone,
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("force-color-profile", "srgb"),
	)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("the browser %s does not start: %v", path, err)
	}
	return tab
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium is in PATH")
}
