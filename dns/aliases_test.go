package dns_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/steer"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// aliasRecord is a record of one alias.
func aliasRecord(name, typ string, a config.Alias) config.Record {
	return config.Record{Name: name + ".example.org.", Type: typ, Alias: &a}
}

func compileConfig(t *testing.T, cfg *config.Config, d dns.Deps, records ...config.Record) *dns.Zones {
	t.Helper()
	z := zoneOf(t, "example.org.")
	z.Records = records
	cfg.Zones = []config.Zone{z}
	zones, err := dns.Compile(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	return zones
}

const noRecord = "NOERROR aa; ns: example.org. 60 SOA ns1.example.org. hostmaster.example.org. 0 7200 900 1209600 60"

func TestAliasToAHost(t *testing.T) {
	known := map[string]dns.HostAnswer{}
	z := compileConfig(t, &config.Config{}, dns.Deps{Hosts: func(host string) dns.HostAnswer { return known[host] }},
		aliasRecord("www", "A", config.Alias{Host: "lb.example.net."}), aliasRecord("www", "AAAA", config.Alias{Host: "lb.example.net."}),
		config.Record{Name: "w.example.org.", Type: "A", Policy: "failover", Answers: []config.Answer{
			{ID: "x", Role: "primary", Alias: &config.Alias{Host: "lb.example.net."}}}})
	for _, name := range []string{"www.example.org.", "w.example.org."} {
		if m := ask(t, z, name, mdns.TypeA); m.Rcode != mdns.RcodeServerFailure || len(m.Ns)+len(m.Answer) > 0 {
			t.Errorf("%s, of which nothing is known: %s", name, render(m))
		}
	}
	known["lb.example.net."] = dns.HostAnswer{Addrs: addrs("192.0.2.1", "192.0.2.2"), TTL: 17}
	expect(t, z, "www.example.org.", "A", "NOERROR aa; www.example.org. 17 A 192.0.2.1; www.example.org. 17 A 192.0.2.2")
	expect(t, z, "w.example.org.", "A", "NOERROR aa; w.example.org. 17 A 192.0.2.1; w.example.org. 17 A 192.0.2.2")
	expect(t, z, "www.example.org.", "AAAA", noRecord)
	known["lb.example.net."] = dns.HostAnswer{Addrs: addrs("2001:db8::1", "192.0.2.2"), TTL: 17}
	expect(t, z, "www.example.org.", "AAAA", "NOERROR aa; www.example.org. 17 AAAA 2001:db8::1")
	packet, c := question("www.example.org.", mdns.TypeA), &dns.Client{Addr: resolver}
	var buf [dns.MaxUDP]byte
	if n := testing.AllocsPerRun(100, func() { z.Answer(buf[:0], packet, c, dns.UDP) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { z.Answer(buf[:0], packet, c, dns.UDP) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAliasToAPool(t *testing.T) {
	b := &board{}
	endpoint := func(addr, role string, weight int) config.Endpoint {
		return config.Endpoint{ID: addr, Address: netip.MustParseAddrPort(addr), Role: role, Weight: weight}
	}
	pools := []config.Pool{
		{Name: "web", Policy: "simple", Endpoints: []config.Endpoint{
			endpoint("192.0.2.1:80", "", 1), endpoint("192.0.2.2:80", "", 1), endpoint("192.0.2.2:81", "", 1), endpoint("[2001:db8::1]:80", "", 1)}},
		{Name: "pair", Policy: "failover", Endpoints: []config.Endpoint{endpoint("192.0.2.6:80", "secondary", 1), endpoint("192.0.2.5:80", "primary", 1)}},
		{Name: "none", Policy: "simple"},
	}
	slot := func(pool string, i int) steer.Slot { return b.Slot(fmt.Sprintf("%s/%d", pool, i)) }
	z := compileConfig(t, &config.Config{Pools: pools}, dns.Deps{Health: b, Slot: b.Slot, Endpoint: slot},
		aliasRecord("web", "A", config.Alias{Pool: "web"}), aliasRecord("web", "AAAA", config.Alias{Pool: "web"}),
		aliasRecord("pair", "A", config.Alias{Pool: "pair"}), aliasRecord("pair", "AAAA", config.Alias{Pool: "pair"}),
		aliasRecord("none", "A", config.Alias{Pool: "none"}),
		config.Record{Name: "tree.example.org.", Type: "A", Policy: "failover", Answers: []config.Answer{
			{ID: "x", Role: "primary", Alias: &config.Alias{Pool: "pair"}, EvaluateTargetHealth: true},
			{ID: "y", Role: "secondary", Alias: &config.Alias{Record: "web.example.org."}, EvaluateTargetHealth: true}}})
	const one, two = "web.example.org. 60 A 192.0.2.1", "web.example.org. 60 A 192.0.2.2"
	expect(t, z, "web.example.org.", "A", "NOERROR aa; "+one+"; "+two)
	expect(t, z, "web.example.org.", "AAAA", "NOERROR aa; web.example.org. 60 AAAA 2001:db8::1")
	expect(t, z, "pair.example.org.", "A", "NOERROR aa; pair.example.org. 60 A 192.0.2.5")
	expect(t, z, "pair.example.org.", "AAAA", noRecord)
	expect(t, z, "none.example.org.", "A", "SERVFAIL aa")
	b.down = map[string]bool{"web/0": true, "web/1": true, "pair/1": true}
	expect(t, z, "web.example.org.", "A", "NOERROR aa; "+two) // its other port is up
	expect(t, z, "pair.example.org.", "A", "NOERROR aa; pair.example.org. 60 A 192.0.2.6")
	b.down = map[string]bool{"pair/0": true, "pair/1": true, "web/0": true}
	expect(t, z, "tree.example.org.", "A", "NOERROR aa; tree.example.org. 60 A 192.0.2.2")
}

func TestAliasToADistributionOrAnAccelerator(t *testing.T) {
	listeners := config.Listeners{
		HTTP:  []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:80")},
		HTTPS: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8443"), netip.MustParseAddrPort("[2001:db8::1]:8443")},
	}
	cfg := config.Config{Listeners: listeners, Distributions: []config.Distribution{{Name: "site"}}, Accelerators: []config.Accelerator{
		{Name: "games", Listeners: []config.AcceleratorListener{{Address: netip.MustParseAddr("192.0.2.7")}, {Address: netip.MustParseAddr("192.0.2.7")}}}}}
	records := []config.Record{
		aliasRecord("www", "A", config.Alias{Distribution: "site"}), aliasRecord("www", "AAAA", config.Alias{Distribution: "site"}),
		aliasRecord("www", "HTTPS", config.Alias{Distribution: "site"}), aliasRecord("g", "A", config.Alias{Accelerator: "games"}),
		aliasRecord("g", "AAAA", config.Alias{Accelerator: "games"}),
	}
	z := compileConfig(t, &cfg, dns.Deps{}, records...)
	expect(t, z, "www.example.org.", "A", "NOERROR aa; www.example.org. 60 A 192.0.2.1")
	expect(t, z, "www.example.org.", "AAAA", "NOERROR aa; www.example.org. 60 AAAA 2001:db8::1")
	expect(t, z, "www.example.org.", "HTTPS", `NOERROR aa; www.example.org. 60 HTTPS 1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"; ar: www.example.org. 60 A 192.0.2.1; ar: www.example.org. 60 AAAA 2001:db8::1`)
	expect(t, z, "g.example.org.", "A", "NOERROR aa; g.example.org. 60 A 192.0.2.7")
	expect(t, z, "g.example.org.", "AAAA", noRecord)
	cfg.Edge.Addresses = addrs("203.0.113.9")
	cfg.Listeners.HTTPS = append(cfg.Listeners.HTTPS, netip.MustParseAddrPort("0.0.0.0:443"))
	z = compileConfig(t, &cfg, dns.Deps{}, records...)
	expect(t, z, "www.example.org.", "A", "NOERROR aa; www.example.org. 60 A 203.0.113.9")
	expect(t, z, "www.example.org.", "HTTPS", `NOERROR aa; www.example.org. 60 HTTPS 1 . alpn="h2,h3" ipv4hint="203.0.113.9"; ar: www.example.org. 60 A 203.0.113.9`)
	cfg.Listeners, cfg.Edge = config.Listeners{}, config.Edge{}
	if _, err := dns.Compile(&cfg, dns.Deps{}); err == nil || !strings.Contains(err.Error(), "edge.addresses") {
		t.Error(err)
	}
	for _, bad := range []config.Record{aliasRecord("x", "TXT", config.Alias{Pool: "p"}), aliasRecord("x", "MX", config.Alias{Distribution: "site"}),
		aliasRecord("x", "A", config.Alias{Pool: "p"}), aliasRecord("x", "A", config.Alias{Accelerator: "p"}), aliasRecord("x", "A", config.Alias{Distribution: "p"})} {
		cfg.Zones[0].Records = []config.Record{bad}
		if _, err := dns.Compile(&cfg, dns.Deps{}); err == nil {
			t.Errorf("%s %+v was accepted", bad.Type, bad.Alias)
		}
	}
}

// TestTogether: types of one name choose the same answer for one client, whatever the draw and the order in which they list them.
func TestTogether(t *testing.T) {
	var a, aaaa, https []config.Answer
	for i, id := range []string{"p", "q", "r"} {
		a = append(a, config.Answer{ID: id, Weight: i + 1, Values: []string{fmt.Sprintf("192.0.2.%d", i+1)}})
		aaaa = append([]config.Answer{{ID: id, Weight: i + 1, Values: []string{fmt.Sprintf("2001:db8::%d", i+1)}}}, aaaa...)
		https = append(https, config.Answer{ID: id, Weight: i + 1, Values: []string{fmt.Sprintf("1 . alpn=h2 port=%d", i+1)}})
	}
	z := compileConfig(t, &config.Config{}, dns.Deps{},
		config.Record{Name: "www.example.org.", Type: "A", Policy: "weighted", Together: true, Answers: a},
		config.Record{Name: "www.example.org.", Type: "AAAA", Policy: "weighted", Together: true, Answers: aaaa},
		config.Record{Name: "www.example.org.", Type: "HTTPS", Policy: "weighted", Together: true, Answers: https})
	seen := map[string]int{}
	for i := range 600 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), 0}), 24)
		if i >= 256 {
			prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(i), byte(i >> 2), byte(i)}), 32)
		}
		choose := func(qtype uint16) (string, uint8) {
			c := &dns.Client{Addr: resolver, Random: uint64(i) * 0x9e3779b97f4a7c15}
			reply, info := z.Answer(nil, question("www.example.org.", qtype, subnet(prefix.String())), c, dns.UDP)
			m := new(mdns.Msg)
			if err := m.Unpack(reply); err != nil || len(m.Answer) != 1 {
				t.Fatal(err, m)
			}
			text := strings.TrimSuffix(m.Answer[0].String(), `"`)
			return text[len(text)-1:], info.Scope
		}
		v4, scope4 := choose(mdns.TypeA)
		v6, scope6 := choose(mdns.TypeAAAA)
		service, scope := choose(mdns.TypeHTTPS)
		if v4 != v6 || v4 != service || scope4 != 24 || scope6 != 24 || scope != 24 {
			t.Fatalf("%v: %s with scope %d, %s with scope %d, %s with scope %d", prefix, v4, scope4, v6, scope6, service, scope)
		}
		seen[v4]++
	}
	if seen["1"] < 50 || seen["2"] < 130 || seen["3"] < 220 {
		t.Errorf("shares %v of 600, want about 100, 200, 300", seen)
	}
}

