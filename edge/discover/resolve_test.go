package discover_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/edge/discover"
)

// nameServer is a resolver on the loopback, over UDP and TCP on one port.
type nameServer struct {
	udp net.PacketConn
	tcp net.Listener
	wg  sync.WaitGroup

	mu     sync.Mutex
	zone   map[string][]string // "name TYPE" -> records; absent: NXDOMAIN, unless another type has the name
	rcode  int                 // instead of answers
	cut    bool                // over UDP: too long for a packet
	noise  func(question *dns.Msg) []*dns.Msg
	asked  map[string]int
	silent bool
}

func newNameServer(t *testing.T, records ...string) *nameServer {
	t.Helper()
	s := &nameServer{asked: map[string]int{}}
	s.serve(records...)
	var err error
	for range 10 { // the port of the one may be taken for the other
		if s.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if s.tcp, err = net.Listen("tcp", s.udp.LocalAddr().String()); err == nil {
			break
		}
		s.udp.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.wg.Go(s.packets)
	s.wg.Go(s.streams)
	t.Cleanup(func() {
		s.udp.Close()
		s.tcp.Close()
		s.wg.Wait()
	})
	return s
}

func (s *nameServer) addr() string { return s.udp.LocalAddr().String() }

// serve replaces the records: "name TTL TYPE data".
func (s *nameServer) serve(records ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = map[string][]string{}
	for _, r := range records {
		fields := strings.Fields(r)
		key := dns.Fqdn(fields[0]) + " " + fields[2]
		s.zone[key] = append(s.zone[key], r)
	}
}

func (s *nameServer) set(change func(*nameServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *nameServer) count(question string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[question]
}

func (s *nameServer) packets() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, m := range s.answer(buf[:n], true) {
			if out, err := m.Pack(); err == nil {
				_, _ = s.udp.WriteTo(out, from)
			}
		}
	}
}

func (s *nameServer) streams() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		_, _ = io.ReadFull(conn, size[:])
		buf := make([]byte, binary.BigEndian.Uint16(size[:]))
		_, _ = io.ReadFull(conn, buf)
		for _, m := range s.answer(buf, false) {
			out, _ := m.Pack()
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
		}
		conn.Close()
	}
}

func (s *nameServer) answer(packet []byte, udp bool) []*dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := new(dns.Msg)
	if q.Unpack(packet) != nil || len(q.Question) != 1 || s.silent {
		return nil
	}
	name, qtype := q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
	s.asked[strings.TrimSuffix(name, ".")+" "+qtype]++
	m := new(dns.Msg).SetReply(q)
	m.Rcode = s.rcode
	if m.Rcode == 0 {
		s.fill(m, name, qtype)
	}
	if udp && s.cut {
		m.Answer, m.Truncated = nil, true
	}
	var out []*dns.Msg
	if s.noise != nil && udp {
		out = s.noise(q)
	}
	return append(out, m)
}

// fill adds the records of a name, by way of its CNAMEs, as a recursive resolver does.
func (s *nameServer) fill(m *dns.Msg, name, qtype string) {
	known := false
	for key := range s.zone {
		known = known || strings.HasPrefix(key, name+" ")
	}
	if !known {
		m.Rcode = dns.RcodeNameError
		return
	}
	for range 20 {
		next := ""
		for _, r := range append(s.zone[name+" CNAME"], s.zone[name+" "+qtype]...) {
			rr, err := dns.NewRR(r)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
			if c, is := rr.(*dns.CNAME); is {
				next = c.Target
			}
		}
		if next == "" {
			return
		}
		name = next
	}
}

// watchNames follows one dns source that asks s.
func watchNames(t *testing.T, s *nameServer, source string, more ...string) *watched {
	t.Helper()
	w := watch(t, `resolvers: ["`+s.addr()+`"]`+"\npools: {web: {discover: [{dns: "+source+"}]"+strings.Join(more, "")+"}}\n", discover.Options{})
	w.settle(t)
	return w
}

