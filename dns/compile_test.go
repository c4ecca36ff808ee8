package dns_test

import (
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
)

func TestCompileRefuses(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"a name outside the zone", []string{"www.example.com. 60 A 192.0.2.1"}, "outside the zone"},
		{"a label too long", []string{long + " 60 A 192.0.2.1"}, "name"},
		{"a value that does not parse", []string{"www 60 A 192.0.2.256"}, "192.0.2.256"},
		{"an empty value", []string{"www 60 A ; nothing"}, "nothing"},
		{"an empty text", []string{"www 60 TXT ; nothing"}, "empty"},
		{"a value of two lines", []string{"www 60 TXT \"a\"\nwww 60 A 192.0.2.1"}, "line break"},
		{"an unknown type", []string{"www 60 NONSENSE x"}, "unknown record type"},
		{"a meta type", []string{"www 60 ANY x"}, "not a record type for zones"},
		{"a wildcard DNAME", []string{"*.www 60 DNAME example.com."}, "wildcard cannot be a DNAME"},
		{"two DNAMEs", []string{"www 60 DNAME example.com.", "www 60 DNAME example.net."}, "more than one value"},
		{"a wildcard delegation", []string{"*.www 60 NS ns.example.com."}, "wildcard cannot delegate"},
		{"an SOA below the apex", []string{"www 60 SOA a. b. 1 2 3 4 5"}, "apex"},
		{"a CNAME next to data", []string{"www 60 CNAME example.com.", "www 60 A 192.0.2.1"}, "CNAME cannot stand next to"},
		{"a CNAME at the apex", []string{"@ 60 CNAME example.com."}, "CNAME cannot stand next to"},
		{"two CNAMEs", []string{"www 60 CNAME example.com.", "www 60 CNAME example.net."}, "more than one value"},
		{"D21: a CNAME to itself", []string{"www 60 CNAME www.example.org."}, "loop"},
		{"D21: a loop of CNAMEs", []string{"a 60 CNAME b.example.org.", "b 60 CNAME a.example.org."}, "loop"},
		{"D21: a loop through a wildcard", []string{"*.a 60 CNAME x.a.example.org."}, "loop"},
		{"D21: a chain of nine CNAMEs", []string{
			"a1 60 CNAME a2.example.org.", "a2 60 CNAME a3.example.org.", "a3 60 CNAME a4.example.org.",
			"a4 60 CNAME a5.example.org.", "a5 60 CNAME a6.example.org.", "a6 60 CNAME a7.example.org.",
			"a7 60 CNAME a8.example.org.", "a8 60 CNAME a9.example.org.", "a9 60 CNAME www.example.com.",
		}, "more than 8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := dns.Compile(&config.Config{Zones: []config.Zone{zoneOf(t, "example.org.", test.lines...)}}, dns.Deps{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestCompileRefusesPolicies(t *testing.T) {
	alias := func(name string) *config.Alias { return &config.Alias{Record: name + ".example.org."} }
	for _, test := range []struct {
		name    string
		records []config.Record
		want    string
	}{
		{"an alias to nothing", []config.Record{{Name: "a", Alias: alias("b")}}, "no A record there"},
		{"D21: an alias to itself", []config.Record{{Name: "a", Alias: alias("a")}}, "alias loop"},
		{"D21: a loop through a policy", []config.Record{
			{Name: "a", Alias: alias("b")},
			{Name: "b", Policy: "weighted", Answers: []config.Answer{{ID: "x", Weight: 1, Alias: alias("a")}}},
		}, "alias loop"},
		{"an unknown policy", []config.Record{{Name: "a", Policy: "magic", Answers: []config.Answer{{ID: "x"}}}}, "unknown policy"},
		{"an unknown region", []config.Record{{Name: "a", Policy: "latency", Answers: []config.Answer{{ID: "x", Region: "mars"}}}}, `unknown region "mars"`},
		{"a weight out of range", []config.Record{{Name: "a", Policy: "weighted", Answers: []config.Answer{{ID: "x", Weight: 256}}}}, "weight"},
		{"an answer without values", []config.Record{{Name: "a", Policy: "weighted", Answers: []config.Answer{{ID: "x", Weight: 1}}}}, "no values"},
		{"a policy for a delegation", []config.Record{{Name: "a", Type: "NS", Policy: "weighted", Answers: []config.Answer{{ID: "x", Weight: 1, Values: []string{"ns.example.com."}}}}}, "a delegation can have neither a policy nor an alias"},
		{"the same record twice", []config.Record{{Name: "a", Values: []string{"192.0.2.1"}}, {Name: "a", Values: []string{"192.0.2.2"}}}, "also given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			z := zoneOf(t, "example.org.")
			for _, r := range test.records {
				r.Name += ".example.org."
				if r.Type == "" {
					r.Type = "A"
				}
				z.Records = append(z.Records, r)
			}
			_, err := dns.Compile(&config.Config{Zones: []config.Zone{z}}, dns.Deps{Regions: testRegions})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestCompileReportsEverythingAtOnce(t *testing.T) {
	a, b := zoneOf(t, "example.org.", "www 60 A x", "mail 60 MX y"), zoneOf(t, "example.net.", "www 60 AAAA z")
	_, err := dns.Compile(&config.Config{Zones: []config.Zone{a, b, a, {Name: "example.com."}}}, dns.Deps{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"www.example.org. A", "mail.example.org. MX", "www.example.net. AAAA", "defined twice", "example.com.: no nameservers"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestAliasAnswersWithTheTargetsTTLAndItsOwnName(t *testing.T) {
	z := zoneOf(t, "example.org.", "target 17 A 192.0.2.1")
	z.Records = append(z.Records,
		config.Record{Name: "example.org.", Type: "A", TTL: 99e9, Alias: &config.Alias{Record: "middle.example.org."}},
		config.Record{Name: "middle.example.org.", Type: "A", TTL: 98e9, Alias: &config.Alias{Record: "target.example.org."}},
		config.Record{Name: "tree.example.org.", Type: "A", TTL: 97e9, Policy: "weighted", Answers: []config.Answer{
			{ID: "x", Weight: 1, Alias: &config.Alias{Record: "middle.example.org."}, EvaluateTargetHealth: true}}})
	zones := compile(t, dns.Deps{}, z)
	for _, name := range []string{"example.org.", "tree.example.org."} {
		if got, want := render(ask(t, zones, name, mdns.TypeA)), "NOERROR aa; "+name+" 17 A 192.0.2.1"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSOACanBeBrought(t *testing.T) {
	z := simpleZones(t, "@ 7200 SOA ns1.example.org. me.example.org. 42 1 2 3 30", "@ 60 NS a.example.net.")
	if got, want := render(ask(t, z, "example.org.", mdns.TypeSOA)), "NOERROR aa; example.org. 7200 SOA ns1.example.org. me.example.org. 42 1 2 3 30"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := render(ask(t, z, "x.example.org.", mdns.TypeA)), "NXDOMAIN aa; ns: example.org. 30 SOA ns1.example.org. me.example.org. 42 1 2 3 30"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRootZone(t *testing.T) {
	z := config.Zone{Name: ".", Nameservers: []string{"a.root."}, Hostmaster: "h.root.", Records: []config.Record{
		{Name: "www.", Type: "A", TTL: 60e9, Values: []string{"192.0.2.1"}}}}
	zones := compile(t, dns.Deps{Serial: 1}, z)
	if got := render(ask(t, zones, "www.", mdns.TypeA)); got != "NOERROR aa; www. 60 A 192.0.2.1" {
		t.Error(got)
	}
	if m := ask(t, zones, ".", mdns.TypeNS); len(m.Answer) != 1 || !m.Authoritative {
		t.Error(render(m))
	}
	if m := ask(t, zones, "a.b.c.", mdns.TypeNS); m.Rcode != mdns.RcodeNameError {
		t.Error(render(m))
	}
}

func TestUnknownTypesAreServed(t *testing.T) {
	z := simpleZones(t, `www 60 TYPE65280 \# 2 abcd`, `www 60 HTTPS 1 . alpn="h2"`)
	if m := ask(t, z, "www.example.org.", 65280); len(m.Answer) != 1 || !strings.Contains(render(m), `\# 2 abcd`) {
		t.Error(render(m))
	}
	if m := ask(t, z, "www.example.org.", mdns.TypeHTTPS); len(m.Answer) != 1 {
		t.Error(render(m))
	}
}

func TestRotationLeavesTheSetAsItIs(t *testing.T) {
	z := simpleZones(t, "www 60 A 192.0.2.1", "www 60 A 192.0.2.2", "www 60 A 192.0.2.3", "c 60 CNAME www.example.org.")
	first := map[string]int{}
	for _, name := range []string{"www.example.org.", "c.example.org."} {
		for i := range 300 {
			c := &dns.Client{Addr: resolver, Random: uint64(i) * 0x9e3779b97f4a7c15}
			reply, _ := z.Answer(nil, question(name, mdns.TypeA), c, dns.UDP)
			var m mdns.Msg
			if err := m.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			rrs := m.Answer[len(m.Answer)-3:]
			seen := map[string]bool{}
			for _, rr := range rrs {
				seen[rr.(*mdns.A).A.String()] = true
			}
			if len(seen) != 3 || rrs[0].Header().Name != "www.example.org." {
				t.Fatal(m.Answer)
			}
			first[rrs[0].(*mdns.A).A.String()]++
		}
	}
	for a, n := range first {
		if n < 120 || n > 280 {
			t.Errorf("%s came first %d times of 600", a, n)
		}
	}
}
