// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/madmin-go/v3"
	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

// minioName is the credential: an access key of the user app.
const minioName = "app-minio"

// Policies of MinIO: what the administrator of the keys needs, and what the key may do.
const (
	keysPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` +
		`"admin:CreateServiceAccount","admin:ListServiceAccounts","admin:UpdateServiceAccount","admin:RemoveServiceAccount"]}]}`
	filesPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::files/*"]}]}`
)

// minioWorld is what a rotating process of MinIO's keys is told.
type minioWorld struct {
	Dir                string // with the journal and the store
	StoreKey           string
	URL                string
	Admin, AdminSecret string
	Upload, Thumbs     []string // addresses of two services
	Health             string   // page of the second one
}

func init() { wire("minio", minioWorld.config) }

func (w minioWorld) store() (*store.File, error) {
	return store.OpenFile(filepath.Join(w.Dir, "secrets"), secret.New(w.StoreKey))
}

func (w minioWorld) config(ctx context.Context) (rotation.Config, error) {
	progress, err := openJournal(ctx, w.Dir)
	if err != nil {
		return rotation.Config{}, err
	}
	secrets, err := w.store()
	if err != nil {
		return rotation.Config{}, err
	}
	keys, err := minio.New(minio.Config{
		URL: w.URL, Credentials: credentials.NewStaticV4(w.Admin, w.AdminSecret, ""), User: "app",
		Propagation: 2 * time.Second, // it is also how long a disabled key is watched
	})
	if err != nil {
		return rotation.Config{}, err
	}
	context.AfterFunc(ctx, func() { _ = keys.Close() })
	policy := quick
	policy.Patience = 4 * time.Second // also from a trial that broke something until the next one
	return rotation.Config{
		Journal: progress, Store: secrets, Policy: policy,
		Credentials: []rotation.Credential{{Name: minioName, Type: rotation.APIKey, Issuer: keys, Consumers: []rotation.Binding{
			{Name: "upload", Consumer: replicas(w.Upload)},
			{Name: "thumbs", Consumer: replicas(w.Thumbs), Verifier: verify.Health{URL: w.Health}},
		}}},
		Lease: lease, CallTimeout: callTimeout, ClockSkew: clockSkew,
	}, nil
}

