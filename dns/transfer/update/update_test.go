package update_test

import (
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer/update"
	"github.com/meridian-edge/meridian/dns/zone"
)

const base = `example.org. 60 IN SOA ns. host. 7 2 3 4 5
example.org. 60 IN NS ns1.example.org.
a.example.org. 60 IN A 192.0.2.1
a.example.org. 60 IN A 192.0.2.2
a.example.org. 60 IN TXT "x"
c.example.org. 60 IN CNAME a.example.org.`

func data(t *testing.T) *zone.Data {
	t.Helper()
	b := zone.NewBuilder([]byte("\x07example\x03org\x00"))
	for line := range strings.Lines(base) {
		if err := b.AddRR(rr(t, line)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rr(t *testing.T, line string) mdns.RR {
	t.Helper()
	r, err := mdns.NewRR(line)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// message goes over the wire, as a real one does.
func message(t *testing.T, build func(m *mdns.Msg)) *mdns.Msg {
	t.Helper()
	m := new(mdns.Msg)
	m.SetUpdate("example.org.")
	build(m)
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := new(mdns.Msg)
	if err := out.Unpack(p); err != nil {
		t.Fatal(err)
	}
	return out
}

func show(t *testing.T, r update.Result) []string {
	var out []string
	for _, side := range []struct {
		sign    string
		records []zone.Record
	}{{"-", r.Removed}, {"+", r.Added}} {
		for _, rec := range side.records {
			x, err := rec.RR()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, side.sign+strings.ReplaceAll(strings.ReplaceAll(x.String(), "\t", " "), ".example.org.", ""))
		}
	}
	return out
}

func TestPrerequisites(t *testing.T) {
	for _, c := range []struct {
		what  string
		build func(m *mdns.Msg)
		rcode int
	}{
		{"name in use", func(m *mdns.Msg) { m.NameUsed([]mdns.RR{rr(t, "a.example.org. A 0.0.0.0")}) }, mdns.RcodeSuccess},
		{"name in use, but is not", func(m *mdns.Msg) { m.NameUsed([]mdns.RR{rr(t, "x.example.org. A 0.0.0.0")}) }, mdns.RcodeNameError},
		{"name not in use", func(m *mdns.Msg) { m.NameNotUsed([]mdns.RR{rr(t, "x.example.org. A 0.0.0.0")}) }, mdns.RcodeSuccess},
		{"name not in use, but is", func(m *mdns.Msg) { m.NameNotUsed([]mdns.RR{rr(t, "a.example.org. A 0.0.0.0")}) }, mdns.RcodeYXDomain},
		{"set exists", func(m *mdns.Msg) { m.RRsetUsed([]mdns.RR{rr(t, "a.example.org. A 0.0.0.0")}) }, mdns.RcodeSuccess},
		{"set exists, but does not", func(m *mdns.Msg) { m.RRsetUsed([]mdns.RR{rr(t, "a.example.org. MX 0 .")}) }, mdns.RcodeNXRrset},
		{"no set", func(m *mdns.Msg) { m.RRsetNotUsed([]mdns.RR{rr(t, "a.example.org. MX 0 .")}) }, mdns.RcodeSuccess},
		{"no set, but there is", func(m *mdns.Msg) { m.RRsetNotUsed([]mdns.RR{rr(t, "a.example.org. A 0.0.0.0")}) }, mdns.RcodeYXRrset},
		{"the very set", func(m *mdns.Msg) {
			m.Used([]mdns.RR{rr(t, "a.example.org. 0 A 192.0.2.2"), rr(t, "A.example.org. 0 A 192.0.2.1")})
		}, mdns.RcodeSuccess},
		{"a part of the set", func(m *mdns.Msg) { m.Used([]mdns.RR{rr(t, "a.example.org. 0 A 192.0.2.2")}) }, mdns.RcodeNXRrset},
		{"another set", func(m *mdns.Msg) {
			m.Used([]mdns.RR{rr(t, "a.example.org. 0 A 192.0.2.2"), rr(t, "a.example.org. 0 A 192.0.2.9")})
		}, mdns.RcodeNXRrset},
		{"case of names in data", func(m *mdns.Msg) { m.Used([]mdns.RR{rr(t, "c.example.org. 0 CNAME A.Example.org.")}) }, mdns.RcodeSuccess},
		{"a TTL", func(m *mdns.Msg) { m.Answer = []mdns.RR{rr(t, "a.example.org. 9 A 192.0.2.2")} }, mdns.RcodeFormatError},
		{"another zone", func(m *mdns.Msg) { m.NameUsed([]mdns.RR{rr(t, "a.example.net. A 0.0.0.0")}) }, mdns.RcodeNotZone},
		{"class CH", func(m *mdns.Msg) { m.Answer = []mdns.RR{rr(t, `a.example.org. 0 CH TXT "x"`)} }, mdns.RcodeFormatError},
	} {
		t.Run(c.what, func(t *testing.T) {
			if r := update.Decide(data(t), message(t, c.build), nil); r.RCode != c.rcode || r.Changed {
				t.Errorf("got %s, changed %v", mdns.RcodeToString[r.RCode], r.Changed)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	insert := func(lines ...string) func(*mdns.Msg) {
		return func(m *mdns.Msg) {
			for _, l := range lines {
				m.Insert([]mdns.RR{rr(t, l)})
			}
		}
	}
	remove := func(line string) func(*mdns.Msg) { return func(m *mdns.Msg) { m.Remove([]mdns.RR{rr(t, line)}) } }
	set := func(line string) func(*mdns.Msg) {
		return func(m *mdns.Msg) { m.RemoveRRset([]mdns.RR{rr(t, line)}) }
	}
	name := func(line string) func(*mdns.Msg) { return func(m *mdns.Msg) { m.RemoveName([]mdns.RR{rr(t, line)}) } }
	for _, c := range []struct {
		what   string
		build  func(m *mdns.Msg)
		serial uint32
		want   string // joined by |
	}{
		{"a new name", insert("b.example.org. 60 A 192.0.2.3"), 8, "+b 60 IN A 192.0.2.3"},
		{"what is there", insert("a.example.org. 60 A 192.0.2.1"), 7, ""},
		{"another TTL for the whole set", insert("a.example.org. 30 A 192.0.2.1"), 8,
			"-a 60 IN A 192.0.2.1|-a 60 IN A 192.0.2.2|+a 30 IN A 192.0.2.1|+a 30 IN A 192.0.2.2"},
		{"a CNAME beside others", insert("a.example.org. 60 CNAME b.example.org."), 7, ""},
		{"another beside a CNAME", insert("c.example.org. 60 A 192.0.2.1"), 7, ""},
		{"a CNAME for a CNAME", insert("c.example.org. 60 CNAME b.example.org."), 8, "-c 60 IN CNAME a|+c 60 IN CNAME b"},
		{"a higher SOA", insert("example.org. 60 SOA ns. host. 20 2 3 4 5"), 20, ""},
		{"a lower SOA", insert("example.org. 60 SOA ns. host. 6 2 3 4 5"), 7, ""},
		{"an SOA elsewhere", insert("a.example.org. 60 SOA ns. host. 20 2 3 4 5"), 7, ""},
		{"one record", remove("a.example.org. A 192.0.2.1"), 8, "-a 60 IN A 192.0.2.1"},
		{"a record that is not there", remove("a.example.org. A 192.0.2.9"), 7, ""},
		{"the last NS", remove("example.org. NS ns1.example.org."), 7, ""},
		{"the set of NS", set("example.org. NS ns1.example.org."), 7, ""},
		{"a set", set("a.example.org. A 0.0.0.0"), 8, "-a 60 IN A 192.0.2.1|-a 60 IN A 192.0.2.2"},
		{"a name", name("a.example.org. A 0.0.0.0"), 8, `-a 60 IN A 192.0.2.1|-a 60 IN A 192.0.2.2|-a 60 IN TXT "x"`},
		{"the zone's own name", name("example.org. A 0.0.0.0"), 7, ""},
		{"added and taken away again", func(m *mdns.Msg) {
			insert("b.example.org. 60 A 192.0.2.3")(m)
			remove("b.example.org. A 192.0.2.3")(m)
		}, 7, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := update.Decide(data(t), message(t, c.build), nil)
			if r.RCode != 0 || r.Changed != (c.serial != 7) {
				t.Fatalf("got %s, changed %v", mdns.RcodeToString[r.RCode], r.Changed)
			}
			soa, err := r.SOA.RR()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(show(t, r), "|"); got != c.want || soa.(*mdns.SOA).Serial != c.serial {
				t.Errorf("got %s\nserial %d", got, soa.(*mdns.SOA).Serial)
			}
		})
	}
}

func TestNothingHappensWhenOnePartIsRefused(t *testing.T) {
	allow := func(name []byte, typ uint16) bool { return typ == mdns.TypeTXT }
	for _, c := range []struct {
		what  string
		build func(m *mdns.Msg)
		rcode int
	}{
		{"type", func(m *mdns.Msg) {
			m.Insert([]mdns.RR{rr(t, `b.example.org. TXT "y"`), rr(t, "b.example.org. A 192.0.2.1")})
		}, mdns.RcodeRefused},
		{"all types of a name", func(m *mdns.Msg) { m.RemoveName([]mdns.RR{rr(t, "a.example.org. A 0.0.0.0")}) }, mdns.RcodeRefused},
		{"zone", func(m *mdns.Msg) {
			m.Insert([]mdns.RR{rr(t, `b.example.org. TXT "y"`), rr(t, `b.example.net. TXT "y"`)})
		}, mdns.RcodeNotZone},
		{"meta type", func(m *mdns.Msg) {
			m.Insert([]mdns.RR{rr(t, `b.example.org. TXT "y"`), &mdns.RFC3597{Hdr: mdns.RR_Header{Name: "b.example.org.", Rrtype: 252}, Rdata: "00"}})
		}, mdns.RcodeFormatError},
		{"no data", func(m *mdns.Msg) {
			m.Ns = []mdns.RR{&mdns.ANY{Hdr: mdns.RR_Header{Name: "b.example.org.", Rrtype: mdns.TypeA, Class: mdns.ClassINET}}}
		}, mdns.RcodeFormatError},
		{"fine", func(m *mdns.Msg) { m.Insert([]mdns.RR{rr(t, `b.example.org. TXT "y"`)}) }, mdns.RcodeSuccess},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := update.Decide(data(t), message(t, c.build), allow)
			if r.RCode != c.rcode || r.Changed != (c.rcode == 0) {
				t.Errorf("got %s, changed %v", mdns.RcodeToString[r.RCode], r.Changed)
			}
			if r.RCode != 0 && !slices.Equal(show(t, r), nil) {
				t.Errorf("%v", show(t, r))
			}
		})
	}
}
