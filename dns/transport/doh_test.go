package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/quic-go/quic-go/http3"

	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// TestD22StatusesOfDoH: what is no good request costs nothing but a status (RFC 8484 section 4.2.1).
func TestD22StatusesOfDoH(t *testing.T) {
	k := newKit(transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) { m.Send(m.Packet) })})
	query := question(0, "a.")
	long := append(question(0, "a."), make([]byte, transport.MaxQuery)...)
	const media = "application/dns-message"
	for _, test := range []struct {
		name, method, target, media string
		body                        io.Reader
		status                      int
		reason                      string
	}{
		{"get", "GET", "/dns-query?dns=" + b64(query), "", nil, 200, ""},
		{"get with more in the URL", "GET", "/dns-query?x=y&dns=" + b64(query), "", nil, 200, ""},
		{"head", "HEAD", "/dns-query?dns=" + b64(query), "", nil, 200, ""},
		{"post", "POST", "/dns-query", media, bytes.NewReader(query), 200, ""},
		{"post with parameters", "POST", "/dns-query", "Application/DNS-Message; q=1", bytes.NewReader(query), 200, ""},
		{"post of the longest", "POST", "/dns-query", media, bytes.NewReader(long[:transport.MaxQuery]), 200, ""},
		{"update", "POST", "/dns-query", media, bytes.NewReader(ofOpcode(5, question(0, "a."))), 200, ""},
		{"another path", "GET", "/dns-query/?dns=" + b64(query), "", nil, 404, "path"},
		{"root", "GET", "/", "", nil, 404, "path"},
		{"put", "PUT", "/dns-query", media, bytes.NewReader(query), 405, "method"},
		{"options", "OPTIONS", "/dns-query", "", nil, 405, "method"},
		{"no variable", "GET", "/dns-query", "", nil, 400, "malformed"},
		{"twice", "GET", "/dns-query?dns=" + b64(query) + "&dns=" + b64(query), "", nil, 400, "malformed"},
		{"padded base64", "GET", "/dns-query?dns=" + base64.URLEncoding.EncodeToString(append(query, 0)), "", nil, 400, "malformed"},
		{"line breaks", "GET", "/dns-query?dns=%0a" + b64(query), "", nil, 400, "malformed"},
		{"other alphabet", "GET", "/dns-query?dns=%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b%2b", "", nil, 400, "malformed"},
		{"escape that lies", "GET", "/dns-query?dns=%zz", "", nil, 400, "malformed"},
		{"shorter than a header", "GET", "/dns-query?dns=" + b64(query[:11]), "", nil, 400, "malformed"},
		{"a response", "GET", "/dns-query?dns=" + b64(append([]byte{0, 0, 0x80}, query[3:]...)), "", nil, 400, "malformed"},
		{"update with get", "GET", "/dns-query?dns=" + b64(ofOpcode(5, question(0, "a."))), "", nil, 400, "malformed"},
		{"513 octets in the URL", "GET", "/dns-query?dns=" + b64(long[:513]), "", nil, 414, "too_long"},
		{"long URL", "GET", "/dns-query?dns=" + b64(query) + "&x=" + strings.Repeat("x", 2000), "", nil, 414, "too_long"},
		{"4097 octets", "POST", "/dns-query", media, bytes.NewReader(long[:transport.MaxQuery+1]), 413, "too_long"},
		{"4097 octets of no known length", "POST", "/dns-query", media, iotest.OneByteReader(bytes.NewReader(long)), 413, "too_long"},
		{"a body that stalls", "POST", "/dns-query", media, io.MultiReader(bytes.NewReader(query), iotest.ErrReader(os.ErrDeadlineExceeded)), 408, "slow"},
		{"no type", "POST", "/dns-query", "", bytes.NewReader(query), 415, "media_type"},
		{"JSON", "POST", "/dns-query", "application/dns-json", bytes.NewReader(query), 415, "media_type"},
		{"silence", "POST", "/dns-query", media, bytes.NewReader(question(0, "silent.")), 503, "no_answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.target, test.body)
			r.RemoteAddr = "[::ffff:192.0.2.77]:5"
			if test.media != "" {
				r.Header.Set("Content-Type", test.media)
			}
			before := 0.0
			if test.reason != "" {
				before = k.metric(t, "meridian_dns_requests_refused_total", "https", test.reason)
			}
			w := httptest.NewRecorder()
			k.Handler().ServeHTTP(w, r)
			if w.Code != test.status {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if test.reason != "" {
				if got := k.metric(t, "meridian_dns_requests_refused_total", "https", test.reason); got != before+1 {
					t.Error("not counted")
				}
				if got := w.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control %q", got)
				}
				if allow := w.Header().Get("Allow"); (allow == "GET, HEAD, POST") != (test.status == 405) {
					t.Errorf("Allow %q", allow)
				}
				return
			}
			if got := w.Header().Get("Content-Type"); got != media {
				t.Errorf("Content-Type %q", got)
			}
			if test.name == "update" {
				return
			}
			if got := w.Header().Get("Cache-Control"); got != "private, max-age=77" {
				t.Errorf("Cache-Control %q", got)
			}
			if m := unpack(t, w.Body.Bytes()); m.Id != 0 || text(t, m) != "192.0.2.77" {
				t.Errorf("%v", m)
			}
		})
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/dns-query?dns="+b64(query), nil)
	r.ProtoMajor, r.ProtoMinor = 1, 0
	w := httptest.NewRecorder()
	if k.Handler().ServeHTTP(w, r); w.Code != 505 {
		t.Errorf("HTTP/1.0: %d", w.Code)
	}
}

