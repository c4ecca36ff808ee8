package transfer_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/zone"
)

const (
	primaryAddr   = "192.0.2.1:53"
	secondaryAddr = "192.0.2.2:53"
)

func peer(addr string) transfer.Peer {
	return transfer.Peer{Addr: netip.MustParseAddrPort(addr), Key: key.Name}
}

func primary(base *zone.Data) transfer.Zone {
	return transfer.Zone{Name: "example.org.", Base: base, Transfer: signed, Notify: []transfer.Peer{peer(secondaryAddr)}}
}

func secondary() transfer.Zone {
	return transfer.Zone{Name: "example.org.", Primaries: []transfer.Peer{peer(primaryAddr)}, Transfer: signed}
}

func TestSecondaryFollowsByNotifyAndIXFR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		var many []string
		for i := range 3000 { // several messages
			many = append(many, fmt.Sprintf("h%d.example.org. 60 IN TXT %q", i, strings.Repeat("x", 20)))
		}
		p := open(t, transfer.Options{Dial: n.dial(primaryAddr)}, primary(build(t, 1, many...)))
		n.set(primaryAddr, p)
		w := &watch{}
		s := open(t, transfer.Options{Dial: n.dial(secondaryAddr), Publish: w.publish}, secondary())
		n.set(secondaryAddr, s)
		time.Sleep(5 * time.Second)
		if got := current(s); got == nil || got.Serial() != 1 || text(got) != text(current(p)) || w.last().Data != got {
			t.Fatalf("got %v", got)
		}
		apply(t, p, primary(build(t, 2, append(many, "new.example.org. 60 IN A 192.0.2.7")...)))
		time.Sleep(5 * time.Second)
		if got := current(s); got.Serial() != 2 || text(got) != text(current(p)) {
			t.Fatalf("serial %d", got.Serial())
		}
		s.Close()
		p.Close()
	})
}

func TestSecondaryExpiresAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		p := open(t, transfer.Options{}, transfer.Zone{Name: "example.org.", Base: build(t, 1), Transfer: signed})
		n.set(primaryAddr, p)
		w := &watch{}
		s := open(t, transfer.Options{Dial: n.dial(secondaryAddr), Publish: w.publish}, secondary())
		time.Sleep(time.Minute)
		n.set(primaryAddr, nil)
		time.Sleep(23 * time.Hour)
		if current(s) == nil {
			t.Fatal("expired before its time")
		}
		time.Sleep(2*time.Hour + time.Minute)
		if current(s) != nil || !w.last().Expired {
			t.Fatal("still served")
		}
		n.set(primaryAddr, p)
		time.Sleep(11 * time.Minute)
		if current(s) == nil || w.last().Data == nil {
			t.Fatal("not back in service")
		}
		s.Close()
		p.Close()
	})
}

func TestSecondPrimaryIsAskedWhenTheFirstIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		p := open(t, transfer.Options{}, transfer.Zone{Name: "example.org.", Base: build(t, 1), Transfer: signed})
		n.set(primaryAddr, p)
		z := secondary()
		z.Primaries = append([]transfer.Peer{peer("192.0.2.9:53")}, z.Primaries...)
		s := open(t, transfer.Options{Dial: n.dial(secondaryAddr)}, z)
		time.Sleep(time.Second)
		if current(s) == nil {
			t.Fatal("not fetched")
		}
		s.Close()
		p.Close()
	})
}

func TestSecondaryServesFromDiskAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var n network
		p := open(t, transfer.Options{Dial: n.dial(primaryAddr)}, primary(build(t, 1)))
		n.set(primaryAddr, p)
		s := open(t, transfer.Options{Dial: n.dial(secondaryAddr), Dir: dir}, secondary())
		n.set(secondaryAddr, s)
		time.Sleep(time.Second)
		apply(t, p, primary(build(t, 2, "a.example.org. 60 IN A 192.0.2.7"))) // goes to the log
		time.Sleep(5 * time.Second)
		s.Close()
		n.set(primaryAddr, nil)
		s = open(t, transfer.Options{Dial: n.dial(secondaryAddr), Dir: dir}, secondary())
		if got := current(s); got == nil || text(got) != text(current(p)) || got.Serial() != 2 {
			t.Fatalf("got %v", got)
		}
		s.Close()
		p.Close()
	})
}

func TestPrimaryWithALowerSerialIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		n.set(primaryAddr, open(t, transfer.Options{}, transfer.Zone{Name: "example.org.", Base: build(t, 5), Transfer: signed}))
		s := open(t, transfer.Options{Dial: n.dial(secondaryAddr)}, secondary())
		time.Sleep(5 * time.Second)
		lower := open(t, transfer.Options{}, transfer.Zone{Name: "example.org.", Base: build(t, 4), Transfer: signed})
		n.set(primaryAddr, lower)
		s.Refresh("example.org.")
		time.Sleep(5 * time.Second)
		if got := current(s); got.Serial() != 5 {
			t.Fatalf("serial %d", got.Serial())
		}
		s.Close()
	})
}

func TestCatalogAddsRemovesAndResetsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cat := func(serial int, lines ...string) transfer.Zone {
			return transfer.Zone{Name: "cat.", Transfer: signed, Notify: []transfer.Peer{peer(secondaryAddr)}, Base: buildZone(t, "cat.", append([]string{
				fmt.Sprintf("cat. 60 IN SOA a. a. %d 3600 600 86400 60", serial), "cat. 0 IN NS invalid.", "version.cat. 0 IN TXT 2",
			}, lines...)...)}
		}
		var n network
		member := transfer.Zone{Name: "example.org.", Base: build(t, 1), Transfer: signed}
		p := open(t, transfer.Options{Dial: n.dial(primaryAddr)}, cat(1, "m1.zones.cat. 0 IN PTR example.org."), member)
		n.set(primaryAddr, p)
		w := &watch{}
		s := open(t, transfer.Options{Dial: n.dial(secondaryAddr), Publish: w.publish, Dir: t.TempDir()},
			transfer.Zone{Name: "cat.", Catalog: true, Primaries: []transfer.Peer{peer(primaryAddr)}})
		n.set(secondaryAddr, s)
		time.Sleep(10 * time.Second)
		if current(s) == nil {
			t.Fatal("the member is not served")
		}
		apply(t, p, cat(2, "m2.zones.cat. 0 IN PTR example.org."), member)
		time.Sleep(10 * time.Second)
		if current(s) == nil {
			t.Fatal("the member that was reset is not served")
		}
		apply(t, p, cat(3), member)
		time.Sleep(10 * time.Second)
		if _, ok := s.Data()[string(origin)]; ok || !w.gone() {
			t.Fatal("the member is still there")
		}
		s.Close()
		p.Close()
	})
}

func (w *watch) gone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.changes {
		if c.Gone && string(c.Name) == string(origin) {
			return true
		}
	}
	return false
}

func TestOffersAreLimitedAndTheLastOneCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{}
		s := open(t, transfer.Options{Publish: w.publish}, transfer.Zone{Name: "example.org.", Transfer: signed})
		for i := range 5 {
			if err := s.Offer("example.org.", build(t, 1, fmt.Sprintf("a.example.org. 60 IN A 192.0.2.%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		if got := current(s); got.Serial() != 1 || !strings.Contains(text(got), "192.0.2.0") {
			t.Fatalf("serial %d: %s", got.Serial(), text(got))
		}
		time.Sleep(2 * time.Second)
		if got := current(s); got.Serial() != 2 || !strings.Contains(text(got), "192.0.2.4") {
			t.Fatalf("serial %d: %s", got.Serial(), text(got))
		}
		m := ixfr(1)
		replies := askPacket(t, s, sign(t, m), true)
		if len(replies) != 1 || len(replies[0].Answer) != 6 {
			t.Errorf("got %v", replies)
		}
		s.Close()
	})
}

func ixfr(serial uint32) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetIxfr("example.org.", serial, "ns1.example.org.", "host.example.org.")
	return m
}
