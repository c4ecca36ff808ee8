package dns

import (
	"net/netip"

	"github.com/meridian-edge/meridian/dns/tap"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Observer is told of every query, but for packets that are no queries at all. Observe is called on the way of every reply: it must
// not block, must not keep the event's slices, and must be safe for concurrent use.
type Observer interface {
	Observe(tap.Event)
}

// observe tells the observers of one query.
func (s *Server) observe(z *Zones, c *Client, from netip.AddrPort, query, reply []byte, v *visit) {
	info := &c.info
	e := tap.Event{
		Time: v.now, Client: netip.AddrPortFrom(c.Addr, from.Port()), Server: c.local, Transport: [...]string{"udp", "tcp", "dot", "doh", "doq"}[v.transport],
		Zone: z.nameOf(info.zone), Type: info.Type, RCode: info.RCode, Subnet: c.query.Subnet, Scope: info.Scope,
		Truncated: info.Truncated || v.slipped, Dropped: info.Dropped.String(), Query: query, Reply: reply,
	}
	if c.query.End > dnswire.HeaderLen {
		e.Name = c.query.Name[:c.query.NameLen]
	}
	for _, o := range s.observers {
		o.Observe(e)
	}
}
