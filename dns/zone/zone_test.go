package zone_test

import (
	"slices"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/zone"
)

func TestSetsAreSortedMergedAndTheirTTLsEqual(t *testing.T) {
	b := zone.NewBuilder([]byte("\x07Example\x03org\x00"))
	for _, line := range []string{
		"b.example.org. 60 IN A 192.0.2.2", "example.org. 60 IN SOA ns. host. 7 2 3 4 5", "a.b.example.org. 60 IN A 192.0.2.4",
		"B.example.org. 30 IN A 192.0.2.1", "b.example.org. 60 IN A 192.0.2.2", "*.example.org. 9 IN TXT \"x\"",
	} {
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.AddRR(rr); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := range d.Records() {
		rr, err := r.RR()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rr.String())
	}
	want := []string{
		"example.org.\t60\tIN\tSOA\tns. host. 7 2 3 4 5", "*.example.org.\t9\tIN\tTXT\t\"x\"",
		"b.example.org.\t30\tIN\tA\t192.0.2.1", "b.example.org.\t30\tIN\tA\t192.0.2.2", "a.b.example.org.\t60\tIN\tA\t192.0.2.4",
	}
	if !slices.Equal(got, want) || d.Serial() != 7 || d.Len() != 5 {
		t.Errorf("serial %d, %d records:\n%q", d.Serial(), d.Len(), got)
	}
	if s := d.Find([]byte("\x01b\x07example\x03org\x00"), mdns.TypeA); s.Len() != 2 {
		t.Errorf("found %d", s.Len())
	}
}
