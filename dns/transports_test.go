package dns_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/need"
)

// everywhere is a server on every transport.
type everywhere struct {
	udp, tcp, tls, https, h3, quic string
	registry                       *prometheus.Registry
	ca                             string // a file
	trust                          *tls.Config
}

// long is how long a busy machine may take.
const long = 30 * time.Second

func serveEverywhere(t *testing.T, o dns.Options) *everywhere {
	t.Helper()
	e := &everywhere{registry: prometheus.NewRegistry()}
	config := e.certificate(t)
	if o.Source == nil {
		source := &holder{}
		source.p.Store(steeredZones(t))
		o.Source = source
	}
	o.Registerer = e.registry
	o.Streams = transport.Limits{First: long, Idle: long, Receive: long, Write: long, Handshake: long}
	s := dns.NewServer(o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	stream := func(serve func(net.Listener) error) string {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		wg.Go(func() {
			if err := serve(ln); err != nil {
				t.Error(err)
			}
		})
		return ln.Addr().String()
	}
	packets := func(serve func(*net.UDPConn) error) string {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		wg.Go(func() {
			if err := serve(conn); err != nil {
				t.Error(err)
			}
		})
		return conn.LocalAddr().String()
	}
	e.udp = packets(func(c *net.UDPConn) error { return s.ServeUDP(ctx, c) })
	e.tcp = stream(func(ln net.Listener) error { return s.ServeTCP(ctx, ln) })
	e.tls = stream(func(ln net.Listener) error { return s.ServeTLS(ctx, ln, config) })
	e.https = stream(func(ln net.Listener) error { return s.ServeHTTPS(ctx, ln, config) })
	e.h3 = packets(func(c *net.UDPConn) error { return s.ServeHTTP3(ctx, c, config) })
	e.quic = packets(func(c *net.UDPConn) error { return s.ServeQUIC(ctx, c, config) })
	t.Cleanup(func() { // before the sockets are closed
		cancel()
		wg.Wait()
	})
	return e
}

func (e *everywhere) certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"dns.example.org"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	e.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(e.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	e.trust = &tls.Config{RootCAs: pool, ServerName: "dns.example.org"}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// asks are clients of every transport: each sends a packet and returns the reply, nil for none.
func (e *everywhere) asks(t *testing.T) map[string]func(t *testing.T, packet []byte) []byte {
	t.Helper()
	over := func(conn net.Conn, err error, framed bool) func(*testing.T, []byte) []byte {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return func(t *testing.T, packet []byte) []byte {
			conn.SetDeadline(time.Now().Add(long))
			if !framed {
				write(t, conn, packet)
				buf := make([]byte, dns.MaxTCP)
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				return buf[:n]
			}
			write(t, conn, append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
			return frameFrom(t, conn)
		}
	}
	udp, udpErr := net.Dial("udp", e.udp)
	tcp, tcpErr := net.Dial("tcp", e.tcp)
	dot := e.trust.Clone()
	dot.NextProtos = []string{"dot"}
	secure, tlsErr := tls.Dial("tcp", e.tls, dot)
	h2 := &http.Transport{TLSClientConfig: e.trust, ForceAttemptHTTP2: true}
	t.Cleanup(h2.CloseIdleConnections)
	h3 := &http3.Transport{TLSClientConfig: e.trust.Clone()}
	t.Cleanup(func() { h3.Close() })
	doq := e.trust.Clone()
	doq.NextProtos = []string{"doq"}
	return map[string]func(*testing.T, []byte) []byte{
		"udp":        over(udp, udpErr, false),
		"tcp":        over(tcp, tcpErr, true),
		"tls":        over(secure, tlsErr, true),
		"https":      overHTTP(h2, e.https, true),
		"https POST": overHTTP(h2, e.https, false),
		"h3":         overHTTP(h3, e.h3, true),
		"h3 POST":    overHTTP(h3, e.h3, false),
		"quic": func(t *testing.T, packet []byte) []byte {
			ctx, cancel := context.WithTimeout(t.Context(), long)
			defer cancel()
			c, err := quic.DialAddr(ctx, e.quic, doq, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseWithError(0, "")
			s, err := c.OpenStreamSync(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s.SetDeadline(time.Now().Add(long))
			packet = append([]byte{0, 0}, packet[2:]...) // the id
			if _, err := s.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			return frameFrom(t, s)
		},
	}
}

func frameFrom(t *testing.T, r io.Reader) []byte {
	t.Helper()
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

func overHTTP(tr http.RoundTripper, addr string, get bool) func(*testing.T, []byte) []byte {
	return func(t *testing.T, packet []byte) []byte {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+addr+"/dns-query", bytes.NewReader(packet))
		if get {
			r, err = http.NewRequestWithContext(t.Context(), "GET", "https://"+addr+"/dns-query?dns="+base64.RawURLEncoding.EncodeToString(packet), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/dns-message")
		response, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%s, %v", response.Status, err)
		}
		return body
	}
}

// TestEveryTransportGivesTheSameAnswer: whatever carries a query (row M15), rows D10, D13, D14, D19 and D20 among them.
func TestEveryTransportGivesTheSameAnswer(t *testing.T) {
	e := serveEverywhere(t, dns.Options{})
	signed := func(m *mdns.Msg) { m.SetTsig("key.", mdns.HmacSHA256, 300, 1) }
	for name, ask := range e.asks(t) {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name    string
				qtype   uint16
				options []func(*mdns.Msg)
				want    string // in the reply, rendered
			}{
				{"www.example.org", mdns.TypeA, nil, "NOERROR aa; www.example.org. 60 A 192.0.2.2"},
				{"latency.example.org", mdns.TypeA, []func(*mdns.Msg){subnet("198.51.100.0/24")}, "192.0.2.31; ~subnet 198.51.100.0/24/24"},
				{"latency.example.org", mdns.TypeA, []func(*mdns.Msg){subnet("203.0.113.0/24")}, "192.0.2.32; ~subnet 203.0.113.0/24/24"},
				{"nothing.example.org", mdns.TypeA, nil, "NXDOMAIN aa"},
				{"example.com", mdns.TypeA, nil, "REFUSED"},
				{"version.bind", mdns.TypeTXT, []func(*mdns.Msg){func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }}, "REFUSED"},
				{"example.org", mdns.TypeAXFR, nil, "REFUSED"},
				{"example.org", mdns.TypeIXFR, nil, "REFUSED"},
				{"www.example.org", mdns.TypeA, []func(*mdns.Msg){signed}, "NOTAUTH"},
				{"www.example.org", mdns.TypeA, []func(*mdns.Msg){edns(1232), func(m *mdns.Msg) { m.IsEdns0().SetVersion(1) }}, "BADVERS"},
			} {
				packet := question(test.name, test.qtype, test.options...)
				m := new(mdns.Msg)
				if err := m.Unpack(ask(t, packet)); err != nil {
					t.Fatalf("%s: %v", test.name, err)
				}
				if got := render(m); !strings.Contains(got, test.want) {
					t.Errorf("%s: %s, want %s", test.name, got, test.want)
				}
			}
		})
	}
	for _, proto := range []string{"udp", "tcp", "tls", "https", "quic"} {
		if got := metric(t, &running{registry: e.registry}, "meridian_dns_queries_total", proto, "NXDOMAIN"); got < 1 {
			t.Errorf("%s is not counted", proto)
		}
	}
}

// messageDesk takes what is no plain query.
type messageDesk func(ctx context.Context, m *transfer.Message)

func (d messageDesk) Handle(ctx context.Context, m *transfer.Message) bool {
	d(ctx, m)
	return true
}

// TestMessagesAreHandedOver: other opcodes, transfers and what is signed, over all transports but UDP.
func TestMessagesAreHandedOver(t *testing.T) {
	e := serveEverywhere(t, dns.Options{Messages: messageDesk(func(_ context.Context, m *transfer.Message) {
		whole := m.Plain(nil, question("www.example.org", mdns.TypeA), 0)
		short := m.Plain([]byte("xx"), question("www.example.org", mdns.TypeA), len(whole)-1)[2:]
		if len(short) >= len(whole) || short[2]&2 == 0 {
			t.Errorf("not truncated: % x", short)
		}
		reply := append([]byte{}, m.Packet...)
		reply[2] |= 0x80
		reply[3] |= 9 // NOTAUTH, so that it can be told from others
		if !m.Stream {
			reply[3]++ // NOTZONE
		}
		if err := m.Send(reply); err != nil {
			t.Error(err)
		}
	})})
	for name, ask := range e.asks(t) {
		if name == "udp" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			want := mdns.RcodeNotAuth
			if strings.HasPrefix(name, "h") {
				want = mdns.RcodeNotZone
			}
			for what, packet := range map[string][]byte{
				"axfr":   question("example.org", mdns.TypeAXFR),
				"ixfr":   question("example.org", mdns.TypeIXFR),
				"signed": question("www.example.org", mdns.TypeA, func(m *mdns.Msg) { m.SetTsig("key.", mdns.HmacSHA256, 300, 1) }),
				"notify": question("example.org", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }),
			} {
				if what == "notify" && (name == "https" || name == "h3") {
					continue // not with GET
				}
				if got := int(ask(t, packet)[3] & 0xF); got != want {
					t.Errorf("%s: code %d", what, got)
				}
			}
			if got := int(ask(t, question("www.example.org", mdns.TypeA))[3] & 0xF); got != mdns.RcodeSuccess {
				t.Errorf("a plain query: code %d", got)
			}
		})
	}
}

