package dns_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/internal/need"
)

// TestD01Amplification: 20,000 forged queries a second in the name of one network bring it no more octets than were sent.
func TestD01Amplification(t *testing.T) {
	for name, packet := range map[string]func(int) []byte{
		"one name":      func(int) []byte { return question("fat.example.org.", mdns.TypeTXT) },
		"EDNS":          func(int) []byte { return question("fat.example.org.", mdns.TypeTXT, edns(4096)) },
		"a wildcard":    func(i int) []byte { return question(fmt.Sprintf("a%d.wild.example.org.", i), mdns.TypeTXT) },
		"no such names": func(i int) []byte { return question(fmt.Sprintf("a%d.example.org.", i), mdns.TypeTXT) },
		"a referral":    func(i int) []byte { return question(fmt.Sprintf("a%d.sub.example.org.", i), mdns.TypeTXT) },
		"errors":        func(i int) []byte { return question(fmt.Sprintf("a%d.example.net.", i), mdns.TypeTXT) },
	} {
		t.Run(name, func(t *testing.T) {
			z := fatZones(t)
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, z, guard.Options{Rate: 50}, dns.Options{})
				var in, out int
				for i := range 2 * 20_000 {
					if i%200 == 0 {
						time.Sleep(10 * time.Millisecond)
					}
					p := packet(i)
					reply := d.raw(p, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 4000), dns.UDP)
					if i >= 20_000 { // after one second
						in, out = in+len(p), out+len(reply)
					}
				}
				if out > in {
					t.Errorf("%d octets in, %d out", in, out)
				}
				if n := d.metric("meridian_dns_dropped_total", "rate_limited"); n < 18_000 {
					t.Errorf("%v dropped", n)
				}
				if n := d.metric("meridian_dns_limited_total"); n < 38_000 {
					t.Errorf("%v limited", n)
				}
			})
		})
	}
}

// TestD01NoCookieCap: without a valid cookie nobody is sent more than the cap over UDP.
func TestD01NoCookieCap(t *testing.T) {
	lines := []string{`big 60 TXT "` + strings.Repeat("a", 250) + `"`, `big 60 TXT "` + strings.Repeat("b", 250) + `"`, `big 60 TXT "` + strings.Repeat("c", 250) + `"`}
	d := newDesk(t, simpleZones(t, lines...), guard.Options{Cookies: true, NoCookieSize: 512}, dns.Options{})
	m := d.ask(question("big.example.org.", mdns.TypeTXT, edns(1232)), victim, dns.UDP)
	if !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("no cookie: %s", render(m))
	}
	m = d.ask(question("big.example.org.", mdns.TypeTXT, cookieOption("abcdefgh")), victim, dns.UDP)
	cookie := cookieOf(t, m)
	if !m.Truncated || len(cookie) != guard.CookieLen {
		t.Errorf("client cookie: %s", render(m))
	}
	if m = d.ask(question("big.example.org.", mdns.TypeTXT, cookieOption(cookie)), victim, dns.UDP); len(m.Answer) != 3 || cookieOf(t, m) != cookie {
		t.Errorf("valid cookie: %s", render(m))
	}
	if m = d.ask(question("big.example.org.", mdns.TypeTXT, cookieOption(cookie)), netip.MustParseAddrPort("192.0.2.67:4000"), dns.UDP); !m.Truncated {
		t.Errorf("the cookie of another address: %s", render(m))
	}
	if m = d.ask(question("big.example.org.", mdns.TypeTXT), victim, dns.TCP); len(m.Answer) != 3 {
		t.Errorf("tcp: %s", render(m))
	}
	if got := d.metric("meridian_dns_nocookie_truncated_total"); got != 3 {
		t.Errorf("%v counted", got)
	}
	// Where the client takes no more anyway, it is not the cap that cuts.
	d.ask(question("big.example.org.", mdns.TypeTXT), victim, dns.UDP)
	if got := d.metric("meridian_dns_nocookie_truncated_total"); got != 3 {
		t.Errorf("%v counted", got)
	}
}

