package transfer_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
)

// FuzzHandle sends messages, as they are and with a good signature. Each gets at most one reply over UDP, which is one, and which fits.
func FuzzHandle(f *testing.F) {
	ring, err := tsig.NewRing([]tsig.Key{key})
	if err != nil {
		f.Fatal(err)
	}
	s := transfer.New(transfer.Options{Dir: f.TempDir()})
	f.Cleanup(s.Close)
	if err := s.Apply(f.Context(), transfer.Config{Keys: []tsig.Key{key}, Zones: []transfer.Zone{{
		Name: "example.org.", Base: build(f, 1), Transfer: signed, Update: []transfer.Grant{{Rule: signed[0]}},
	}}}); err != nil {
		f.Fatal(err)
	}
	update := new(mdns.Msg)
	update.SetUpdate("example.org.")
	rr, _ := mdns.NewRR("a.example.org. 60 IN A 192.0.2.1")
	update.Insert([]mdns.RR{rr})
	update.Used([]mdns.RR{rr})
	axfr := new(mdns.Msg)
	axfr.SetAxfr("example.org.")
	for _, m := range []*mdns.Msg{update, axfr, ixfr(1), ixfr(0)} {
		p, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < 12 {
			return
		}
		c, err := ring.Begin(key.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, packet := range [][]byte{p, c.Sign(slices.Clone(p), time.Now())} {
			replies := 0
			receive(t.Context(), s, packet, netip.MustParseAddrPort("192.0.2.1:5300"), false, func(reply []byte) error {
				if replies++; replies > 1 || len(reply) < 12 || len(reply) > 1232 || reply[2]&0x80 == 0 {
					t.Fatalf("reply %d: %x", replies, reply)
				}
				return nil
			})
		}
		if current(s) == nil {
			t.Fatal("the zone is gone")
		}
	})
}

// FuzzTransferIn is a primary that sends anything in place of a zone: whatever is taken has an SOA of its own name.
func FuzzTransferIn(f *testing.F) {
	reply := new(mdns.Msg)
	reply.SetAxfr("example.org.")
	reply.Response = true
	for _, line := range []string{
		"example.org. 60 IN SOA a. b. 1 2 3 4 5", "a.example.org. 60 IN A 192.0.2.1", "example.org. 60 IN SOA a. b. 1 2 3 4 5",
	} {
		rr, err := mdns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		reply.Answer = append(reply.Answer, rr)
	}
	p, err := reply.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < 12 || len(p) > 65535 {
			return
		}
		served := make(chan struct{}, 8)
		s := transfer.New(transfer.Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer func() { served <- struct{}{} }()
				defer server.Close()
				head := make([]byte, 14)
				if _, err := io.ReadFull(server, head); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, server, int64(binary.BigEndian.Uint16(head))-12); err != nil {
					return
				}
				out := append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
				copy(out[2:4], head[2:4])
				server.Write(out)
			}()
			return client, nil
		}})
		if err := s.Apply(t.Context(), transfer.Config{Zones: []transfer.Zone{{
			Name: "example.org.", Primaries: []transfer.Peer{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}},
		}}}); err != nil {
			t.Fatal(err)
		}
		<-served
		s.Close()
		if d := current(s); d != nil && string(d.Origin()) != string(origin) {
			t.Fatal("another zone")
		}
	})
}
