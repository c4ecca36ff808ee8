package dns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/dns/tap"
	"github.com/meridian-edge/meridian/steer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holder is a Source whose generation can be swapped.
type holder struct{ p atomic.Pointer[dns.Zones] }

func (h *holder) Zones() *dns.Zones { return h.p.Load() }

// running is a server on loopback sockets of its own.
type running struct {
	source   holder
	registry *prometheus.Registry
	udp, tcp string
	log      bytes.Buffer
	stop     func() // returns when both loops have
}

func serve(t testing.TB, z *dns.Zones, limits config.Limits) *running {
	t.Helper()
	return serveWith(t, z, dns.Options{Limits: limits})
}

// serveWith is serve with more options; its registry, log and source are set here.
func serveWith(t testing.TB, z *dns.Zones, o dns.Options) *running {
	t.Helper()
	r := &running{registry: prometheus.NewRegistry()}
	r.source.p.Store(z)
	o.Source, o.Registerer, o.Log = &r.source, r.registry, slog.New(slog.NewTextHandler(&r.log, nil))
	s := dns.NewServer(o)
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.udp, r.tcp = conn.LocalAddr().String(), ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.ServeUDP(ctx, conn); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := s.ServeTCP(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		conn.Close()
		ln.Close()
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) exchange(t *testing.T, network, name string, qtype uint16, options ...func(*mdns.Msg)) *mdns.Msg {
	t.Helper()
	q := new(mdns.Msg)
	q.SetQuestion(mdns.Fqdn(name), qtype)
	for _, o := range options {
		o(q)
	}
	addr := r.udp
	if network == "tcp" {
		addr = r.tcp
	}
	c := mdns.Client{Net: network, Timeout: 5 * time.Second}
	m, _, err := c.Exchange(q, addr)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestUDPAndTCPGiveTheSameAnswer(t *testing.T) {
	r := serve(t, steeredZones(t), config.Limits{})
	for _, name := range []string{"www.example.org", "alias.example.org", "nothing.example.org", "x.sub.example.org", "failover.example.org", "example.com"} {
		udp, tcp := render(r.exchange(t, "udp", name, mdns.TypeA)), render(r.exchange(t, "tcp", name, mdns.TypeA))
		if udp != tcp {
			t.Errorf("%s:\nudp %s\ntcp %s", name, udp, tcp)
		}
	}
}

func TestTruncatedAnswerIsWholeOverTCP(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf(`big 60 TXT "%02d %s"`, i, strings.Repeat("x", 30)))
	}
	r := serve(t, simpleZones(t, lines...), config.Limits{})
	for _, size := range []uint16{0, 100, 512, 1232, 65535} {
		var options []func(*mdns.Msg)
		want := 512
		if size > 0 {
			options = append(options, edns(size))
			want = min(max(int(size), 512), dns.MaxUDP)
		}
		m := r.exchange(t, "udp", "big.example.org", mdns.TypeTXT, options...)
		if !m.Truncated || len(m.Answer) != 0 {
			t.Errorf("size %d: %s", size, render(m))
		}
		if wire, _ := m.Pack(); len(wire) > want {
			t.Errorf("size %d: %d octets", size, len(wire))
		}
	}
	if m := r.exchange(t, "tcp", "big.example.org", mdns.TypeTXT); m.Truncated || len(m.Answer) != 40 {
		t.Errorf("tcp: %d answers", len(m.Answer))
	}
	if got := metric(t, r, "meridian_dns_truncated_total", "udp"); got != 5 {
		t.Errorf("truncated %v", got)
	}
}

