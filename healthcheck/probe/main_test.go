package probe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// try makes one probe over real sockets.
func try(t *testing.T, c config.Check, address string) probe.Result {
	t.Helper()
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	p := probe.Prober{Dial: new(net.Dialer).DialContext}
	a := probe.New(&c, address)
	if !a.Probed() {
		t.Fatalf("%s is not probed", c.Type)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p.Probe(ctx, &a, timeout)
}

// want fails unless a result has a kind and a reason that matches.
func want(t *testing.T, r probe.Result, kind probe.Kind, reason string) {
	t.Helper()
	if r.OK != (kind == probe.KindSuccess) || r.Kind != kind || !regexp.MustCompile("^(?:"+reason+")$").MatchString(r.Reason) {
		t.Errorf("%s, %q; want %s, %q", r.Kind, r.Reason, kind, reason)
	}
	if r.Latency <= 0 {
		t.Errorf("latency %v", r.Latency)
	}
}

const took = ` in [\d.]+(µs|ms|s)`

// speak serves every connection with a function.
func speak(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, l, serve)
}

func accept(t *testing.T, l net.Listener, serve func(net.Conn)) (address string) {
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

// say sends a text and waits until the probe hangs up, so that what comes next is no answer to a reset connection.
func say(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		hush(c)
	}
}

// hush never answers.
func hush(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// utter sends a text and ends the connection after the probe has said something.
func utter(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
	}
}

// certificate makes a self-signed one for www.example.org, valid between two times from now.
func certificate(t testing.TB, from, to time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example.org"}, DNSNames: []string{"www.example.org"},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secure serves TLS connections after their handshake.
func secure(t *testing.T, c *tls.Config, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, l, func(conn net.Conn) {
		if conn.(*tls.Conn).Handshake() == nil {
			serve(conn)
		}
	})
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