func TestNamesBecomeEndpointsOfBothFamilies(t *testing.T) {
	s := newNameServer(t, "origin.example.org 300 A 192.0.2.2", "origin.example.org 300 A 192.0.2.1", "origin.example.org 300 A 0.0.0.0",
		"origin.example.org 300 AAAA 2001:db8::1")
	w := watch(t, `resolvers: ["`+s.addr()+`"]
regions: {eu: {lat: 1, lon: 2}}
pools: {web: {discover: [{dns: "origin.example.org:8080", region: eu, weight: 3}]}}
`, discover.Options{})
	w.settle(t)
	w.expect(t, "A and AAAA", "192.0.2.1:8080 weight 3 region eu", "192.0.2.2:8080 weight 3 region eu", "[2001:db8::1]:8080 weight 3 region eu")
}

func TestAliasesAreFollowed(t *testing.T) {
	s := newNameServer(t, "www.example.org 60 CNAME a.example.org.", "a.example.org 60 CNAME b.example.org.", "b.example.org 60 A 192.0.2.1")
	watchNames(t, s, `"www.example.org:80"`).expect(t, "two CNAMEs", "192.0.2.1:80")
	s.serve("www.example.org 60 CNAME a.example.org.", "a.example.org 60 CNAME www.example.org.")
	w := watchNames(t, s, `"www.example.org:80"`)
	w.expect(t, "in a circle")
	if f := w.Status()[0].Failure; !strings.Contains(f, "CNAMEs") {
		t.Errorf("failure %q", f)
	}
}

func TestLongAnswersComeOverTCP(t *testing.T) {
	s := newNameServer(t, "origin.example.org 300 A 192.0.2.1")
	s.set(func(s *nameServer) { s.cut = true })
	watchNames(t, s, `"origin.example.org:80"`).expect(t, "truncated over UDP", "192.0.2.1:80")
}

// RFC 5452 section 9: an answer counts only with the id and the question of what was asked.
func TestForeignAnswersAreIgnored(t *testing.T) {
	s := newNameServer(t, "origin.example.org 300 A 192.0.2.1")
	s.set(func(s *nameServer) {
		s.noise = func(q *dns.Msg) []*dns.Msg {
			bad, _ := dns.NewRR("origin.example.org 300 A 203.0.113.66")
			id := new(dns.Msg).SetReply(q)
			id.Id, id.Answer = id.Id+1, []dns.RR{bad}
			other := new(dns.Msg).SetReply(q)
			other.Question = []dns.Question{{Name: "other.example.org.", Qtype: q.Question[0].Qtype, Qclass: dns.ClassINET}}
			other.Answer = []dns.RR{bad}
			return []*dns.Msg{id, other, q}
		}
	})
	watchNames(t, s, `"origin.example.org:80"`).expect(t, "among forgeries", "192.0.2.1:80")
}

// The records of other names in an answer are nobody's endpoints.
func TestRecordsOfOtherNamesAreIgnored(t *testing.T) {
	s := newNameServer(t, "origin.example.org 300 CNAME b.example.org.", "b.example.org 300 A 192.0.2.1")
	s.set(func(s *nameServer) {
		s.zone["b.example.org. A"] = append(s.zone["b.example.org. A"], "evil.example.org 300 A 203.0.113.66", "b.example.org 300 CH A 203.0.113.67")
	})
	watchNames(t, s, `"origin.example.org:80"`).expect(t, "with foreign records", "192.0.2.1:80")
}

// Half an answer must not look like endpoints that vanished; nor must an empty one or one that the name is gone (F33).
func TestFailingNamesKeepTheLastGoodAddresses(t *testing.T) {
	f := func(what string, change func(*nameServer)) {
		t.Helper()
		s := newNameServer(t, "origin.example.org 1 A 192.0.2.1", "origin.example.org 1 AAAA 2001:db8::1")
		w := watchNames(t, s, `"origin.example.org:80", min_interval: 1s`)
		s.set(change)
		until(t, what, func() bool { return w.Status()[0].Failure != "" })
		w.expect(t, what, "192.0.2.1:80", "[2001:db8::1]:80")
	}
	f("the name is gone", func(s *nameServer) { s.zone = nil })
	f("SERVFAIL", func(s *nameServer) { s.rcode = dns.RcodeServerFailure })
	f("no address", func(s *nameServer) { s.zone = map[string][]string{"origin.example.org. TXT": nil} })
}

