package transfer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/dns/zone"
)

var key = tsig.Key{Name: "key.example.org.", Secret: []byte("0123456789abcdef0123456789abcdef")}

const keyBase64 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// signed lets in whoever has the key.
var signed = []transfer.Rule{{Key: key.Name}}

// origin is example.org in wire form.
var origin = []byte("\x07example\x03org\x00")

// build makes a version of example.org: an SOA of the serial, an NS, and the lines.
func build(t testing.TB, serial int, lines ...string) *zone.Data {
	t.Helper()
	return buildZone(t, "example.org.", append([]string{
		fmt.Sprintf("example.org. 60 IN SOA ns1.example.org. host.example.org. %d 3600 600 86400 60", serial),
		"example.org. 60 IN NS ns1.example.org.", "ns1.example.org. 60 IN A 192.0.2.53",
	}, lines...)...)
}

func buildZone(t testing.TB, name string, lines ...string) *zone.Data {
	t.Helper()
	buf := make([]byte, 256)
	end, err := mdns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	b := zone.NewBuilder(buf[:end])
	for _, line := range lines {
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.AddRR(rr); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// text is a version as sorted lines without the SOA's.
func text(d *zone.Data) string {
	var lines []string
	for r := range d.Records() {
		if rr, err := r.RR(); err == nil && r.Type != mdns.TypeSOA {
			lines = append(lines, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// plain answers queries from what a store has, as a server would.
func plain(s *transfer.Store) func(dst, packet []byte, limit int) []byte {
	return func(dst, packet []byte, _ int) []byte {
		var q mdns.Msg
		if q.Unpack(packet) != nil || len(q.Question) != 1 {
			return dst
		}
		m := new(mdns.Msg)
		m.SetReply(&q)
		buf := make([]byte, 256)
		end, _ := mdns.PackDomainName(mdns.CanonicalName(q.Question[0].Name), buf, 0, nil, false)
		m.Rcode = mdns.RcodeRefused
		for _, d := range s.Data() {
			if d == nil || !zone.Below(buf[:end], d.Origin()) {
				continue
			}
			m.Rcode, m.Authoritative = mdns.RcodeSuccess, true
			set := d.Find(buf[:end], q.Question[0].Qtype)
			for data := range set.RData() {
				rr, _ := zone.Record{Name: set.Name, Type: set.Type, TTL: set.TTL, RData: data}.RR()
				m.Answer = append(m.Answer, rr)
			}
		}
		out, _ := m.Pack()
		return append(dst, out...)
	}
}

// receive handles one message as a server's loop would.
func receive(ctx context.Context, s *transfer.Store, packet []byte, from netip.AddrPort, stream bool, send func([]byte) error) {
	m := &transfer.Message{Packet: packet, From: from, Stream: stream, Plain: plain(s), Send: send}
	if !s.Handle(ctx, m) {
		if reply := m.Plain(nil, packet, 0); len(reply) > 0 {
			send(reply)
		}
	}
}

func receiveStream(s *transfer.Store, conn net.Conn, from netip.AddrPort) {
	defer conn.Close()
	for {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return
		}
		receive(context.Background(), s, packet, from, true, func(reply []byte) error {
			_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			return err
		})
	}
}

// network joins stores by pipes, so that it runs on synctest's clock.
type network struct {
	mu     sync.Mutex
	stores map[string]*transfer.Store // nil: nobody answers
	dialed []string
}

var errUnreachable = errors.New("unreachable")

// dial is the Dial of the node at an address.
func (n *network) dial(from string) func(ctx context.Context, kind, addr string) (net.Conn, error) {
	return func(_ context.Context, kind, addr string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.dialed = append(n.dialed, kind+" "+addr)
		s := n.stores[addr]
		if s == nil {
			return nil, errUnreachable
		}
		client, server := net.Pipe()
		source := netip.MustParseAddrPort(from)
		if kind == "tcp" {
			go receiveStream(s, server, source)
			return client, nil
		}
		go func() {
			defer server.Close()
			buf := make([]byte, 65535)
			for {
				size, err := server.Read(buf)
				if err != nil {
					return
				}
				receive(context.Background(), s, slices.Clone(buf[:size]), source, false, func(reply []byte) error {
					_, err := server.Write(reply)
					return err
				})
			}
		}()
		return client, nil
	}
}

func (n *network) set(addr string, s *transfer.Store) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stores == nil {
		n.stores = map[string]*transfer.Store{}
	}
	n.stores[addr] = s
}

// listener serves a store on real sockets, and returns its address.
func listen(t *testing.T, s *transfer.Store) netip.AddrPort {
	t.Helper()
	ln, conn := listenBoth(t)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		ln.Close()
		conn.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { c.Close() })
			wg.Go(func() {
				defer stop()
				receiveStream(s, c, c.RemoteAddr().(*net.TCPAddr).AddrPort())
			})
		}
	})
	wg.Go(func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			receive(ctx, s, slices.Clone(buf[:n]), from, false, func(reply []byte) error {
				_, err := conn.WriteToUDPAddrPort(reply, from)
				return err
			})
		}
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// listenBoth finds a port that is free for TCP and UDP.
func listenBoth(t *testing.T) (net.Listener, *net.UDPConn) {
	t.Helper()
	for range 50 {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: ln.Addr().(*net.TCPAddr).Port})
		if err == nil {
			return ln, conn
		}
		ln.Close()
	}
	t.Fatal("no port is free for TCP and UDP")
	return nil, nil
}

// watch collects what a store publishes.
type watch struct {
	mu      sync.Mutex
	changes []transfer.Change
}

func (w *watch) publish(c []transfer.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, c...)
}

func (w *watch) last() transfer.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.changes) == 0 {
		return transfer.Change{}
	}
	return w.changes[len(w.changes)-1]
}

// open makes a store that closes with the test.
func open(t *testing.T, o transfer.Options, zones ...transfer.Zone) *transfer.Store {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s := transfer.New(o)
	t.Cleanup(s.Close)
	if err := s.Apply(t.Context(), transfer.Config{Keys: []tsig.Key{key}, Zones: zones}); err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t *testing.T, s *transfer.Store, zones ...transfer.Zone) {
	t.Helper()
	if err := s.Apply(t.Context(), transfer.Config{Keys: []tsig.Key{key}, Zones: zones}); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition on real time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 seconds", what)
		}
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
	}
}

// current is the version of example.org that a store serves.
func current(s *transfer.Store) *zone.Data { return s.Data()[string(origin)] }

// ask sends one message to a store, and returns its replies.
func ask(t *testing.T, s *transfer.Store, m *mdns.Msg, stream bool) []*mdns.Msg {
	t.Helper()
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return askPacket(t, s, p, stream)
}

func askPacket(t *testing.T, s *transfer.Store, p []byte, stream bool) []*mdns.Msg {
	t.Helper()
	var out []*mdns.Msg
	receive(t.Context(), s, p, netip.MustParseAddrPort("192.0.2.1:5300"), stream, func(reply []byte) error {
		r := new(mdns.Msg)
		if err := r.Unpack(reply); err != nil {
			t.Error(err)
		}
		out = append(out, r)
		return nil
	})
	return out
}

// sign packs a message with the key.
func sign(t *testing.T, m *mdns.Msg) []byte {
	t.Helper()
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := tsig.NewRing([]tsig.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ring.Begin(key.Name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Sign(p, time.Now())
}
