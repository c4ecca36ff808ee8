package dns_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
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
	store := transfer.New(transfer.Options{})
	t.Cleanup(store.Close)
	if err := store.Apply(t.Context(), transfer.Config{
		Keys:  []tsig.Key{{Name: "key.example.org.", Secret: []byte("0123456789abcdef0123456789abcdef")}},
		Zones: []transfer.Zone{{Name: "example.org.", Base: data, Transfer: []transfer.Rule{{Key: "key.example.org."}}}},
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