// Two services use an access key. Both say that they have the new one, but a worker of the thumbs service has a client of its own with
// the old key, which nobody can see: MinIO does not tell when a key was used. The old key is disabled, and the worker breaks. The
// rotating process is killed at that moment. The next one enables the key, tries again, names who broke, and when the worker was
// repaired the third try is quiet, and the key dies.
func TestMinIO(t *testing.T) {
	server := servers.MinIO(t)
	world := minioWorld{Dir: t.TempDir(), StoreKey: secret.Random(32).Reveal(), URL: server.URL, Admin: "keys-admin", AdminSecret: secret.Random(20).Reveal()}
	root, err := madmin.NewWithOptions(server.Addr, &madmin.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, "")})
	require.NoError(t, err)
	prepare := func() error {
		if err := root.AddCannedPolicy(t.Context(), "keys", []byte(keysPolicy)); err != nil {
			return err
		}
		for user, given := range map[string]struct{ secret, policy string }{world.Admin: {world.AdminSecret, "keys"}, "app": {secret.Random(20).Reveal(), "readwrite"}} {
			if err := root.AddUser(t.Context(), user, given.secret); err != nil {
				return err
			}
			if _, err := root.AttachPolicy(t.Context(), madmin.PolicyAssociationReq{Policies: []string{given.policy}, User: user}); err != nil && madmin.ToErrorResponse(err).Code != "XMinioAdminPolicyChangeAlreadyApplied" {
				return err
			}
		}
		return nil
	}
	// A server that says it is ready may still be loading its users and policies, and forgets then what it was told meanwhile.
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.NoError(c, prepare()) }, time.Minute, 200*time.Millisecond)
	first := rotation.Key{ID: secret.Random(16).Reveal()[:20], Secret: secret.Random(20)}
	_, err = root.AddServiceAccount(t.Context(), madmin.AddServiceAccountReq{
		TargetUser: "app", AccessKey: first.ID, SecretKey: first.Secret.Reveal(), Policy: json.RawMessage(filesPolicy),
	})
	require.NoError(t, err)
	files := s3Client(t, server, rotation.Key{ID: server.AccessKey, Secret: secret.New(server.SecretKey)})
	require.NoError(t, files.MakeBucket(t.Context(), "files", s3.MakeBucketOptions{}))
	_, err = files.PutObject(t.Context(), "files", "report", strings.NewReader("ok"), 2, s3.PutObjectOptions{})
	require.NoError(t, err)
	secrets, err := world.store()
	require.NoError(t, err)
	require.NoError(t, store.Seed(t.Context(), secrets, minioName, first))
	seen := &values{store: secrets, credential: minioName}
	seen.collect(t.Context())

	upload, thumbs := startService(t, secrets, minioName, "upload"), startService(t, secrets, minioName, "thumbs")
	worker := &worker{client: s3Client(t, server, first), trial: make(chan struct{})}
	page := httptest.NewServer(worker)
	t.Cleanup(page.Close)
	world.Upload, world.Thumbs, world.Health = addresses(upload), addresses(thumbs), page.URL
	var loads []*load
	for name, s := range map[string]*service{"upload": upload, "thumbs": thumbs} {
		client, err := consumer.Derive(s.handle, func(key rotation.Key) (*s3.Client, error) { return newS3(server, key) })
		require.NoError(t, err)
		loads = append(loads, startLoad(t, name, 10, isS3Refusal, func(ctx context.Context) error { return look(ctx, client.Get()) }))
	}
	hidden := startLoad(t, "worker of thumbs", 5, isS3Refusal, worker.work)

	disabled := func() bool {
		info, err := root.InfoServiceAccount(t.Context(), first.ID)
		require.NoError(t, err)
		return info.AccountStatus == "off"
	}
	processes := newStage(t, "minio", world)
	began := time.Now()
	one := processes.start(t)
	select {
	case <-worker.trial:
	case <-one.done:
		require.Fail(t, "the rotating process has ended")
	case <-time.After(patience):
		require.Fail(t, "nothing broke")
	}
	one.kill(t)
	seen.collect(t.Context())
	killed := time.Now()
	require.True(t, disabled(), "by a process that is dead")

	two := processes.start(t)
	require.Eventually(t, func() bool { return !disabled() }, patience, 20*time.Millisecond)
	t.Logf("the key was enabled %.1f s after the kill", time.Since(killed).Seconds())
	st := processes.await(t, minioName, "it is named who broke", func(st rotation.Status) bool {
		return st.Open != nil && st.Open.Problem != nil && st.Open.Problem.Diagnosis == rotation.OldKeyInUse
	})
	assert.Equal(t, "thumbs", st.Open.Problem.Consumer)
	require.Eventually(t, func() bool { return !disabled() }, patience, 20*time.Millisecond)
	worker.take(s3Client(t, server, thumbs.handle.Key()))
	broke := hidden.rejected.Load()
	st = processes.await(t, minioName, "the end", ended)
	t.Logf("the rotation took %.1f s, with the kill; the old key was disabled %d times that were recorded", time.Since(began).Seconds(), strings.Count(processes.said.String(), `"kind":"disabled"`))

	key := rotated(t, st, secrets)
	for _, l := range loads {
		l.worked(t, 20)
	}
	hidden.stop()
	t.Logf("%s: %d accepted, %d rejected while the key was disabled, %d lost", hidden.name, hidden.accepted.Load(), hidden.rejected.Load(), hidden.lost.Load())
	assert.Positive(t, broke)
	assert.Equal(t, broke, hidden.rejected.Load(), "none after it was repaired")
	accounts, err := root.ListServiceAccounts(t.Context(), "app")
	require.NoError(t, err)
	require.Len(t, accounts.Accounts, 1)
	assert.Equal(t, key.ID, accounts.Accounts[0].AccessKey)
	info, err := root.InfoServiceAccount(t.Context(), key.ID)
	require.NoError(t, err)
	assert.False(t, info.ImpliedPolicy)
	assert.JSONEq(t, filesPolicy, info.Policy, "it may do what the old one might")
	assert.True(t, isS3Refusal(look(t.Context(), s3Client(t, server, first))))
	two.stop()
	seen.silent(t, "the rotating processes' output", processes.said.String(), world.AdminSecret, world.StoreKey)
	seen.silent(t, "the journal", journalText(t, world.Dir), world.AdminSecret, world.StoreKey)
}

func newS3(server *servers.MinIOServer, key rotation.Key) (*s3.Client, error) {
	return s3.New(server.Addr, &s3.Options{Creds: credentials.NewStaticV4(key.ID, key.Secret.Reveal(), ""), Region: "us-east-1", MaxRetries: 1})
}

func s3Client(t *testing.T, server *servers.MinIOServer, key rotation.Key) *s3.Client {
	t.Helper()
	client, err := newS3(server, key)
	require.NoError(t, err)
	return client
}

// look asks for an object that the key may see.
func look(ctx context.Context, client *s3.Client) error {
	_, err := client.StatObject(ctx, "files", "report", s3.StatObjectOptions{})
	return err
}

// isS3Refusal says that the key was not accepted, or may not do what it might.
func isS3Refusal(err error) bool {
	return s3.ToErrorResponse(err).StatusCode == http.StatusForbidden // a HEAD has no more to say
}

// worker is a part of a service that keeps its client, and makes the service's page of health say whether its last request
// succeeded. The first question after one that was refused gets no answer until whoever asks is gone.
type worker struct {
	mu     sync.Mutex
	client *s3.Client // guarded by mu
	failed error      // guarded by mu: the last request, if it did
	held   bool       // guarded by mu

	trial chan struct{} // closed by that question
}

func (w *worker) work(ctx context.Context) error {
	w.mu.Lock()
	client := w.client
	w.mu.Unlock()
	err := look(ctx, client)
	w.mu.Lock()
	defer w.mu.Unlock()
	if client == w.client {
		w.failed = err
	}
	return err
}

// take repairs the worker.
func (w *worker) take(client *s3.Client) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client, w.failed = client, nil
}

func (w *worker) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	failed := w.failed != nil
	hold := failed && !w.held
	w.held = w.held || hold
	w.mu.Unlock()
	switch {
	case hold:
		close(w.trial)
		<-r.Context().Done()
	case failed:
		http.Error(rw, "the worker fails", http.StatusInternalServerError)
	}
}