// canned answers everything with one message.
type canned struct {
	reply []byte
	query dnswire.Query
}

func (c *canned) Answer(dst, _ []byte, _ netip.AddrPort, _ transport.Kind) ([]byte, *dnswire.Query) {
	return append(dst, c.reply...), &c.query
}

// TestFreshnessOfDoH: RFC 8484 section 5.1.
func TestFreshnessOfDoH(t *testing.T) {
	for _, test := range []struct {
		name       string
		rcode      int
		answer, ns []string
		change     func(*mdns.Msg)
		want       string
	}{
		{"shortest of the answer", 0, []string{"a. 300 CNAME b.", "b. 60 A 192.0.2.1"}, []string{"a. 5 NS c."}, nil, "private, max-age=60"},
		{"zero", 0, []string{"a. 0 A 192.0.2.1"}, nil, nil, "private, max-age=0"},
		{"negative, by MINIMUM", 3, nil, []string{"a. 900 SOA b. c. 1 2 3 4 30"}, nil, "private, max-age=30"},
		{"negative, by TTL", 3, nil, []string{"a. 20 SOA b. c. 1 2 3 4 30"}, nil, "private, max-age=20"},
		{"no data", 0, nil, []string{"a. 900 SOA b. c. 1 2 3 4 31"}, nil, "private, max-age=31"},
		{"a chain that ends in nothing", 3, []string{"a. 300 CNAME b."}, []string{"a. 40 SOA b. c. 1 2 3 4 50"}, nil, "private, max-age=40"},
		{"a referral", 0, nil, []string{"a. 500 NS b.", "a. 400 NS c."}, nil, "private, max-age=400"},
		{"nothing at all", 0, nil, nil, nil, "no-store"},
		{"refused", 5, nil, nil, nil, "no-store"},
		{"server failure", 2, []string{"a. 300 A 192.0.2.1"}, nil, nil, "no-store"},
		{"truncated", 0, []string{"a. 300 A 192.0.2.1"}, nil, func(m *mdns.Msg) { m.Truncated = true }, "no-store"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := new(mdns.Msg)
			m.SetQuestion("a.", mdns.TypeA)
			m.Response, m.Rcode = true, test.rcode
			m.SetEdns0(1232, true) // whose TTL is none
			for _, s := range test.answer {
				m.Answer = append(m.Answer, record(t, s))
			}
			for _, s := range test.ns {
				m.Ns = append(m.Ns, record(t, s))
			}
			if test.change != nil {
				test.change(m)
			}
			wire, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			k := newKit(transport.Options{Answerer: func() transport.Answerer { return &canned{reply: wire} }})
			w := httptest.NewRecorder()
			k.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/dns-query?dns="+b64(question(0, "a.")), nil))
			if got := w.Header().Get("Cache-Control"); got != test.want || w.Code != 200 {
				t.Errorf("%d, Cache-Control %q, want %q", w.Code, got, test.want)
			}
		})
	}
}

