// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two PostgreSQL users take turns: their passwords lie in Vault, one who uses them is a service with a pool, 200 queries a second, and
// the other is a Deployment, which is rolled out. The rotating process is killed when the service has the new user and the pods of the
// Deployment have not; another one carries on.
func TestPostgres(t *testing.T) {
	p := startPlatform(t)
	p.node.busy.Store(true) // a pod that starts is not ready
	one := p.processes.start(t)
	p.processes.await(t, "orders-db", "the service has the new user", deployed(1))
	require.Eventually(t, p.node.queued.Load, patience, pollEvery, "a pod is replaced")
	one.kill(t)
	p.node.busy.Store(false)
	p.processes.start(t)
	st := p.processes.await(t, "orders-db", "the end", ended)

	p.load.worked(t, 300)
	pods := p.node.all()
	assert.Len(t, pods, 2*podCount, "pods there were")
	for _, l := range pods {
		l.worked(t, 0) // a pod may have lived for a moment
	}
	p.looksRight(t, st)
}
