package zone_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/dns/zone"
)

func TestCheckFindsWhatMustNotBeServedAndWhatIsOdd(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		d := mustParse(t, []byte(head+text))
		var got []string
		for _, p := range zone.Check(d) {
			got = append(got, p.Severity.String()+": "+strings.SplitN(p.Error(), " (", 2)[0])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
	f("")
	f("a CNAME b\na TXT x\n", "error: a.example.org. CNAME: name has a CNAME and TXT")
	f("a CNAME b\na NSEC b CNAME\n")
	f("a CNAME b\na CNAME c\n", "error: a.example.org. CNAME: name has more than one CNAME")
	f("@ CNAME b\n", "error: example.org. CNAME: name has a CNAME and NS")
	f("a DNAME b\na DNAME c\n", "error: a.example.org. DNAME: name has more than one DNAME")
	f("a DNAME b\nx.a A 192.0.2.1\nab A 192.0.2.1\n", "warning: x.a.example.org. A: name is below the DNAME a.example.org. and never answered")
	f("a DNAME b\na NS x.example.net.\n", "warning: a.example.org. DNAME: DNAME beside a delegation is never answered")
	f("*.a DNAME b\n", "warning: *.a.example.org. DNAME: DNAME at a wildcard is answered differently by different servers")
	f("*.a NS x.example.net.\n", "warning: *.a.example.org. NS: delegation at a wildcard has no defined meaning")
	f("s NS ns.s\n", "warning: s.example.org. NS: target ns.s.example.org. has no address in the zone")
	f("s NS ns.s\nns.s A 192.0.2.1\ns DS 1 13 2 abcd\n")
	f("s NS ns1\ns TXT x\nt.s TXT x\nu.s AAAA 2001:db8::1\n", "warning: t.s.example.org. TXT: set is below the delegation s.example.org. and never answered")
	f("s NS c\nc CNAME ns1\n", "error: s.example.org. NS: target c.example.org. is a CNAME")
	f("m MX 1 c\nc CNAME ns1\n", "warning: m.example.org. MX: target c.example.org. is a CNAME")
	f("m MX 0 .\nn MX 1 NS1\no MX 1 mail.example.net.\n")
	f("m MX 1 absent\n", "warning: m.example.org. MX: target absent.example.org. has no address in the zone")
	f("m MX 1 x.w\n*.w A 192.0.2.1\n")
	f("m MX 1 x.y.w\n*.w A 192.0.2.1\ny.w TXT x\n", "warning: m.example.org. MX: target x.y.w.example.org. has no address in the zone")
	f("m MX 1 x.w\n*.w CNAME a\n", "warning: m.example.org. MX: target x.w.example.org. is a CNAME")
	f("m MX 1 x.w\nw DNAME example.net.\n")
	f("_s._tcp SRV 1 2 3 absent\n_t._tcp SRV 0 0 0 .\n", "warning: _s._tcp.example.org. SRV: target absent.example.org. has no address in the zone")
	f("d DS 1 13 2 abcd\n@ DS 1 13 2 abcd\n", "warning: example.org. DS: DS without a delegation is never used", "warning: d.example.org. DS: DS without a delegation is never used")
	f("b SOA . . 1 2 3 4 5\n", "error: b.example.org. SOA: SOA that is not at the zone's name")
	f(`x TYPE65280 \# 0` + "\n")
}

func TestCheckLooksAtTheSOA(t *testing.T) {
	d := mustParse(t, []byte("$TTL 1w\n@ SOA ns1 host@example.org. 1 100 100 150 172800\n"))
	got := fmt.Sprint(zone.Check(d))
	for _, want := range []string{"no NS record", "contact holds an @", "expire, 150 s", "retry, 100 s", "minimum, 172800 s"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

func TestCheckIsBounded(t *testing.T) {
	text := head
	for i := range 200 {
		text += fmt.Sprintf("a%d CNAME b\na%d TXT x\nm%d MX 1 absent\n", i, i, i)
	}
	if n := len(zone.Check(mustParse(t, []byte(text)))); n != 101 {
		t.Errorf("%d problems", n)
	}
}
