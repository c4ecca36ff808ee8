package edge_test

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/steer/geo"
)

// deploy/examples/policies.yaml answers as Route 53 would, in every combination of its six ports open or closed: 64 states,
// one port changed from each to the next, each asked for every name by clients of many countries over UDP.
func TestPoliciesAnswerAsRoute53InEveryState(t *testing.T) {
	source, err := os.ReadFile("../deploy/examples/policies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var ports [6]*ownPort
	yaml := strings.NewReplacer("127.0.0.1:5353", "127.0.0.1:0", "127.0.0.1:9180", "127.0.0.1:0",
		"interval: 200ms, timeout: 100ms", "interval: 100ms, timeout: 90ms").Replace(string(source))
	for i := range ports {
		ports[i] = newOwnPort(t)
		yaml = strings.ReplaceAll(yaml, fmt.Sprintf("127.0.0.1:%d", 9201+i), ports[i].addr.String())
	}
	n := start(t, yaml)
	cfg := n.Config()
	w := &witness{T: t, node: n, model: model{cfg: cfg, zone: &cfg.Zones[0], open: map[netip.AddrPort]bool{}}, draws: map[string]*draw{}}
	w.conn, err = mdns.Dial("udp", n.Addr("dns", 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer w.conn.Close()
	everybody := w.askers()
	t.Logf("%d clients of %d countries", len(everybody), countriesOf(everybody))

	const states = 1 << len(ports)
	for i := range states {
		state := i ^ i>>1 // Gray's code: from one state to the next a single port changes
		for p, port := range ports {
			if open := state>>p&1 == 1; open != w.model.open[port.addr] {
				port.set(t, open)
				w.model.open[port.addr] = open
			}
		}
		waitFor(t, fmt.Sprintf("the verdicts of state %06b", bits.Reverse8(uint8(state))>>2), w.verdictsAgree)
		w.round = map[string][]answered{}
		for j := range everybody {
			if state == 0 || state == states-1 || (i+j)%16 == 0 || !everybody[j].subnet.IsValid() || special(&everybody[j]) {
				w.askEverything(&everybody[j])
			}
		}
		w.scopesTile()
		if t.Failed() {
			t.Fatalf("in state %06b, p6 to p1", state)
		}
	}
	w.sharesAreBinomial()
	t.Logf("%d questions", w.asked)
}

// ownPort is a port of our own that is open or closed: while it is closed a socket that does not listen keeps it ours.
type ownPort struct {
	addr netip.AddrPort
	stop func()
}

func newOwnPort(t *testing.T) *ownPort {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	loopback := [4]byte{127, 0, 0, 1}
	err = cmp.Or(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1), // so that the listener may join it
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback}))
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	p := &ownPort{addr: netip.AddrPortFrom(netip.AddrFrom4(loopback), uint16(name.(*syscall.SockaddrInet4).Port)), stop: func() {}}
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *ownPort) set(t *testing.T, open bool) {
	p.stop()
	p.stop = func() {}
	if !open {
		return
	}
	l, err := net.Listen("tcp", p.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	p.stop = func() { _ = l.Close(); <-ended }
}

// witness compares what the node answers with what the model says.
type witness struct {
	*testing.T
	node  *node
	model model
	conn  *mdns.Conn
	asked int
	round map[string][]answered // of one state, by name
	draws map[string]*draw
}

// answered is who was told for how many bits an answer is good.
type answered struct {
	scope int
	by    netip.Prefix
	want  string // every answer the model allows
}

// draw counts the answers of one distribution.
type draw struct {
	want outcome
	got  map[string]int
	all  int
}

// verdictsAgree reports whether the node's own health page says of each port what is so.
func (w *witness) verdictsAgree() bool {
	page, ok := w.node.Status("health").([]edge.Verdict)
	if !ok {
		w.Fatal("no health page")
	}
	known := 0
	for _, v := range page {
		addr, err := netip.ParseAddrPort(v.Endpoint)
		if err != nil || slices.Contains(v.Checks, "forced-down") {
			continue
		}
		if up := map[bool]string{true: "up", false: "down"}[w.model.open[addr]]; v.State != up {
			return false
		}
		known++
	}
	return known == 6
}

// askEverything asks for every name of the zone, and for some that wildcards and empty non-terminals make.
func (w *witness) askEverything(a *asker) {
	for i := range w.model.zone.Records {
		r := &w.model.zone.Records[i]
		w.ask(strings.Replace(r.Name, "*", "any", 1), r.Type, a)
	}
	w.ask("b.ent.policy.test.", "TXT", a)
	w.ask("failover.policy.test.", "AAAA", a)
}

func (w *witness) ask(name, typ string, a *asker) {
	w.Helper()
	w.asked++
	query := new(mdns.Msg).SetQuestion(name, mdns.StringToType[typ])
	query.SetEdns0(1232, false)
	var sent *mdns.EDNS0_SUBNET
	if a.subnet.IsValid() {
		sent = &mdns.EDNS0_SUBNET{
			Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(a.subnet.Bits()), Address: a.subnet.Addr().AsSlice(),
		}
		if a.subnet.Addr().Is6() {
			sent.Family = 2
		}
		query.IsEdns0().Option = append(query.IsEdns0().Option, sent)
	}
	client := mdns.Client{UDPSize: 1232}
	reply, _, err := client.ExchangeWithConn(query, w.conn)
	if err != nil {
		w.Fatalf("%s %s for %v: %v", name, typ, a.subnet, err)
	}
	got, ok := answerOf(reply)
	want := w.model.answer(name, typ, a)
	if want[got] == 0 || !ok {
		w.Errorf("%s %s for %v (%s): the answer is %q, want %v\n%v", name, typ, a.subnet, a.country, got, want, reply)
	}
	w.count(name, want, got)
	w.scope(name, typ, a, sent, reply, want)
}

// answerOf writes an answer as the model does. It is not ok when the reply is not what any answer looks like.
func answerOf(reply *mdns.Msg) (string, bool) {
	ok := reply.Rcode == mdns.RcodeSuccess && reply.Authoritative && !reply.Truncated
	var ttl uint32
	var values []string
	for i, rr := range reply.Answer {
		h := rr.Header()
		ok = ok && h.Name == reply.Question[0].Name && h.Rrtype == reply.Question[0].Qtype && (i == 0 || ttl == h.Ttl)
		ttl = h.Ttl
		values = append(values, strings.TrimPrefix(rr.String(), h.String()))
	}
	if len(values) == 0 {
		ok = ok && len(reply.Ns) == 1 && reply.Ns[0].Header().Rrtype == mdns.TypeSOA
	}
	return written(ttl, values), ok
}

// scope checks the subnet of the reply, and remembers for whom it says that the answer is good.
func (w *witness) scope(name, typ string, a *asker, sent *mdns.EDNS0_SUBNET, reply *mdns.Msg, want outcome) {
	w.Helper()
	var echo *mdns.EDNS0_SUBNET
	if o := reply.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if s, found := option.(*mdns.EDNS0_SUBNET); found {
				echo = s
			}
		}
	}
	switch {
	case sent == nil && echo == nil:
		return
	case sent == nil || echo == nil:
		w.Errorf("%s for %v: sent %v, the reply has %v", name, a.subnet, sent, echo)
		return
	case echo.Family != sent.Family || echo.SourceNetmask != sent.SourceNetmask || !echo.Address.Equal(sent.Address):
		w.Errorf("%s for %v: family, source and address are echoed as %v (RFC 7871 section 7.2.1)", name, a.subnet, echo)
	}
	bits := int(echo.SourceScope)
	depends := w.model.byClient(name, typ) && a.subnet.Bits() > 0
	if !depends && bits != 0 || bits > a.subnet.Addr().BitLen() {
		w.Errorf("%s for %v: scope %d", name, a.subnet, bits)
		return
	}
	if a.subnet.Bits() == 0 {
		return // it asks as its resolver, and the answer is for everybody behind that
	}
	w.round[name+" "+typ] = append(w.round[name+" "+typ], answered{scope: bits, by: a.subnet, want: fmt.Sprint(want)})
}

