// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package consumer_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/secret"
)

func TestCommandBringsASet(t *testing.T) {
	for _, c := range []struct {
		set  []int
		want string
	}{
		{[]int{2, 1}, "<12,11>\nhush, a webhook's secret number 2\nhush, a webhook's secret number 1\n"},
		{[]int{2}, "<12>\nhush, a webhook's secret number 2\n"},
		{[]int{}, "<>\n"},
	} {
		var log bytes.Buffer
		command := consumer.Command{Args: shell(`echo "<$HANDOVER_ACCEPT>"; cat; env | grep hush`), Stdin: true, Accept: true, Log: &log}
		err := command.Deploy(t.Context(), accept(c.set...))
		require.ErrorContains(t, err, "exit code 1", "which is grep's: nothing is in the environment")
		require.Equal(t, c.want, log.String())
		log.Reset()
		command.Stdin = false
		require.Error(t, command.Deploy(t.Context(), accept(c.set...)))
		require.NotContains(t, log.String(), "hush")
	}
	lines := accept(2, 1)
	lines.Accept[1].Secret = secret.New("hush, two\nlines")
	command := consumer.Command{Args: shell("cat"), Stdin: true, Accept: true}
	err := command.Deploy(t.Context(), lines)
	require.ErrorContains(t, err, "generation 1")
	require.NotContains(t, err.Error(), "hush")
}
