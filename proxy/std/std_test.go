package std_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "www.example.org"

// handler makes a Handler of a function.
type handler func(context.Context, *httpwire.Exchange) *httpwire.Response

func (h handler) Handle(ctx context.Context, x *httpwire.Exchange) *httpwire.Response {
	return h(ctx, x)
}

// limits are small enough to be reached.
func limits() config.Limits {
	return config.Limits{
		HeaderBytes: 8 << 10, HeaderFields: 50, TargetBytes: 1 << 10, HeaderTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, BodyBytes: 1 << 20, Connections: 100, PerClient: 50,
	}
}

// certificate makes a self-signed certificate and the pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// front is a running server with one listener of each kind.
type front struct {
	*std.Server
	plain, secure net.Addr
	udp           net.Addr
	pool          *x509.CertPool
	registry      *prometheus.Registry
	log           *bytes.Buffer
	served        sync.WaitGroup
}

// start runs a server until the end of the test.
func start(t testing.TB, h handler, change func(*std.Options)) *front {
	t.Helper()
	return startWith(t, h, change, nil)
}

// startWith does the same, and prepares the server before it serves.
func startWith(t testing.TB, h handler, change func(*std.Options), prepare func(*std.Server)) *front {
	t.Helper()
	cert, pool := certificate(t)
	f := &front{pool: pool, registry: prometheus.NewPedanticRegistry(), log: &bytes.Buffer{}}
	o := std.Options{
		Handler: h, Limits: limits(), TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		AltSvc: func() string { return `h3=":8443"; ma=3600` }, Metrics: std.NewMetrics(f.registry),
		Log: slog.New(slog.NewTextHandler(&locked{w: f.log}, nil)),
	}
	if change != nil {
		change(&o)
	}
	f.Server = std.New(o)
	if prepare != nil {
		prepare(f.Server)
	}
	plain, secure := listen(t), listen(t)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	f.plain, f.secure, f.udp = plain.Addr(), secure.Addr(), udp.LocalAddr()
	serve := func(f *front, err error) {
		if !errors.Is(err, std.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	}
	f.served.Go(func() { serve(f, f.ServeHTTP1(plain)) })
	f.served.Go(func() { serve(f, f.ServeTLS(secure)) })
	f.served.Go(func() { serve(f, f.ServeQUIC(udp)) })
	t.Cleanup(func() {
		f.Close()
		f.served.Wait()
	})
	return f
}

// locked is a writer for many goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// client speaks one version to a front.
type client struct {
	*http.Client
	proto httpwire.Proto
	base  string
}

// client makes a client that is closed at the end of the test.
func (f *front) client(t testing.TB, proto httpwire.Proto) *client {
	t.Helper()
	c := &client{proto: proto, base: "https://" + host}
	config := &tls.Config{RootCAs: f.pool, ServerName: host}
	dial := func(addr net.Addr) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		}
	}
	switch proto {
	case httpwire.HTTP11:
		c.base = "http://" + host
		c.Client = &http.Client{Transport: &http.Transport{DialContext: dial(f.plain), DisableCompression: true}}
	case httpwire.HTTP2:
		c.Client = &http.Client{Transport: &http.Transport{
			DialContext: dial(f.secure), TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true,
		}}
	case httpwire.HTTP3:
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		transport := &quic.Transport{Conn: udp}
		h3 := &http3.Transport{
			TLSClientConfig: config, DisableCompression: true,
			Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
				return transport.Dial(ctx, f.udp, tc, qc)
			},
		}
		t.Cleanup(func() {
			h3.Close()
			transport.Close()
			udp.Close()
		})
		c.Client = &http.Client{Transport: h3}
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// each runs a test over every version.
func each(t *testing.T, f func(t *testing.T, proto httpwire.Proto)) {
	for _, proto := range []httpwire.Proto{httpwire.HTTP11, httpwire.HTTP2, httpwire.HTTP3} {
		t.Run(proto.String(), func(t *testing.T) { f(t, proto) })
	}
}

// do sends a request.
func (c *client) do(t testing.TB, method, path string, body io.Reader, fields ...string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return c.Do(r)
}

// must sends a request that must be answered, and reads the body.
func (c *client) must(t testing.TB, method, path string, body io.Reader, fields ...string) (*http.Response, string) {
	t.Helper()
	response, err := c.do(t, method, path, body, fields...)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(b)
}

// text is a response with a body.
func text(status int, s string) *httpwire.Response {
	return &httpwire.Response{Status: status, Body: httpwire.TextBody(s), Length: int64(len(s))}
}

// body is a response body with a script, and counts how often it is closed.
type body struct {
	read   func(p []byte) (int, error)
	closed chan struct{}
}

func newBody(read func(p []byte) (int, error)) *body {
	return &body{read: read, closed: make(chan struct{}, 10)}
}

func (b *body) Read(p []byte) (int, error) { return b.read(p) }
func (b *body) Close() error               { b.closed <- struct{}{}; return nil }
