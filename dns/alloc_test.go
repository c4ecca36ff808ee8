package dns_test

import (
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
)

// steeredZones has one record of every policy, with checks, and plain ones to compare with.
func steeredZones(t testing.TB) *dns.Zones {
	t.Helper()
	z := zoneOf(t, "example.org.",
		"ns1 3600 A 192.0.2.1", "www 60 A 192.0.2.2", "www 60 A 192.0.2.3", "alias 60 CNAME www.example.org.",
		"*.wild 60 A 192.0.2.4", "sub 60 NS ns.sub.example.org.", "ns.sub 60 A 192.0.2.5", "mail 60 MX 10 www.example.org.")
	add := func(name, policy string, answers ...config.Answer) {
		z.Records = append(z.Records, config.Record{Name: name + ".example.org.", Type: "A", TTL: 30e9, Policy: policy, Answers: answers})
	}
	v := func(a string) []string { return []string{a} }
	add("latency", "latency",
		config.Answer{ID: "eu", Region: "eu", Values: v("192.0.2.31"), Check: "p1"},
		config.Answer{ID: "us", Region: "us", Values: v("192.0.2.32"), Check: "p2"},
		config.Answer{ID: "ap", Region: "ap", Values: v("192.0.2.33"), Check: "p3"})
	add("weighted", "weighted",
		config.Answer{ID: "a", Weight: 10, Values: v("192.0.2.11"), Check: "p1"},
		config.Answer{ID: "b", Weight: 90, Values: v("192.0.2.12"), Check: "p2"})
	add("failover", "failover",
		config.Answer{ID: "two", Role: "secondary", Values: v("192.0.2.22")},
		config.Answer{ID: "one", Role: "primary", Values: v("192.0.2.21"), Check: "p1"})
	add("geo", "geolocation",
		config.Answer{ID: "gb", Country: "GB", Values: v("192.0.2.41")},
		config.Answer{ID: "eu", Continent: "EU", Values: v("192.0.2.42")})
	add("near", "geoproximity",
		config.Answer{ID: "eu", Region: "eu", Values: v("192.0.2.51")},
		config.Answer{ID: "br", HasPoint: true, Lat: -23.5, Lon: -46.6, Bias: 20, Values: v("192.0.2.52")})
	add("cidr", "cidr",
		config.Answer{ID: "office", CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Values: v("192.0.2.61")},
		config.Answer{ID: "rest", Default: true, Values: v("192.0.2.62")})
	multi := make([]config.Answer, 10)
	for i := range multi {
		multi[i] = config.Answer{ID: string(rune('a' + i)), Values: v(netip.AddrFrom4([4]byte{192, 0, 2, byte(71 + i)}).String()), Check: "p1"}
	}
	multi[9].Check = ""
	add("multi", "multivalue", multi...)
	add("tree", "latency",
		config.Answer{ID: "eu", Region: "eu", Alias: &config.Alias{Record: "failover.example.org."}, EvaluateTargetHealth: true},
		config.Answer{ID: "us", Region: "us", Alias: &config.Alias{Record: "weighted.example.org."}, EvaluateTargetHealth: true})
	b := &board{}
	return compile(t, dns.Deps{Health: b, Slot: b.Slot, Places: testAtlas, Regions: testRegions, Serial: 1}, z)
}

func TestAnswerAllocatesNothing(t *testing.T) {
	z := steeredZones(t)
	for name, packet := range map[string][]byte{
		"static":     question("www.example.org.", mdns.TypeA),
		"edns":       question("www.example.org.", mdns.TypeA, edns(1232)),
		"nxdomain":   question("nothing.example.org.", mdns.TypeA),
		"nodata":     question("www.example.org.", mdns.TypeTXT),
		"wildcard":   question("x.wild.example.org.", mdns.TypeA),
		"cname":      question("alias.example.org.", mdns.TypeA),
		"delegation": question("x.sub.example.org.", mdns.TypeA),
		"additional": question("mail.example.org.", mdns.TypeMX),
		"any":        question("latency.example.org.", mdns.TypeANY),
		"refused":    question("example.com.", mdns.TypeA),
		"latency":    question("latency.example.org.", mdns.TypeA, subnet("198.51.100.0/24")),
		"weighted":   question("weighted.example.org.", mdns.TypeA),
		"failover":   question("failover.example.org.", mdns.TypeA),
		"geo":        question("geo.example.org.", mdns.TypeA, subnet("203.0.113.0/24")),
		"near":       question("near.example.org.", mdns.TypeA, subnet("203.0.113.0/24")),
		"cidr":       question("cidr.example.org.", mdns.TypeA, subnet("198.51.100.0/24")),
		"multi":      question("multi.example.org.", mdns.TypeA),
		"tree":       question("tree.example.org.", mdns.TypeA, subnet("198.51.100.0/24")),
		"formerr":    question("www.example.org.", mdns.TypeA)[:20],
	} {
		t.Run(name, func(t *testing.T) {
			var buf [dns.MaxUDP]byte
			c := &dns.Client{Addr: resolver}
			if n := testing.AllocsPerRun(100, func() {
				c.Random++
				z.Answer(buf[:0], packet, c, dns.UDP)
			}); n != 0 {
				t.Errorf("%v allocations per answer", n)
			}
		})
	}
}
