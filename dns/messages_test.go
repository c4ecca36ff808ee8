package dns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/dns/zone"
)

const tsigSecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// transferStore has example.org for those who hold key.example.org.
func transferStore(t *testing.T) *transfer.Store {
	t.Helper()
	b := zone.NewBuilder([]byte("\x07example\x03org\x00"))
	for _, line := range []string{"example.org. 60 IN SOA ns. host. 7 2 3 4 5", "example.org. 60 IN NS ns.example.org.", "a.example.org. 60 IN A 192.0.2.1"} {
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.AddRR(rr); err != nil {
			t.Fatal(err)
		}
	}
	data, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	store := transfer.New(transfer.Options{Dir: t.TempDir()})
	t.Cleanup(store.Close)
	if err := store.Apply(t.Context(), transfer.Config{
		Keys: []tsig.Key{{Name: "key.example.org.", Secret: []byte("0123456789abcdef0123456789abcdef")}},
		Zones: []transfer.Zone{{Name: "example.org.", Base: data, Transfer: []transfer.Rule{{Key: "key.example.org."}}, Update: []transfer.Grant{{
			Rule: transfer.Rule{Key: "key.example.org."}, Names: []string{"*.example.org."}, Types: []uint16{mdns.TypeTXT},
		}}}},
	}); err != nil {
		t.Fatal(err)
	}
	return store
}

// serveMessages serves a zone of the configuration, and the same name for transfers.
func serveMessages(t *testing.T) (addr string) {
	t.Helper()
	store := transferStore(t)
	source := &holder{}
	source.p.Store(simpleZones(t, "a 60 A 192.0.2.1"))
	s := dns.NewServer(dns.Options{Source: source, Messages: store})
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeUDP(ctx, conn) })
	wg.Go(func() { s.ServeTCP(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		conn.Close()
		ln.Close()
	})
	return conn.LocalAddr().String() + " " + ln.Addr().String()
}

func TestSignedQueriesAndTransfersOnEveryTransport(t *testing.T) {
	var udp, tcp string
	addrs := serveMessages(t)
	for i := range addrs {
		if addrs[i] == ' ' {
			udp, tcp = addrs[:i], addrs[i+1:]
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		addr := map[string]string{"udp": udp, "tcp": tcp}[network]
		t.Run(network, func(t *testing.T) {
			ask := func(m *mdns.Msg, secret string) *mdns.Msg {
				t.Helper()
				c := mdns.Client{Net: network, Timeout: 30 * time.Second}
				if secret != "" {
					m.SetTsig("key.example.org.", mdns.HmacSHA256, 300, time.Now().Unix())
					c.TsigSecret = map[string]string{"key.example.org.": secret}
				}
				r, _, err := c.Exchange(m, addr)
				if r == nil {
					t.Fatal(err)
				}
				if err != nil && r.Rcode == mdns.RcodeSuccess {
					t.Error(err) // the signature of the reply
				}
				return r
			}
			query := func() *mdns.Msg { return new(mdns.Msg).SetQuestion("a.example.org.", mdns.TypeA) }
			if r := ask(query(), ""); len(r.Answer) != 1 || r.IsTsig() != nil {
				t.Errorf("plain: %v", r)
			}
			if r := ask(query(), tsigSecret); len(r.Answer) != 1 || r.IsTsig() == nil {
				t.Errorf("signed: %v", r)
			}
			if r := ask(query(), "YWJj"); r.Rcode != mdns.RcodeNotAuth || len(r.Answer) != 0 || r.IsTsig().Error != tsig.BadSig {
				t.Errorf("wrong key: %v", r)
			}
			axfr := func() *mdns.Msg { return new(mdns.Msg).SetAxfr("example.org.") }
			if r := ask(axfr(), ""); r.Rcode != mdns.RcodeRefused {
				t.Errorf("unsigned axfr: %v", r)
			}
			if r := ask(axfr(), tsigSecret); (len(r.Answer) == 4) != (network == "tcp") {
				t.Errorf("axfr: %v", r)
			}
			if r := ask(new(mdns.Msg).SetNotify("example.net."), ""); r.Rcode != mdns.RcodeNotAuth {
				t.Errorf("notify: %v", r)
			}
		})
	}
}

// signedUpdate is an update of so many octets, as external-dns sends one for a batch of changes.
func signedUpdate(t *testing.T, size int) []byte {
	t.Helper()
	m := new(mdns.Msg).SetUpdate("example.org.")
	padded := func(pad int) []byte {
		m.Ns = m.Ns[:0]
		for i := range 60 {
			m.Insert([]mdns.RR{&mdns.TXT{
				Hdr: mdns.RR_Header{Name: fmt.Sprintf("h%d.example.org.", i), Rrtype: mdns.TypeTXT, Class: mdns.ClassINET, Ttl: 60},
				Txt: []string{strings.Repeat("x", pad/60+map[bool]int{true: 1}[i < pad%60])},
			}})
		}
		m.Extra = nil
		return signed(t, m, "key.example.org.", tsigSecret, time.Now(), nil)
	}
	packet := padded(size - len(padded(0)))
	if len(packet) != size {
		t.Fatalf("%d octets, want %d", len(packet), size)
	}
	return packet
}

// An update over UDP may be as long as one over TCP; anything else of more than 4,096 octets is dropped (D11).
func TestUpdatesOverUDPMayBeLong(t *testing.T) {
	store, source, reg := transferStore(t), &holder{}, prometheus.NewRegistry()
	source.p.Store(simpleZones(t, "a 60 A 192.0.2.1"))
	s := dns.NewServer(dns.Options{Source: source, Messages: store, Registerer: reg})
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeUDP(ctx, conn) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	host, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, buf := connect(t, host, port), make([]byte, dns.MaxUDP)
	notify := question("example.org.", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify })
	for _, dropped := range [][]byte{signedUpdate(t, transport.MaxUpdate+1), append(notify, make([]byte, transport.MaxQuery+1-len(notify))...)} {
		write(t, c, dropped)
	}
	for _, size := range []int{2500, transport.MaxQuery + 1, transport.MaxUpdate} {
		write(t, c, signedUpdate(t, size))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		m := new(mdns.Msg)
		if err := m.Unpack(buf[:n]); err != nil || m.Rcode != mdns.RcodeSuccess || m.Opcode != mdns.OpcodeUpdate {
			t.Fatalf("%d octets: %v %v", size, m, err)
		}
		if got := store.Data()["\x07example\x03org\x00"].Len(); got != 3+60 && size == 2500 {
			t.Errorf("%d records after the first", got)
		}
	}
	if got := store.Data()["\x07example\x03org\x00"].Len(); got != 3+3*60 {
		t.Errorf("%d records after three updates", got)
	}
	if n := metric(t, &running{registry: reg}, "meridian_dns_dropped_total", "malformed"); n != 2 {
		t.Errorf("%v dropped", n)
	}
}
