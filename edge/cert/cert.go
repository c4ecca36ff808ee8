// Package cert chooses the certificate of a TLS connection: one set for each generation of the configuration, looked up by
// server name with the same rules as hosts are routed by.
//
//	set, err := cert.Build(cfg, previous)
//	tls.Config{GetCertificate: set.Get}
//
// A Set is immutable and safe for concurrent use. Security fails closed: a certificate that cannot be read or does not fit
// its key refuses the configuration, and a server name nobody serves gets no certificate at all (attack rows T02, T05, T09).
package cert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
)

// Set is the certificates of one generation.
type Set struct {
	byName map[string]*tls.Certificate // by domain as configured: exact, "*.x" or "*"
	signed map[string]*selfSigned      // by distribution: kept over reloads
	server *tls.Certificate            // of the name server; nil: it needs none
}

// selfSigned is a certificate this process made for a list of domains.
type selfSigned struct {
	domains []string
	cert    *tls.Certificate
}

// ErrACME is returned for distributions that ask for a certificate from a certificate authority.
var ErrACME = errors.New("`certificate: acme` is not served by this version: give {cert: FILE, key: FILE}, or self-signed")

// ErrName is wrapped by Get's error for a server name that no distribution serves.
var ErrName = errors.New("no distribution serves the name")

// Build reads or makes the certificates of a configuration. Self-signed ones are taken from old, which may be nil, while
// their domains stay the same. Without an https listener nothing is read or made.
func Build(cfg *config.Config, old *Set) (*Set, error) {
	s := &Set{byName: map[string]*tls.Certificate{}, signed: map[string]*selfSigned{}}
	if len(cfg.Listeners.DoT)+len(cfg.Listeners.DoH)+len(cfg.Listeners.DoQ) > 0 {
		var err error
		server := config.Distribution{Name: "dns", Domains: []string{cfg.Edge.Name}, Certificate: cfg.DNS.Certificate}
		if s.server, err = s.certificate(&server, nameServer, old); err != nil {
			return nil, fmt.Errorf("dns: %w", err)
		}
	}
	if len(cfg.Listeners.HTTPS) == 0 {
		return s, nil
	}
	for i := range cfg.Distributions {
		d := &cfg.Distributions[i]
		c, err := s.certificate(d, d.Name, old)
		if err != nil {
			return nil, fmt.Errorf("distribution %q: %w", d.Name, err)
		}
		for _, domain := range d.Domains {
			s.byName[domain] = c
		}
	}
	return s, nil
}

// nameServer is the key of the name server's certificate, which no distribution can have.
const nameServer = "\x00dns"

// Nameserver is the certificate of DNS over TLS, HTTPS and QUIC, whatever name the client asks for: resolvers know their servers by
// address.
func (s *Set) Nameserver() (*tls.Certificate, error) {
	if s.server == nil {
		return nil, fmt.Errorf("%w: the name server has no certificate", ErrName)
	}
	return s.server, nil
}

// certificate reads or makes one; key tells those that are made here apart.
func (s *Set) certificate(d *config.Distribution, key string, old *Set) (*tls.Certificate, error) {
	switch {
	case d.Certificate.ACME:
		return nil, ErrACME
	case d.Certificate.CertFile != "":
		c, err := tls.LoadX509KeyPair(d.Certificate.CertFile, d.Certificate.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", d.Certificate.CertFile, err)
		}
		if time.Now().After(c.Leaf.NotAfter) {
			return nil, fmt.Errorf("certificate %s: expired on %s", d.Certificate.CertFile, c.Leaf.NotAfter.Format(time.DateOnly))
		}
		return &c, nil
	}
	if old != nil {
		if kept := old.signed[key]; kept != nil && slices.Equal(kept.domains, d.Domains) {
			s.signed[key] = kept
			return kept.cert, nil
		}
	}
	c, err := sign(d.Domains)
	if err != nil {
		return nil, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	s.signed[key] = &selfSigned{domains: d.Domains, cert: c}
	return c, nil
}

// selfSignedLife is how long a self-signed certificate is valid: shorter than the 398 days some clients insist on.
const selfSignedLife = 397 * 24 * time.Hour

// sign makes a P-256 certificate for the domains. The catch-all "*" cannot be named in one, so localhost stands for it.
func sign(domains []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(domains))
	for i, d := range domains {
		if names[i] = d; d == "*" {
			names[i] = "localhost"
		}
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0], Organization: []string{"Meridian self-signed"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife), DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// Get implements tls.Config.GetCertificate. A hello without a server name gets the catch-all distribution's certificate, if
// there is such a distribution; a name nobody serves is an ErrName.
func (s *Set) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if c := s.byName[name]; c != nil && name != "" {
		return c, nil
	}
	for rest := name; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			break
		}
		if c := s.byName["*"+rest[i:]]; c != nil {
			return c, nil
		}
		rest = rest[i+1:]
	}
	if c := s.byName["*"]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w %q", ErrName, hello.ServerName)
}

// Equal reports whether both sets answer every name with the same certificate.
func (s *Set) Equal(o *Set) bool {
	same := func(a, b *tls.Certificate) bool {
		return a == b || a != nil && b != nil && slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
	}
	return same(s.server, o.server) && maps.EqualFunc(s.byName, o.byName, same)
}

// Expiries lists when each domain's certificate ends, for status and metrics.
func (s *Set) Expiries() map[string]time.Time {
	out := make(map[string]time.Time, len(s.byName))
	for domain, c := range s.byName {
		out[domain] = c.Leaf.NotAfter
	}
	return out
}
