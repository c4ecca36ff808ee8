package transport_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// mirror answers a message with itself.
type mirror struct{ query dnswire.Query }

func (m *mirror) Answer(dst, packet []byte, _ netip.AddrPort, _ transport.Kind) ([]byte, *dnswire.Query) {
	return append(dst, packet...), &m.query
}

// BenchmarkPipelined is what one query costs on a TCP connection, in lots of 50, without its answer; a connection is good for 128 by
// default, and for all of them here.
func BenchmarkPipelined(b *testing.B) {
	s := transport.New(transport.Options{Answerer: func() transport.Answerer { return &mirror{} }, Limits: transport.Limits{Queries: 1 << 40}})
	ln := listen(b)
	run(b, func(ctx context.Context) error { return s.ServeTCP(ctx, ln) })
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	const lot = 50
	var sent []byte
	for id := range uint16(lot) {
		sent = append(sent, framed(question(id, "www.example.org."))...)
	}
	back := make([]byte, len(sent))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%lot != 0 {
			continue
		}
		send(b, conn, sent)
		if _, err := io.ReadFull(conn, back); err != nil {
			b.Fatal(err)
		}
	}
}
