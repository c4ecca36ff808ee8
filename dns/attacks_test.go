package dns_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
)

// TestD08MalformedPackets: FORMERR or silence, and never a crash.
func TestD08MalformedPackets(t *testing.T) {
	z := steeredZones(t)
	whole := question("www.example.org.", mdns.TypeA, edns(1232))
	for n := range whole {
		m, info := answerTo(t, z, whole[:n], dns.UDP)
		switch {
		case n < 12 && info.Dropped != dns.Malformed:
			t.Errorf("%d octets: answered", n)
		case n >= 12 && (m == nil || m.Rcode != mdns.RcodeFormatError):
			t.Errorf("%d octets: %v", n, m)
		}
	}
	for opcode := 1; opcode < 16; opcode++ {
		m, _ := answerTo(t, z, question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.Opcode = opcode; m.RecursionDesired = true }), dns.UDP)
		if m == nil || m.Rcode != mdns.RcodeNotImplemented || m.Opcode != opcode || len(m.Question) != 0 || !m.RecursionDesired {
			t.Errorf("opcode %d: %v", opcode, m)
		}
	}
	for _, n := range []int{0, 2} {
		packet := question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) {
			m.Question = append(m.Question, m.Question[0])[:n]
		})
		if m, _ := answerTo(t, z, packet, dns.UDP); m == nil || m.Rcode != mdns.RcodeFormatError || len(m.Question) != 0 {
			t.Errorf("%d questions: %v", n, m)
		}
	}
	for _, qtype := range []uint16{0, mdns.TypeOPT, mdns.TypeTKEY, mdns.TypeTSIG, mdns.TypeNXNAME} {
		if m := ask(t, z, "www.example.org.", qtype); m.Rcode != mdns.RcodeFormatError {
			t.Errorf("type %d: %s", qtype, render(m))
		}
	}
	rapid.Check(t, func(t *rapid.T) { // bits turned over
		packet := question("www.example.org.", mdns.TypeA, edns(1232), subnet("198.51.100.0/24"))
		for range rapid.IntRange(1, 8).Draw(t, "flips") {
			packet[rapid.IntRange(0, len(packet)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		reply, info := z.Answer(nil, packet, &dns.Client{Addr: resolver}, dns.UDP)
		if (len(reply) == 0) != (info.Dropped != dns.NotDropped) || len(reply) > dns.MaxUDP {
			t.Fatalf("%d octets, %+v", len(reply), info)
		}
		if len(reply) > 0 && new(mdns.Msg).Unpack(reply) != nil {
			t.Fatalf("reply does not unpack: % x", reply)
		}
	})
}

// FuzzAnswer: whatever comes, a reply fits its limit, unpacks, and is never answered itself (D08, D09).
func FuzzAnswer(f *testing.F) {
	z := steeredZones(f)
	for _, name := range []string{"www", "alias", "x.wild", "x.sub", "mail", "latency", "multi", "tree", "nothing"} {
		f.Add(question(name+".example.org.", mdns.TypeA))
		f.Add(question(name+".example.org.", mdns.TypeMX, edns(1232), subnet("198.51.100.0/24")))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		c := &dns.Client{Addr: resolver}
		for _, transport := range []dns.Transport{dns.UDP, dns.TCP} {
			reply, info := z.Answer(nil, packet, c, transport)
			if (len(reply) == 0) != (info.Dropped != dns.NotDropped) || transport == dns.UDP && len(reply) > dns.MaxUDP {
				t.Fatalf("%d octets, %+v", len(reply), info)
			}
			if len(reply) == 0 {
				continue
			}
			if err := new(mdns.Msg).Unpack(reply); err != nil {
				t.Fatalf("reply does not unpack: %v", err)
			}
			if again, _ := z.Answer(nil, reply, c, transport); len(again) != 0 {
				t.Fatal("a reply was answered")
			}
		}
	})
}

// TestD09NoLoops: responses are never answered, nor errors sent to where services listen.
func TestD09NoLoops(t *testing.T) {
	z := steeredZones(t)
	if m, info := answerTo(t, z, question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.Response = true }), dns.UDP); m != nil || info.Dropped != dns.Malformed {
		t.Errorf("a response was answered: %v", m)
	}
	// What this server says to nonsense, it does not answer itself.
	reply, _ := z.Answer(nil, question("www.example.org.", mdns.TypeA)[:16], &dns.Client{Addr: resolver}, dns.UDP)
	if again, _ := z.Answer(nil, reply, &dns.Client{Addr: resolver}, dns.UDP); len(again) != 0 {
		t.Error("an error was answered with an error")
	}
	r := serve(t, z, config.Limits{})
	conn, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	response := question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.Response = true })
	query := question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.Id = 99 })
	for _, packet := range [][]byte{response, {1, 2, 3}, query} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2048)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := conn.Read(buf)
	if err != nil || n < 2 || buf[0] != 0 || buf[1] != 99 {
		t.Errorf("the first reply is % x, %v", buf[:n], err)
	}
	if got := metric(t, r, "meridian_dns_dropped_total", "malformed"); got != 2 {
		t.Errorf("dropped %v", got)
	}
}

