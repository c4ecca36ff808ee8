package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ServeUDP answers queries that arrive on conn until ctx is done, and then returns nil: the packet in hand has been answered. It blocks. Several
// sockets on one address (SO_REUSEPORT) each get a call of their own. The caller closes conn; when it is closed before ctx is done
// ServeUDP returns an error.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var detours sync.WaitGroup
	defer detours.Wait()
	var (
		client Client
		in     [maxDatagram]byte
		out    [MaxUDP]byte
	)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(in[:])
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve dns on udp %s: %w", conn.LocalAddr(), err)
		case err != nil:
			s.log.Warn("dns receive", "addr", conn.LocalAddr().String(), "err", err)
			pause(ctx, receivePause)
			continue
		case from.Port() == 0:
			s.metrics.dropped[SourcePort].Inc() // no client sends from there, and nothing can be sent back (D09)
			continue
		}
		packet, asker, ok := s.proxied(in[:n], from)
		if !ok {
			s.metrics.dropped[ProxyHeader].Inc()
			continue
		}
		if s.detourUDP(ctx, &detours, conn, packet, from, asker) {
			continue
		}
		reply := s.handle(out[:0], packet, &client, asker, UDP)
		if len(reply) == 0 {
			continue
		}
		if _, err := conn.WriteToUDPAddrPort(reply, from); err != nil {
			s.metrics.dropped[SendFailed].Inc()
		}
	}
}