// TestD02AnyIsSmall: one RRset or less for ANY, and no more octets over UDP than for any other type.
func TestD02AnyIsSmall(t *testing.T) {
	z := simpleZones(t, "www 60 A 192.0.2.2", "www 60 AAAA 2001:db8::1", `www 60 TXT "`+strings.Repeat("x", 250)+`"`, "www 60 MX 10 mail.example.org.")
	m := ask(t, z, "www.example.org.", mdns.TypeANY, edns(4096))
	types := map[uint16]bool{}
	for _, rr := range m.Answer {
		types[rr.Header().Rrtype] = true
	}
	if len(types) != 1 {
		t.Errorf("%s", render(m))
	}
	reply, _ := z.Answer(nil, question("www.example.org.", mdns.TypeANY), &dns.Client{Addr: resolver}, dns.UDP)
	if len(reply) > 512 {
		t.Errorf("%d octets", len(reply))
	}
}

// TestD03NothingAbove1232: whatever size a client offers.
func TestD03NothingAbove1232(t *testing.T) {
	var lines []string
	for i := range 8 {
		lines = append(lines, fmt.Sprintf(`t%d 60 TXT "%s"`, i, strings.Repeat("x", 200)))
		for range i {
			lines = append(lines, fmt.Sprintf(`t%d 60 TXT "%s%d"`, i, strings.Repeat("y", 200), len(lines)))
		}
	}
	z := simpleZones(t, lines...)
	d := newDesk(t, z, guard.Options{Cookies: true}, dns.Options{Identity: dns.Identity{NSID: strings.Repeat("n", dns.MaxNSID)}})
	for i := range 8 {
		for _, size := range []uint16{0, 512, 1232, 4096, 65535} {
			packet := question(fmt.Sprintf("t%d.example.org.", i), mdns.TypeTXT, edns(size), cookieOption("abcdefgh"), subnet("2001:db8::/128"), func(m *mdns.Msg) {
				m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID})
			})
			reply := d.raw(packet, victim, dns.UDP)
			if limit := min(max(int(size), 512), dns.MaxUDP); len(reply) > limit {
				t.Errorf("t%d, %d offered: %d octets", i, size, len(reply))
			}
			m := d.ask(packet, victim, dns.UDP)
			if len(m.IsEdns0().Option) != 3 || m.Truncated != (len(m.Answer) == 0) {
				t.Errorf("t%d, %d offered: %v", i, size, m)
			}
		}
	}
}

