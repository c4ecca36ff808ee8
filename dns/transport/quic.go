package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"
)

// quicFront accepts QUIC connections on one socket.
type quicFront struct {
	server     *Server
	kind       Kind
	config     *tls.Config
	uniStreams int64                     // negative: none may be opened
	overload   quic.ApplicationErrorCode // what a connection is told that makes room

	speak func(ctx context.Context, c *quic.Conn, p *peer) // until the connection is closed
	drain func()                                           // called when no more are accepted, to make speak return; nil: its ctx does that

	halfOpen atomic.Int64
	initials *rate.Limiter
}

// handshakeKey is the context key of a connection's *arrival.
type handshakeKey struct{}

// arrival is a connection from its first packet on.
type arrival struct {
	peer        peer
	established func() // its handshake is over, one way or the other
	complete    atomic.Bool
}

var errTooMany = errors.New("too many connections")

// serve serves connections until ctx is done and waits for them to end.
func (q *quicFront) serve(ctx context.Context, conn net.PacketConn) error {
	l := &q.server.limits
	q.initials = rate.NewLimiter(quicInitials, quicInitials)
	under := &quic.Transport{Conn: conn, VerifySourceAddress: q.suspicious, ConnContext: q.admit}
	defer under.Close()
	ln, err := under.Listen(q.config, &quic.Config{
		Allow0RTT:                      false, // a replayed query must not reach Messages (RFC 9250 section 4.5, RFC 8470)
		HandshakeIdleTimeout:           l.Handshake,
		MaxIdleTimeout:                 l.IdleQUIC,
		InitialStreamReceiveWindow:     quicWindow,
		MaxStreamReceiveWindow:         quicWindow,
		InitialConnectionReceiveWindow: quicWindowAll,
		MaxConnectionReceiveWindow:     quicWindowAll,
		MaxIncomingStreams:             int64(l.Streams),
		MaxIncomingUniStreams:          q.uniStreams,
	})
	if err != nil {
		return fmt.Errorf("serve dns over %s on %s: %w", q.kind, conn.LocalAddr(), err)
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for {
		c, acceptErr := ln.Accept(ctx)
		if acceptErr != nil {
			err = acceptErr
			break
		}
		wg.Go(func() { q.meet(serving, c) })
	}
	// Connections outlive the listener, and must not outlive the transport: they write through it.
	_ = ln.Close()
	cancel()
	if q.drain != nil {
		q.drain()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve dns over %s on %s: %w", q.kind, conn.LocalAddr(), err)
}

// suspicious reports whether the sender of an Initial must prove its address first (row Q01).
func (q *quicFront) suspicious(net.Addr) bool {
	return q.halfOpen.Load() > quicHalfOpen || !q.initials.Allow()
}

// admit enters a new connection in the table. Its context ends with the connection, or with a handshake that fails.
func (q *quicFront) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	a := &arrival{}
	if u, ok := info.RemoteAddr.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		a.peer.from = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	a.peer.entry = q.server.tables[q.kind].add(a.peer.from.Addr(), nil)
	if a.peer.entry == nil {
		return nil, errTooMany
	}
	q.halfOpen.Add(1)
	a.established = sync.OnceFunc(func() { q.halfOpen.Add(-1) })
	context.AfterFunc(ctx, func() {
		a.established()
		a.peer.entry.remove(q.reasonOf(context.Cause(ctx), a))
	})
	ctx = context.WithValue(ctx, linkKey{}, &a.peer)
	return context.WithValue(ctx, handshakeKey{}, a), nil
}

// reasonOf says why a connection ended.
func (q *quicFront) reasonOf(err error, a *arrival) closeReason {
	var idle *quic.IdleTimeoutError
	var app *quic.ApplicationError
	var transport *quic.TransportError
	switch {
	case !a.complete.Load():
		return closedHandshake
	case errors.As(err, &idle):
		return closedIdle
	case errors.As(err, &app) && !app.Remote && app.ErrorCode == doqProtocolError:
		return closedMalformed
	case errors.As(err, &app) && !app.Remote:
		return closedStopping
	case errors.As(err, &transport) && !transport.Remote:
		return closedMalformed
	}
	return closedClient
}

func (q *quicFront) meet(ctx context.Context, c *quic.Conn) {
	a, ok := c.Context().Value(handshakeKey{}).(*arrival)
	if !ok {
		_ = c.CloseWithError(doqInternalError, "")
		return
	}
	a.complete.Store(true)
	a.established()
	a.peer.entry.closable(func() { _ = c.CloseWithError(q.overload, "") })
	q.speak(ctx, c, &a.peer)
}
