package delegation_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/delegation"
)

// world answers for a resolver, the parent org. and the zone's own servers, all on one loopback port.
type world struct {
	referral []string // what org. hands out for example.org
	glue     []string
	lame     bool // the zone's servers do not serve it
}

func (w *world) ServeDNS(rw mdns.ResponseWriter, q *mdns.Msg) {
	m := new(mdns.Msg)
	m.SetReply(q)
	question := q.Question[0]
	switch {
	case q.RecursionDesired && question.Qtype == mdns.TypeNS && question.Name == "org.":
		m.Answer = records("org. 60 IN NS a.org.")
	case q.RecursionDesired && question.Qtype == mdns.TypeA:
		m.Answer = records(question.Name + " 60 IN A 127.0.0.1")
	case q.RecursionDesired:
	case question.Qtype == mdns.TypeNS:
		m.Ns, m.Extra = records(w.referral...), records(w.glue...)
	case question.Qtype == mdns.TypeSOA && w.lame:
		m.Rcode = mdns.RcodeRefused
	case question.Qtype == mdns.TypeSOA:
		m.Authoritative = true
		m.Answer = records("example.org. 60 IN SOA ns1.example.org. host.example.org. 1 2 3 4 5")
	}
	_ = rw.WriteMsg(m)
}

func records(lines ...string) []mdns.RR {
	var rrs []mdns.RR
	for _, line := range lines {
		rr, err := mdns.NewRR(line)
		if err != nil {
			panic(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func (w *world) start(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &mdns.Server{PacketConn: conn, Handler: w, NotifyStartedFunc: func() { close(started) }}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestWhatTheParentGetsWrongIsNamed(t *testing.T) {
	want := delegation.Want{Zone: "example.org.", Servers: []delegation.Server{
		{Name: "ns1.example.org.", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		{Name: "ns.example.net."},
	}}
	good := world{
		referral: []string{"example.org. 60 IN NS ns1.example.org.", "example.org. 60 IN NS NS.example.net."},
		glue:     []string{"ns1.example.org. 60 IN A 127.0.0.1"},
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   []string
	}{
		"as it should be": {func(*world) {}, nil},
		"no delegation": {func(w *world) { w.referral = nil },
			[]string{"a.org.: the parent does not delegate example.org."}},
		"a server is missing": {func(w *world) { w.referral = w.referral[:1] },
			[]string{"a.org.: NS ns.example.net. is missing"}},
		"a server too many": {func(w *world) {
			w.referral = append(slices.Clone(w.referral), "example.org. 60 IN NS old.example.com.")
		},
			[]string{"a.org.: NS old.example.com. is not a name server of the zone"}},
		"no glue": {func(w *world) { w.glue = nil },
			[]string{"a.org.: glue ns1.example.org. 127.0.0.1 is missing"}},
		"old glue": {func(w *world) { w.glue = append(slices.Clone(w.glue), "ns1.example.org. 60 IN AAAA 2001:db8::1") },
			[]string{"a.org.: glue ns1.example.org. 2001:db8::1 is not an address of this server"}},
		"lame": {func(w *world) { w.lame = true }, []string{
			"ns1.example.org.: 127.0.0.1 is not authoritative for example.org. (REFUSED)",
			"ns.example.net.: 127.0.0.1 is not authoritative for example.org. (REFUSED)",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := good
			c.change(&w)
			addr := w.start(t)
			r, err := delegation.Check(t.Context(), want, delegation.Options{Resolvers: []netip.AddrPort{addr}, Port: addr.Port()})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range r.Problems {
				got = append(got, p.Server+": "+p.Text)
				if p.Remedy == "" {
					t.Errorf("no remedy for %s", p.Text)
				}
			}
			if r.Parent != "org." || !slices.Equal(got, c.want) {
				t.Errorf("parent %s, problems %q, want %q", r.Parent, got, c.want)
			}
		})
	}
}

func TestTextIsToBePasted(t *testing.T) {
	want := delegation.Want{Zone: "example.org.", Servers: []delegation.Server{
		{Name: "ns1.example.org.", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}, {Name: "ns.example.net."},
	}}
	zone := mdns.NewZoneParser(strings.NewReader(want.Text()), ".", "")
	zone.SetDefaultTTL(3600)
	var got []string
	for rr, ok := zone.Next(); ok; rr, ok = zone.Next() {
		got = append(got, strings.Join(strings.Fields(rr.String()), " "))
	}
	if !slices.Equal(got, []string{"example.org. 3600 IN NS ns1.example.org.", "example.org. 3600 IN NS ns.example.net.",
		"ns1.example.org. 3600 IN A 192.0.2.1", "ns1.example.org. 3600 IN AAAA 2001:db8::1"}) || zone.Err() != nil {
		t.Errorf("%v %q", zone.Err(), got)
	}
}

func TestAResolverThatDoesNotAnswerIsAnError(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	conn.Close()
	_, err = delegation.Check(t.Context(), delegation.Want{Zone: "example.org."}, delegation.Options{Resolvers: []netip.AddrPort{addr}})
	if err == nil || !strings.Contains(err.Error(), "find the parent of example.org.") {
		t.Errorf("got %v", err)
	}
}
