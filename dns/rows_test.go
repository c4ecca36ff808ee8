package dns_test

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/tap"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
)

// Rows of attacks on DNS that concern every transport, with transfers and keys configured.

// signed packs and signs a message; change gets it after it was packed and before it is sent.
func signed(t *testing.T, m *mdns.Msg, key, secret string, at time.Time, change func(packet []byte) []byte) []byte {
	t.Helper()
	m.Id = 0 // as DoQ wants it; the signature covers the id
	m.SetTsig(key, mdns.HmacSHA256, 300, at.Unix())
	packet, _, err := mdns.TsigGenerate(m, secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		packet = change(packet)
	}
	return packet
}

// TestD14TSIGOnEveryTransport: a signature is checked once, before anything is done with a message, whatever carried it; and one that is wrong in any
// way gets NOTAUTH with the reason of RFC 8945 section 5.2, and not a record.
func TestD14TSIGOnEveryTransport(t *testing.T) {
	source := &holder{}
	source.p.Store(simpleZones(t, "a 60 A 192.0.2.1"))
	e := serveEverywhere(t, dns.Options{Source: source, Messages: transferStore(t)})
	const key = "key.example.org."
	wrong := "d3JvbmcgMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmM="
	query := func() *mdns.Msg { return new(mdns.Msg).SetQuestion("a.example.org.", mdns.TypeA) }
	axfr := func() *mdns.Msg { return new(mdns.Msg).SetAxfr("example.org.") }
	update := func() *mdns.Msg { return new(mdns.Msg).SetUpdate("example.org.") }
	now := time.Now()
	for name, exchange := range e.asks(t) {
		t.Run(name, func(t *testing.T) {
			get := name == "https" || name == "h3"
			for kind, message := range map[string]func() *mdns.Msg{"query": query, "axfr": axfr, "update": update} {
				if kind == "update" && get {
					continue // not with GET
				}
				for _, bad := range []struct {
					name   string
					packet []byte
					code   uint16
				}{
					{"another secret", signed(t, message(), key, wrong, now, nil), tsig.BadSig},
					{"unknown key", signed(t, message(), "other.example.org.", tsigSecret, now, nil), tsig.BadKey},
					{"a key whose name begins alike", signed(t, message(), "key.example.org.example.org.", tsigSecret, now, nil), tsig.BadKey},
					{"an hour ago", signed(t, message(), key, tsigSecret, now.Add(-time.Hour), nil), tsig.BadTime},
					{"in an hour", signed(t, message(), key, tsigSecret, now.Add(time.Hour), nil), tsig.BadTime},
					{"another question", signed(t, message(), key, tsigSecret, now, func(p []byte) []byte {
						p[dnsHeader+1] ^= 0x02 // of the name
						return p
					}), tsig.BadSig},
				} {
					m := new(mdns.Msg)
					if err := m.Unpack(exchange(t, bad.packet)); err != nil {
						t.Fatalf("%s, %s: %v", kind, bad.name, err)
					}
					if sig := m.IsTsig(); m.Rcode != mdns.RcodeNotAuth || len(m.Answer)+len(m.Ns) != 0 || sig == nil || sig.Error != bad.code {
						t.Errorf("%s, %s: %v", kind, bad.name, m)
					}
				}
			}
			good := signed(t, query(), key, tsigSecret, now, nil)
			reply := exchange(t, good)
			m := new(mdns.Msg)
			if err := m.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			if len(m.Answer) != 1 || m.IsTsig() == nil {
				t.Fatalf("well signed: %v", m)
			}
			asked := new(mdns.Msg)
			if err := asked.Unpack(good); err != nil {
				t.Fatal(err)
			}
			if err := mdns.TsigVerify(reply, tsigSecret, asked.IsTsig().MAC, false); err != nil {
				t.Errorf("the signature of the reply %s: %v", hex.EncodeToString(reply), err)
			}
		})
	}
}

const dnsHeader = 12

// TestD13TransfersOnEveryTransport: without a key nobody learns what is in a zone that may be transferred with one, and names are
// compared label by label.
func TestD13TransfersOnEveryTransport(t *testing.T) {
	source := &holder{}
	source.p.Store(simpleZones(t, "a 60 A 192.0.2.1"))
	e := serveEverywhere(t, dns.Options{Source: source, Messages: transferStore(t)})
	for name, exchange := range e.asks(t) {
		t.Run(name, func(t *testing.T) {
			for _, qtype := range []uint16{mdns.TypeAXFR, mdns.TypeIXFR} {
				for _, zone := range []string{"example.org.", "EXAMPLE.org.", "a.example.org.", "notexample.org.", "org.", ".", "example.net."} {
					m := new(mdns.Msg)
					if err := m.Unpack(exchange(t, question(zone, qtype))); err != nil {
						t.Fatal(err)
					}
					if m.Rcode != mdns.RcodeRefused && m.Rcode != mdns.RcodeNotAuth && m.Rcode != mdns.RcodeFormatError || len(m.Answer)+len(m.Ns)+len(m.Extra) != 0 {
						t.Errorf("%s %s: %v", zone, mdns.TypeToString[qtype], m)
					}
				}
			}
		})
	}
}

