package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
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
}

// answerBatch answers the n datagrams of a batch.
func (s *Server) answerBatch(ctx context.Context, u *udpLoop, n int) {
	if !s.guard.Idle() || len(s.observers) > 0 {
		u.client.now = time.Now() // once for all of them: reading the clock costs more than a limit does
	}
	for i := range n {
		packet, from := u.batch.Datagram(i)
		switch {
		case from.Port() == 0:
			s.metrics.dropped[SourcePort].Inc() // no client sends from there, and nothing can be sent back (D09)
			continue
		case u.batch.Truncated(i):
			s.metrics.dropped[Malformed].Inc() // what is missing may have been a signature, or nothing at all
			continue
		}
		packet, asker, ok := s.proxied(packet, from)
		if !ok {
			s.metrics.dropped[ProxyHeader].Inc()
			continue
		}
		handed := s.messages != nil && special(packet)
		switch {
		case len(packet) > maxQuery && !(handed && transport.IsUpdate(packet)):
			s.metrics.dropped[Malformed].Inc()
		case handed:
			s.detourUDP(ctx, u, i, packet, asker)
		default:
			u.batch.Reply(i, s.handle(u.batch.Buffer(i), packet, &u.client, asker, UDP))
		}
	}
	if failed := u.batch.Flush(); failed > 0 {
		s.metrics.dropped[SendFailed].Add(float64(failed))
	}
}
