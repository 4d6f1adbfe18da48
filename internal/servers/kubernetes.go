// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// KubernetesServer is the control plane of a Kubernetes 1.36.3 cluster without nodes: pods are made and never run, until a test
// says in their status that they do. Its methods stop and pause the API server alone.
type KubernetesServer struct {
	*Process            // kube-apiserver
	Manager    *Process // kube-controller-manager: deployments, replica, stateful and daemon sets, jobs, cron jobs, service accounts, garbage collection
	Etcd       *EtcdServer
	URL        string // https://host:port
	CAFile     string // what the certificate of URL is verified with
	Token      string // of an administrator (group system:masters)
	Kubeconfig string // a file with these three
}

// Kubernetes starts an API server, its etcd and a controller manager, which takes some seven seconds.
func Kubernetes(t testing.TB) *KubernetesServer {
	t.Helper()
	folder := heavyFolder(t, "kubernetes")
	etcd := Etcd(t)
	s := &KubernetesServer{Process: newProcess(t, "kube", filepath.Join(folder, "kube-apiserver")), Etcd: etcd, Token: rand.Text()}
	addr, port := freeAddr(t)
	s.URL = "https://" + addr
	certs := s.folder("certs")
	s.CAFile = filepath.Join(certs, "apiserver.crt")
	private, public := s.accountKeys()
	s.Kubeconfig = s.kubeconfig()
	s.args = []string{
		"--etcd-servers=" + etcd.URL, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port,
		"--cert-dir=" + certs, "--token-auth-file=" + s.file("tokens.csv", s.Token+",admin,1,system:masters\n"),
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-key-file=" + public, "--service-account-signing-key-file=" + private,
		"--service-account-issuer=https://kubernetes.default.svc",
	}
	s.term = syscall.SIGKILL // asked to end, it waits a minute for those who watch; what it knows is in etcd
	s.ready = func(ctx context.Context) error { return s.get(ctx, "/readyz") }
	s.after = func() error { // what is made in the default namespace right after readiness would fail
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return poll(ctx, func() error { return s.get(ctx, "/api/v1/namespaces/default") })
	}
	s.Start()
	s.startManager(folder, private)
	return s
}

func (s *KubernetesServer) startManager(folder, private string) {
	s.t.Helper()
	m := newProcess(s.t, "kcm", filepath.Join(folder, "kube-controller-manager"))
	addr, port := freeAddr(s.t)
	certs := m.folder("certs")
	m.args = []string{
		"--kubeconfig=" + s.Kubeconfig, "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + certs,
		"--leader-elect=false", "--service-account-private-key-file=" + private,
		"--controllers=deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,job-controller,cronjob-controller," +
			"serviceaccount-controller,garbage-collector-controller",
	}
	m.ready = func(ctx context.Context) error {
		transport, err := trusting(filepath.Join(certs, "kube-controller-manager.crt"))
		if err != nil {
			return err
		}
		return get(ctx, transport, "https://"+addr+"/healthz")
	}
	s.Manager = m
	m.Start()
}

// get asks the API server, as the administrator, for something that is there when it is ready.
func (s *KubernetesServer) get(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	transport, err := trusting(s.CAFile)
	if err != nil {
		return err
	}
	return request{transport: transport, url: s.URL + path, header: map[string]string{"Authorization": "Bearer " + s.Token}}.do(ctx, nil)
}

// trusting is a transport for a server whose certificate is verified with a file. It keeps no connections.
func trusting(file string) (*http.Transport, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}, nil
}

// accountKeys writes the keys that sign and verify the tokens of service accounts.
func (s *KubernetesServer) accountKeys() (private, public string) {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return s.file("sa.key", encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))), s.file("sa.pub", encode("PUBLIC KEY", der))
}

func (s *KubernetesServer) kubeconfig() string {
	s.t.Helper()
	return s.file("kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: %q, certificate-authority: %q}
users:
- name: admin
  user: {token: %q}
contexts:
- name: test
  context: {cluster: test, user: admin}
current-context: test
`, s.URL, s.CAFile, s.Token))
}