func record(t *testing.T, s string) mdns.RR {
	t.Helper()
	rr, err := mdns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// FuzzReply: options and freshness are read from whatever an Answerer made.
func FuzzReply(f *testing.F) {
	m := new(mdns.Msg)
	m.SetQuestion("a.", mdns.TypeA)
	m.SetEdns0(1232, true)
	wire, _ := m.Pack()
	f.Add(wire)
	f.Fuzz(func(t *testing.T, reply []byte) {
		c := &canned{reply: reply}
		c.query.EDNS, c.query.Padding, c.query.Keepalive = true, true, true
		s := transport.New(transport.Options{Answerer: func() transport.Answerer { return c }})
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/dns-query?dns="+b64(question(0, "a.")), nil))
		got := w.Body.Bytes()
		if len(reply) == 0 || w.Code != 200 {
			return
		}
		if m := new(mdns.Msg); !bytes.Equal(got, reply) && m.Unpack(reply) == nil {
			if err := m.Unpack(got); err != nil || len(got)%468 != 0 || m.IsEdns0() == nil {
				t.Fatalf("%v: % x", err, got)
			}
		}
	})
}

// client is an HTTP client for one protocol.
func client(t *testing.T, proto string, config *tls.Config) *http.Client {
	t.Helper()
	config = config.Clone()
	switch proto {
	case "HTTP/3.0":
		tr := &http3.Transport{TLSClientConfig: config}
		t.Cleanup(func() { tr.Close() })
		return &http.Client{Transport: tr, Timeout: patience}
	case "HTTP/1.1":
		config.NextProtos = []string{"http/1.1"}
	}
	tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: proto == "HTTP/2.0"}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// serveDoH serves one kit over TCP and UDP and returns the URL for a protocol.
func serveDoH(t *testing.T, k *kit, config *tls.Config) (stop func(), base func(proto string) string) {
	t.Helper()
	ln, conn := listen(t), listenUDP(t)
	one := run(t, func(ctx context.Context) error { return k.ServeHTTPS(ctx, ln, config) })
	two := run(t, func(ctx context.Context) error { return k.ServeHTTP3(ctx, conn, config) })
	stop = func() {
		one()
		two()
	}
	return stop, func(proto string) string {
		if proto == "HTTP/3.0" {
			return "https://" + conn.LocalAddr().String() + "/dns-query"
		}
		return "https://" + ln.Addr().String() + "/dns-query"
	}
}

var protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// TestDoHOverEveryHTTP: GET and POST over HTTP/1.1, 2 and 3, padded when the query was.
func TestDoHOverEveryHTTP(t *testing.T) {
	server, trust := certificate(t)
	k := newKit(patient(transport.Options{}))
	stop, base := serveDoH(t, k, server)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			c := client(t, proto, trust)
			padded := question(0, "a.", &mdns.EDNS0_PADDING{Padding: make([]byte, 80)})
			for range 2 {
				get, err := c.Get(base(proto) + "?dns=" + b64(padded))
				if err != nil {
					t.Fatal(err)
				}
				post, err := c.Post(base(proto), "application/dns-message", bytes.NewReader(padded))
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range []*http.Response{get, post} {
					body, err := io.ReadAll(r.Body)
					r.Body.Close()
					if err != nil || r.StatusCode != 200 || r.Proto != proto {
						t.Fatalf("%v %s %s", err, r.Status, r.Proto)
					}
					if m := unpack(t, body); len(body) != 468 || text(t, m) != "127.0.0.1" {
						t.Errorf("%d octets: %v", len(body), m)
					}
				}
			}
			if got := k.metric(t, "meridian_dns_connections", "https"); got < 1 {
				t.Error("no connection is counted")
			}
		})
	}
	stop()
	k.await(t, 0, "meridian_dns_connections", "https")
}

// TestD22DoHConnectionsAreCounted: by peer, and the one idle longest makes room.
func TestD22DoHConnectionsAreCounted(t *testing.T) {
	server, trust := certificate(t)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			k := newKit(patient(transport.Options{Limits: transport.Limits{PerPeer: 2}}))
			_, base := serveDoH(t, k, server)
			ask := func(c *http.Client) error {
				r, err := c.Get(base(proto) + "?dns=" + b64(question(0, "a.")))
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
				return err
			}
			for range 2 {
				if err := ask(client(t, proto, trust)); err != nil {
					t.Fatal(err)
				}
			}
			if ask(client(t, proto, trust)) == nil {
				t.Error("a third connection of one peer")
			}
			if got := k.metric(t, "meridian_dns_connections_closed_total", "https", "peer_limit"); got < 1 {
				t.Error("not counted")
			}
		})
		t.Run(proto+" in all", func(t *testing.T) {
			k := newKit(patient(transport.Options{Limits: transport.Limits{Connections: 1}}))
			_, base := serveDoH(t, k, server)
			for range 3 {
				r, err := client(t, proto, trust).Get(base(proto) + "?dns=" + b64(question(0, "a.")))
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, r.Body) // a connection whose reply is not read is closed by the client
				r.Body.Close()
			}
			if got := k.metric(t, "meridian_dns_connections_closed_total", "https", "evicted"); got != 2 {
				t.Errorf("%v made room", got)
			}
		})
	}
}

