package dns_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/guard"
)

func BenchmarkAnswer(b *testing.B) {
	z := steeredZones(b)
	for _, bench := range []struct {
		name   string
		packet []byte
	}{
		{"Static", question("www.example.org.", mdns.TypeA)},
		{"StaticEDNS", question("www.example.org.", mdns.TypeA, edns(1232))},
		{"CNAME", question("alias.example.org.", mdns.TypeA)},
		{"NXDOMAIN", question("nothing.here.example.org.", mdns.TypeA)},
		{"Refused", question("www.example.com.", mdns.TypeA)},
		{"SteeredLatency", question("latency.example.org.", mdns.TypeA, subnet("198.51.100.0/24"))},
		{"Weighted", question("weighted.example.org.", mdns.TypeA)},
		{"Multivalue", question("multi.example.org.", mdns.TypeA)},
		{"Tree", question("tree.example.org.", mdns.TypeA, subnet("198.51.100.0/24"))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var buf [dns.MaxUDP]byte
			c := &dns.Client{Addr: resolver}
			b.ReportAllocs()
			for b.Loop() {
				c.Random++
				z.Answer(buf[:0], bench.packet, c, dns.UDP)
			}
		})
	}
}

// BenchmarkStatic is what a query costs besides its socket: a thousand names in no order, as a batch has them, with the limits of a
// server as it is installed, from a client that they do not apply to.
func BenchmarkStatic(b *testing.B) {
	var lines []string
	var packets [][]byte
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("h%d 300 A 192.0.2.%d", i, i%250))
		packets = append(packets, question(fmt.Sprintf("h%d.example.org.", i), mdns.TypeA, edns(1232)))
	}
	rand.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
	client := netip.MustParseAddrPort("127.0.0.1:4000")
	limits := guard.Options{Rate: 50, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	d := newDesk(b, simpleZones(b, lines...), limits, dns.Options{})
	d.client.SetNow(time.Now())
	var out [32][dns.MaxUDP]byte
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		d.server.Handle(out[i%len(out)][:0], packets[i%len(packets)], &d.client, client, dns.UDP)
	}
}

// BenchmarkUDP is a query and its reply through real sockets, one at a time.
func BenchmarkUDP(b *testing.B) {
	r := serve(b, steeredZones(b), config.Limits{})
	conn, err := net.Dial("udp", r.udp)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	packet, buf := question("www.example.org.", mdns.TypeA), make([]byte, 2048)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(packet); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTCP is the same over TCP: connections of 100 pipelined queries each.
func BenchmarkTCP(b *testing.B) {
	const batch = 100
	r := serve(b, steeredZones(b), config.Limits{DNSTCPPerPeer: 1000})
	queries := pipelined(batch, "www.example.org.")
	reply, _ := steeredZones(b).Answer(nil, question("www.example.org.", mdns.TypeA), &dns.Client{}, dns.TCP)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", r.tcp)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Write(queries); err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(batch*(2+len(reply)))); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/query")
}
