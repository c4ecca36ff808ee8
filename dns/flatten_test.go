package dns_test

import (
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns"
)

func TestFlattenIsWhatOneClientGets(t *testing.T) {
	z := simpleZones(t, "a 60 A 192.0.2.1", "*.w 60 TXT x", "c 60 CNAME a.example.org.", "sub 60 NS ns.sub.example.org.", "ns.sub 60 A 192.0.2.7")
	d, err := z.Flatten(z.Names()[0], &dns.Client{Addr: netip.MustParseAddr("192.0.2.200")})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r := range d.Records() {
		rr, err := r.RR()
		if err != nil {
			t.Fatal(err)
		}
		if r.Type != mdns.TypeSOA && string(r.Name) != string(d.Origin()) {
			lines = append(lines, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"a.example.org. 60 IN A 192.0.2.1", "*.w.example.org. 60 IN TXT \"x\"", "c.example.org. 60 IN CNAME a.example.org.",
		"sub.example.org. 60 IN NS ns.sub.example.org.", "ns.sub.example.org. 60 IN A 192.0.2.7",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if len(lines) != 5 {
		t.Errorf("got:\n%s", got)
	}
	if _, err := z.Flatten("example.net.", &dns.Client{}); err == nil {
		t.Error("a zone that is not there was flattened")
	}
}