// scopesTile checks that nobody's tile holds a client who is answered by another rule: a resolver would give it the answer
// of the first who asked. Who sent less than the scope has no tile: the answer is good for what was sent and nothing
// smaller is compared with it (RFC 7871 section 7.3.1).
func (w *witness) scopesTile() {
	w.Helper()
	for name, list := range w.round {
		for _, x := range list {
			if x.scope > x.by.Bits() {
				continue
			}
			tile := netip.PrefixFrom(x.by.Addr(), x.scope)
			for _, y := range list {
				if tile.Contains(y.by.Addr()) && x.scope <= y.by.Bits() && (x.want != y.want || x.scope != y.scope) {
					w.Errorf("%s: the answer to %v is for all of %v, but %v gets one for %d bits: %s and %s",
						name, x.by, tile, y.by, y.scope, x.want, y.want)
				}
			}
		}
	}
}

// count adds one draw of a distribution. Answers without a choice were compared already.
func (w *witness) count(name string, want outcome, got string) {
	if len(want) < 2 {
		return
	}
	key := fmt.Sprint(name, want)
	d := w.draws[key]
	if d == nil {
		d = &draw{want: want, got: map[string]int{}}
		w.draws[key] = d
	}
	d.got[got]++
	d.all++
}

// sharesAreBinomial: each answer's share of the draws is within five standard deviations of its probability.
func (w *witness) sharesAreBinomial() {
	if len(w.draws) == 0 {
		w.Error("nothing was drawn")
	}
	for key, d := range w.draws {
		for answer, p := range d.want {
			n := float64(d.all)
			if off := float64(d.got[answer]) - n*p; math.Abs(off) > 5*math.Sqrt(n*p*(1-p))+1 {
				w.Errorf("%s: %q was drawn %d times of %d", key, answer, d.got[answer], d.all)
			}
		}
	}
}

