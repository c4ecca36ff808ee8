package dns_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/dns/tap"
)

// desk is a server without sockets.
type desk struct {
	t        testing.TB
	server   *dns.Server
	client   dns.Client
	registry *prometheus.Registry
}

func newDesk(t testing.TB, z *dns.Zones, g guard.Options, o dns.Options) *desk {
	t.Helper()
	d := &desk{t: t, registry: prometheus.NewRegistry()}
	var err error
	if o.Guard, err = guard.New(g, nil, d.registry); err != nil {
		t.Fatal(err)
	}
	h := &holder{}
	h.p.Store(z)
	o.Source, o.Registerer = h, d.registry
	d.server = dns.NewServer(o)
	return d
}

var victim = netip.MustParseAddrPort("192.0.2.66:4000")

// raw sends one packet and returns the reply, nil when there is none.
func (d *desk) raw(packet []byte, from netip.AddrPort, t dns.Transport) []byte {
	return d.server.Handle(nil, packet, &d.client, from, t)
}

// ask sends one packet and returns the reply unpacked, nil when there is none.
func (d *desk) ask(packet []byte, from netip.AddrPort, t dns.Transport) *mdns.Msg {
	d.t.Helper()
	reply := d.raw(packet, from, t)
	if len(reply) == 0 {
		return nil
	}
	if end := wireEnd(d.t, reply); end != len(reply) {
		d.t.Fatalf("%d octets after the last record", len(reply)-end)
	}
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		d.t.Fatalf("reply does not unpack: %v\n% x", err, reply)
	}
	return m
}

func (d *desk) metric(name string, values ...string) float64 {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			matches := f.GetName() == name
			for _, v := range values {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == v
				}
				matches = matches && found
			}
			if matches {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// cookieOption adds a COOKIE option, and EDNS when it is not there.
func cookieOption(data string) func(*mdns.Msg) {
	return func(m *mdns.Msg) {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: hex.EncodeToString([]byte(data))})
	}
}

