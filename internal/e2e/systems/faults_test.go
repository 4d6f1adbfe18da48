// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

// inTheMiddle starts a rotating process and returns when the service has the new user and no pod of the Deployment is replaced yet.
func (p *platform) inTheMiddle(t *testing.T) {
	t.Helper()
	p.node.busy.Store(true)
	p.processes.start(t)
	p.processes.await(t, "orders-db", "the service has the new user", deployed(1))
}

// inTrouble says that the rotation is open, and that its record says what stands in the way.
func inTrouble(st rotation.Status) bool { return st.Open != nil && st.Open.Problem != nil }

// Vault is sealed in the middle of a rotation: nobody notices but the rotation, which waits.
func TestVaultSealed(t *testing.T) {
	p := startPlatform(t)
	p.inTheMiddle(t)
	p.vault.Seal()
	p.node.busy.Store(false) // pods that start find no password
	st := p.processes.await(t, "orders-db", "it says that the store fails", inTrouble)
	t.Logf("while Vault is sealed: %v", st.Open.Problem)
	p.vault.Unseal()
	st = p.processes.await(t, "orders-db", "the end", ended)
	p.load.worked(t, 300)
	for _, l := range p.node.all() {
		l.worked(t, 0) // a pod may have lived for a moment
	}
	p.looksRight(t, st)
}

// PostgreSQL restarts in the middle of a rotation: who was connected loses what was under way, and the rotation waits.
func TestPostgresRestarted(t *testing.T) {
	p := startPlatform(t)
	p.inTheMiddle(t)
	p.postgres.Stop()
	p.node.busy.Store(false)
	st := p.processes.await(t, "orders-db", "it says that the database does not answer", inTrouble)
	t.Logf("while PostgreSQL is away: %v", st.Open.Problem)
	p.postgres.Start()
	st = p.processes.await(t, "orders-db", "the end", ended)
	p.load.counted(t, 300)
	for _, l := range p.node.all() {
		l.counted(t, 0) // a pod may have gone before the server was back
	}
	p.looksRight(t, st)
}

// The API server of Kubernetes hangs for 30 s in the middle of a rollout: the rotation waits.
func TestAPIServerAway(t *testing.T) {
	p := startPlatform(t)
	p.inTheMiddle(t)
	p.cluster.Pause()
	defer p.cluster.Resume()
	p.node.busy.Store(false)
	away := time.After(30 * time.Second)
	st := p.processes.await(t, "orders-db", "it says that the API server does not answer", inTrouble)
	t.Logf("while the API server is away: %v", st.Open.Problem)
	<-away
	p.cluster.Resume()
	st = p.processes.await(t, "orders-db", "the end", ended)
	p.load.worked(t, 300)
	for _, l := range p.node.all() {
		l.worked(t, 0) // a pod may have lived for a moment
	}
	p.looksRight(t, st)
}
