package transfer_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
)

func updating(t *testing.T, dir string, lines ...string) *transfer.Store {
	t.Helper()
	return open(t, transfer.Options{Dir: dir}, transfer.Zone{
		Name: "example.org.", Base: build(t, 7, lines...), Transfer: signed,
		Update: []transfer.Grant{{Rule: signed[0], Names: []string{"*.example.org."}}},
	})
}

func insert(t *testing.T, line string) *mdns.Msg {
	t.Helper()
	rr, err := mdns.NewRR(line)
	if err != nil {
		t.Fatal(err)
	}
	m := new(mdns.Msg)
	m.SetUpdate("example.org.")
	m.Insert([]mdns.RR{rr})
	return m
}

func TestUpdateIsOnTheDiskBeforeItIsAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s := updating(t, dir)
	if r := askPacket(t, s, sign(t, insert(t, "a.example.org. 60 IN A 192.0.2.1")), false); len(r) != 1 || r[0].Rcode != 0 || r[0].IsTsig() == nil {
		t.Fatalf("got %v", r)
	}
	// Nothing is closed: this is a crash.
	again := updating(t, dir)
	if got := current(again); got.Serial() != 8 || !strings.Contains(text(got), "a.example.org. 60 IN A 192.0.2.1") {
		t.Fatalf("serial %d: %s", got.Serial(), text(got))
	}
	if r := askPacket(t, again, sign(t, ixfr(7)), true); len(r) != 1 || len(r[0].Answer) != 5 {
		t.Errorf("the journal is gone: %v", r)
	}
}

func TestUpdatesAreLaidOverAChangedBase(t *testing.T) {
	dir := t.TempDir()
	s := updating(t, dir)
	askPacket(t, s, sign(t, insert(t, "a.example.org. 60 IN A 192.0.2.1")), false)
	askPacket(t, s, sign(t, insert(t, "b.example.org. 60 IN A 192.0.2.2")), false)
	s.Close()
	again := updating(t, dir, "c.example.org. 60 IN A 192.0.2.3") // the file changed, and nobody raised its serial
	got := current(again)
	for _, want := range []string{"a.example.org. 60 IN A 192.0.2.1", "b.example.org. 60 IN A 192.0.2.2", "c.example.org. 60 IN A 192.0.2.3"} {
		if !strings.Contains(text(got), want) {
			t.Errorf("%s is missing", want)
		}
	}
	if got.Serial() != 10 {
		t.Errorf("serial %d", got.Serial())
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	s := updating(t, t.TempDir())
	axfr := new(mdns.Msg)
	axfr.SetAxfr("example.org.")
	notify := new(mdns.Msg)
	notify.SetNotify("example.org.")
	other := insert(t, "a.example.org. 60 IN A 192.0.2.1")
	other.Question[0].Name = "example.net."
	soa := new(mdns.Msg)
	soa.SetQuestion("example.org.", mdns.TypeSOA)
	for _, c := range []struct {
		what   string
		m      *mdns.Msg
		signed bool
		stream bool
		rcode  int
	}{
		{"unsigned axfr", axfr, false, true, mdns.RcodeRefused},
		{"unsigned axfr over udp", axfr, false, false, mdns.RcodeRefused},
		{"axfr over udp", axfr, true, false, mdns.RcodeFormatError},
		{"axfr", axfr, true, true, mdns.RcodeSuccess},
		{"unsigned ixfr", ixfr(1), false, true, mdns.RcodeRefused},
		{"ixfr over udp", ixfr(1), true, false, mdns.RcodeSuccess},
		{"unsigned update", insert(t, "a.example.org. 60 IN A 192.0.2.1"), false, false, mdns.RcodeRefused},
		{"update of another zone", other, true, false, mdns.RcodeNotAuth},
		{"update of a name that is not granted", insert(t, "example.org. 60 IN A 192.0.2.1"), true, false, mdns.RcodeRefused},
		{"notify for a zone that is ours", notify, true, false, mdns.RcodeRefused},
		{"signed query", soa, true, false, mdns.RcodeSuccess},
	} {
		t.Run(c.what, func(t *testing.T) {
			var r []*mdns.Msg
			if c.signed {
				r = askPacket(t, s, sign(t, c.m), c.stream)
			} else {
				r = ask(t, s, c.m, c.stream)
			}
			if len(r) != 1 || r[0].Rcode != c.rcode || (r[0].IsTsig() != nil) != c.signed || r[0].Id != c.m.Id {
				t.Fatalf("got %v", r)
			}
		})
	}
	if current(s).Serial() != 7 {
		t.Error("something has changed")
	}
}

func TestBadSignaturesEndBeforeDispatch(t *testing.T) {
	s := updating(t, t.TempDir())
	ring, err := tsig.NewRing([]tsig.Key{{Name: key.Name, Secret: []byte("another")}})
	if err != nil {
		t.Fatal(err)
	}
	axfr := new(mdns.Msg)
	axfr.SetAxfr("example.org.")
	query := new(mdns.Msg)
	query.SetQuestion("example.org.", mdns.TypeA)
	notify := new(mdns.Msg)
	notify.SetNotify("example.org.")
	for _, m := range []*mdns.Msg{axfr, query, notify, ixfr(1), insert(t, "a.example.org. 60 IN A 192.0.2.1")} {
		for _, stream := range []bool{true, false} {
			p, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			c, err := ring.Begin(key.Name)
			if err != nil {
				t.Fatal(err)
			}
			r := askPacket(t, s, c.Sign(p, time.Now()), stream)
			if len(r) != 1 || r[0].Rcode != mdns.RcodeNotAuth || r[0].IsTsig() == nil || r[0].IsTsig().Error != tsig.BadSig || len(r[0].Answer) > 0 {
				t.Errorf("got %v", r)
			}
		}
	}
}

func TestIXFROverUDPThatDoesNotFitIsTheSOAAlone(t *testing.T) {
	s := updating(t, t.TempDir())
	for range 2 {
		askPacket(t, s, sign(t, insert(t, `a.example.org. 60 IN TXT "`+strings.Repeat("x", 200)+`"`)), false)
		askPacket(t, s, sign(t, insert(t, `b.example.org. 60 IN TXT "`+strings.Repeat("y", 250)+`"`)), false)
	}
	for _, c := range []struct {
		serial uint32
		stream bool
		size   uint16 // of EDNS; 0: none
		want   int
	}{{7, false, 0, 1}, {7, true, 0, 6}, {7, false, 1232, 6}, {9, false, 0, 1}, {9, true, 0, 1}, {8, false, 0, 1}, {8, false, 4096, 5}, {3, false, 1232, 1}} {
		m := ixfr(c.serial)
		if c.size > 0 {
			m.SetEdns0(c.size, false)
		}
		r := askPacket(t, s, sign(t, m), c.stream)
		if len(r) != 1 || len(r[0].Answer) != c.want {
			t.Errorf("%+v: got %v", c, r)
		}
	}
}

func TestConfigurationIsCheckedAsAWhole(t *testing.T) {
	s := open(t, transfer.Options{})
	err := s.Apply(t.Context(), transfer.Config{Zones: []transfer.Zone{
		{Name: "a.", Transfer: signed}, {Name: "a."}, {Name: "b.", Catalog: true},
		{Name: "c.", Update: []transfer.Grant{{Rule: transfer.Rule{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}}},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		`zone "a.": no key "key.example.org."`, `zone "a.": given twice`, `zone "b.": a catalog needs primaries`, `zone "c.": an update policy without a key`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q", lines)
	}
}
