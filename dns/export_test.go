package dns

import (
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Handle is handle: what every transport calls for a packet. Tests of time need it without sockets.
func (s *Server) Handle(dst, packet []byte, c *Client, from netip.AddrPort, t Transport) []byte {
	return s.handle(dst, packet, c, from, t)
}

// Special is special, of a packet.
func Special(packet []byte) bool {
	var q dnswire.Query
	return special(&q, q.Parse(packet))
}

// SetTransport sets what transports tell of themselves.
func (c *Client) SetTransport(local netip.AddrPort) {
	c.local = local
}

// SetNow sets when the batch in hand arrived.
func (c *Client) SetNow(now time.Time) { c.now = now }
