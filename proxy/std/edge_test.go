package std_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

// exchangeRaw sends bytes on a connection and returns the response, its body and the connection's fate.
func exchangeRaw(t *testing.T, addr net.Addr, request, method string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request)
	response, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	b, _ := io.ReadAll(response.Body)
	return response, string(b)
}

// TestTargetForms is attack row S27, as far as net/http lets it be seen.
func TestTargetForms(t *testing.T) {
	f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
		return text(200, x.Head.Method+" "+x.Head.Scheme+" "+x.Head.Authority+" "+x.Head.Target)
	}, nil)
	check := func(line string, status int, want string) {
		t.Helper()
		method, _, _ := strings.Cut(line, " ")
		response, got := exchangeRaw(t, f.plain, line+"\r\nHost: a.example\r\nConnection: close\r\n\r\n", method)
		if response.StatusCode != status || want != "" && got != want {
			t.Errorf("%s: %d %q", line, response.StatusCode, got)
		}
	}
	check("GET /x HTTP/1.1", 200, "GET http a.example /x")
	check("GET //evil.example/x HTTP/1.1", 200, "GET http a.example //evil.example/x")
	check("GET /%00%2f%zz HTTP/1.1", 400, "")
	check("OPTIONS * HTTP/1.1", 200, "OPTIONS http a.example *")
	check("GET http://a.example/x?y HTTP/1.1", 200, "GET http a.example /x?y")
	check("GET http://a.example HTTP/1.1", 200, "GET http a.example /")
	check("GET http://a.example?y HTTP/1.1", 200, "GET http a.example /?y")
	check("GET http://b.example/x HTTP/1.1", 200, "GET http b.example /x") // the target wins: RFC 9112 section 3.2.2
	check("GET https://a.example/x HTTP/1.1", 400, "")
	check("GET ftp://a.example/x HTTP/1.1", 400, "")
	check("GET http://user@a.example/x HTTP/1.1", 400, "")
	check("GET a.example HTTP/1.1", 400, "")
	check("CONNECT a.example:443 HTTP/1.1", 200, "CONNECT http a.example:443 a.example:443")
}

func TestHTTP10(t *testing.T) {
	f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
		if x.Head.Proto != httpwire.HTTP10 || x.Inform != nil {
			t.Errorf("proto %v, inform %v", x.Head.Proto, x.Inform != nil)
		}
		return &httpwire.Response{Status: 200, Length: -1, Body: newBody(strings.NewReader("until the end").Read)}
	}, nil)
	if response, got := exchangeRaw(t, f.plain, "GET / HTTP/1.0\r\n\r\n", "GET"); response.StatusCode != 200 || got != "until the end" {
		t.Errorf("%d %q", response.StatusCode, got)
	}
}

func TestContinueIsSentWhenTheBodyIsWanted(t *testing.T) {
	f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
		if x.Head.Target == "/no" {
			return text(403, "no")
		}
		b, _ := io.ReadAll(x.Body)
		return text(200, string(b))
	}, nil)
	c, err := net.Dial("tcp", f.plain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if line, err := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	br.ReadString('\n')
	io.WriteString(c, "abc")
	response, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(response.Body); string(b) != "abc" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	fmt.Fprintf(c, "POST /no HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if response, err = http.ReadResponse(br, nil); err != nil || response.StatusCode != 403 || !response.Close {
		t.Errorf("%v, %v: want 403 and the end of the connection", response, err)
	}
}

// TestUnreadBodyDoesNotHoldTheConnection: a refused request whose body never comes ends with its connection.
func TestUnreadBodyDoesNotHoldTheConnection(t *testing.T) {
	f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return text(403, "no") }, nil)
	c, err := net.Dial("tcp", f.plain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n")
	br := bufio.NewReader(c)
	response, err := http.ReadResponse(br, nil)
	if err != nil || response.StatusCode != 403 {
		t.Fatal(response, err)
	}
	io.Copy(io.Discard, response.Body)
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("afterwards: %v", err)
	}
}

