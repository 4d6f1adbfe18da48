// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook/redisreplay"
)

// receiverURL makes the test binary a receiver of TestProcesses, with the server at that URL.
const receiverURL = "REDISREPLAY_RECEIVER"

func TestMain(m *testing.M) {
	if url := os.Getenv(receiverURL); url != "" {
		if err := receive(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	logging.Disable() // the client complains on standard error
	os.Exit(m.Run())
}

const deliveries, receivers = 400, 4

// receive says that it is ready, waits for the end of its input, sees every delivery with several goroutines at once, and says
// which were new.
func receive(url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	defer client.Close()
	s := &redisreplay.Store{Client: client, Timeout: time.Minute}
	if err := s.Check(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	var (
		wg   sync.WaitGroup
		errs = make(chan error, receivers)
	)
	for range receivers {
		wg.Go(func() {
			for i := range deliveries {
				seen, err := s.Seen(context.Background(), strconv.Itoa(i), ttl)
				if err != nil {
					errs <- err
					return
				}
				if !seen {
					fmt.Println(i)
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// Of all goroutines of two processes exactly one is told that a delivery is new.
func TestProcesses(t *testing.T) {
	redisServer := startServer(t)
	executable, err := os.Executable()
	require.NoError(t, err)
	var starts []io.Closer
	var outputs []*bufio.Scanner
	var all []*exec.Cmd
	for range 2 {
		cmd := exec.CommandContext(t.Context(), executable)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=redis://%s:%s@%s", receiverURL, redisServer.User, redisServer.Password, redisServer.Addr))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		require.Equal(t, "ready", lines.Text())
		starts, outputs, all = append(starts, in), append(outputs, lines), append(all, cmd)
	}
	for _, start := range starts {
		require.NoError(t, start.Close())
	}
	takers := map[string]int{}
	var shares []string
	for i, lines := range outputs {
		before := len(takers)
		for lines.Scan() {
			takers[lines.Text()]++
		}
		require.NoError(t, all[i].Wait())
		shares = append(shares, strconv.Itoa(len(takers)-before))
	}
	t.Logf("deliveries taken by each process: %s", strings.Join(shares, ", "))
	assert.Len(t, takers, deliveries)
	for id, n := range takers {
		assert.Equalf(t, 1, n, "delivery %s", id)
	}
}
