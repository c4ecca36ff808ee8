package healthcheck_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// probe makes one probe of an address over real sockets, with a fall of 1, and returns the verdict.
func probe(t *testing.T, c config.Check, address string, more ...func(*healthcheck.Options)) healthcheck.Verdict {
	t.Helper()
	c.Name, c.Fall, c.Interval = "c", 1, time.Hour
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	e := config.Endpoint{Host: "localhost", ID: address}
	if a, err := netip.ParseAddrPort(address); err == nil {
		e = config.Endpoint{Address: a, ID: address}
	} else if _, port, err := net.SplitHostPort(address); err == nil {
		_, _ = fmt.Sscan(port, &e.Port)
	}
	cfg := &config.Config{Checks: []config.Check{c}, Pools: []config.Pool{{Name: "p", Check: "c", Endpoints: []config.Endpoint{e}}}}
	board := healthcheck.NewBoard()
	o := healthcheck.Options{Board: board}
	for _, change := range more {
		change(&o)
	}
	checker := healthcheck.NewChecker(o)
	checker.Apply(healthcheck.NewPlan(cfg, board))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- checker.Run(ctx) }()
	if err := checker.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return board.Verdicts()[0]
}

func want(t *testing.T, v healthcheck.Verdict, state healthcheck.State, reason string) {
	t.Helper()
	if v.State != state || !regexp.MustCompile("^(?:"+reason+")$").MatchString(v.Reason) {
		t.Errorf("%s, %q; want %s, %q", v.State, v.Reason, state, reason)
	}
}

func serve(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// speak serves each connection with raw bytes after it has read the request head.
func speak(t *testing.T, answer func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			answer(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func say(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

func TestHTTPStatusDecides(t *testing.T) {
	f := func(status int, expect []config.StatusRange, state healthcheck.State, reason string) {
		t.Helper()
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		want(t, probe(t, config.Check{Type: "http", Expect: expect}, address), state, reason)
	}
	f(200, nil, healthcheck.Up, `200 in [\d.]+(µs|ms)`)
	f(204, nil, healthcheck.Up, `204 in .*`)
	f(399, nil, healthcheck.Up, `399 in .*`)
	f(400, nil, healthcheck.Down, `status 400, want 200-399`)
	f(503, nil, healthcheck.Down, `status 503, want 200-399`)
	f(401, []config.StatusRange{{From: 200, To: 200}, {From: 401, To: 403}}, healthcheck.Up, `401 in .*`)
	f(201, []config.StatusRange{{From: 200, To: 200}, {From: 401, To: 403}}, healthcheck.Down, `status 201, want 200,401-403`)
}

func TestRedirectIsAStatusAndNotFollowed(t *testing.T) {
	var requests atomic.Int32
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	want(t, probe(t, config.Check{Type: "http", Path: "/healthz"}, address), healthcheck.Up, `302 in .*`)
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestRequestOfAProbe(t *testing.T) {
	f := func(c config.Check, wantTarget, wantHost string) {
		t.Helper()
		var got *http.Request
		address := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
		want(t, probe(t, c, address), healthcheck.Up, `200 in .*`)
		if wantHost == "" {
			wantHost = address
		}
		if got.RequestURI != wantTarget || got.Host != wantHost || got.Method != "GET" {
			t.Errorf("%s %s of %s, want GET %s of %s", got.Method, got.RequestURI, got.Host, wantTarget, wantHost)
		}
		if got.UserAgent() != "Meridian-Health-Check/1" || !got.Close {
			t.Errorf("User-Agent %q, close %t", got.UserAgent(), got.Close)
		}
	}
	f(config.Check{Type: "http"}, "/", "")
	f(config.Check{Type: "http", Path: "healthz?full=1"}, "/healthz?full=1", "")
	f(config.Check{Type: "http", Path: "/a", Host: "www.example.org"}, "/a", "www.example.org")
	f(config.Check{Type: "http", Path: "/a b\r\nX: y\xff"}, "/a%20b%0D%0AX:%20y%FF", "")
}

func TestNamesAreResolvedForEachProbe(t *testing.T) {
	var host string
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	_, port, _ := net.SplitHostPort(address)
	v := probe(t, config.Check{Type: "http"}, net.JoinHostPort("localhost", port))
	want(t, v, healthcheck.Up, `200 in .*`)
	if v.Key.Endpoint != "localhost:"+port || host != v.Key.Endpoint {
		t.Errorf("endpoint %s, Host %s", v.Key.Endpoint, host)
	}
}

func TestUnresolvableNameSaysSo(t *testing.T) {
	v := probe(t, config.Check{Type: "tcp"}, "localhost:80", func(o *healthcheck.Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "localhost", IsNotFound: true}}
		}
	})
	want(t, v, healthcheck.Down, `resolve: no such host`)
}

func TestTCPConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	want(t, probe(t, config.Check{Type: "tcp"}, address), healthcheck.Up, `connected in .*`)
	_ = l.Close()
	want(t, probe(t, config.Check{Type: "tcp"}, address), healthcheck.Down, `connect: connection refused`)
}

func TestSlowServerTimesOut(t *testing.T) {
	address := speak(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) // until the probe gives up
	v := probe(t, config.Check{Type: "http", Timeout: 200 * time.Millisecond}, address)
	want(t, v, healthcheck.Down, `timeout after 200ms \(response\)`)
	if v.Latency <= 0 {
		t.Errorf("latency %v", v.Latency)
	}
}

func TestSlowHandshakeTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the backlog and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	v := probe(t, config.Check{Type: "https", Timeout: 200 * time.Millisecond}, l.Addr().String())
	want(t, v, healthcheck.Down, `timeout after 200ms \(tls\)`)
}