// TestD15NotifyAndUpdateOnEveryTransport: strangers change nothing, and nothing goes out because of them.
func TestD15NotifyAndUpdateOnEveryTransport(t *testing.T) {
	source := &holder{}
	source.p.Store(simpleZones(t, "a 60 A 192.0.2.1"))
	e := serveEverywhere(t, dns.Options{Source: source, Messages: transferStore(t)})
	update := new(mdns.Msg).SetUpdate("example.org.")
	rr, err := mdns.NewRR("evil.example.org. 60 IN A 192.0.2.66")
	if err != nil {
		t.Fatal(err)
	}
	update.Insert([]mdns.RR{rr})
	update.Id = 0
	updating, err := update.Pack()
	if err != nil {
		t.Fatal(err)
	}
	notify := question("example.org.", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify })
	for name, exchange := range e.asks(t) {
		if name == "https" || name == "h3" {
			continue // neither goes with GET: TestMessagesAreHandedOver
		}
		t.Run(name, func(t *testing.T) {
			for what, packet := range map[string][]byte{"update": updating, "notify": notify} {
				m := new(mdns.Msg)
				if err := m.Unpack(exchange(t, packet)); err != nil {
					t.Fatal(err)
				}
				if m.Rcode != mdns.RcodeRefused && m.Rcode != mdns.RcodeNotAuth {
					t.Errorf("%s: %v", what, m)
				}
			}
			m := new(mdns.Msg)
			if err := m.Unpack(exchange(t, question("evil.example.org.", mdns.TypeA))); err != nil {
				t.Fatal(err)
			}
			if m.Rcode != mdns.RcodeNameError {
				t.Errorf("after the update: %v", m)
			}
		})
	}
}

// TestD07WhatDoesNotExistCostsNoSignature: zones are not signed, so DO changes nothing about a negative answer but the bit, and a flood of them
// costs what other answers do: not one allocation.
func TestD07WhatDoesNotExistCostsNoSignature(t *testing.T) {
	z := simpleZones(t, "a 60 A 192.0.2.1")
	do := func(m *mdns.Msg) { m.SetEdns0(1232, true) }
	m := new(mdns.Msg)
	reply, info := z.Answer(nil, question("nothing.example.org.", mdns.TypeA, do), &dns.Client{Addr: resolver}, dns.UDP)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	if info.RCode != mdns.RcodeNameError || len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != mdns.TypeSOA || !m.IsEdns0().Do() {
		t.Errorf("%s", render(m))
	}
	c, packet, buf := &dns.Client{Addr: resolver}, question("nothing.example.org.", mdns.TypeA, do), make([]byte, dns.MaxUDP)
	if n := testing.AllocsPerRun(1000, func() {
		packet[dnsHeader+1]++ // another name each time
		z.Answer(buf[:0], packet, c, dns.UDP)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestD11SlowConnections: whoever opens thousands of connections and sends one octet on each gets no further than the limits, and neither UDP nor a
// new connection of anybody else suffers. MERIDIAN_SLOW=5000 for the whole row.
func TestD11SlowConnections(t *testing.T) {
	slow, perPeer := 500, 16
	if n, err := strconv.Atoi(os.Getenv("MERIDIAN_SLOW")); err == nil {
		slow = n
	}
	total := slow * 4 / 5 // of 5,000: 4,000, near the default of 4,096
	r := serve(t, steeredZones(t), config.Limits{DNSTCPClients: total, DNSTCPPerPeer: perPeer})
	port := netip.MustParseAddrPort(r.tcp).Port()
	for i := range slow {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/perPeer>>8), byte(1+i/perPeer&0xff%254))}}
		c, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write([]byte{0}); err != nil { // half of a length
			t.Fatal(err)
		}
	}
	began := time.Now()
	dialAndAsk(t, r.tcp)
	tcp := time.Since(began)
	udp, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.SetDeadline(time.Now().Add(long))
	began = time.Now()
	write(t, udp, question("www.example.org.", mdns.TypeA))
	if _, err := udp.Read(make([]byte, dns.MaxUDP)); err != nil {
		t.Fatal(err)
	}
	t.Logf("beside %d slow connections: a new TCP connection answered after %v, UDP after %v", slow, tcp, time.Since(began))
	if open := metric(t, r, "meridian_dns_connections"); open > float64(total) {
		t.Errorf("%v connections are open", open)
	}
}

// gate is an observer that holds the server up at the first query.
type gate struct {
	entered, open chan struct{}
	once          sync.Once
}

func (g *gate) Observe(tap.Event) {
	g.once.Do(func() {
		close(g.entered)
		<-g.open
	})
}

// TestD23FloodsShowInTheDropCounter: the kernel throws away what does not fit into a socket's buffer while the server is busy, and that is counted.
func TestD23FloodsShowInTheDropCounter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: only Linux tells what a socket has thrown away")
	}
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	r := serveWith(t, simpleZones(t, "a 60 A 192.0.2.1"), dns.Options{Observers: []dns.Observer{g}})
	udp, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	packet := question("a.example.org.", mdns.TypeA)
	write(t, udp, packet)
	<-g.entered
	dropped := func() float64 { return metric(t, r, "meridian_dns_socket_drops_total") }
	sent := 0
	for until := time.Now().Add(long); dropped() == 0 && time.Now().Before(until); sent += 1000 {
		for range 1000 {
			write(t, udp, packet)
		}
	}
	counted := dropped()
	if counted == 0 || counted > float64(sent) {
		t.Errorf("%v counted of %d", counted, sent)
	}
	close(g.open)
	r.stop()
	if after := dropped(); after < counted {
		t.Errorf("the counter goes back from %v to %v when the socket is closed", counted, after)
	}
}