// metric sums the series of a counter whose labels hold all values.
func metric(t *testing.T, r *running, name string, values ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]bool{}
			for _, l := range m.GetLabel() {
				labels[l.GetValue()] = true
			}
			matches := f.GetName() == name
			for _, v := range values {
				matches = matches && labels[v]
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestAnswerFitsItsLimitWhateverIsInIt(t *testing.T) {
	lines := []string{"ns1 3600 A 192.0.2.1"}
	for i := range 120 {
		lines = append(lines, fmt.Sprintf("mx 60 MX %d host%d.example.org.", i, i), fmt.Sprintf("host%d 60 A 192.0.2.%d", i, i))
	}
	for i := range 10 {
		lines = append(lines, fmt.Sprintf("few 60 MX %d host%d.example.org.", i, i))
	}
	z := simpleZones(t, lines...)
	for _, name := range []string{"mx.example.org.", "few.example.org.", "nothing.example.org."} {
		for size := 0; size < 1400; size += 7 {
			packet := question(name, mdns.TypeMX, edns(uint16(size)), subnet("192.0.2.0/24"))
			reply, _ := z.Answer(nil, packet, &dns.Client{Addr: resolver}, dns.UDP)
			if limit := min(max(size, 512), dns.MaxUDP); len(reply) > limit {
				t.Fatalf("%s with %d: %d octets", name, size, len(reply))
			}
			wireEnd(t, reply)
		}
	}
	// Additional records that do not fit are no reason to truncate.
	if m := ask(t, z, "few.example.org.", mdns.TypeMX); m.Truncated || len(m.Answer) != 10 || len(m.Extra) == 0 || len(m.Extra) == 10 {
		t.Errorf("%d answers, %d additional, tc %v", len(m.Answer), len(m.Extra), m.Truncated)
	}
}

func TestReloadChangesAnswersOfOpenConnections(t *testing.T) {
	r := serve(t, simpleZones(t, "www 60 A 192.0.2.1"), config.Limits{})
	c := mdns.Client{Net: "tcp"}
	conn, err := c.Dial(r.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, want := range []string{"192.0.2.1", "192.0.2.2"} {
		r.source.p.Store(simpleZones(t, "www 60 A "+want))
		q := new(mdns.Msg)
		q.SetQuestion("www.example.org.", mdns.TypeA)
		m, _, err := c.ExchangeWithConn(q, conn)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(render(m), want) {
			t.Errorf("%s, want %s", render(m), want)
		}
	}
}

func TestWithoutZonesIsServFail(t *testing.T) {
	r := serve(t, nil, config.Limits{})
	if m := r.exchange(t, "udp", "www.example.org", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
		t.Error(render(m))
	}
	if names := r.source.Zones().Names(); names != nil {
		t.Error(names)
	}
}

// brokenHealth panics, as a bug would.
type brokenHealth struct{}

func (brokenHealth) Up(steer.Slot) bool { panic("BUG: made for a test") }

// brokenZones answer for www.example.org; a question for bad.example.org meets a bug.
func brokenZones(t testing.TB) *dns.Zones {
	z := zoneOf(t, "example.org.", "www 60 A 192.0.2.1")
	z.Records = append(z.Records, config.Record{Name: "bad.example.org.", Type: "A", Policy: "weighted",
		Answers: []config.Answer{{ID: "a", Weight: 1, Values: []string{"192.0.2.2"}, Check: "c"}}})
	return compile(t, dns.Deps{Health: brokenHealth{}, Slot: func(string) steer.Slot { return 0 }}, z)
}

func TestPanicIsServFailForOneQuery(t *testing.T) {
	r := serve(t, brokenZones(t), config.Limits{})
	for _, network := range []string{"udp", "tcp"} {
		q := new(mdns.Msg)
		q.SetQuestion("bad.example.org.", mdns.TypeA)
		wire, _ := q.Pack()
		conn, err := net.Dial(network, map[string]string{"udp": r.udp, "tcp": r.tcp}[network])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		dc := &mdns.Conn{Conn: conn}
		if _, err := dc.Write(wire); err != nil {
			t.Fatal(err)
		}
		m, err := dc.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if m.Id != q.Id || m.Rcode != mdns.RcodeServerFailure || !m.Response || !m.RecursionDesired {
			t.Errorf("%s: %v", network, m)
		}
		if m := r.exchange(t, network, "www.example.org", mdns.TypeA); m.Rcode != mdns.RcodeSuccess {
			t.Errorf("%s afterwards: %s", network, render(m))
		}
	}
	if got := metric(t, r, "meridian_dns_panics_total"); got != 2 {
		t.Errorf("panics %v", got)
	}
	r.stop()
	if !strings.Contains(r.log.String(), "made for a test") {
		t.Error("not logged:", r.log.String())
	}
}

// TestPanicCostsOneAnswerOfABatch: datagrams that arrive together are answered each for itself, and in their order.
func TestPanicCostsOneAnswerOfABatch(t *testing.T) {
	r := serve(t, brokenZones(t), config.Limits{})
	conn, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const rounds = 30
	for range rounds {
		for _, name := range []string{"www", "bad", "bad", "www"} {
			if _, err := conn.Write(question(name+".example.org.", mdns.TypeA)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[int]int{}
	dc := &mdns.Conn{Conn: conn}
	for range 4 * rounds {
		m, err := dc.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		got[m.Rcode]++
	}
	if got[mdns.RcodeSuccess] != 2*rounds || got[mdns.RcodeServerFailure] != 2*rounds {
		t.Errorf("answers by code: %v", got)
	}
	r.stop() // everything has been counted then
	if n := metric(t, r, "meridian_dns_panics_total"); n != 2*rounds {
		t.Errorf("panics %v", n)
	}
	if n := metric(t, r, "meridian_dns_queries_total"); n != 4*rounds {
		t.Errorf("queries %v", n)
	}
}

// observerFunc is an Observer.
type observerFunc func(tap.Event)

func (f observerFunc) Observe(e tap.Event) { f(e) }

// TestPanicIsToldAndLimited: who provokes a bug is held to the rates and stands in the query log like anybody else.
func TestPanicIsToldAndLimited(t *testing.T) {
	var told []string
	d := newDesk(t, brokenZones(t), guard.Options{Rate: 1, Slip: -1}, dns.Options{Observers: []dns.Observer{observerFunc(func(e tap.Event) {
		told = append(told, fmt.Sprint(e.Client, " ", e.RCode, " ", len(e.Reply) > 0, " ", e.Dropped))
	})}})
	d.ask(question("www.example.org.", mdns.TypeA), netip.MustParseAddrPort("198.51.100.1:4000"), dns.UDP) // another client before it
	for range 3 {
		d.raw(question("bad.example.org.", mdns.TypeA), victim, dns.UDP)
	}
	want := []string{"198.51.100.1:4000 0 true ", "192.0.2.66:4000 2 true ", "192.0.2.66:4000 2 false rate_limited", "192.0.2.66:4000 2 false rate_limited"}
	if !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
}

// TestPanicOfAnObserverCostsOneAnswer: a bug in what comes after an answer is met once, and not again on the way of the SERVFAIL.
func TestPanicOfAnObserverCostsOneAnswer(t *testing.T) {
	broken := true
	d := newDesk(t, brokenZones(t), guard.Options{}, dns.Options{Observers: []dns.Observer{observerFunc(func(tap.Event) {
		if broken {
			panic("BUG: made for a test")
		}
	})}})
	if m := d.ask(question("www.example.org.", mdns.TypeA), victim, dns.UDP); m == nil || m.Rcode != mdns.RcodeServerFailure {
		t.Error(m)
	}
	broken = false
	if m := d.ask(question("www.example.org.", mdns.TypeA), victim, dns.UDP); m == nil || m.Rcode != mdns.RcodeSuccess {
		t.Error(m)
	}
}

func TestMetricsNameZonesFromTheConfiguration(t *testing.T) {
	r := serve(t, steeredZones(t), config.Limits{})
	r.exchange(t, "udp", "www.example.org", mdns.TypeA)
	r.exchange(t, "udp", "nothing.example.org", mdns.TypeA)
	r.exchange(t, "udp", "www.example.com", mdns.TypeA)
	r.exchange(t, "tcp", "www.example.org", mdns.TypeA)
	want := `# HELP meridian_dns_queries_total Queries answered, by zone ("-": none of ours), transport and response code.
# TYPE meridian_dns_queries_total counter
meridian_dns_queries_total{proto="tcp",rcode="NOERROR",zone="example.org"} 1
meridian_dns_queries_total{proto="udp",rcode="NOERROR",zone="example.org"} 1
meridian_dns_queries_total{proto="udp",rcode="NXDOMAIN",zone="example.org"} 1
meridian_dns_queries_total{proto="udp",rcode="REFUSED",zone="-"} 1
`
	if err := testutil.GatherAndCompare(r.registry, strings.NewReader(want), "meridian_dns_queries_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(r.registry)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestClosedSocketsAreErrors(t *testing.T) {
	s := dns.NewServer(dns.Options{Source: &holder{}})
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := s.ServeUDP(t.Context(), conn); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.ServeTCP(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