// TestD04Cookies: no, bad, wrong, old and foreign cookies get an answer or BADCOOKIE as configured, and a good cookie for next time.
func TestD04Cookies(t *testing.T) {
	for _, policy := range []bool{false, true} {
		d := newDesk(t, fatZones(t), guard.Options{Cookies: true, BadCookie: policy, Secrets: []guard.Secret{{1}, {2}}}, dns.Options{})
		unasked := map[bool]int{false: mdns.RcodeSuccess, true: mdns.RcodeBadCookie}[policy]
		send := func(cookie string, transport dns.Transport) *mdns.Msg {
			return d.ask(question("www.example.org.", mdns.TypeA, cookieOption(cookie)), victim, transport)
		}
		cookie := cookieOf(t, send("abcdefgh", dns.UDP))
		previous := newDesk(t, fatZones(t), guard.Options{Cookies: true, Secrets: []guard.Secret{{2}}}, dns.Options{})
		old := cookieOf(t, previous.ask(question("www.example.org.", mdns.TypeA, cookieOption("abcdefgh")), victim, dns.UDP))
		other := newDesk(t, fatZones(t), guard.Options{Cookies: true, Secrets: []guard.Secret{{3}}}, dns.Options{})
		foreign := cookieOf(t, other.ask(question("www.example.org.", mdns.TypeA, cookieOption("abcdefgh")), victim, dns.UDP))
		for _, test := range []struct {
			name, cookie string
			rcode        int
			same         bool
		}{
			{"client only", "abcdefgh", unasked, false},
			{"valid", cookie, mdns.RcodeSuccess, true},
			{"made with the previous secret", old, mdns.RcodeSuccess, false},
			{"made with another secret", foreign, unasked, false},
			{"of another client cookie", "hgfedcba" + cookie[8:], unasked, false},
			{"longer than ours", cookie + "12345678", unasked, false},
			{"too short", "abcdefg", mdns.RcodeFormatError, false},
			{"of no length", "abcdefghi", mdns.RcodeFormatError, false},
			{"too long", strings.Repeat("a", 41), mdns.RcodeFormatError, false},
		} {
			m := send(test.cookie, dns.UDP)
			if m == nil || m.Rcode != test.rcode || (len(m.Answer) > 0) != (test.rcode == 0) {
				t.Errorf("policy %v, %s: %v", policy, test.name, m)
				continue
			}
			got := cookieOf(t, m)
			if (len(got) == guard.CookieLen) != (test.rcode != mdns.RcodeFormatError) || (got == test.cookie) != test.same {
				t.Errorf("policy %v, %s: cookie %x", policy, test.name, got)
			}
			if m := send(test.cookie, dns.TCP); test.rcode != mdns.RcodeFormatError && m.Rcode != 0 {
				t.Errorf("policy %v, %s over TCP: %v", policy, test.name, m)
			}
		}
		if m := d.ask(question("www.example.org.", mdns.TypeA, edns(1232)), victim, dns.UDP); m.Rcode != 0 || cookieOf(t, m) != "" {
			t.Errorf("policy %v, no cookie: %v", policy, m)
		}
		if got := d.metric("meridian_dns_cookies_total", "valid"); got != 4 {
			t.Errorf("policy %v: %v valid", policy, got)
		}
		if got := d.metric("meridian_dns_queries_total", "BADCOOKIE"); (got > 0) != policy {
			t.Errorf("policy %v: %v BADCOOKIE", policy, got)
		}
	}
	d := newDesk(t, fatZones(t), guard.Options{}, dns.Options{})
	if m := d.ask(question("www.example.org.", mdns.TypeA, cookieOption("abc")), victim, dns.UDP); m.Rcode != 0 || len(m.IsEdns0().Option) != 0 {
		t.Errorf("cookies off: %v", m)
	}
}

// TestD05VictimsOfOurDefenceGetThrough: while its network is limited, a client with a cookie or a connection is always answered, and
// any other is told to come back over TCP before long.
func TestD05VictimsOfOurDefenceGetThrough(t *testing.T) {
	z := fatZones(t)
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, z, guard.Options{Rate: 50, Cookies: true}, dns.Options{})
		flood := question("fat.example.org.", mdns.TypeTXT)
		cookie := cookieOf(t, d.ask(question("fat.example.org.", mdns.TypeTXT, cookieOption("abcdefgh")), victim, dns.UDP))
		truncated := 0
		for i := range 2000 {
			time.Sleep(time.Millisecond)
			for range 20 {
				d.raw(flood, netip.MustParseAddrPort("192.0.2.99:53000"), dns.UDP)
			}
			if m := d.ask(question("fat.example.org.", mdns.TypeTXT, cookieOption(cookie)), victim, dns.UDP); m == nil || len(m.Answer) != 2 {
				t.Fatalf("query %d with a cookie: %v", i, m)
			}
			if m := d.ask(flood, victim, dns.TCP); m == nil || len(m.Answer) != 2 {
				t.Fatalf("query %d over TCP: %v", i, m)
			}
			if m := d.ask(question("fat.example.org.", mdns.TypeTXT, edns(1232)), victim, dns.UDP); m != nil && m.Truncated {
				truncated++
				if len(m.Answer) != 0 || m.Rcode != 0 || m.IsEdns0() == nil {
					t.Fatalf("%s", render(m))
				}
			}
		}
		if truncated < 800 { // every second of 2,000, but for the few in the rate
			t.Errorf("%d of 2,000 were told to come back", truncated)
		}
	})
}

