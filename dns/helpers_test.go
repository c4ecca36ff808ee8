package dns_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// board is a health board of named checks; names in down are down.
type board struct {
	names []string
	down  map[string]bool
}

func (b *board) Slot(check string) steer.Slot {
	at := slices.Index(b.names, check)
	if at < 0 {
		at = len(b.names)
		b.names = append(b.names, check)
	}
	return steer.Slot(at)
}

func (b *board) Up(s steer.Slot) bool { return !b.down[b.names[s]] }

// atlas is a table of places. As a database does, it knows how many bits told an address from all others, known or not.
type atlas map[netip.Prefix]geo.Place

func (a atlas) Place(addr netip.Addr) geo.Place {
	var place geo.Place
	bits := 0
	for prefix, p := range a {
		switch {
		case prefix.Addr().Is4() != addr.Is4():
		case prefix.Contains(addr):
			place, bits = p, max(bits, prefix.Bits())
		default:
			for n := 1; n <= prefix.Bits(); n++ {
				if !netip.PrefixFrom(addr, n).Contains(prefix.Addr()) {
					bits = max(bits, n)
					break
				}
			}
		}
	}
	place.Bits = bits
	return place
}

var (
	london    = geo.Place{Country: "GB", Continent: "EU", Point: geo.At(51.5, -0.1)}
	newYork   = geo.Place{Country: "US", Continent: "NA", Subdivision: "NY", Point: geo.At(40.7, -74)}
	tokyo     = geo.Place{Country: "JP", Continent: "AS", Point: geo.At(35.7, 139.7)}
	testAtlas = atlas{
		netip.MustParsePrefix("198.51.100.0/24"):   london,
		netip.MustParsePrefix("203.0.113.0/24"):    newYork,
		netip.MustParsePrefix("2001:db8:f00::/48"): tokyo,
	}
	testRegions = map[string]geo.Point{
		"eu": geo.At(50.11, 8.68), "us": geo.At(39.04, -77.49), "ap": geo.At(35.68, 139.69),
	}
)

// zoneOf makes a zone of lines "name ttl type value"; values of one name and type become one record. Names are relative to the
// zone, "@" is the zone.
func zoneOf(t testing.TB, origin string, lines ...string) config.Zone {
	t.Helper()
	z := config.Zone{Name: origin, Nameservers: []string{"ns1." + origin}, TTL: time.Hour, NegativeTTL: time.Minute, Hostmaster: "hostmaster." + origin}
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		if len(f) < 4 {
			t.Fatalf("record %q", line)
		}
		ttl, err := time.ParseDuration(f[1] + "s")
		if err != nil {
			t.Fatal(err)
		}
		name := absolute(f[0], origin)
		at := slices.IndexFunc(z.Records, func(r config.Record) bool { return r.Name == name && r.Type == f[2] })
		if at < 0 {
			z.Records = append(z.Records, config.Record{Name: name, Type: f[2], TTL: ttl})
			at = len(z.Records) - 1
		}
		z.Records[at].Values = append(z.Records[at].Values, f[3])
	}
	return z
}

func absolute(name, origin string) string {
	switch {
	case name == "@":
		return origin
	case strings.HasSuffix(name, "."):
		return name
	}
	return name + "." + origin
}

func compile(t testing.TB, d dns.Deps, zones ...config.Zone) *dns.Zones {
	t.Helper()
	z, err := dns.Compile(&config.Config{Zones: zones}, d)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func simpleZones(t testing.TB, lines ...string) *dns.Zones {
	t.Helper()
	return compile(t, dns.Deps{Serial: 1}, zoneOf(t, "example.org.", lines...))
}

// question packs a query with miekg/dns; options change it before it is packed.
func question(name string, qtype uint16, options ...func(*mdns.Msg)) []byte {
	m := new(mdns.Msg)
	m.Id = 4711
	m.Question = []mdns.Question{{Name: mdns.Fqdn(name), Qtype: qtype, Qclass: mdns.ClassINET}}
	for _, o := range options {
		o(m)
	}
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return wire
}

func edns(size uint16) func(*mdns.Msg) {
	return func(m *mdns.Msg) { m.SetEdns0(size, false) }
}

// subnet adds a client subnet option, and EDNS when it is not there.
func subnet(prefix string) func(*mdns.Msg) {
	p := netip.MustParsePrefix(prefix)
	return func(m *mdns.Msg) {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		e := &mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 2, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
		if p.Addr().Is4() {
			e.Family = 1
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, e)
	}
}

var resolver = netip.MustParseAddr("192.0.2.53")

// answerTo answers one packet and unpacks the reply; nil means dropped.
func answerTo(t testing.TB, z *dns.Zones, packet []byte, transport dns.Transport) (*mdns.Msg, dns.Info) {
	t.Helper()
	reply, info := z.Answer(nil, packet, &dns.Client{Addr: resolver, Random: 1}, transport)
	if len(reply) == 0 {
		return nil, info
	}
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply does not unpack: %v\n% x", err, reply)
	}
	if off := wireEnd(t, reply); off != len(reply) {
		t.Fatalf("%d octets after the last record", len(reply)-off)
	}
	return m, info
}

func ask(t testing.TB, z *dns.Zones, name string, qtype uint16, options ...func(*mdns.Msg)) *mdns.Msg {
	t.Helper()
	m, _ := answerTo(t, z, question(name, qtype, options...), dns.UDP)
	if m == nil {
		t.Fatal("dropped")
	}
	return m
}

// wireEnd walks a message by its counts.
func wireEnd(t testing.TB, msg []byte) int {
	t.Helper()
	off := 12
	for range binary.BigEndian.Uint16(msg[4:]) {
		_, next, err := mdns.UnpackDomainName(msg, off)
		if err != nil {
			t.Fatal(err)
		}
		off = next + 4
	}
	for _, at := range []int{6, 8, 10} {
		for range binary.BigEndian.Uint16(msg[at:]) {
			_, next, err := mdns.UnpackRR(msg, off)
			if err != nil {
				t.Fatal(err)
			}
			off = next
		}
	}
	return off
}

// render puts a reply into one line: code, flags, records by section; records of a section are sorted.
func render(m *mdns.Msg) string {
	text := mdns.RcodeToString[m.Rcode]
	if opt := m.IsEdns0(); opt != nil && opt.ExtendedRcode() != m.Rcode&^0xF && m.Rcode == 0 {
		text = fmt.Sprintf("RCODE%d", opt.ExtendedRcode())
	}
	if m.Rcode == mdns.RcodeBadVers {
		text = "BADVERS"
	}
	if m.Authoritative {
		text += " aa"
	}
	if m.Truncated {
		text += " tc"
	}
	parts := []string{text}
	for _, section := range []struct {
		prefix string
		rrs    []mdns.RR
	}{{"", m.Answer}, {"ns: ", m.Ns}, {"ar: ", m.Extra}} {
		var lines []string
		for _, rr := range section.rrs {
			if opt, ok := rr.(*mdns.OPT); ok {
				for _, o := range opt.Option {
					if e, ok := o.(*mdns.EDNS0_SUBNET); ok {
						text := fmt.Sprintf("%s/%d/%d", e.Address, e.SourceNetmask, e.SourceScope)
						lines = append(lines, "~subnet "+text)
					}
				}
				continue
			}
			lines = append(lines, section.prefix+strings.ReplaceAll(strings.Replace(rr.String(), "\tIN\t", " ", 1), "\t", " "))
		}
		slices.Sort(lines)
		parts = append(parts, lines...)
	}
	return strings.Join(parts, "; ")
}