func TestMultivalueGivesClientsDifferentSubsets(t *testing.T) {
	z := steeredZones(t)
	seen := map[string]bool{}
	for i := range uint64(50) {
		c := &dns.Client{Addr: resolver, Random: i * 0x9e3779b97f4a7c15}
		reply, _ := z.Answer(nil, question("multi.example.org.", mdns.TypeA), c, dns.UDP)
		m := new(mdns.Msg)
		if err := m.Unpack(reply); err != nil || len(m.Answer) != steer.MultivalueAnswers {
			t.Fatal(err, m)
		}
		seen[render(m)] = true
	}
	if len(seen) < 20 {
		t.Errorf("%d subsets of 45 for 50 clients", len(seen))
	}
}

// TestScopesTile: for any policies, every client within the scope of an answer gets that answer, with that scope (RFC 7871
// section 7.2.1).
func TestScopesTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := config.Zone{Name: "example.org.", Nameservers: []string{"ns.example.net."}, Hostmaster: "h.example.net."}
		for i := range rapid.IntRange(1, 4).Draw(t, "records") {
			policy := rapid.SampledFrom([]string{"latency", "geolocation", "geoproximity", "cidr", "failover", "weighted"}).Draw(t, "policy")
			r := config.Record{Name: fmt.Sprintf("r%d.example.org.", i), Type: "A", Policy: policy, Together: rapid.Bool().Draw(t, "together")}
			for j := range rapid.IntRange(1, 4).Draw(t, "answers") {
				a := config.Answer{ID: fmt.Sprint(j), Weight: 1, Values: []string{fmt.Sprintf("192.0.2.%d", 10*i+j)}}
				if i > 0 && rapid.Bool().Draw(t, "alias") {
					a.Values, a.Alias = nil, &config.Alias{Record: fmt.Sprintf("r%d.example.org.", rapid.IntRange(0, i-1).Draw(t, "target"))}
				}
				switch policy {
				case "latency", "geoproximity":
					a.Region = rapid.SampledFrom([]string{"eu", "us", "ap"}).Draw(t, "region")
				case "geolocation":
					a.Country = rapid.SampledFrom([]string{"GB", "US", "JP", ""}).Draw(t, "country")
					a.Default = a.Country == ""
				case "cidr":
					p := genSubnet().Draw(t, "block")
					a.CIDRs = []netip.Prefix{netip.PrefixFrom(p.Addr(), min(p.Bits(), 24)).Masked()}
					a.Default = rapid.Bool().Draw(t, "default")
				}
				r.Answers = append(r.Answers, a)
			}
			zone.Records = append(zone.Records, r)
		}
		z, err := dns.Compile(&config.Config{Zones: []config.Zone{zone}}, dns.Deps{Places: testAtlas, Regions: testRegions})
		if err != nil {
			t.Fatal(err)
		}
		name := zone.Records[len(zone.Records)-1].Name
		answer := func(p netip.Prefix) ([]string, int) {
			e, err := z.Explain(name, mdns.TypeA, &dns.Client{Subnet: p, Random: 5})
			if err != nil {
				t.Fatal(err)
			}
			return e.Answer, e.Scope
		}
		for range 5 {
			p := genSubnet().Draw(t, "client")
			got, scope := answer(p)
			if p.Bits() == 0 || scope > p.Bits() {
				continue
			}
			other := within(t, netip.PrefixFrom(p.Addr(), scope).Masked())
			if other.Bits() < scope || other.Bits() == 0 { // a source length of 0 is nobody, whom not even 0.0.0.0/0 holds
				continue
			}
			if also, alsoScope := answer(other); !slices.Equal(got, also) || scope != alsoScope {
				t.Fatalf("%v gets %v with scope %d, and %v gets %v with scope %d", p, got, scope, other, also, alsoScope)
			}
		}
	})
}

