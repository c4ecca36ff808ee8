package dns

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Source gives the current generation. Zones is called for every packet, must not block and must be safe for concurrent use; while it
// returns nil, queries get SERVFAIL.
type Source interface {
	Zones() *Zones
}

// Options are what a Server works with.
type Options struct {
	Source     Source
	Limits     config.Limits         // DNSTCPClients and DNSTCPPerPeer; zero: 4,096 and 16
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Messages   Messages              // transfers, updates and whatever is signed; nil: answered as the queries they are not
}

// Server carries packets to the current Zones and back. It outlives reloads. Its methods are safe for concurrent use.
type Server struct {
	source  Source
	log     *slog.Logger
	metrics *metrics
	tcp     *connTable

	messages Messages
	detours  chan struct{} // a place for each message over UDP that Messages has
}

// NewServer makes a server that serves nothing yet. It panics when o.Source is nil or when o.Registerer already has the
// metrics of another Server.
func NewServer(o Options) *Server {
	if o.Source == nil {
		panic("BUG: dns.NewServer without a Source")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Limits.DNSTCPClients == 0 {
		o.Limits.DNSTCPClients = 4096
	}
	if o.Limits.DNSTCPPerPeer == 0 {
		o.Limits.DNSTCPPerPeer = 16
	}
	m := newMetrics(o.Registerer)
	return &Server{
		source: o.Source, log: o.Log, metrics: m,
		tcp:      newConnTable(o.Limits.DNSTCPClients, o.Limits.DNSTCPPerPeer, m),
		messages: o.Messages, detours: make(chan struct{}, maxDetours),
	}
}

// handle answers one packet, appending the reply to dst, and counts it.
func (s *Server) handle(dst, packet []byte, c *Client, from netip.AddrPort, t Transport) []byte {
	z := s.source.Zones()
	c.Addr = from.Addr().Unmap()
	c.Random = rand.Uint64()
	reply, info := s.answer(z, dst, packet, c, t)
	if t == UDP && info.Dropped == NotDropped && provokes(from.Port(), info.RCode) {
		reply, info = dst, Info{Dropped: SourcePort}
	}
	s.metrics.count(z, t, &info)
	return reply
}

// provokes reports whether a reply could start two servers talking to each other: an error nobody but a server or a service would
// have caused, sent to where one listens (D09).
func provokes(port uint16, rcode uint16) bool {
	return port < servicePorts && (rcode == rcodeFormErr || rcode == rcodeNotImp)
}

// answer turns a bug in an answer into SERVFAIL for that one packet.
func (s *Server) answer(z *Zones, dst, packet []byte, c *Client, t Transport) (reply []byte, info Info) {
	defer func() {
		if r := recover(); r != nil {
			s.metrics.panics.Inc()
			s.log.Error("dns answer panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			reply, info = servFail(dst, packet)
		}
	}()
	return z.Answer(dst, packet, c, t)
}

// servFail is a header only: what went wrong may have been anything. packet has at least a header, or nothing would have panicked.
func servFail(dst, packet []byte) ([]byte, Info) {
	q := dnswire.Query{ID: uint16(packet[0])<<8 | uint16(packet[1]), Flags: uint16(packet[2]) << 8, End: dnswire.HeaderLen}
	r := reply{msg: append(dst, packet[:dnswire.HeaderLen]...), base: len(dst), rcode: rcodeServFail}
	return r.finish(&q, 0), Info{RCode: rcodeServFail}
}
