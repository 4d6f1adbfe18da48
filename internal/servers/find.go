// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/handover-go/handover/internal/servers/heavy"
)

// requireServers is the variable that turns the skip for a server that is not installed into a failure.
const requireServers = "HANDOVER_REQUIRE_SERVERS"

// find returns the path of the first of names that is in PATH or in one of the folders, which may have wildcards.
func find(names []string, folders ...string) (string, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
		for _, folder := range folders {
			found, _ := filepath.Glob(filepath.Join(folder, name))
			if len(found) > 0 {
				return found[len(found)-1], true
			}
		}
	}
	return "", false
}

// missing ends a test whose server is not installed.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(requireServers) == "1" {
		t.Fatalf("%s=1: %s", requireServers, what)
	}
	t.Skip("skipped: " + what)
}

// heavyFolder returns the folder of a server that is built, and skips the test while it is not, since that takes minutes.
func heavyFolder(t testing.TB, name string) string {
	t.Helper()
	server, err := heavy.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := server.Folder()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("skipped: %s is not built; go run github.com/handover-go/handover/internal/servers/build %[1]s", name)
	}
	return folder
}

// The ports lie below those that systems give to outgoing connections, so that a server that starts again finds its own free.
const (
	firstPort = 20000
	lastPort  = 32000
)

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // guarded by portsMu; what this process has given away
)

// freeAddr returns an address on loopback that nobody listens on, and its port.
func freeAddr(t testing.TB) (addr, port string) {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		n := firstPort + rand.IntN(lastPort-firstPort)
		if ports[n] {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(n))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		ports[n] = true
		return addr, strconv.Itoa(n)
	}
	t.Fatalf("no port from %d to %d is free", firstPort, lastPort)
	return "", ""
}

func notFound(names ...string) string {
	return fmt.Sprintf("%s is not installed", strings.Join(names, " or "))
}