// TestPanicOfMessagesCostsOneMessage: the server goes on.
func TestPanicOfMessagesCostsOneMessage(t *testing.T) {
	e := serveEverywhere(t, dns.Options{Messages: messageDesk(func(context.Context, *transfer.Message) { panic("BUG: made for a test") })})
	conn, err := net.Dial("tcp", e.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(long))
	axfr := question("example.org", mdns.TypeAXFR)
	write(t, conn, append(binary.BigEndian.AppendUint16(nil, uint16(len(axfr))), axfr...))
	roundTrip(t, conn, pipelined(1, "www.example.org."))
	if got := metric(t, &running{registry: e.registry}, "meridian_dns_panics_total"); got != 1 {
		t.Errorf("%v panics", got)
	}
}

// TestL05ProxiedDatagrams: over UDP each datagram says whom it is from.
func TestL05ProxiedDatagrams(t *testing.T) {
	const header = "\r\n\r\n\x00\r\nQUIT\n\x21\x12\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x35\x0f\xa0\x00\x35" // from 198.51.100.7
	query := question("latency.example.org", mdns.TypeA)
	for _, test := range []struct {
		name    string
		proxies string
		sent    []byte
		want    string
	}{
		{"listed", "127.0.0.1/32", append([]byte(header), query...), "192.0.2.31"},
		{"stranger", "192.0.2.0/24", query, "192.0.2."},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := serveEverywhere(t, dns.Options{Proxies: []netip.Prefix{netip.MustParsePrefix(test.proxies)}})
			conn, err := net.Dial("udp", e.udp)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(long))
			buf, bad := make([]byte, 1500), query // without the header that is needed
			if test.name == "stranger" {
				bad = append([]byte(header), query...)
			}
			write(t, conn, bad)
			write(t, conn, test.sent)
			var m mdns.Msg
			for m.Id != 4711 { // what strangers say of others is malformed
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Unpack(buf[:n]); err != nil && test.name == "listed" {
					t.Fatal(err)
				}
			}
			if got := render(&m); !strings.Contains(got, test.want) {
				t.Errorf("%s", got)
			}
			if dropped := metric(t, &running{registry: e.registry}, "meridian_dns_dropped_total", "proxy_header"); (dropped == 1) != (test.name == "listed") {
				t.Errorf("%v dropped", dropped)
			}
		})
	}
}

