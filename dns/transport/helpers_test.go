package transport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// echo answers every query with the address it came from, and "silent." not at all.
type echo struct{ query dnswire.Query }

func newEcho() transport.Answerer { return &echo{} }

func (e *echo) Answer(dst, packet []byte, from netip.AddrPort, _ transport.Kind) ([]byte, *dnswire.Query) {
	verdict := e.query.Parse(packet)
	q := new(mdns.Msg)
	if verdict == dnswire.Drop || q.Unpack(packet) != nil {
		return dst, &e.query
	}
	m := new(mdns.Msg)
	m.SetReply(q)
	if len(q.Question) > 0 {
		if q.Question[0].Name == "silent." {
			return dst, &e.query
		}
		m.Answer = []mdns.RR{&mdns.TXT{
			Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 77}, Txt: []string{from.Addr().String()},
		}}
	}
	if q.IsEdns0() != nil {
		m.SetEdns0(1232, false)
	}
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return append(dst, wire...), &e.query
}

// desk takes every NOTIFY and UPDATE, and lets a test deal with them.
type desk func(ctx context.Context, m *transport.Message)

func (desk) Takes(packet []byte) bool { return len(packet) > 2 && packet[2]>>3&0xF != 0 }

func (d desk) Handle(ctx context.Context, m *transport.Message) { d(ctx, m) }

// question packs a query.
func question(id uint16, name string, options ...mdns.EDNS0) []byte {
	m := new(mdns.Msg)
	m.SetQuestion(name, mdns.TypeTXT)
	m.Id, m.RecursionDesired = id, false
	if options != nil {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = options
	}
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return wire
}

// ofOpcode makes another message of a query.
func ofOpcode(opcode byte, msg []byte) []byte {
	msg[2] = msg[2]&^0x78 | opcode<<3
	return msg
}

func framed(msgs ...[]byte) []byte {
	var out []byte
	for _, m := range msgs {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(m))), m...)
	}
	return out
}

func readFrame(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

func unpack(t testing.TB, wire []byte) *mdns.Msg {
	t.Helper()
	m := new(mdns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatalf("%v: % x", err, wire)
	}
	return m
}

func idOf(msg []byte) uint16 { return binary.BigEndian.Uint16(msg) }

// text is the one string of a reply.
func text(t testing.TB, m *mdns.Msg) string {
	t.Helper()
	if len(m.Answer) != 1 {
		t.Fatalf("no answer: %v", m)
	}
	return m.Answer[0].(*mdns.TXT).Txt[0]
}

// kit is a server for a test.
type kit struct {
	*transport.Server
	registry *prometheus.Registry
}

func newKit(o transport.Options) *kit {
	k := &kit{registry: prometheus.NewRegistry()}
	o.Registerer = k.registry
	if o.Answerer == nil {
		o.Answerer = newEcho
	}
	k.Server = transport.New(o)
	return k
}

// patient gives real sockets on a busy machine all the time they need, where a test does not say otherwise.
func patient(o transport.Options) transport.Options {
	for _, d := range []*time.Duration{&o.Limits.Header, &o.Limits.Handshake, &o.Limits.First, &o.Limits.Idle, &o.Limits.IdleQUIC, &o.Limits.Receive, &o.Limits.Write, &o.Limits.Transfer} {
		if *d == 0 {
			*d = patience
		}
	}
	return o
}

// metric sums the series of a family whose labels hold all values.
func (k *kit) metric(t testing.TB, name string, values ...string) float64 {
	t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, want := range values {
				has := false
				for _, l := range m.GetLabel() {
					has = has || l.GetValue() == want
				}
				if !has {
					continue series
				}
			}
			found = true
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if !found {
		t.Fatalf("no metric %s %v", name, values)
	}
	return sum
}

// await waits until a counter has at least a value, and a gauge of 0 until it is 0.
func (k *kit) await(t testing.TB, want float64, name string, values ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		got := k.metric(t, name, values...)
		if got == want || want > 0 && got > want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s %v is %v, not %v", name, values, got, want)
		}
	}
}

// run calls a Serve method until the test ends, or stop is called, which waits for it.
func run(t testing.TB, serve func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := serve(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func listenUDP(t testing.TB) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func dial(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func send(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// certificate makes a configuration for servers, and one for clients that trusts it.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"dns.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
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
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "dns.example.org"}
}

// pipeListener is a listener in memory: its connections are durably blocked when they wait, as synctest wants it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	wrap   func(net.Conn) net.Conn // the server's end; nil: as it is
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	if l.wrap != nil {
		server = l.wrap(server)
	}
	l.conns <- server
	return client
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection that seems to come from an address.
type from struct {
	net.Conn
	addr string
}

func (c from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.addr)) }