// TestD06RandomSubdomains: a flood of names takes no memory, and does nothing to clients elsewhere.
func TestD06RandomSubdomains(t *testing.T) {
	z := fatZones(t)
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, z, guard.Options{Rate: 50, Cookies: true}, dns.Options{})
		packets := [][]byte{question("xxxxxxxxxxxxxxxx.example.org.", mdns.TypeA), question("xxxxxxxxxxxxxxxx.wild.example.org.", mdns.TypeA), question("xxxxxxxxxxxxxxxx.sub.example.org.", mdns.TypeA)}
		legit := question("www.example.org.", mdns.TypeA)
		var out [dns.MaxUDP]byte
		var before, after runtime.MemStats
		answered, asked := 0, 0
		flood := func(n int) {
			for i := range n {
				p := packets[i%len(packets)]
				for j := 13; j < 29; j++ {
					p[j] = 'a' + byte(rand.Uint32()%26)
				}
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), byte(i >> 8)}), 4000)
				d.server.Handle(out[:0], p, &d.client, from, dns.UDP)
				if i%1000 == 0 {
					time.Sleep(40 * time.Millisecond)
					asked++
					if len(d.server.Handle(out[:0], legit, &d.client, victim, dns.UDP)) > 0 {
						answered++
					}
				}
			}
		}
		flood(3000) // every counter has been used
		runtime.ReadMemStats(&before)
		flood(100_000)
		runtime.ReadMemStats(&after)
		if answered != asked {
			t.Errorf("%d of %d others were answered", answered, asked)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%d octets allocated", grown)
		}
	})
}

// TestD12TruncatedClientsAreServedOverTCP: the way out that TC offers works on real sockets while UDP is limited.
func TestD12TruncatedClientsAreServedOverTCP(t *testing.T) {
	g, err := guard.New(guard.Options{Rate: 1, Slip: 1}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := serveWith(t, fatZones(t), dns.Options{Guard: g})
	truncated := 0
	for range 50 {
		if m := r.exchange(t, "udp", "fat.example.org", mdns.TypeTXT); m.Truncated {
			truncated++
			if m := r.exchange(t, "tcp", "fat.example.org", mdns.TypeTXT); len(m.Answer) != 2 {
				t.Fatalf("over TCP: %s", render(m))
			}
		}
	}
	if truncated == 0 {
		t.Error("nothing was limited")
	}
}

// TestD15StrangersCannotNotifyOrUpdate: nothing but an error comes of it.
func TestD15StrangersCannotNotifyOrUpdate(t *testing.T) {
	d := newDesk(t, fatZones(t), guard.Options{}, dns.Options{})
	for _, opcode := range []int{mdns.OpcodeNotify, mdns.OpcodeUpdate} {
		for _, transport := range []dns.Transport{dns.UDP, dns.TCP} {
			m := d.ask(question("example.org.", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = opcode }), victim, transport)
			if m == nil || m.Rcode == mdns.RcodeSuccess || len(m.Answer) != 0 {
				t.Errorf("opcode %d: %v", opcode, m)
			}
		}
	}
}