// cookieOf is the COOKIE option of a reply; empty: none.
func cookieOf(t testing.TB, m *mdns.Msg) string {
	t.Helper()
	if o := m.IsEdns0(); o != nil {
		for _, o := range o.Option {
			if c, ok := o.(*mdns.EDNS0_COOKIE); ok {
				b, err := hex.DecodeString(c.Cookie)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
		}
	}
	return ""
}

func fatZones(t testing.TB) *dns.Zones {
	return simpleZones(t, `fat 60 TXT "`+strings.Repeat("x", 250)+`"`, `fat 60 TXT "`+strings.Repeat("y", 200)+`"`,
		`*.wild 60 TXT "`+strings.Repeat("z", 250)+`"`, `*.wild 60 A 192.0.2.4`, "www 60 A 192.0.2.2",
		"sub 60 NS ns.sub.example.org.", "ns.sub 60 A 192.0.2.5")
}

// TestD19Identity: what is configured is told to those who ask, and nothing else.
func TestD19Identity(t *testing.T) {
	d := newDesk(t, fatZones(t), guard.Options{}, dns.Options{Identity: dns.Identity{NSID: "edge7", ID: "edge7.example.org"}})
	chaos := func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }
	for name, want := range map[string]string{"id.server.": "edge7.example.org", "Hostname.Bind.": "edge7.example.org", "version.bind.": "", "version.server.": "", "authors.bind.": ""} {
		for _, qtype := range []uint16{mdns.TypeTXT, mdns.TypeANY, mdns.TypeA} {
			m := d.ask(question(name, qtype, chaos, edns(1232)), victim, dns.UDP)
			if want == "" || qtype == mdns.TypeA {
				if m.Rcode != mdns.RcodeRefused || len(m.Answer) != 0 {
					t.Errorf("%s: %s", name, render(m))
				}
				continue
			}
			if txt, ok := m.Answer[0].(*mdns.TXT); !ok || txt.Txt[0] != want || txt.Hdr.Class != mdns.ClassCHAOS || !m.Authoritative {
				t.Errorf("%s: %s", name, render(m))
			}
		}
	}
	nsid := func(m *mdns.Msg) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID})
	}
	m := d.ask(question("www.example.org.", mdns.TypeA, nsid), victim, dns.UDP)
	if o := m.IsEdns0().Option; len(o) != 1 || o[0].(*mdns.EDNS0_NSID).Nsid != hex.EncodeToString([]byte("edge7")) {
		t.Errorf("NSID: %v", m)
	}
	if m := d.ask(question("www.example.org.", mdns.TypeA, edns(1232)), victim, dns.UDP); len(m.IsEdns0().Option) != 0 {
		t.Errorf("NSID that nobody asked for: %v", m)
	}
	if err := d.server.SetIdentity(dns.Identity{Version: strings.Repeat("v", 255)}); err != nil {
		t.Fatal(err)
	}
	if m := d.ask(question("version.bind.", mdns.TypeTXT, chaos), victim, dns.UDP); len(m.Answer) != 1 {
		t.Errorf("version: %s", render(m))
	}
	long := strings.Repeat("a", 63) + "." // a question so long that the text does not fit beside it
	if m := d.ask(question(long+long+long+"version.bind.", mdns.TypeTXT, chaos), victim, dns.UDP); m.Rcode != mdns.RcodeRefused {
		t.Errorf("a longer name: %s", render(m))
	}
	for _, bad := range []dns.Identity{{NSID: strings.Repeat("x", dns.MaxNSID+1)}, {ID: strings.Repeat("x", 256)}, {Version: strings.Repeat("x", 256)}} {
		if err := d.server.SetIdentity(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// watcher is an Observer that keeps what it is told.
type watcher struct{ events []tap.Event }

func (w *watcher) Observe(e tap.Event) {
	e.Name, e.Query, e.Reply = append([]byte(nil), e.Name...), append([]byte(nil), e.Query...), append([]byte(nil), e.Reply...)
	w.events = append(w.events, e)
}

// TestObserversAreToldOfEveryQuery, and of what was done with it.
func TestObserversAreToldOfEveryQuery(t *testing.T) {
	z := fatZones(t)
	synctest.Test(t, func(t *testing.T) {
		w := &watcher{}
		d := newDesk(t, z, guard.Options{Rate: 1, Slip: -1}, dns.Options{Observers: []dns.Observer{w}})
		d.client.SetTransport(netip.MustParseAddrPort("198.51.100.53:53"))
		packet := question("wWw.example.org.", mdns.TypeA, subnet("203.0.113.0/24"))
		for range 2 {
			d.raw(packet, netip.MustParseAddrPort("[::ffff:192.0.2.66]:4000"), dns.UDP)
		}
		d.raw(packet[:5], victim, dns.UDP) // no query
		d.raw(packet[:20], victim, dns.TCP)
		if len(w.events) != 3 {
			t.Fatalf("%d events", len(w.events))
		}
		e := w.events[0]
		if e.Client != victim || e.Server.Port() != 53 || e.Transport != "udp" || e.Zone != "example.org." || string(e.Name) != "\x03www\x07example\x03org\x00" ||
			e.Type != mdns.TypeA || e.RCode != 0 || e.Subnet.String() != "203.0.113.0/24" || e.Dropped != "" || string(e.Query) != string(packet) || len(e.Reply) == 0 || !e.Time.Equal(time.Now()) {
			t.Errorf("%+v", e)
		}
		if e := w.events[1]; e.Dropped != "rate_limited" || len(e.Reply) != 0 {
			t.Errorf("dropped: %+v", e)
		}
		if e := w.events[2]; len(e.Name) != 0 || e.RCode != mdns.RcodeFormatError || e.Transport != "tcp" {
			t.Errorf("malformed: %+v", e)
		}
	})
}
