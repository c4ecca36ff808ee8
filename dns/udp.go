package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/netio"
)

// udpBatch is how many queries are taken from a socket together. More than this gains nothing that can be measured, and their
// buffers would no longer stay in the caches nearest to the core.
const udpBatch = 32

// ServeUDP answers queries that arrive on conn until ctx is done, and then returns nil: the queries in hand have been answered. It
// blocks. It takes conn over and closes it; when that is closed already it returns net.ErrClosed. Several sockets on one address (netio.ListenUDP) each
// get a call of their own, as many as there are cores. On a socket bound to every address, replies leave from the one
// that was asked.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	in := maxQuery
	if s.messages != nil {
		in = transport.MaxUpdate
	}
	if s.streams.Proxied() {
		in += maxProxyHeader
	}
	addr := conn.LocalAddr()
	batch, err := netio.NewBatch(conn, netio.Sizes{Datagrams: udpBatch, In: in, Out: MaxUDP})
	if err != nil {
		return fmt.Errorf("serve dns on udp %s: %w", addr, err)
	}
	stop := context.AfterFunc(ctx, batch.Stop)
	remove := s.metrics.sockets.Add(batch)
	u := udpLoop{batch: batch}
	defer func() {
		stop()
		u.detours.Wait()
		_ = batch.Close()
		remove()
	}()
	for {
		n, err := batch.Receive()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			s.log.Warn("dns receive", "addr", addr.String(), "err", err)
			pause(ctx, receivePause)
			continue
		}
		s.answerBatch(ctx, &u, n)
	}
}

// udpLoop is what one call of ServeUDP works with.
type udpLoop struct {
	batch   *netio.Batch
	client  Client
	detours sync.WaitGroup // messages handed over that are not answered yet
	zones   *Zones         // that the batch in hand is answered from
	packet  []byte         // in hand, without what a proxy put before it
	asker   netip.AddrPort // of packet
}

// answerBatch answers the n datagrams of a batch.
func (s *Server) answerBatch(ctx context.Context, u *udpLoop, n int) {
	u.client.now = time.Time{}
	if s.timed() {
		u.client.now = time.Now() // once for all of them: reading the clock costs more than a limit does
	}
	u.zones = s.source.Zones()
	for next := 0; next < n; {
		next = s.answerFrom(ctx, u, next, n)
	}
	u.zones = nil // while none arrive, a generation that is gone must not stay in memory
	s.metrics.settle(&u.client.count)
	if failed := u.batch.Flush(); failed > 0 {
		s.metrics.dropped[SendFailed].Add(float64(failed))
	}
}

// answerFrom answers datagrams from number next to before n, up to one that fails on a bug, and returns the number to go on with: being ready to
// recover costs less once for all than for each.
func (s *Server) answerFrom(ctx context.Context, u *udpLoop, next, n int) (rest int) {
	rest = next
	defer func() {
		if r := recover(); r != nil {
			u.batch.Reply(rest, s.failed(u.zones, u.batch.Buffer(rest), u.packet, &u.client, u.asker, UDP, r))
			rest++
		}
	}()
	for ; rest < n; rest++ {
		s.answerDatagram(ctx, u, rest)
	}
	return rest
}

// answerDatagram answers datagram i of the batch.
func (s *Server) answerDatagram(ctx context.Context, u *udpLoop, i int) {
	packet, from := u.batch.Datagram(i)
	u.packet = nil
	switch {
	case from.Port() == 0:
		s.metrics.dropped[SourcePort].Inc() // no client sends from there, and nothing can be sent back (D09)
		return
	case u.batch.Truncated(i):
		s.metrics.dropped[Malformed].Inc() // what is missing may have been a signature, or nothing at all
		return
	}
	asker := from
	if s.streams.Proxied() {
		var ok bool
		if packet, asker, ok = s.proxied(packet, from); !ok {
			s.metrics.dropped[ProxyHeader].Inc()
			return
		}
	}
	if len(packet) > maxQuery && (s.messages == nil || !transport.IsUpdate(packet)) {
		s.metrics.dropped[Malformed].Inc()
		return
	}
	u.packet, u.asker = packet, asker
	q := &u.client.query
	verdict := q.Parse(packet)
	if s.messages != nil && special(q, verdict) {
		s.detourUDP(ctx, u, i, packet, asker)
		return
	}
	u.batch.Reply(i, s.serve(u.zones, u.batch.Buffer(i), packet, &u.client, asker, UDP, verdict))
}