// TestD09NoErrorsToServices: a packet that claims to come from a service port gets answers, but no errors.
func TestD09NoErrorsToServices(t *testing.T) {
	r := serve(t, steeredZones(t), config.Limits{})
	var conn net.Conn
	var err error
	for port := 1023; port > 1000; port-- {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)))}
		if conn, err = d.Dial("udp4", r.udp); err == nil {
			break
		}
	}
	if err != nil {
		t.Skip("SKIPPED: no port below 1024 can be used here: ", err)
	}
	defer conn.Close()
	good := question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.Id = 7 })
	for _, packet := range [][]byte{good[:20], question(".", 1, func(m *mdns.Msg) { m.Opcode = 15 }), good} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 512)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := conn.Read(buf); err != nil || buf[1] != 7 || buf[3]&0xF != 0 {
		t.Errorf("the first reply is % x, %v", buf[:n], err)
	}
	if got := metric(t, r, "meridian_dns_dropped_total", "source_port"); got != 2 {
		t.Errorf("dropped %v", got)
	}
}

// TestD10EDNSCompliance holds the probes of RFC 8906.
func TestD10EDNSCompliance(t *testing.T) {
	z := steeredZones(t)
	opt := func(change func(*mdns.OPT)) func(*mdns.Msg) {
		return func(m *mdns.Msg) { m.SetEdns0(1232, false); change(m.IsEdns0()) }
	}
	for _, test := range []struct {
		name   string
		change func(*mdns.OPT)
		rcode  int
		answer bool
	}{
		{"plain", func(*mdns.OPT) {}, 0, true},
		{"version 1", func(o *mdns.OPT) { o.SetVersion(1) }, mdns.RcodeBadVers, false},
		{"version 1 with option", func(o *mdns.OPT) {
			o.SetVersion(1)
			o.Option = append(o.Option, &mdns.EDNS0_LOCAL{Code: 100, Data: []byte("x")})
		}, mdns.RcodeBadVers, false},
		{"unknown option", func(o *mdns.OPT) { o.Option = append(o.Option, &mdns.EDNS0_LOCAL{Code: 100, Data: []byte("x")}) }, 0, true},
		{"unknown flag", func(o *mdns.OPT) { o.Hdr.Ttl |= 0x0080 }, 0, true},
		{"DO", func(o *mdns.OPT) { o.SetDo() }, 0, true},
		{"cookie and NSID", func(o *mdns.OPT) {
			o.Option = append(o.Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0102030405060708"}, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID})
		}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := ask(t, z, "www.example.org.", mdns.TypeA, opt(test.change))
			o := m.IsEdns0()
			if o == nil {
				t.Fatal("no OPT in the reply")
			}
			if m.Rcode != test.rcode || (len(m.Answer) > 0) != test.answer {
				t.Errorf("%s, %d answers", mdns.RcodeToString[m.Rcode], len(m.Answer))
			}
			if o.Version() != 0 || len(o.Option) != 0 || o.UDPSize() != dns.MaxUDP || o.Hdr.Ttl&0x7FFF != 0 {
				t.Errorf("OPT %v, flags %x", o, o.Hdr.Ttl)
			}
			if o.Do() != (test.name == "DO") {
				t.Errorf("DO %v", o.Do())
			}
		})
	}
	if m := ask(t, z, "www.example.org.", mdns.TypeA); m.IsEdns0() != nil {
		t.Error("OPT where none was sent")
	}
	// Header bits: AD and CD are not for us and are cleared, RD comes back, RA is never set, Z is ignored.
	m := ask(t, z, "www.example.org.", mdns.TypeA, func(m *mdns.Msg) {
		m.AuthenticatedData, m.CheckingDisabled, m.RecursionDesired, m.Zero = true, true, true, true
	})
	if m.AuthenticatedData || m.CheckingDisabled || m.RecursionAvailable || m.Zero || !m.RecursionDesired || !m.Authoritative {
		t.Errorf("flags %+v", m.MsgHdr)
	}
	if m := ask(t, z, "www.example.org.", 1000); m.Rcode != 0 || len(m.Answer) != 0 || len(m.Ns) != 1 {
		t.Errorf("unknown type: %s", render(m))
	}
}

