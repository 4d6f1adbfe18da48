// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// LDAPServer is an OpenLDAP slapd with the schemas core, cosine and inetorgperson, where an entry may change its own password.
type LDAPServer struct {
	*Process
	Addr     string // host:port
	URL      string // ldap://host:port
	BaseDN   string // the suffix of the directory, whose entry the test makes, as the administrator
	AdminDN  string // may do everything
	Password string // of AdminDN
	TLSURL   string // ldaps://host:port; empty without LDAPOptions.TLS
	CA       []byte // PEM of the certificate that TLSURL, and StartTLS at URL, show
}

// LDAPOptions of a slapd that is configured in another way.
type LDAPOptions struct {
	Modules  []string // to be loaded: "ppolicy"
	Global   string   // a line that is not the database's: "allow bind_anon_dn"
	Access   string   // lines instead of the usual access rules
	Database string   // more lines for the database: "overlay ppolicy"
	TLS      bool     // with a certificate for 127.0.0.1
}

// LDAP starts a slapd with an empty directory.
func LDAP(t testing.TB) *LDAPServer { return LDAPWith(t, LDAPOptions{}) }

const usualAccess = `access to attrs=userPassword by self write by anonymous auth by * none
access to * by self write by users read by * none
`

// LDAPWith starts a slapd with an empty directory and a configuration of its own.
func LDAPWith(t testing.TB, o LDAPOptions) *LDAPServer {
	t.Helper()
	path, ok := find([]string{"slapd"}, "/usr/sbin", "/usr/lib/openldap", "/usr/libexec", "/usr/local/libexec")
	schema, schemaOK := find([]string{"core.schema"}, "/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
	if !ok || !schemaOK {
		missing(t, notFound("OpenLDAP (slapd)"))
	}
	s := &LDAPServer{
		Process: newProcess(t, "ldap", path), BaseDN: "dc=example,dc=org", AdminDN: "cn=admin,dc=example,dc=org", Password: rand.Text(),
	}
	s.Addr, _ = freeAddr(t)
	s.URL = "ldap://" + s.Addr
	modules := ""
	if module, ok := find([]string{"back_mdb.la", "back_mdb.so"}, "/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap"); ok {
		modules = "modulepath " + filepath.Dir(module) + "\nmoduleload back_mdb\n"
	}
	for _, name := range o.Modules {
		modules += "moduleload " + name + "\n"
	}
	modules += o.Global + "\n"
	urls := s.URL
	if o.TLS {
		var cert, key string
		cert, key, s.CA = s.certificate()
		addr, _ := freeAddr(t)
		s.TLSURL = "ldaps://" + addr
		urls += " " + s.TLSURL
		modules += "TLSCertificateFile " + cert + "\nTLSCertificateKeyFile " + key + "\n"
	}
	folder := filepath.Dir(schema)
	conf := s.file("slapd.conf", fmt.Sprintf(`include %[1]s/core.schema
include %[1]s/cosine.schema
include %[1]s/inetorgperson.schema
pidfile %[2]s/pid
%[3]sdatabase mdb
suffix "%[4]s"
rootdn "%[5]s"
rootpw %[6]s
directory %[7]s
dbnosync
%[8]s%[9]s
`, folder, s.dir, modules, s.BaseDN, s.AdminDN, s.Password, s.folder("data"), cmp.Or(o.Access, usualAccess), o.Database))
	s.args = []string{"-f", conf, "-h", urls, "-d", "0"}
	s.ready = func(ctx context.Context) error { return s.bind(ctx, s.AdminDN, s.Password) }
	s.Start()
	return s
}

// certificate writes a certificate for 127.0.0.1 that signs itself, and its key.
func (s *LDAPServer) certificate() (certFile, keyFile string, ca []byte) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return s.file("cert.pem", string(ca)), s.file("key.pem", string(private)), ca
}

// bind logs in (RFC 4511, section 4.2), with a name and a password that are short enough for lengths of one byte.
func (s *LDAPServer) bind(ctx context.Context, dn, password string) error {
	c, err := dial(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	element := func(tag byte, content ...byte) []byte { return append([]byte{tag, byte(len(content))}, content...) }
	request := []byte{2, 1, 3} // version 3
	request = append(request, element(4, []byte(dn)...)...)
	request = append(request, element(0x80, []byte(password)...)...)
	message := append([]byte{2, 1, 1}, element(0x60, request...)...)
	if _, err := c.Write(element(0x30, message...)); err != nil {
		return err
	}
	// 30 len, 02 01 01, 61 len, 0a 01 result: all that counts of the answer.
	var answer [10]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[5] != 0x61 || answer[7] != 0x0a {
		return errors.New("this is no LDAP server")
	}
	if answer[9] != 0 {
		return fmt.Errorf("bind: result %d", answer[9])
	}
	return nil
}
