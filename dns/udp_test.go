package dns_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/internal/netio"
)

// serveOn serves zones on n sockets of an address and returns its port and what ends it.
func serveOn(t testing.TB, addr string, n int, reg prometheus.Registerer) (port string, stop func()) {
	t.Helper()
	source := &holder{}
	source.p.Store(simpleZones(t, "www 60 A 192.0.2.2"))
	s := dns.NewServer(dns.Options{Source: source, Registerer: reg})
	conns, err := netio.ListenUDP(t.Context(), netip.MustParseAddrPort(addr), n)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			if err := s.ServeUDP(ctx, c); err != nil {
				t.Error(err)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	t.Cleanup(stop)
	_, port, err = net.SplitHostPort(conns[0].LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, stop
}

func connect(t testing.TB, host, port string) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestUDPAnswersFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the system chooses")
	}
	port, _ := serveOn(t, "0.0.0.0:0", 2, nil)
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"} {
		// A connected socket takes nothing from elsewhere.
		m := new(mdns.Msg).SetQuestion("www.example.org.", mdns.TypeA)
		c := mdns.Conn{Conn: connect(t, host, port)}
		if err := c.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.ReadMsg(); err != nil || len(reply.Answer) != 1 {
			t.Errorf("%s: %v %v", host, reply, err)
		}
	}
}

func TestUDPAnswersABurstFromManyClients(t *testing.T) {
	const clients, each = 20, 10
	port, _ := serveOn(t, "127.0.0.1:0", 2, nil)
	var conns []net.Conn
	for range clients {
		conns = append(conns, connect(t, "127.0.0.1", port))
	}
	for id := range uint16(each) {
		for i, c := range conns {
			name := "www.example.org."
			if (int(id)+i)%3 == 0 {
				name = "nothing.example.org."
			}
			if _, err := c.Write(question(name, mdns.TypeA, func(m *mdns.Msg) { m.Id = id })); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range conns {
		conn, seen := mdns.Conn{Conn: c}, map[uint16]bool{}
		for range each {
			m, err := conn.ReadMsg()
			if err != nil {
				t.Fatal(err)
			}
			want := mdns.RcodeSuccess
			if (int(m.Id)+i)%3 == 0 {
				want = mdns.RcodeNameError
			}
			if m.Rcode != want || seen[m.Id] {
				t.Errorf("client %d, query %d: %s, seen before: %v", i, m.Id, mdns.RcodeToString[m.Rcode], seen[m.Id])
			}
			seen[m.Id] = true
		}
	}
}

// A query of more than 4,096 octets is none (D11): cutting it could turn a signed one into one without a signature.
func TestUDPDropsWhatIsTooLongToBeAQuery(t *testing.T) {
	reg := prometheus.NewRegistry()
	port, stop := serveOn(t, "127.0.0.1:0", 1, reg)
	conn := connect(t, "127.0.0.1", port)
	whole := question("www.example.org.", mdns.TypeA)
	if _, err := conn.Write(append(whole, make([]byte, 4097-len(whole))...)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.Id = 7 })); err != nil {
		t.Fatal(err)
	}
	c := mdns.Conn{Conn: conn}
	if m, err := c.ReadMsg(); err != nil || m.Id != 7 {
		t.Errorf("%v %v, want the reply to the second query alone", m, err)
	}
	stop()
	want := "meridian_dns_dropped_total{reason=\"malformed\"} 1\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`# HELP meridian_dns_dropped_total Packets that got no reply, by reason.
# TYPE meridian_dns_dropped_total counter
`+want+`meridian_dns_dropped_total{reason="proxy_header"} 0
meridian_dns_dropped_total{reason="rate_limited"} 0
meridian_dns_dropped_total{reason="send_failed"} 0
meridian_dns_dropped_total{reason="source_port"} 0
`), "meridian_dns_dropped_total"); err != nil {
		t.Error(err)
	}
}

func TestUDPAllocatesNothingForAQuery(t *testing.T) {
	r := serve(t, steeredZones(t), config.Limits{})
	conn, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, dns.MaxUDP)
	packets := [][]byte{
		question("www.example.org.", mdns.TypeA, edns(1232)), question("nothing.example.org.", mdns.TypeA),
		question("latency.example.org.", mdns.TypeA, subnet("198.51.100.0/24")), question("weighted.example.org.", mdns.TypeA),
	}
	// The server runs in this process, so that what it allocates is counted here.
	if n := testing.AllocsPerRun(500, func() {
		for _, p := range packets {
			if _, err := conn.Write(p); err != nil {
				t.Error(err)
			}
		}
		for range packets {
			if _, err := conn.Read(buf); err != nil {
				t.Error(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for four queries", n)
	}
}