// special says of a client that it is one of those every state is asked with.
func special(a *asker) bool {
	return a.country == "" || slices.Contains([]string{"GB", "US", "JP", "BR"}, a.country)
}

// askers are clients of every country the embedded database knows, as far as a coarse net finds it, two of each where there
// are two, and those that are nowhere.
func (w *witness) askers() []asker {
	db, err := geo.Embedded()
	if err != nil {
		w.Fatal(err)
	}
	home, _ := w.model.cfg.Region(w.model.cfg.Edge.Region) // without a place, distance is the edge's own
	nowhere := asker{lat: home.Lat, lon: home.Lon}
	list := []asker{nowhere}
	for _, subnet := range []string{
		"0.0.0.0/0", "::/0", // the wish to stay unknown
		"198.51.100.0/24", "198.51.100.128/25", "198.51.100.0/22", "2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32", "2001:db8:2::/48", "192.0.2.0/24",
	} {
		nowhere.subnet = netip.MustParsePrefix(subnet) // reserved for documentation: in no country
		list = append(list, nowhere)
	}
	found := map[string]int{}
	add := func(subnet netip.Prefix, most int) {
		place := db.Place(subnet.Addr())
		family := fmt.Sprint(place.Country, subnet.Addr().Is4())
		if place.Country == "" || !place.Point.Known() || found[family] >= most {
			return
		}
		found[family]++
		a := asker{subnet: subnet, country: place.Country, continent: place.Continent}
		a.lat, a.lon = place.Point.LatLon()
		list = append(list, a)
	}
	for _, subnet := range []string{"198.51.7.0/24", "198.51.0.0/16", "198.51.0.0/17", "198.50.0.0/15", "81.2.69.0/24", "8.8.8.0/24", "8.8.8.8/32", "1.0.16.0/24"} {
		add(netip.MustParsePrefix(subnet), 8)
	}
	for high := range 223 - 11 { // 11.0.0.0 to 222.255.0.0, a /24 of each /16; the private and reserved ones are in no country
		for second := range 256 {
			addr := netip.AddrFrom4([4]byte{byte(11 + high), byte(second), byte(second * 7), 0})
			add(netip.PrefixFrom(addr, 24), 2)
		}
	}
	for _, high := range []uint16{0x2400, 0x2600, 0x2800, 0x2a00, 0x2c0f} {
		for low := 0; low < 1<<16; low += 64 {
			addr := netip.AddrFrom16([16]byte{byte(high >> 8), byte(high), byte(low >> 8), byte(low)})
			add(netip.PrefixFrom(addr, 48), 1)
		}
	}
	return list
}

func countriesOf(list []asker) int {
	all := map[string]bool{}
	for i := range list {
		all[list[i].country] = true
	}
	return len(all) - 1
}