// TestConnectionLimits is attack row R04 and secure default 5.
func TestConnectionLimits(t *testing.T) {
	check := func(total, perClient int, reason string) {
		t.Helper()
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return text(200, "hi") },
			func(o *std.Options) { o.Limits.Connections, o.Limits.PerClient = total, perClient })
		c1 := f.client(t, httpwire.HTTP11)
		c2 := f.client(t, httpwire.HTTP2)
		c1.must(t, "GET", "/", nil)
		c2.must(t, "GET", "/", nil)
		if _, err := f.client(t, httpwire.HTTP3).do(t, "GET", "/", nil); err == nil {
			t.Errorf("%s: a third connection, over QUIC", reason)
		}
		c, err := net.Dial("tcp", f.plain.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", reason, err)
		}
		c.Close()
		want := `# HELP meridian_http_connections Open client connections, by protocol.
# TYPE meridian_http_connections gauge
meridian_http_connections{proto="h1"} 1
meridian_http_connections{proto="h2"} 1
meridian_http_connections{proto="h3"} 0
`
		if err := testutil.GatherAndCompare(f.registry, strings.NewReader(want), "meridian_http_connections"); err != nil {
			t.Error(err)
		}
		if got := counter(t, f, "meridian_http_connections_refused_total", reason); got < 2 {
			t.Errorf("%s: %v refused, want 2 or more", reason, got)
		}
		problems, err := testutil.GatherAndLint(f.registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v, %v", problems, err)
		}
		f.Close()
		f.served.Wait()
	}
	check(2, 50, "total")
	check(100, 2, "per_client")
}

// counter reads a counter with one label.
func counter(t *testing.T, f *front, name, label string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestPlacesAreGivenBack: connections that end make room for others.
func TestPlacesAreGivenBack(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return text(200, "hi") },
			func(o *std.Options) { o.Limits.Connections = 1 })
		for range 3 {
			for {
				c := f.client(t, proto)
				response, err := c.do(t, "GET", "/", nil)
				if err == nil {
					io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
				c.CloseIdleConnections()
				if closer, ok := c.Transport.(io.Closer); ok {
					closer.Close()
				}
				if err == nil {
					break
				}
				if t.Context().Err() != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestSlowHeadIsCutOff is attack rows R01 and R05.
func TestSlowHeadIsCutOff(t *testing.T) {
	f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return text(200, "hi") },
		func(o *std.Options) { o.Limits.HeaderTimeout = 50 * time.Millisecond })
	for _, addr := range []net.Addr{f.plain, f.secure} {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost:")
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
		c.Close()
	}
}

func TestIdleConnectionIsCutOff(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return text(200, "hi") },
			func(o *std.Options) { o.Limits.IdleTimeout = 50 * time.Millisecond })
		f.client(t, proto).must(t, "GET", "/", nil)
		for { // until the connection's metric is back at 0
			want := fmt.Sprintf("# HELP meridian_http_connections Open client connections, by protocol.\n" +
				"# TYPE meridian_http_connections gauge\n" +
				"meridian_http_connections{proto=\"h1\"} 0\nmeridian_http_connections{proto=\"h2\"} 0\nmeridian_http_connections{proto=\"h3\"} 0\n")
			err := testutil.GatherAndCompare(f.registry, strings.NewReader(want), "meridian_http_connections")
			if err == nil {
				break
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNoTLSWithoutConfiguration(t *testing.T) {
	s := std.New(std.Options{Limits: limits(), Handler: handler(nil)})
	if err := s.ServeTLS(listen(t)); err == nil {
		t.Error("TLS without a configuration")
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeQUIC(pc); err == nil {
		t.Error("QUIC without a configuration")
	}
}

func TestNothingIsServedAfterClose(t *testing.T) {
	cert, _ := certificate(t)
	s := std.New(std.Options{Limits: limits(), Handler: handler(nil), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	s.Close()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"plain": s.ServeHTTP1(listen(t)), "tls": s.ServeTLS(listen(t)), "quic": s.ServeQUIC(pc),
	} {
		if err != std.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