// TestD16ClientSubnets: malformed options are FORMERR without an echo, and any valid one is answered from the table with a
// scope that really delimits the answer.
func TestD16ClientSubnets(t *testing.T) {
	z := steeredZones(t)
	bad := question("latency.example.org.", mdns.TypeA, subnet("198.51.100.0/24"))
	bad[len(bad)-4] = 24 // the scope
	m, _ := answerTo(t, z, bad, dns.UDP)
	if m == nil || m.Rcode != mdns.RcodeFormatError || m.IsEdns0() == nil || len(m.IsEdns0().Option) != 0 || len(m.Question) != 1 {
		t.Errorf("%v", m)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"latency", "geo", "near", "cidr", "tree", "www", "weighted"}).Draw(t, "name") + ".example.org."
		prefix := genSubnet().Draw(t, "subnet")
		reply, info := z.Answer(nil, question(name, mdns.TypeA, subnet(prefix.String())), &dns.Client{Addr: resolver}, dns.UDP)
		var m mdns.Msg
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		o := m.IsEdns0().Option[0].(*mdns.EDNS0_SUBNET)
		if int(o.SourceNetmask) != prefix.Bits() || !o.Address.Equal(prefix.Addr().AsSlice()) || o.SourceScope != info.Scope {
			t.Fatalf("echoed %v for %v", o, prefix)
		}
		if prefix.Bits() == 0 && o.SourceScope != 0 {
			t.Fatalf("scope %d for a client that opted out", o.SourceScope)
		}
		if strings.HasPrefix(name, "w") && o.SourceScope != 0 {
			t.Fatalf("scope %d for an answer that is the same for all", o.SourceScope)
		}
		// Another client inside the scope gets the same answer with the same scope.
		if prefix.Bits() == 0 || int(o.SourceScope) > prefix.Bits() {
			return
		}
		other := within(t, netip.PrefixFrom(prefix.Addr(), int(o.SourceScope)).Masked())
		var m2 mdns.Msg
		reply2, info2 := z.Answer(nil, question(name, mdns.TypeA, subnet(other.String())), &dns.Client{Addr: resolver}, dns.UDP)
		if err := m2.Unpack(reply2); err != nil {
			t.Fatal(err)
		}
		m.Extra, m2.Extra = nil, nil
		if strings.HasPrefix(name, "w") || strings.HasPrefix(name, "t") {
			return // drawn, or rotated
		}
		if render(&m) != render(&m2) || info.Scope != info2.Scope {
			t.Fatalf("%v has scope %d and %s,\n%v has scope %d and %s", prefix, info.Scope, render(&m), other, info2.Scope, render(&m2))
		}
	})
}

