package cert_test

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge/cert"
)

func cfg(distributions ...config.Distribution) *config.Config {
	return &config.Config{
		Listeners:     config.Listeners{HTTPS: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:443")}},
		Distributions: distributions,
	}
}

// T02, T07: one normaliser, the router's order of names, and nothing for a name nobody serves.
func TestServerNames(t *testing.T) {
	set, err := cert.Build(cfg(
		config.Distribution{Name: "a", Domains: []string{"www.example.org"}},
		config.Distribution{Name: "b", Domains: []string{"*.example.org"}},
	), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"www.example.org": "www.example.org", "WWW.EXAMPLE.org.": "www.example.org", "cdn.example.org": "*.example.org",
		"a.b.example.org": "*.example.org", "example.org": "", "": "", "other.test": "", "192.0.2.1": "",
	} {
		got, err := set.Get(&tls.ClientHelloInfo{ServerName: name})
		switch {
		case want == "" && err == nil:
			t.Errorf("%q gets a certificate for %v", name, got.Leaf.DNSNames)
		case want != "" && (err != nil || got.Leaf.DNSNames[0] != want):
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSelfSignedCertificatesSurviveAReload(t *testing.T) {
	d := config.Distribution{Name: "a", Domains: []string{"www.example.org"}}
	first, err := cert.Build(cfg(d), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := cert.Build(cfg(d, config.Distribution{Name: "b", Domains: []string{"b.example.org"}}), first)
	if err != nil {
		t.Fatal(err)
	}
	hello := &tls.ClientHelloInfo{ServerName: "www.example.org"}
	a, _ := first.Get(hello)
	b, _ := second.Get(hello)
	if a != b {
		t.Error("the certificate changed although its domains did not")
	}
}

// T05, T09: what cannot be read, or does not belong together, refuses the configuration.
func TestBadFilesRefuseTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.pem")
	if err := os.WriteFile(broken, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []config.Certificate{
		{CertFile: filepath.Join(dir, "missing.pem"), KeyFile: filepath.Join(dir, "missing.key")},
		{CertFile: broken, KeyFile: broken},
	} {
		if _, err := cert.Build(cfg(config.Distribution{Name: "a", Domains: []string{"a.example.org"}, Certificate: c}), nil); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	_, err := cert.Build(cfg(config.Distribution{Name: "a", Certificate: config.Certificate{ACME: true}}), nil)
	if !errors.Is(err, cert.ErrACME) {
		t.Errorf("acme: %v", err)
	}
}
