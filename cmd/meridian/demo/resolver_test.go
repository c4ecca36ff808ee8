package demo

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameServer is a DNS server on loopback whose answers a test decides.
type nameServer struct {
	addr netip.AddrPort

	mu    sync.Mutex // guards the field below
	asked []*dns.Msg
}

func (n *nameServer) questions() []*dns.Msg {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// serveDNS answers over UDP and TCP on one port. A nil message is no answer.
func serveDNS(t *testing.T, answer func(q *dns.Msg, tcp bool) *dns.Msg) *nameServer {
	t.Helper()
	n := &nameServer{}
	tcp, udp := listenBoth(t)
	n.addr = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	handler := func(isTCP bool) dns.HandlerFunc {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			n.mu.Lock()
			n.asked = append(n.asked, q)
			n.mu.Unlock()
			if m := answer(q, isTCP); m != nil {
				_ = w.WriteMsg(m)
			}
		}
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // after the shutdowns: cleanups run last in, first out
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: handler(false)}, {Listener: tcp, Handler: handler(true)}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return n
}

// listenBoth finds a port that is free for TCP and UDP.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp
		}
		_ = tcp.Close()
	}
	t.Fatal("no port for both")
	return nil, nil
}

func address(ttl uint32, ip string) func(*dns.Msg, bool) *dns.Msg {
	return func(q *dns.Msg, _ bool) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: net.ParseIP(ip)}}
		return m
	}
}

func refused(q *dns.Msg, _ bool) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeRefused) }
func mute(*dns.Msg, bool) *dns.Msg        { return nil }

// deadServer is an address where nobody listens.
func deadServer(t *testing.T) netip.AddrPort {
	t.Helper()
	tcp, udp := listenBoth(t)
	_, _ = tcp.Close(), udp.Close()
	return udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

func newTestResolver(servers ...netip.AddrPort) (*resolver, *[]query) {
	var log []query
	return &resolver{
		servers: servers, subnet: netip.MustParsePrefix("192.0.2.0/24"), report: func(q query) { log = append(log, q) },
	}, &log
}

func lookup(t *testing.T, r *resolver, fresh bool, want string) {
	t.Helper()
	got, err := r.lookup(t.Context(), host, fresh)
	if err != nil || got != netip.MustParseAddr(want) {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
}

func TestResolverSendsTheClientSubnetAndKeepsTheAnswerForItsTTL(t *testing.T) {
	n := serveDNS(t, address(60, "192.0.2.7"))
	r, log := newTestResolver(n.addr)
	lookup(t, r, false, "192.0.2.7")
	lookup(t, r, false, "192.0.2.7")
	if len(*log) != 1 {
		t.Errorf("%d queries within the TTL", len(*log))
	}
	r.cached.expires = time.Now()
	lookup(t, r, false, "192.0.2.7")
	asked := n.questions()
	if len(asked) != 2 || len(*log) != 2 {
		t.Fatalf("%d queries, %d reported", len(asked), len(*log))
	}
	opt := asked[0].IsEdns0()
	if opt == nil || len(opt.Option) != 1 || opt.UDPSize() != dnsUDPSize {
		t.Fatalf("EDNS %v", opt)
	}
	if s, ok := opt.Option[0].(*dns.EDNS0_SUBNET); !ok || s.SourceNetmask != 24 || s.Address.String() != "192.0.2.0" || s.SourceScope != 0 {
		t.Errorf("subnet %v", opt.Option[0])
	}
	if asked[0].RecursionDesired {
		t.Error("recursion asked of an authoritative server")
	}
}

func TestResolverKeepsNothingWithTTLZero(t *testing.T) {
	n := serveDNS(t, address(0, "192.0.2.7"))
	r, log := newTestResolver(n.addr)
	lookup(t, r, false, "192.0.2.7")
	lookup(t, r, false, "192.0.2.7")
	if len(*log) != 2 {
		t.Errorf("%d queries", len(*log))
	}
}

func TestResolverTurnsToTheNextNameServer(t *testing.T) {
	good := serveDNS(t, address(60, "192.0.2.8")).addr
	for name, bad := range map[string]netip.AddrPort{
		"refused": serveDNS(t, refused).addr,
		"mute":    serveDNS(t, mute).addr,
		"dead":    deadServer(t),
		"empty": serveDNS(t, func(q *dns.Msg, _ bool) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative = true
			return m
		}).addr,
		"lame": serveDNS(t, func(q *dns.Msg, tcp bool) *dns.Msg {
			m := address(60, "192.0.2.9")(q, tcp)
			m.Authoritative = false
			return m
		}).addr,
	} {
		t.Run(name, func(t *testing.T) {
			r, log := newTestResolver(bad, good)
			lookup(t, r, false, "192.0.2.8")
			if len(*log) != 2 || (*log)[0].err == nil || (*log)[1].err != nil {
				t.Errorf("queries %+v", *log)
			}
			r.cached = resolved{}
			lookup(t, r, false, "192.0.2.8")
			if len(*log) != 3 {
				t.Error("the name server that did not work was asked first again")
			}
		})
	}
}

func TestFreshLookupAsksAnotherNameServer(t *testing.T) {
	a, b := serveDNS(t, address(60, "192.0.2.1")), serveDNS(t, address(60, "192.0.2.2"))
	r, _ := newTestResolver(a.addr, b.addr)
	lookup(t, r, false, "192.0.2.1")
	lookup(t, r, true, "192.0.2.2")
	lookup(t, r, false, "192.0.2.2")
	lookup(t, r, true, "192.0.2.1")
}

func TestTruncatedAnswerIsAskedForOverTCP(t *testing.T) {
	n := serveDNS(t, func(q *dns.Msg, tcp bool) *dns.Msg {
		if tcp {
			return address(60, "192.0.2.3")(q, tcp)
		}
		m := new(dns.Msg).SetReply(q)
		m.Authoritative, m.Truncated = true, true
		return m
	})
	r, _ := newTestResolver(n.addr)
	lookup(t, r, false, "192.0.2.3")
}

func TestResolverFailsWhenNobodyAnswers(t *testing.T) {
	r, log := newTestResolver(deadServer(t), deadServer(t))
	if _, err := r.lookup(t.Context(), host, false); err == nil {
		t.Error("an answer from nobody")
	}
	if len(*log) != 2 {
		t.Errorf("%d queries", len(*log))
	}
}