// TestD16SubnetsLeaveNothingBehind: however many there are, none is remembered.
func TestD16SubnetsLeaveNothingBehind(t *testing.T) {
	z := steeredZones(t)
	packet, c, buf := question("latency.example.org.", mdns.TypeA, subnet("2001:db8:1234:5678::/64")), &dns.Client{Addr: resolver}, make([]byte, dns.MaxUDP)
	z.Answer(buf[:0], packet, c, dns.UDP)
	random := rand.New(rand.NewPCG(16, 16))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 200_000 {
		binary.BigEndian.PutUint64(packet[len(packet)-8:], random.Uint64())
		if reply, info := z.Answer(buf[:0], packet, c, dns.UDP); info.RCode != 0 || len(reply) == 0 || info.Scope > 128 {
			t.Fatalf("% x: %+v", packet, info)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<18 {
		t.Errorf("%d octets allocated", grown)
	}
}

func genSubnet() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		base := rapid.SampledFrom([]string{"198.51.100.0/24", "203.0.113.0/24", "198.51.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "2001:db8:f00::/48", "::/0"}).Draw(t, "base")
		return within(t, netip.MustParsePrefix(base))
	})
}

// within draws a prefix inside p.
func within(t *rapid.T, p netip.Prefix) netip.Prefix {
	octets := p.Addr().AsSlice()
	for i := p.Bits(); i < len(octets)*8; i++ {
		if rapid.Bool().Draw(t, "bit") {
			octets[i/8] |= 0x80 >> (i % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(addr, rapid.IntRange(p.Bits(), addr.BitLen()).Draw(t, "bits")).Masked()
}

// TestD18SpecialAddressesAreNowhere: whatever a database says of them, private and mapped addresses get the answer for clients
// of unknown place, and nothing panics.
func TestD18SpecialAddressesAreNowhere(t *testing.T) {
	everywhere := atlas{netip.MustParsePrefix("0.0.0.0/0"): tokyo, netip.MustParsePrefix("::/0"): tokyo}
	z := zoneOf(t, "example.org.")
	z.Records = append(z.Records, config.Record{Name: "geo.example.org.", Type: "A", Policy: "geolocation", Answers: []config.Answer{
		{ID: "jp", Country: "JP", Values: []string{"192.0.2.1"}}, {ID: "rest", Default: true, Values: []string{"192.0.2.2"}}}})
	zones := compile(t, dns.Deps{Places: everywhere}, z)
	for prefix, want := range map[string]string{
		"198.51.100.0/24": "192.0.2.1", "2001:db8::/32": "192.0.2.1",
		"10.0.0.0/8": "192.0.2.2", "192.168.7.0/24": "192.0.2.2", "127.0.0.1/32": "192.0.2.2", "100.64.0.0/24": "192.0.2.2",
		"fc00::/56": "192.0.2.2", "fe80::/64": "192.0.2.2", "::1/128": "192.0.2.2", "::ffff:198.51.100.0/120": "192.0.2.2",
	} {
		p := netip.MustParsePrefix(prefix)
		packet := question("geo.example.org.", mdns.TypeA, func(m *mdns.Msg) {
			m.SetEdns0(1232, false)
			octets := p.Addr().AsSlice()[:(p.Bits()+7)/8]
			family := byte(2)
			if p.Addr().Is4() {
				family = 1
			}
			m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_LOCAL{Code: 8, Data: append([]byte{0, family, byte(p.Bits()), 0}, octets...)})
		})
		reply, info := zones.Answer(nil, packet, &dns.Client{Addr: resolver}, dns.UDP)
		if !strings.Contains(string(reply), string(netip.MustParseAddr(want).AsSlice())) || info.Scope == 0 {
			t.Errorf("%s: %+v, want %s", prefix, info, want)
		}
	}
	// Sources of packets are treated alike, also where they are mapped into IPv6.
	for addr, want := range map[string]string{"::ffff:198.51.100.1": "192.0.2.1", "::ffff:10.0.0.1": "192.0.2.2", "fe80::1%eth0": "192.0.2.2"} {
		reply, _ := zones.Answer(nil, question("geo.example.org.", mdns.TypeA), &dns.Client{Addr: netip.MustParseAddr(addr)}, dns.UDP)
		if !strings.Contains(string(reply), string(netip.MustParseAddr(want).AsSlice())) {
			t.Errorf("from %s: not %s", addr, want)
		}
	}
}

// TestSignedQueriesAreNotAnswered: nobody may take an unverified answer for a verified one.
func TestSignedQueriesAreNotAnswered(t *testing.T) {
	z := steeredZones(t)
	packet := question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.SetTsig("key.", mdns.HmacSHA256, 300, 1) })
	m, _ := answerTo(t, z, packet, dns.UDP)
	if m == nil || m.Rcode != mdns.RcodeNotAuth || len(m.Answer) != 0 {
		t.Errorf("%v", m)
	}
}

// TestD17QuestionIsEchoedByteForByte: case is kept in the echo and ignored in the match.
func TestD17QuestionIsEchoedByteForByte(t *testing.T) {
	z := steeredZones(t)
	for _, name := range []string{"www.example.org.", "x.wild.example.org.", "nothing.example.org.", "alias.example.org.", "a.sub.example.org."} {
		plain := ask(t, z, name, mdns.TypeA)
		for range 2000 {
			packet := question(name, mdns.TypeA)
			for i := 12; i < len(packet)-5; i++ {
				if c := packet[i]; c >= 'a' && c <= 'z' && rand.IntN(2) == 0 {
					packet[i] &^= 0x20
				}
			}
			reply, _ := z.Answer(nil, packet, &dns.Client{Addr: resolver, Random: 1}, dns.UDP)
			if string(reply[12:len(packet)]) != string(packet[12:]) {
				t.Fatalf("%q came back as %q", packet[12:], reply[12:len(packet)])
			}
			var m mdns.Msg
			if err := m.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.ToLower(render(&m)), strings.ToLower(render(plain)); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
	}
}

// TestD19Chaos: nothing is said about ourselves.
func TestD19Chaos(t *testing.T) {
	z := steeredZones(t)
	for _, name := range []string{"version.bind.", "hostname.bind.", "id.server.", "www.example.org."} {
		m := ask(t, z, name, mdns.TypeTXT, func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS })
		if m.Rcode != mdns.RcodeRefused || len(m.Answer)+len(m.Ns)+len(m.Extra) != 0 {
			t.Errorf("%s: %s", name, render(m))
		}
	}
}

// TestD20ForeignNames: no recursion, no referral upwards, and a reply no larger than the query.
func TestD20ForeignNames(t *testing.T) {
	z := steeredZones(t)
	for _, name := range []string{"www.example.com.", "org.", ".", "example.org.example.net."} {
		for _, options := range [][]func(*mdns.Msg){nil, {edns(4096)}, {subnet("198.51.100.0/24")}} {
			options = append(options, func(m *mdns.Msg) { m.RecursionDesired = true })
			packet := question(name, mdns.TypeANY, options...)
			reply, info := z.Answer(nil, packet, &dns.Client{Addr: resolver}, dns.UDP)
			if info.RCode != mdns.RcodeRefused || info.Zone != "" || len(reply) > len(packet) {
				t.Errorf("%s: %+v, %d octets for %d", name, info, len(reply), len(packet))
			}
		}
	}
}

// TestD24HealthNeverEmptiesAnAnswer holds for every policy and every combination of checks.
func TestD24HealthNeverEmptiesAnAnswer(t *testing.T) {
	const answers, vectors = 12, 100_000
	z := zoneOf(t, "example.org.", "www 60 A 192.0.2.1")
	for _, policy := range []string{"weighted", "latency", "failover", "geolocation", "geoproximity", "cidr", "multivalue"} {
		r := config.Record{Name: policy + ".example.org.", Type: "A", Policy: policy}
		for i := range answers {
			r.Answers = append(r.Answers, config.Answer{
				ID: fmt.Sprint(i), Check: fmt.Sprint("p", i), Weight: i % 2, Region: []string{"eu", "us", "ap"}[i%3],
				Default: policy == "geolocation" || policy == "cidr", Values: []string{fmt.Sprintf("192.0.2.%d", i)},
			})
		}
		z.Records = append(z.Records, r)
	}
	b := &board{down: map[string]bool{}}
	zones := compile(t, dns.Deps{Health: b, Slot: b.Slot, Regions: testRegions}, z)
	packets, c, buf := map[string][]byte{}, &dns.Client{Addr: resolver}, make([]byte, dns.MaxUDP)
	for _, r := range z.Records[1:] {
		packets[r.Policy] = question(r.Name, mdns.TypeA)
	}
	random := rand.New(rand.NewPCG(24, 24))
	for vector := range vectors {
		bits := random.Uint32() & (1<<answers - 1)
		if vector%8 == 0 { // nearly all are down, or all
			bits = 1<<answers - 1 - bits&random.Uint32()&random.Uint32()&random.Uint32()
		}
		up := 0
		for i := range answers {
			down := bits>>i&1 == 1
			b.down[fmt.Sprint("p", i)] = down
			if !down {
				up++
			}
		}
		c.Random = random.Uint64()
		for policy, packet := range packets {
			reply, _ := zones.Answer(buf[:0], packet, c, dns.UDP)
			n, want := int(binary.BigEndian.Uint16(reply[6:])), 1
			if policy == "multivalue" {
				if want = min(up, 8); up == 0 {
					want = 8
				}
			}
			if n != want {
				t.Fatalf("%s with %012b down: %d answers, want %d", policy, bits, n, want)
			}
		}
	}
}