// TestDigWithCookies: the cookie of the client operators use is good, and it comes back by itself after BADCOOKIE.
func TestDigWithCookies(t *testing.T) {
	dig := need.Tool(t, "dig")
	g, err := guard.New(guard.Options{Cookies: true, BadCookie: true}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := serveWith(t, fatZones(t), dns.Options{Guard: g, Identity: dns.Identity{NSID: "edge7"}})
	host, port, _ := net.SplitHostPort(r.udp)
	out, err := exec.CommandContext(t.Context(), dig, "-r", "@"+host, "-p", port, "+tries=2", "+time=10", "+norecurse", "+cookie", "+nsid", "www.example.org", "A").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"status: NOERROR", "(good)", "192.0.2.2", `("edge7")`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestHandleAllocatesNothing(t *testing.T) {
	d := newDesk(t, fatZones(t), guard.Options{Rate: 10, Total: 50, Cookies: true, NoCookieSize: 600, NoCookieRate: 10}, dns.Options{Identity: dns.Identity{NSID: "edge7"}})
	var out [dns.MaxUDP]byte
	for name, packet := range map[string][]byte{
		"plain":  question("www.example.org.", mdns.TypeA),
		"cookie": question("www.example.org.", mdns.TypeA, cookieOption("abcdefgh")),
	} {
		if n := testing.AllocsPerRun(1000, func() { d.server.Handle(out[:0], packet, &d.client, victim, dns.UDP) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if problems, err := testutil.GatherAndLint(d.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// BenchmarkHandle is the way of a packet without its socket, below the rate.
func BenchmarkHandle(b *testing.B) {
	plain, cookie := question("www.example.org.", mdns.TypeA, edns(1232)), question("www.example.org.", mdns.TypeA, cookieOption("abcdefgh"))
	for _, test := range []struct {
		name   string
		packet []byte
		guard  guard.Options
	}{
		{"off", plain, guard.Options{}},
		{"rate", plain, guard.Options{Rate: 50}},
		{"cookies that are not used", plain, guard.Options{Cookies: true}},
		{"rate and cookies", cookie, guard.Options{Rate: 50, Cookies: true}},
	} {
		b.Run(test.name, func(b *testing.B) {
			d := newDesk(b, fatZones(b), test.guard, dns.Options{})
			var out [dns.MaxUDP]byte
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				i++
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 4000)
				d.server.Handle(out[:0], test.packet, &d.client, from, dns.UDP)
			}
		})
	}
}

// TestD13TransfersAreRefusedByDefault: nobody learns a zone's contents by asking for them.
func TestD13TransfersAreRefusedByDefault(t *testing.T) {
	d := newDesk(t, fatZones(t), guard.Options{}, dns.Options{})
	for _, qtype := range []uint16{mdns.TypeAXFR, mdns.TypeIXFR} {
		for _, transport := range []dns.Transport{dns.UDP, dns.TCP} {
			for _, name := range []string{"example.org.", "www.example.org.", "sub.example.org.", "example.net."} {
				if m := d.ask(question(name, qtype), victim, transport); m == nil || m.Rcode != mdns.RcodeRefused || len(m.Answer)+len(m.Ns) != 0 {
					t.Errorf("%s %s over %s: %v", name, mdns.TypeToString[qtype], transport, m)
				}
			}
		}
	}
}

// TestD21ChainsEnd: a chain of CNAMEs that goes round or on for too long is refused at load or is SERVFAIL, and never goes on.
func TestD21ChainsEnd(t *testing.T) {
	long := []string{"n30 60 A 192.0.2.1"}
	for i := range 30 {
		long = append(long, fmt.Sprintf("n%d 60 CNAME n%d.example.org.", i, i+1))
	}
	for name, lines := range map[string][]string{
		"a":      {"a 60 CNAME b.example.org.", "b 60 CNAME c.example.org.", "c 60 CNAME a.example.org."},
		"self":   {"self 60 CNAME self.example.org."},
		"q.wild": {"*.wild 60 CNAME x.x.wild.example.org."},
		"n0":     long,
	} {
		z, err := dns.Compile(&config.Config{Zones: []config.Zone{zoneOf(t, "example.org.", lines...)}}, dns.Deps{Serial: 1})
		if err != nil {
			continue
		}
		if m := ask(t, z, name+".example.org.", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure || len(m.Answer) != 0 {
			t.Errorf("%s: %s", name, render(m))
		}
	}
	z := simpleZones(t, "a 60 CNAME b.example.org.", "b 60 CNAME c.example.org.", "c 60 CNAME d.example.org.", "d 60 A 192.0.2.1")
	if m := ask(t, z, "a.example.org.", mdns.TypeA); m.Rcode != 0 || len(m.Answer) != 4 {
		t.Errorf("a short chain: %s", render(m))
	}
}
