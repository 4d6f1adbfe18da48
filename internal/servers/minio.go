// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"testing"
)

// MinIOServer is a MinIO of one folder, which serves S3 and MinIO's own administration at the same address.
type MinIOServer struct {
	*Process
	Addr      string // host:port
	URL       string // http://host:port
	AccessKey string // of the root user
	SecretKey string
}

// MinIO starts a MinIO without buckets, which takes some three seconds. Its region is us-east-1.
func MinIO(t testing.TB) *MinIOServer {
	t.Helper()
	s := &MinIOServer{
		Process:   newProcess(t, "minio", filepath.Join(heavyFolder(t, "minio"), "minio")),
		AccessKey: "root", SecretKey: rand.Text(),
	}
	s.Addr, _ = freeAddr(t)
	s.URL = "http://" + s.Addr
	s.env = []string{
		"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_SITE_REGION=us-east-1",
		"MINIO_UPDATE=off", "MINIO_BROWSER=off", "HOME=" + s.dir,
	}
	s.args = []string{"server", "--address", s.Addr, "--quiet", s.folder("data")}
	s.ready = func(ctx context.Context) error { return get(ctx, nil, s.URL+"/minio/health/cluster") }
	s.Start()
	return s
}