func TestNextResolverIsAsked(t *testing.T) {
	bad, good := newNameServer(t), newNameServer(t, "origin.example.org 300 A 192.0.2.1")
	bad.set(func(s *nameServer) { s.rcode = dns.RcodeRefused })
	w := watch(t, `resolvers: ["`+bad.addr()+`", "`+good.addr()+`"]`+"\n"+`pools: {web: {discover: [{dns: "origin.example.org:80"}]}}`, discover.Options{})
	w.settle(t)
	w.expect(t, "one resolver refuses", "192.0.2.1:80")
	if bad.count("origin.example.org A") != 1 {
		t.Error("the first resolver was not asked first")
	}
}

// RFC 2782: the smallest priority first, weights in our range; a target of "." is none.
func TestServicesBecomeEndpoints(t *testing.T) {
	s := newNameServer(t,
		"_http._tcp.example.org 300 SRV 20 9 8080 c.example.org.", "_http._tcp.example.org 300 SRV 10 65535 8080 b.example.org.",
		"_http._tcp.example.org 300 SRV 10 1 8081 a.example.org.", "_http._tcp.example.org 300 SRV 10 0 8082 gone.example.org.",
		"_http._tcp.example.org 300 SRV 10 0 8083 a.example.org.", "_http._tcp.example.org 300 SRV 0 0 1 .",
		"a.example.org 300 A 192.0.2.1", "b.example.org 300 A 192.0.2.3", "b.example.org 300 A 192.0.2.2", "c.example.org 300 A 192.0.2.4")
	watchNames(t, s, "_http._tcp.example.org, type: srv").expect(t, "the smallest priority",
		"192.0.2.1:8081", "192.0.2.1:8083 weight 0", "192.0.2.2:8080 weight 255", "192.0.2.3:8080 weight 255")
	watchNames(t, s, "_http._tcp.example.org, type: srv", ", policy: failover").expect(t, "every priority in order",
		"192.0.2.1:8081", "192.0.2.1:8083 weight 0", "192.0.2.2:8080 weight 255", "192.0.2.3:8080 weight 255", "192.0.2.4:8080")
}

// A name is asked for again when its TTL is over, within bounds.
func TestNamesAreAskedForByTheirTTL(t *testing.T) {
	s := newNameServer(t, "origin.example.org 0 A 192.0.2.1", "origin.example.org 3000 AAAA 2001:db8::1", "slow.example.org 86400 A 192.0.2.9")
	w := watch(t, `resolvers: ["`+s.addr()+`"]`+`
pools:
  web: {max_vanish: 100, discover: [{dns: "origin.example.org:80", min_interval: 1s}]}
  slow: {discover: [{dns: "slow.example.org:80", max_interval: 1s}]}
`, discover.Options{})
	w.settle(t)
	s.serve("origin.example.org 3000 A 192.0.2.2", "slow.example.org 86400 A 192.0.2.9")
	began := time.Now()
	until(t, "the new address", func() bool { return w.endpoints()[0] == "192.0.2.2:80" })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a TTL of 0 lasted %v", took)
	}
	until(t, "a second look at a TTL above max_interval", func() bool { return s.count("slow.example.org A") >= 3 })
	if n := s.count("origin.example.org A"); n != 2 {
		t.Errorf("asked %d times for a name whose TTL is long now", n)
	}
}

func TestResolversOfTheHost(t *testing.T) {
	f := newFile(t)
	f.put(t, "# nothing\n")
	w := watch(t, `pools: {web: {discover: [{dns: "origin.example.org:80"}]}}`, discover.Options{ResolvConf: f.path})
	w.settle(t)
	if s := w.Status()[0]; !strings.Contains(s.Failure, "no resolver") {
		t.Errorf("failure %q", s.Failure)
	}
}