func TestBodyDoesNotChangeTheVerdict(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
	f := func(name string, answer func(net.Conn)) {
		t.Helper()
		v := probe(t, config.Check{Type: "http"}, speak(t, answer))
		t.Log(name)
		want(t, v, healthcheck.Up, `200 in .*`)
	}
	f("cut off", say(head+"abc"))
	f("never ends", func(c net.Conn) {
		_, _ = io.WriteString(c, head)
		_, _ = io.Copy(io.Discard, c)
	})
	f("huge", func(c net.Conn) {
		_, _ = io.WriteString(c, head)
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return // the probe read 64 KiB and hung up
			}
		}
	})
}

func TestBadResponsesAreFailures(t *testing.T) {
	f := func(answer, reason string) {
		t.Helper()
		want(t, probe(t, config.Check{Type: "http"}, speak(t, say(answer))), healthcheck.Down, reason)
	}
	f("", `response: connection closed|response: connection reset by peer`)
	f("HTTP/1.1 200 OK\r\n", `response: connection closed`)
	f("HTTP/1.1 200 OK\r\nServ", `response: malformed MIME header: .*`)
	f("SSH-2.0-OpenSSH_9.9\r\n", `response: malformed HTTP .*`)
	f("HTTP/1.1 \x1b[31m OK\r\n\r\n", `response: malformed HTTP [ -~]*`)
	f("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n", `response: head above 16 KiB`)
	f(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9), `response: too many informational responses`)
	f(strings.Repeat("y", 1000)+"\r\n\r\n", `response: malformed HTTP .{1,150}\.\.\.`)
}

func TestInformationalResponsesComeBeforeTheStatus(t *testing.T) {
	answer := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	want(t, probe(t, config.Check{Type: "http"}, speak(t, say(answer))), healthcheck.Down, `status 503, .*`)
	answer = strings.Replace(answer, "503 Service Unavailable", "200 OK", 1)
	want(t, probe(t, config.Check{Type: "http"}, speak(t, say(answer))), healthcheck.Up, `200 in .*`)
}

func TestHTTPSVerifiesOnlyWhenTold(t *testing.T) {
	var names []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		names = append(names, r.TLS.ServerName)
	}))
	var discard bytes.Buffer
	s.Config.ErrorLog = quiet(&discard)
	s.StartTLS()
	address := s.Listener.Addr().String()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trust := func(o *healthcheck.Options) { o.RootCAs = roots }

	want(t, probe(t, config.Check{Type: "https", Host: "other.test:8443"}, address), healthcheck.Up, `200 in .*`)
	want(t, probe(t, config.Check{Type: "https"}, address), healthcheck.Up, `200 in .*`)
	want(t, probe(t, config.Check{Type: "https", Verify: true}, address), healthcheck.Down,
		`tls: failed to verify certificate: x509: certificate signed by unknown authority`)
	want(t, probe(t, config.Check{Type: "https", Verify: true}, address, trust), healthcheck.Up, `200 in .*`) // by address
	want(t, probe(t, config.Check{Type: "https", Verify: true, Host: "example.com"}, address, trust), healthcheck.Up, `200 in .*`)
	want(t, probe(t, config.Check{Type: "https", Verify: true, Host: "other.test"}, address, trust), healthcheck.Down,
		`tls: failed to verify certificate: x509: certificate is valid for .*`)
	s.Close()
	if got := strings.Join(names, " "); got != "other.test   example.com" {
		t.Errorf("server names %q: want the configured host without its port, and none for an address", got)
	}
}

func TestHTTPSToAPlainServerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			_, _ = io.WriteString(conn, "220 mail.example.org ESMTP\r\n")
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	want(t, probe(t, config.Check{Type: "https"}, l.Addr().String()), healthcheck.Down,
		`tls: first record does not look like a TLS handshake`)
	_ = l.Close()
	<-done
}

// TestCheckerProbesOtherKinds takes a probe over UDP and one at another port all the way to the board.
func TestCheckerProbesOtherKinds(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		if n, from, err := conn.ReadFrom(buf); err == nil {
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	address := conn.LocalAddr().String()
	v := probe(t, config.Check{Type: "udp", Send: "hello", Port: netip.MustParseAddrPort(address).Port()}, "127.0.0.1:1")
	want(t, v, healthcheck.Up, `reply "hello" in .*`)
	if v.Key.Endpoint != address {
		t.Errorf("endpoint %s, want %s", v.Key.Endpoint, address)
	}
	_ = conn.Close()
	<-done
}