// TestAliasesStandAtTheApex: each kind of alias, next to SOA and NS, where a CNAME could not stand.
func TestAliasesStandAtTheApex(t *testing.T) {
	cfg := config.Config{
		Edge:          config.Edge{Addresses: addrs("203.0.113.9")},
		Distributions: []config.Distribution{{Name: "site"}},
		Accelerators:  []config.Accelerator{{Name: "games", Listeners: []config.AcceleratorListener{{Address: netip.MustParseAddr("192.0.2.7")}}}},
		Pools:         []config.Pool{{Name: "web", Policy: "simple", Endpoints: []config.Endpoint{{ID: "a", Address: netip.MustParseAddrPort("192.0.2.1:80"), Weight: 1}}}},
	}
	hosts := func(string) dns.HostAnswer { return dns.HostAnswer{Addrs: addrs("192.0.2.8"), TTL: 60} }
	for want, alias := range map[string]config.Alias{
		"192.0.2.1": {Pool: "web"}, "192.0.2.7": {Accelerator: "games"}, "192.0.2.8": {Host: "lb.example.net."}, "203.0.113.9": {Distribution: "site"},
		"192.0.2.3": {Record: "other.example.org."},
	} {
		z := compileConfig(t, &cfg, dns.Deps{Hosts: hosts}, config.Record{Name: "example.org.", Type: "A", Alias: &alias},
			config.Record{Name: "other.example.org.", Type: "A", TTL: time.Minute, Values: []string{"192.0.2.3"}})
		expect(t, z, "example.org.", "A", "NOERROR aa; example.org. 60 A "+want)
		if m := ask(t, z, "example.org.", mdns.TypeSOA); len(m.Answer) != 1 {
			t.Errorf("%+v: %s", alias, render(m))
		}
	}
}
