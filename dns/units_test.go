package dns_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/zone"
)

// dataOf makes a zone's data of zone text; SOA and NS are added.
func dataOf(t testing.TB, origin, text string) *zone.Data {
	t.Helper()
	d, err := parseZone(origin, "$TTL 300\n@ SOA ns.example. h.example. 7 7200 900 1209600 60\n@ NS ns.example.\n"+text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func withData(t testing.TB, d dns.Deps, data map[string]*zone.Data, zones ...config.Zone) *dns.Zones {
	t.Helper()
	d.Data = data
	return compile(t, d, zones...)
}

const negative = "ns: example.org. 60 SOA ns.example. h.example. 7 7200 900 1209600 60"

func expect(t *testing.T, z *dns.Zones, name, qtype, want string) {
	t.Helper()
	if got := render(ask(t, z, name, mdns.StringToType[qtype])); got != want {
		t.Errorf("%s %s: %s, want %s", name, qtype, got, want)
	}
}

func TestZoneOfDataAlone(t *testing.T) {
	z := withData(t, dns.Deps{}, map[string]*zone.Data{"example.org.": dataOf(t, "example.org.", "www A 192.0.2.1\na.b.c TXT x\n")})
	expect(t, z, "www.example.org.", "A", "NOERROR aa; www.example.org. 300 A 192.0.2.1")
	expect(t, z, "example.org.", "SOA", "NOERROR aa; example.org. 300 SOA ns.example. h.example. 7 7200 900 1209600 60")
	expect(t, z, "b.c.example.org.", "A", "NOERROR aa; "+negative)
	expect(t, z, "x.c.example.org.", "A", "NXDOMAIN aa; "+negative)
	if names := z.Names(); !slices.Equal(names, []string{"example.org."}) || z.Records() != 4 {
		t.Errorf("%v, %d records", names, z.Records())
	}
}

func TestConfigAndDataMakeOneZone(t *testing.T) {
	data := map[string]*zone.Data{"example.org.": dataOf(t, "example.org.", "www A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.5\nalias CNAME steered\n")}
	cfg := zoneOf(t, "example.org.", "www 60 AAAA 2001:db8::1", "0.a 60 A 192.0.2.9", "zzz 60 MX 10 www.example.org.")
	cfg.Records = append(cfg.Records,
		config.Record{Name: "steered.example.org.", Type: "A", TTL: 30e9, Policy: "weighted", Answers: []config.Answer{
			{ID: "x", Weight: 1, Alias: &config.Alias{Record: "www.example.org."}}}},
		config.Record{Name: "example.org.", Type: "A", Alias: &config.Alias{Record: "www.example.org."}})
	z := withData(t, dns.Deps{Serial: 99}, data, cfg)
	if z.Errors() != nil {
		t.Fatal(z.Errors())
	}
	expect(t, z, "www.example.org.", "A", "NOERROR aa; www.example.org. 300 A 192.0.2.1")
	expect(t, z, "www.example.org.", "AAAA", "NOERROR aa; www.example.org. 60 AAAA 2001:db8::1")
	expect(t, z, "alias.example.org.", "A", "NOERROR aa; alias.example.org. 300 CNAME steered.example.org.; steered.example.org. 300 A 192.0.2.1")
	expect(t, z, "example.org.", "A", "NOERROR aa; example.org. 300 A 192.0.2.1")
	expect(t, z, "example.org.", "NS", "NOERROR aa; example.org. 300 NS ns.example.")
	expect(t, z, "a.example.org.", "A", "NOERROR aa; "+negative)
	expect(t, z, "x.sub.example.org.", "A", "NOERROR; ns: sub.example.org. 300 NS ns.sub.example.org.; ar: ns.sub.example.org. 300 A 192.0.2.5")
	expect(t, z, "zzz.example.org.", "MX", "NOERROR aa; zzz.example.org. 60 MX 10 www.example.org.; ar: www.example.org. 300 A 192.0.2.1; ar: www.example.org. 60 AAAA 2001:db8::1")
}

func TestASetInConfigAndDataNamesBoth(t *testing.T) {
	data := map[string]*zone.Data{
		"example.org.": dataOf(t, "example.org.", "www A 192.0.2.1\n"),
		"example.net.": dataOf(t, "example.net.", "www A 192.0.2.1\n"),
	}
	cfg := zoneOf(t, "example.org.", "www 60 A 192.0.2.2")
	cfg.Records[0].Line = 17
	z := withData(t, dns.Deps{}, data, cfg)
	if errs := z.Errors(); len(errs) != 1 || errs[0].Zone != "example.org." || !strings.Contains(errs[0].Error(), "www.example.org. A (line 17): also in the zone's data") {
		t.Errorf("%v", errs)
	}
	expect(t, z, "www.example.org.", "A", "SERVFAIL")
	expect(t, z, "www.example.net.", "A", "NOERROR aa; www.example.net. 300 A 192.0.2.1")
}

func TestAZoneThatFailsStaysAsItWas(t *testing.T) {
	good := map[string]*zone.Data{"example.org.": dataOf(t, "example.org.", "www A 192.0.2.1\n"), "example.net.": dataOf(t, "example.net.", "www A 192.0.2.1\n")}
	old := withData(t, dns.Deps{}, good)
	bad := dataOf(t, "example.org.", "www CNAME a\nwww A 192.0.2.2\n")
	next := withData(t, dns.Deps{Previous: old}, map[string]*zone.Data{"example.org.": bad, "example.net.": dataOf(t, "example.net.", "www A 192.0.2.2\n")})
	if len(next.Errors()) != 1 {
		t.Error(next.Errors())
	}
	expect(t, next, "www.example.org.", "A", "NOERROR aa; www.example.org. 300 A 192.0.2.1")
	expect(t, next, "www.example.net.", "A", "NOERROR aa; www.example.net. 300 A 192.0.2.2")
	_, err := next.With("example.org.", bad)
	var fault dns.ZoneError
	if !errors.As(err, &fault) || fault.Zone != "example.org." || !strings.Contains(err.Error(), "CNAME cannot stand next to") {
		t.Error(err)
	}
	if _, err := next.With("example.net.", good["example.org."]); err == nil || !strings.Contains(err.Error(), "the data is of zone example.org.") {
		t.Error(err)
	}
}

func TestWithAndWithoutChangeOneZone(t *testing.T) {
	cfg := zoneOf(t, "example.com.", "www 60 A 192.0.2.7")
	z := withData(t, dns.Deps{}, map[string]*zone.Data{"example.org.": dataOf(t, "example.org.", "www A 192.0.2.1\n"), "b.example.": nil}, cfg)
	expect(t, z, "b.example.", "A", "SERVFAIL")
	with := func(z *dns.Zones, name, text string) *dns.Zones {
		next, err := z.With(name, dataOf(t, name, text))
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	without := func(z *dns.Zones, name string) *dns.Zones {
		next, err := z.Without(name)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	two := with(z, "example.org.", "www A 192.0.2.2\n")
	expect(t, z, "www.example.org.", "A", "NOERROR aa; www.example.org. 300 A 192.0.2.1")
	expect(t, two, "www.example.org.", "A", "NOERROR aa; www.example.org. 300 A 192.0.2.2")
	three := with(with(two, "a.example.", "www A 192.0.2.3\n"), "b.example.", "")
	expect(t, two, "www.a.example.", "A", "REFUSED")
	expect(t, three, "www.a.example.", "A", "NOERROR aa; www.a.example. 300 A 192.0.2.3")
	expect(t, three, "www.example.com.", "A", "NOERROR aa; www.example.com. 60 A 192.0.2.7")
	if names := three.Names(); !slices.Equal(names, []string{"example.com.", "b.example.", "example.org.", "a.example."}) || len(three.Errors()) != 0 {
		t.Errorf("%v, %v", names, three.Errors())
	}
	four := without(without(three, "example.org."), "never.example.")
	expect(t, four, "www.example.org.", "A", "REFUSED")
	expect(t, four, "www.a.example.", "A", "NOERROR aa; www.a.example. 300 A 192.0.2.3")
	merged, err := four.With("example.com.", dataOf(t, "example.com.", "x A 192.0.2.8\n"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, merged, "x.example.com.", "A", "NOERROR aa; x.example.com. 300 A 192.0.2.8")
	expect(t, without(merged, "example.com."), "www.example.com.", "A", "NOERROR aa; www.example.com. 60 A 192.0.2.7")
	expect(t, without(merged, "example.com."), "x.example.com.", "SOA", "NXDOMAIN aa; ns: example.com. 60 SOA ns1.example.com. hostmaster.example.com. 0 7200 900 1209600 60")
}

// TestUnchangedZonesAreTakenOver looks at the serial, which a zone that was compiled anew has from the new generation.
func TestUnchangedZonesAreTakenOver(t *testing.T) {
	b := &board{}
	zones := func() []config.Zone {
		a, s := zoneOf(t, "a.example.", "www 60 A 192.0.2.1"), zoneOf(t, "s.example.")
		s.Records = append(s.Records, config.Record{Name: "www.s.example.", Type: "A", Policy: "latency", Answers: []config.Answer{
			{ID: "x", Region: "eu", Check: "p1", Values: []string{"192.0.2.1"}}}})
		return []config.Zone{a, s}
	}
	serials := func(z *dns.Zones) (list []uint32) {
		for _, name := range z.Names() {
			list = append(list, ask(t, z, name, mdns.TypeSOA).Answer[0].(*mdns.SOA).Serial)
		}
		return list
	}
	first := compile(t, dns.Deps{Serial: 1, Slot: b.Slot, Regions: testRegions}, zones()...)
	moved := zones()
	moved[0].Line, moved[1].Records[0].Line, moved[1].Records[0].Answers[0].Line = 9, 9, 9
	second := compile(t, dns.Deps{Serial: 2, Slot: b.Slot, Regions: testRegions, Previous: first}, moved...)
	if got := serials(second); !slices.Equal(got, []uint32{1, 1}) {
		t.Errorf("nothing but lines has changed: %v", got)
	}
	changed := zones()
	changed[0].Records[0].TTL = time.Minute + time.Second
	third := compile(t, dns.Deps{Serial: 3, Slot: b.Slot, Regions: testRegions, Previous: second}, changed...)
	if got := serials(third); !slices.Equal(got, []uint32{3, 1}) {
		t.Errorf("the first has changed: %v", got)
	}
	b.names = append([]string{"other"}, b.names...)
	fourth := compile(t, dns.Deps{Serial: 4, Slot: b.Slot, Regions: testRegions, Previous: third}, changed...)
	if got := serials(fourth); !slices.Equal(got, []uint32{3, 4}) {
		t.Errorf("a slot has changed: %v", got)
	}
	if e, err := second.Explain("www.s.example.", mdns.TypeA, &dns.Client{}); err != nil || e.Hops[0].Line != 9 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestDSIsAnsweredAboveTheCut(t *testing.T) {
	z := withData(t, dns.Deps{}, map[string]*zone.Data{
		"example.org.":     dataOf(t, "example.org.", "sub NS ns.sub\nsub DS 1 8 2 abcd\nother NS ns.example.\n"),
		"sub.example.org.": dataOf(t, "sub.example.org.", "www A 192.0.2.1\n"), "in.example.org.": dataOf(t, "in.example.org.", ""),
	})
	expect(t, z, "sub.example.org.", "DS", "NOERROR aa; sub.example.org. 300 DS 1 8 2 ABCD")
	expect(t, z, "other.example.org.", "DS", "NOERROR aa; "+negative)
	expect(t, z, "in.example.org.", "DS", "NOERROR aa; "+negative) // not delegated, but there
	expect(t, z, "example.org.", "DS", "NOERROR aa; "+negative)
	expect(t, z, "www.sub.example.org.", "A", "NOERROR aa; www.sub.example.org. 300 A 192.0.2.1")
	expect(t, z, "x.other.example.org.", "DS", "NOERROR; ns: other.example.org. 300 NS ns.example.")
}

func TestDNAMERenames(t *testing.T) {
	long := strings.Repeat("x", 60)
	z := withData(t, dns.Deps{}, map[string]*zone.Data{
		"example.org.": dataOf(t, "example.org.", "d DNAME t.example.net.\nloop DNAME loop\nd2 DNAME target.example.net.\ngrow DNAME a.grow\nd TXT x\n"),
		"example.net.": dataOf(t, "example.net.", "www.t A 192.0.2.1\n"),
	})
	expect(t, z, "wWw.D.example.org.", "A", "NOERROR aa; D.example.org. 300 DNAME t.example.net.; wWw.D.example.org. 300 CNAME wWw.t.example.net.; wWw.t.example.net. 300 A 192.0.2.1")
	expect(t, z, "d.example.org.", "TXT", `NOERROR aa; d.example.org. 300 TXT "x"`)
	expect(t, z, "d.example.org.", "DNAME", "NOERROR aa; d.example.org. 300 DNAME t.example.net.")
	expect(t, z, "d.example.org.", "A", "NOERROR aa; "+negative)
	expect(t, z, "x.d.example.org.", "A", "NXDOMAIN aa; d.example.org. 300 DNAME t.example.net.; x.d.example.org. 300 CNAME x.t.example.net.; ns: example.net. 60 SOA ns.example. h.example. 7 7200 900 1209600 60")
	expect(t, z, "x.loop.example.org.", "A", "NOERROR aa; loop.example.org. 300 DNAME loop.example.org.; x.loop.example.org. 300 CNAME x.loop.example.org.")
	name := strings.Join([]string{long, long, long, long[:53]}, ".") + ".d2.example.org."
	if m := ask(t, z, name, mdns.TypeA); m.Rcode != mdns.RcodeYXDomain || len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != mdns.TypeDNAME {
		t.Error(render(m))
	}
	if m, _ := answerTo(t, z, question("x.grow.example.org.", mdns.TypeA), dns.TCP); m.Rcode != 0 || len(m.Answer) != 18 {
		t.Errorf("%d records, %s", len(m.Answer), render(m))
	}
}

func TestLoopsOfDataEndWhereTheyMeetThemselves(t *testing.T) {
	z := withData(t, dns.Deps{}, map[string]*zone.Data{"example.org.": dataOf(t, "example.org.", "a CNAME b\nb CNAME a\n*.w CNAME x.w\n")})
	expect(t, z, "a.example.org.", "A", "NOERROR aa; a.example.org. 300 CNAME b.example.org.; b.example.org. 300 CNAME a.example.org.")
	expect(t, z, "y.w.example.org.", "A", "NOERROR aa; x.w.example.org. 300 CNAME x.w.example.org.; y.w.example.org. 300 CNAME x.w.example.org.")
}

func TestAdditionalsOfServiceRecords(t *testing.T) {
	z := withData(t, dns.Deps{}, map[string]*zone.Data{"example.org.": dataOf(t, "example.org.", `h A 192.0.2.1
h HTTPS 1 . alpn=h2
@ HTTPS 0 h
s SVCB 1 h alpn=h2 ipv4hint=192.0.2.9
n NAPTR 1 1 "S" "SIP" "" srv
n2 NAPTR 1 1 "A" "SIP" "" h
n3 NAPTR 1 1 "U" "SIP" "!.*!x!" .
srv SRV 1 1 1 h
`)})
	const https, a = "h.example.org. 300 HTTPS 1 . alpn=\"h2\"", "ar: h.example.org. 300 A 192.0.2.1"
	expect(t, z, "h.example.org.", "HTTPS", "NOERROR aa; "+https+"; "+a)
	expect(t, z, "example.org.", "HTTPS", "NOERROR aa; example.org. 300 HTTPS 0 h.example.org.; "+a+"; ar: "+https)
	expect(t, z, "s.example.org.", "SVCB", "NOERROR aa; s.example.org. 300 SVCB 1 h.example.org. alpn=\"h2\" ipv4hint=\"192.0.2.9\"; "+a)
	expect(t, z, "n.example.org.", "NAPTR", `NOERROR aa; n.example.org. 300 NAPTR 1 1 "S" "SIP" "" srv.example.org.; ar: srv.example.org. 300 SRV 1 1 1 h.example.org.`)
	expect(t, z, "n2.example.org.", "NAPTR", `NOERROR aa; n2.example.org. 300 NAPTR 1 1 "A" "SIP" "" h.example.org.; `+a)
	if m := ask(t, z, "n3.example.org.", mdns.TypeNAPTR); len(m.Answer) != 1 || len(m.Extra) != 0 {
		t.Error(render(m))
	}
}

func TestEmptyDataAndForeignTypes(t *testing.T) {
	z := simpleZones(t, `www 60 TYPE65280 \# 0`)
	if m := ask(t, z, "www.example.org.", 65280); len(m.Answer) != 1 {
		t.Error(render(m))
	}
	z = withData(t, dns.Deps{}, map[string]*zone.Data{"example.org.": dataOf(t, "example.org.",
		"a CNAME b\na RRSIG CNAME 8 3 300 20300101000000 20200101000000 1 example.org. AAAA\nb DNSKEY 256 3 8 AAAA\n")})
	if m := ask(t, z, "a.example.org.", mdns.TypeRRSIG); len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != mdns.TypeRRSIG {
		t.Error(render(m))
	}
	if m := ask(t, z, "b.example.org.", mdns.TypeDNSKEY); len(m.Answer) != 1 {
		t.Error(render(m))
	}
}

// TestSignaturesGoToWhoWantsThem: those that a zone's data has go with the set they cover when the DO bit is set, and not otherwise (RFC 4035
// section 3.1.1); an answer that has no room for them is truncated.
func TestSignaturesGoToWhoWantsThem(t *testing.T) {
	const sig = " 8 3 300 20300101000000 20200101000000 1 example.org. "
	z := withData(t, dns.Deps{}, map[string]*zone.Data{"example.org.": dataOf(t, "example.org.",
		"a A 192.0.2.1\na RRSIG A"+sig+"AAAA\na RRSIG TXT"+sig+"BBBB\na TXT x\na MX 1 a\n"+
			"c CNAME a\nc RRSIG CNAME"+sig+"CCCC\n*.w A 192.0.2.2\n*.w RRSIG A"+sig+"DDDD\n"+
			"big A 192.0.2.3\nbig RRSIG A"+sig+strings.Repeat("AAAA", 400)+"\n")})
	do := func(m *mdns.Msg) { m.SetEdns0(1232, true) }
	for _, test := range []struct {
		name  string
		qtype uint16
		want  []string // of the answer, with DO
	}{
		{"a.example.org.", mdns.TypeA, []string{"A", "RRSIG A AAAA"}},
		{"a.example.org.", mdns.TypeTXT, []string{"TXT", "RRSIG TXT BBBB"}},
		{"a.example.org.", mdns.TypeMX, []string{"MX"}},
		{"c.example.org.", mdns.TypeA, []string{"CNAME", "RRSIG CNAME CCCC", "A", "RRSIG A AAAA"}},
		{"x.w.example.org.", mdns.TypeA, []string{"A", "RRSIG A DDDD"}},
	} {
		m := ask(t, z, test.name, test.qtype, do)
		var got []string
		for _, rr := range m.Answer {
			if s, ok := rr.(*mdns.RRSIG); ok {
				got = append(got, "RRSIG "+mdns.Type(s.TypeCovered).String()+" "+s.Signature)
			} else {
				got = append(got, mdns.Type(rr.Header().Rrtype).String())
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %q", test.name, mdns.Type(test.qtype), got)
		}
		for _, rr := range ask(t, z, test.name, test.qtype).Answer {
			if rr.Header().Rrtype == mdns.TypeRRSIG {
				t.Errorf("%s: %s without DO", test.name, rr)
			}
		}
	}
	if m := ask(t, z, "big.example.org.", mdns.TypeA, do); !m.Truncated {
		t.Error(render(m))
	}
	if m := ask(t, z, "big.example.org.", mdns.TypeA); m.Truncated || len(m.Answer) != 1 {
		t.Error(render(m))
	}
}

// TestWhatIsNoPlainQuery: it is handed over where there is somebody to take it, and refused as a query elsewhere.
func TestWhatIsNoPlainQuery(t *testing.T) {
	z := simpleZones(t, "www 60 A 192.0.2.1")
	for _, test := range []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"query", question("www.example.org.", mdns.TypeA), false},
		{"AXFR", question("example.org.", mdns.TypeAXFR), true},
		{"IXFR", question("example.org.", mdns.TypeIXFR), true},
		{"NOTIFY", question("example.org.", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }), true},
		{"UPDATE", question("example.org.", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }), true},
		{"TSIG", question("www.example.org.", mdns.TypeA, func(m *mdns.Msg) { m.SetTsig("k.", mdns.HmacSHA256, 300, 1) }), true},
	} {
		if got := dns.Special(test.packet); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
		if m, _ := answerTo(t, z, test.packet, dns.TCP); test.want == (m.Rcode == mdns.RcodeSuccess) {
			t.Errorf("%s: %s", test.name, m)
		}
	}
}

// With many zones the counters of queries are many. A zone that changes must not cost new ones, in the middle of a burst; zones that come or
// go do, and every query is counted for its own.
func TestAChangedZoneCostsNoNewCounters(t *testing.T) {
	const zones = 2000
	data := map[string]*zone.Data{}
	for i := range zones {
		origin := fmt.Sprintf("z%d.example.", i)
		data[origin] = dataOf(t, origin, "www A 192.0.2.1\n")
	}
	z := compile(t, dns.Deps{Data: data})
	source, registry := &holder{}, prometheus.NewRegistry()
	source.p.Store(z)
	server := dns.NewServer(dns.Options{Source: source, Registerer: registry})
	client, buf := &dns.Client{}, make([]byte, dns.MaxUDP)
	ask := func(name string) (allocated uint64) {
		var before, after runtime.MemStats
		packet := question(name, mdns.TypeA)
		runtime.ReadMemStats(&before)
		if reply := server.Handle(buf[:0], packet, client, victim, dns.TCP); len(reply) == 0 || reply[3]&0xF != 0 || reply[7] != 1 {
			t.Fatalf("%s: % x", name, reply)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	const little = 64 << 10 // the counters of 2,000 zones are 2 MB
	if n := ask("www.z7.example."); n < little {
		t.Fatalf("%d octets for the first query: what is measured here is not the counters", n)
	}
	z, err := z.With("z7.example.", dataOf(t, "z7.example.", "www A 192.0.2.2\n"))
	if err != nil {
		t.Fatal(err)
	}
	source.p.Store(z)
	if n := ask("www.z7.example."); n > little {
		t.Errorf("%d octets after a zone has changed", n)
	}
	if z, err = z.Without("z3.example."); err != nil {
		t.Fatal(err)
	}
	source.p.Store(z)
	ask("www.z1999.example.") // the numbers of others have changed
	ask("www.z7.example.")
	if z, err = z.With("new.example.", dataOf(t, "new.example.", "www A 192.0.2.1\n")); err != nil {
		t.Fatal(err)
	}
	source.p.Store(z)
	ask("www.new.example.")
	for label, want := range map[string]float64{"z7.example": 3, "z1999.example": 1, "new.example": 1} {
		if got := metric(t, &running{registry: registry}, "meridian_dns_queries_total", label); got != want {
			t.Errorf("%s: %v counted, want %v", label, got, want)
		}
	}
}

// Hosts that only a wildcard makes exist have addresses too; hosts below another delegation have none of ours, but for their glue.
func TestAdditionalsComeFromWildcardsToo(t *testing.T) {
	z := compile(t, dns.Deps{Data: map[string]*zone.Data{"example.org.": dataOf(t, "example.org.",
		"* A 192.0.2.9\nsub NS ns.any\nother NS x.sub\n@ MX 10 mail\ngone MX 10 y.sub\ny.sub A 192.0.2.8\n")}})
	expect(t, z, "www.sub.example.org.", "A", "NOERROR; ns: sub.example.org. 300 NS ns.any.example.org.; ar: ns.any.example.org. 300 A 192.0.2.9")
	expect(t, z, "other.example.org.", "A", "NOERROR; ns: other.example.org. 300 NS x.sub.example.org.")
	expect(t, z, "example.org.", "MX", "NOERROR aa; example.org. 300 MX 10 mail.example.org.; ar: mail.example.org. 300 A 192.0.2.9")
	expect(t, z, "gone.example.org.", "MX", "NOERROR aa; gone.example.org. 300 MX 10 y.sub.example.org.")
}
