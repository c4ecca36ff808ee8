package dns_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
)

// TestD11TimeoutsOfTCP: whoever dawdles is let go, on a clock that need not be waited for.
func TestD11TimeoutsOfTCP(t *testing.T) {
	z := steeredZones(t)
	whole := pipelined(1, "www.example.org.")
	for _, test := range []struct {
		name string
		talk func(t *testing.T, conn net.Conn)
		want time.Duration // until the server hangs up
	}{
		{"never a query", func(*testing.T, net.Conn) {}, 2 * time.Second},
		{"half a length", func(t *testing.T, c net.Conn) { write(t, c, whole[:1]) }, 2 * time.Second},
		{"one octet a second", func(t *testing.T, c net.Conn) { trickle(t, c, whole) }, 2 * time.Second},
		{"idle after a query", func(t *testing.T, c net.Conn) { roundTrip(t, c, whole) }, 10 * time.Second},
		{"one octet a second after a query", func(t *testing.T, c net.Conn) {
			roundTrip(t, c, whole)
			time.Sleep(5 * time.Second) // of the bubble's clock
			trickle(t, c, whole)
		}, 5*time.Second + 2*time.Second},
		{"a length no query has", func(t *testing.T, c net.Conn) { write(t, c, []byte{0xFF, 0xFF}) }, 0},
		{"a length below a header", func(t *testing.T, c net.Conn) { write(t, c, []byte{0, 11}) }, 0},
		{"never reads", func(t *testing.T, c net.Conn) {
			write(t, c, whole)
			time.Sleep(3 * time.Second)
		}, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newPipeListener()
				source := &holder{}
				source.p.Store(z)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := dns.NewServer(dns.Options{Source: source}).ServeTCP(ctx, ln); err != nil {
						t.Error(err)
					}
				})
				start := time.Now()
				conn := ln.dial()
				test.talk(t, conn)
				if _, err := io.Copy(io.Discard, conn); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != test.want {
					t.Errorf("hung up after %v, want %v", took, test.want)
				}
				conn.Close()
				cancel()
				wg.Wait()
			})
		})
	}
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
}

// trickle sends one octet a second until the other side has had enough.
func trickle(t *testing.T, c net.Conn, b []byte) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	wg.Go(func() {
		for i := range b {
			if _, err := c.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(time.Second) // of the bubble's clock
		}
	})
}

func roundTrip(t *testing.T, c net.Conn, framed []byte) {
	t.Helper()
	write(t, c, framed)
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		t.Error(err)
	}
	if _, err := io.CopyN(io.Discard, c, int64(length[0])<<8|int64(length[1])); err != nil {
		t.Error(err)
	}
}

// pipeListener is a listener in memory: its connections are durably blocked when they wait, as synctest wants it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestD11PipelinedQueries: a thousand at once get the 128 answers one connection is good for, in order, and a clean end.
func TestD11PipelinedQueries(t *testing.T) {
	r := serve(t, steeredZones(t), config.Limits{})
	conn, err := net.Dial("tcp", r.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(pipelined(1000, "www.example.org.")); err != nil {
		t.Fatal(err)
	}
	ids := readReplies(t, conn)
	if len(ids) != 128 {
		t.Fatalf("%d replies", len(ids))
	}
	for i, id := range ids {
		if int(id) != i {
			t.Fatalf("reply %d has id %d", i, id)
		}
	}
}

// TestD11PeersAndTotal: one peer cannot take all connections, and who has been idle longest makes room.
func TestD11PeersAndTotal(t *testing.T) {
	t.Run("per peer", func(t *testing.T) {
		r := serve(t, steeredZones(t), config.Limits{DNSTCPClients: 100, DNSTCPPerPeer: 3})
		var conns []net.Conn
		for range 3 {
			conns = append(conns, dialAndAsk(t, r.tcp))
		}
		refused, err := net.Dial("tcp", r.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer refused.Close()
		waitClosed(t, refused)
		for _, c := range conns {
			roundTrip(t, c, pipelined(1, "www.example.org."))
		}
		if got := metric(t, r, "meridian_dns_connections"); got != 3 {
			t.Errorf("open %v", got)
		}
		conns[0].Close()
		for metric(t, r, "meridian_dns_connections") != 2 {
			runtime.Gosched() // until the server has noticed: the next one would be refused otherwise
		}
		dialAndAsk(t, r.tcp)
	})
	t.Run("total", func(t *testing.T) {
		r := serve(t, steeredZones(t), config.Limits{DNSTCPClients: 3, DNSTCPPerPeer: 100})
		first, second, third := dialAndAsk(t, r.tcp), dialAndAsk(t, r.tcp), dialAndAsk(t, r.tcp)
		roundTrip(t, first, pipelined(1, "www.example.org.")) // so the second has been idle longest
		fourth := dialAndAsk(t, r.tcp)
		waitClosed(t, second)
		for _, c := range []net.Conn{first, third, fourth} {
			roundTrip(t, c, pipelined(1, "www.example.org."))
		}
		if got := metric(t, r, "meridian_dns_connections_closed_total", "evicted"); got != 1 {
			t.Errorf("evicted %v", got)
		}
		if got := metric(t, r, "meridian_dns_connections"); got != 3 {
			t.Errorf("open %v", got)
		}
	})
}

func dialAndAsk(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	roundTrip(t, conn, pipelined(1, "www.example.org."))
	return conn
}

func waitClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("not closed: %d, %v", n, err)
	}
}

// TestStopFinishesWhatItHolds: queries that have arrived are answered, idle connections end at once.
func TestStopFinishesWhatItHolds(t *testing.T) {
	r := serve(t, steeredZones(t), config.Limits{})
	idle, busy := dialAndAsk(t, r.tcp), dialAndAsk(t, r.tcp)
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	waitClosed(t, idle)
	waitClosed(t, busy)
}

// pipelined frames queries for TCP.
func pipelined(n int, name string) []byte {
	var out []byte
	for i := range n {
		q := question(name, mdns.TypeA)
		binary.BigEndian.PutUint16(q, uint16(i))
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(q))), q...)
	}
	return out
}

// readReplies reads framed replies until the stream ends and returns their ids.
func readReplies(t *testing.T, from io.Reader) []uint16 {
	t.Helper()
	var ids []uint16
	for {
		var length [2]byte
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return ids
		}
		msg := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(from, msg); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, binary.BigEndian.Uint16(msg))
	}
}
