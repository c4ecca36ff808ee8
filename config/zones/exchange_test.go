package zones_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config/zones"
)

func TestUpdatesTouchOnlyWhatTheirPatternsAllow(t *testing.T) {
	section, mistakes := read(`
zones:
  example.org:
    nameservers: [ns1.example.net]
    update: {keys: [Acme], names: ["_acme-challenge", "_acme-challenge.*", "*.dyn", "@"], types: [txt, A]}
  example.net:
    nameservers: [ns1.example.net]
    update: {keys: [a.], from: [10.0.0.0/8]}
  example.com: {nameservers: [ns1.example.net]}
`)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	org, net, com := section.Zones[0].Update, section.Zones[1].Update, section.Zones[2].Update
	if !slices.Equal(org.Keys, []string{"acme."}) || !slices.Equal(net.From, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}) {
		t.Errorf("%+v %+v", org, net)
	}
	for _, tt := range []struct {
		name, rrtype string
		want         bool
	}{
		{"_acme-challenge.example.org.", "TXT", true},
		{"_acme-challenge.example.org.", "A", true},
		{"_acme-challenge.example.org.", "MX", false},
		{"_acme-challenge.www.example.org.", "TXT", true},
		{"_acme-challenge.a.www.example.org.", "TXT", false}, // a label in the middle stands for one
		{"x._acme-challenge.example.org.", "TXT", false},
		{"dyn.example.org.", "A", false},
		{"a.dyn.example.org.", "A", true},
		{"a.b.dyn.example.org.", "A", true},
		{"adyn.example.org.", "A", false},
		{"example.org.", "TXT", true},
		{"org.", "TXT", false},
		{".", "TXT", false},
		{`a\.dyn.example.org.`, "A", false},
	} {
		if got := org.Allows(tt.name, tt.rrtype); got != tt.want {
			t.Errorf("%s %s: %v", tt.name, tt.rrtype, got)
		}
	}
	if !net.Allows("any.example.net.", "MX") || com.Allows("example.com.", "TXT") {
		t.Error("without patterns everything is allowed, without update nothing")
	}
}

func TestMembersOfACatalogAreSecondariesOfItsServers(t *testing.T) {
	section, mistakes := read(`
zones:
  catalog.example:
    primaries: [192.0.2.1, {address: "[2001:db8::1]:5353", key: K}]
    catalog: on
    notify: [192.0.2.9]
    transfer: {to: [192.0.2.0/24]}
    refresh: {min: 1m, max: 1h}
`)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	catalog := section.Zones[0]
	want := []zones.Peer{{Address: netip.MustParseAddrPort("192.0.2.1:53")}, {Address: netip.MustParseAddrPort("[2001:db8::1]:5353"), Key: "k."}}
	if !catalog.Catalog || !slices.Equal(catalog.Primaries, want) {
		t.Errorf("%+v", catalog)
	}
	m := catalog.Member("a.example.")
	if m.Name != "a.example." || m.Catalog || !slices.Equal(m.Primaries, want) || len(m.Notify) != 1 || len(m.Transfer.To) != 1 ||
		m.RefreshMin != time.Minute || m.RefreshMax != time.Hour || m.Journal != zones.DefaultJournal || m.Hostmaster != "hostmaster.a.example." {
		t.Errorf("%+v", m)
	}
}

// TestTTLOfAliasesThatLeadElsewhereIsTheirOwn: only another record here has one to inherit.
func TestTTLOfAliasesThatLeadElsewhereIsTheirOwn(t *testing.T) {
	section, mistakes := read(`
zones:
  example.org:
    file: example.org.zone
    ttl: 1h
    records:
      - {name: host, type: A, ttl: 20s, alias: {host: www.example.net}}
      - {name: pool, type: A, alias: {pool: web}}
      - {name: to-host, type: A, alias: {record: host}}
      - {name: in-file, type: A, alias: {record: www}}
      - {name: some, type: A, policy: weighted, answers: [{id: a, weight: 1, alias: {record: www}}, {id: b, weight: 1, alias: {record: host}}]}
      - {name: mixed, type: A, ttl: 5s, policy: weighted, answers: [{id: a, weight: 1, alias: {record: pool}}, {id: b, weight: 1, alias: {pool: web}}]}
`)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	want := []time.Duration{20 * time.Second, time.Hour, 20 * time.Second, time.Hour, 20 * time.Second, 5 * time.Second}
	for i, r := range section.Zones[0].Records {
		if r.TTL != want[i] {
			t.Errorf("%s: %v, want %v", r.Name, r.TTL, want[i])
		}
	}
	if section.Zones[0].File != "example.org.zone" || section.Zones[0].Nameservers != nil {
		t.Errorf("%+v", section.Zones[0])
	}
}

func FuzzRead(f *testing.F) {
	f.Add("zones: {example.org: {file: x, update: {keys: [k], names: [a]}}}", "a.example.org.")
	f.Add("zones: {example.org: {primaries: [192.0.2.1]}}", ".")
	f.Add("zones: {.: {nameservers: [ns1.example.net], update: {keys: [k], names: ['@', '*', 'a.*']}, records: [{name: a, type: A, alias: {record: a}}]}}", "x.")
	f.Fuzz(func(t *testing.T, src, name string) {
		section, mistakes := read(src)
		if mistakes != nil {
			return
		}
		for _, z := range section.Zones {
			z.Update.Allows(name, "A")
			if z.Name == "" || z.TTL < 0 || z.Journal == 0 || z.RefreshMin > z.RefreshMax {
				t.Errorf("%+v", z)
			}
		}
	})
}