// TestKdig asks over TCP, DoT and DoH with the client of Knot DNS.
func TestKdig(t *testing.T) {
	kdig := need.Tool(t, "kdig")
	e := serveEverywhere(t, dns.Options{})
	tlsOptions := "+tls-ca=" + e.ca + " +tls-hostname=dns.example.org "
	for _, test := range []struct {
		addr, args string
		want       []string
	}{
		{e.tcp, "+tcp +keepopen +edns +ednsopt=11 www.example.org A www.example.org A nothing.example.org A", []string{"192.0.2.2", "NXDOMAIN", "(TCP)", "012C"}},
		{e.tls, "+tls +padding=128 " + tlsOptions + "www.example.org A", []string{"192.0.2.2", "TLS", "468 B"}},
		{e.tls, "+tls +keepopen " + tlsOptions + "www.example.org A nothing.example.org A", []string{"192.0.2.2", "NXDOMAIN"}},
		{e.https, "+https " + tlsOptions + "www.example.org A", []string{"192.0.2.2", "HTTP/2-POST", "status: 200"}},
		{e.https, "+https +https-get " + tlsOptions + "www.example.org A", []string{"192.0.2.2", "HTTP/2-GET", "status: 200"}},
		{e.https, "+https=/nowhere " + tlsOptions + "www.example.org A", []string{"404"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			host, port, _ := net.SplitHostPort(test.addr)
			args := append([]string{"@" + host, "-p", port, "+retry=0", "+time=20"}, strings.Fields(test.args)...)
			out, err := exec.CommandContext(t.Context(), kdig, args...).CombinedOutput()
			if err != nil && !strings.Contains(test.args, "nowhere") {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

// TestCurlAsksDoH: with GET, over HTTP/1.1 and HTTP/2.
func TestCurlAsksDoH(t *testing.T) {
	curl := need.Tool(t, "curl")
	e := serveEverywhere(t, dns.Options{})
	_, port, _ := net.SplitHostPort(e.https)
	for option, version := range map[string]string{"--http1.1": "HTTP/1.1", "--http2": "HTTP/2"} {
		out, err := exec.CommandContext(t.Context(), curl, "-sS", "-i", option, "--max-time", "20", "--noproxy", "*", "--cacert", e.ca,
			"--resolve", "dns.example.org:"+port+":127.0.0.1",
			"https://dns.example.org:"+port+"/dns-query?dns="+base64.RawURLEncoding.EncodeToString(question("www.example.org", mdns.TypeA))).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		head, body, _ := bytes.Cut(out, []byte("\r\n\r\n"))
		for _, want := range []string{version + " 200", "content-type: application/dns-message", "cache-control: private, max-age=60"} {
			if !strings.Contains(strings.ToLower(string(head)), strings.ToLower(want)) {
				t.Errorf("no %q in\n%s", want, head)
			}
		}
		m := new(mdns.Msg)
		if err := m.Unpack(body); err != nil || len(m.Answer) != 2 {
			t.Errorf("%v, %v", err, m)
		}
	}
}