// TestD22SlowDoHClients: neither a head nor a body may take for ever.
func TestD22SlowDoHClients(t *testing.T) {
	server, trust := certificate(t)
	k := newKit(transport.Options{Limits: transport.Limits{Receive: 50 * time.Millisecond, IdleQUIC: 50 * time.Millisecond}})
	_, base := serveDoH(t, k, server)
	trust = trust.Clone()
	trust.NextProtos = []string{"http/1.1"}
	host := strings.TrimSuffix(strings.TrimPrefix(base("HTTP/1.1"), "https://"), "/dns-query")
	for name, sent := range map[string]string{
		"head": "GET /dns-query?dns=",
		"body": "POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\nContent-Length: 100\r\n\r\nxx",
		"idle": "GET /dns-query?dns=" + b64(question(0, "a.")) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"huge": "GET /dns-query HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			secure := tls.Client(conn, trust)
			defer secure.Close()
			secure.SetDeadline(time.Now().Add(patience))
			io.WriteString(secure, sent)
			if _, err := io.ReadAll(secure); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server holds on")
			}
		})
	}
	for _, proto := range []string{"HTTP/2.0", "HTTP/3.0"} {
		t.Run(proto, func(t *testing.T) {
			body, w := io.Pipe()
			defer w.Close()
			var wg sync.WaitGroup
			wg.Go(func() { w.Write([]byte{0}) })
			r, err := client(t, proto, trust.Clone()).Post(base(proto), "application/dns-message", body)
			if err == nil {
				if r.StatusCode != 408 {
					t.Errorf("%s", r.Status)
				}
				r.Body.Close()
			}
			body.Close()
			wg.Wait()
		})
	}
}

// TestL05ProxyBeforeHTTPS: the header comes before the handshake.
func TestL05ProxyBeforeHTTPS(t *testing.T) {
	server, trust := certificate(t)
	k := newKit(patient(transport.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	_, base := serveDoH(t, k, server)
	tr := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			_, err = conn.Write(unhex(proxyHeader))
		}
		return conn, err
	}}
	defer tr.CloseIdleConnections()
	r, err := (&http.Client{Transport: tr, Timeout: patience}).Get(base("HTTP/2.0") + "?dns=" + b64(question(0, "a.")))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if got := text(t, unpack(t, body)); got != "198.51.100.7" {
		t.Errorf("the server sees %s", got)
	}
}

// TestStopFinishesDoH: a request under way gets its answer, and the server is gone after.
func TestStopFinishesDoH(t *testing.T) {
	server, trust := certificate(t)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			begun, finish := make(chan struct{}), make(chan struct{})
			limits := transport.Limits{Drain: patience, Goodbye: patience}
			k := newKit(patient(transport.Options{Limits: limits, Messages: desk(func(_ context.Context, m *transport.Message) {
				close(begun)
				<-finish
				if m.Send(m.Packet) != nil || m.Send(m.Packet) == nil {
					t.Error("one reply can be sent, and no more")
				}
			})}))
			stop, base := serveDoH(t, k, server)
			var wg sync.WaitGroup
			wg.Go(func() {
				c := client(t, proto, trust)
				r, err := c.Post(base(proto), "application/dns-message", bytes.NewReader(ofOpcode(5, question(0, "a."))))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if tr, ok := c.Transport.(*http3.Transport); ok {
					tr.Close() // which the server waits for
				}
				if err != nil || len(body) < 12 || binary.BigEndian.Uint16(body) != 0 {
					t.Errorf("%v, % x", err, body)
				}
			})
			<-begun
			wg.Go(stop)
			close(finish)
			wg.Wait()
		})
	}
}
