package std

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// gate counts open connections, in all and by client (attack row R04, secure default 5). Its table has no more entries than
// there are connections.
type gate struct {
	total, perClient int
	metrics          *Metrics

	mu      sync.Mutex // guards the fields below
	open    int
	clients map[netip.Addr]int
}

func newGate(total, perClient int, m *Metrics) *gate {
	return &gate{total: total, perClient: perClient, metrics: m, clients: map[netip.Addr]int{}}
}

// clientOf is what counts as one client: an IPv4 address, or the /64 of an IPv6 address.
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

// enter admits a connection. The function it returns takes it out again and may be called many times.
func (g *gate) enter(peer netip.Addr) (leave func(), ok bool) {
	client := clientOf(peer)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.open >= g.total:
		g.metrics.refused.WithLabelValues("total").Inc()
		return nil, false
	case g.clients[client] >= g.perClient:
		g.metrics.refused.WithLabelValues("per_client").Inc()
		return nil, false
	}
	g.open++
	g.clients[client]++
	return sync.OnceFunc(func() { g.leave(client) }), true
}

func (g *gate) leave(client netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.clients[client]--; g.clients[client] == 0 {
		delete(g.clients, client)
	}
}

// listener admits connections through the gate. One too many is closed at once: an answer would cost more than it is worth.
type listener struct {
	net.Listener
	gate   *gate
	secure bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := addrPort(c.RemoteAddr())
		leave, ok := l.gate.enter(peer.Addr())
		if !ok {
			_ = c.Close()
			continue
		}
		wrapped := &conn{Conn: c, leave: leave, peer: peer, local: addrPort(c.LocalAddr()), metrics: l.gate.metrics}
		if l.secure {
			wrapped.handshakeBy.Store(time.Now().Add(handshakeTimeout).UnixNano())
		} else {
			wrapped.settle("h1")
		}
		return wrapped, nil
	}
}

// conn is an admitted TCP connection.
type conn struct {
	net.Conn
	leave       func()
	peer, local netip.AddrPort
	metrics     *Metrics
	handshakeBy atomic.Int64 // Unix nanoseconds; 0: the handshake is over, or there is none

	mu     sync.Mutex // guards the fields below
	proto  string     // "" until it is known
	closed bool
}

// SetReadDeadline implements net.Conn. net/http gives the TLS handshake as long as a request head; here it has its own limit
// (attack row R05). net/http clears the deadline once the handshake is over.
func (c *conn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.capped(t)) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.capped(t)) }

func (c *conn) capped(t time.Time) time.Time {
	by := c.handshakeBy.Load()
	if by == 0 {
		return t
	}
	if t.IsZero() {
		c.handshakeBy.Store(0)
		return t
	}
	if limit := time.Unix(0, by); t.After(limit) {
		return limit
	}
	return t
}

// settle counts the connection once its protocol is known.
func (c *conn) settle(proto string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proto != "" || c.closed {
		return
	}
	c.proto = proto
	c.metrics.opened(proto)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed && c.proto != "" {
		c.metrics.gone(c.proto)
	}
	c.closed = true
	c.mu.Unlock()
	c.leave()
	return c.Conn.Close()
}

// connState is net/http's hook: the first sign of life after a TLS handshake tells the protocol.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	secure, ok := c.(*tls.Conn)
	if !ok {
		return
	}
	if under, ok := secure.NetConn().(*conn); ok {
		proto := "h1"
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			proto = "h2"
		}
		under.settle(proto)
	}
}

// connKey is the context key of a connection's *ends.
type connKey struct{}

// ends are the two ends of a connection, parsed once.
type ends struct {
	peer, local netip.AddrPort // peer is not set for QUIC: connections migrate
	quic        *quicConn      // nil for TCP
}

// withConn is net/http's hook for a new connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	e := &ends{}
	if under, ok := c.(*conn); ok {
		e.peer, e.local = under.peer, under.local
	}
	return context.WithValue(ctx, connKey{}, e)
}

// addrPort converts an address of the standard library; what is no IP address becomes the zero AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	default:
		return ap
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
