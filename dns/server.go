package dns

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Source gives the current generation. Zones is called for every packet, or batch of them, must not block and must be safe for concurrent use; while it
// returns nil, queries get SERVFAIL.
type Source interface {
	Zones() *Zones
}

// Options are what a Server works with.
type Options struct {
	Source     Source
	Limits     config.Limits         // DNSTCPClients and DNSTCPPerPeer; zero: 4,096 and 16, for each transport but UDP
	Streams    transport.Limits      // the other limits of the transports but UDP; zero fields: the defaults
	Proxies    []netip.Prefix        // who puts a PROXY protocol header before what it passes on, over UDP, TCP, TLS and HTTPS on TCP
	Messages   Messages              // transfers, updates and whatever is signed; nil: answered as the queries they are not
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Guard      *guard.Guard          // rate limits and cookies; its metrics are on Registerer. nil: neither
	Identity   Identity              // what the server says about itself; zero: nothing
	Observers  []Observer            // are told of every query; none: nobody is
}

// Server carries packets to the current Zones and back. It outlives reloads. Its methods are safe for concurrent use.
type Server struct {
	source  Source
	log     *slog.Logger
	metrics *metrics

	guard     *guard.Guard
	identity  atomic.Pointer[Identity]
	observers []Observer
	streams   *transport.Server
	messages  Messages
	detours   chan struct{} // a place for each message over UDP that messages has
}

// NewServer makes a server that serves nothing yet. It panics when o.Source is nil, when o.Identity is out of its limits or when
// o.Registerer already has the metrics of another Server.
func NewServer(o Options) *Server {
	if o.Source == nil {
		panic("BUG: dns.NewServer without a Source")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		o.Guard, _ = guard.New(guard.Options{}, o.Log, o.Registerer) // the zero Options are within their limits
	}
	s := &Server{
		source: o.Source, log: o.Log, metrics: newMetrics(o.Registerer), guard: o.Guard, observers: o.Observers,
		messages: o.Messages, detours: make(chan struct{}, maxDetours),
	}
	if err := s.SetIdentity(o.Identity); err != nil {
		panic("BUG: dns.NewServer: " + err.Error())
	}
	s.streams = newStreams(s, &o)
	return s
}

// handle answers one packet, appending the reply to dst, counts it and tells the observers.
func (s *Server) handle(dst, packet []byte, c *Client, from netip.AddrPort, t Transport) (reply []byte) {
	z := s.source.Zones()
	defer func() {
		if r := recover(); r != nil {
			reply = s.failed(z, dst, packet, c, from, t, r)
		}
		s.metrics.settle(&c.count)
	}()
	return s.serve(z, dst, packet, c, from, t, c.query.Parse(packet))
}

// serve is handle for a packet that has been parsed into c. The caller recovers, and settles what was counted.
func (s *Server) serve(z *Zones, dst, packet []byte, c *Client, from netip.AddrPort, t Transport, verdict dnswire.Verdict) []byte {
	v := visit{transport: t}
	s.receive(&v, c, from)
	reply := s.answer(z, dst, packet, c, &v, verdict)
	c.answered = true
	return s.finish(z, dst, reply, packet, c, from, &v)
}

// receive notes where a packet comes from, and when.
func (s *Server) receive(v *visit, c *Client, from netip.AddrPort) {
	c.Addr, c.Random = from.Addr().Unmap(), c.draw()
	if v.now = c.now; v.now.IsZero() && s.timed() {
		v.now = time.Now()
	}
}

// finish decides whether the reply that c describes is sent, counts it and tells the observers.
func (s *Server) finish(z *Zones, dst, reply, packet []byte, c *Client, from netip.AddrPort, v *visit) []byte {
	info := &c.info
	if v.transport == UDP && info.Dropped == NotDropped {
		switch {
		case provokes(from.Port(), info.RCode):
			reply, info.Dropped = dst, SourcePort
		case !v.proven:
			reply = s.limit(dst, reply, c, v)
		}
	}
	s.metrics.note(&c.count, z, v.transport, info)
	if len(s.observers) > 0 && info.Dropped != Malformed {
		s.observe(z, c, from, packet, reply[len(dst):], v)
	}
	c.answered = false
	return reply
}

// draw is the next of a worker's random numbers: a generator of its own costs half of what the runtime's does, and there is nothing here to be
// guessed.
func (c *Client) draw() uint64 {
	if c.dice == (rand.PCG{}) {
		c.dice.Seed(rand.Uint64(), rand.Uint64())
	}
	return c.dice.Uint64()
}

// timed reports whether anybody needs to know when a packet came.
func (s *Server) timed() bool { return len(s.observers) > 0 || !s.guard.Idle() }

// failed turns a bug, and what it panicked with, into SERVFAIL for that one packet. That is limited, counted and told as any reply is, unless the bug
// is in just that.
func (s *Server) failed(z *Zones, dst, packet []byte, c *Client, from netip.AddrPort, t Transport, what any) []byte {
	s.metrics.panics.Inc()
	s.log.Error("dns answer panicked", "panic", fmt.Sprint(what), "stack", string(debug.Stack()))
	if len(packet) < dnswire.HeaderLen {
		return dst
	}
	reply := message.Fail(dst, packet, rcodeServFail) // what went wrong may have been anything, but without a header nothing would have
	if c.answered {
		c.answered = false
		return reply
	}
	v := visit{transport: t}
	s.receive(&v, c, from)
	c.answered, c.info = true, Info{RCode: rcodeServFail}
	return s.finish(z, dst, reply, packet, c, from, &v)
}

// visit is what is known of one packet on its way.
type visit struct {
	transport Transport
	now       time.Time // zero when nobody needs it
	proven    bool      // the client is where the packet says it came from
	slipped   bool      // the reply was sent empty because its network gets too many
}

// provokes reports whether a reply could start two servers talking to each other: an error nobody but a server or a service would
// have caused, sent to where one listens (D09).
func provokes(port uint16, rcode uint16) bool {
	return port < servicePorts && (rcode == rcodeFormErr || rcode == rcodeNotImp)
}

// answer makes the reply to a packet that has been parsed into c.
func (s *Server) answer(z *Zones, dst, packet []byte, c *Client, v *visit, verdict dnswire.Verdict) []byte {
	c.work.reply.Options, c.work.limit = message.Options{}, 0
	if verdict != dnswire.Accept {
		return z.answerParsed(dst, packet, c, v.transport, verdict)
	}
	switch rcode := s.prepare(c, v); {
	case rcode == rcodeFormErr:
		verdict = dnswire.FormErr
	case rcode != rcodeNoError:
		return refuse(dst, packet, c, v.transport, rcode)
	case c.query.Class == dnswire.ClassCHAOS:
		if text := s.identity.Load().chaos(&c.query); text != "" {
			return chaos(dst, packet, c, v.transport, text)
		}
	}
	reply := z.answerParsed(dst, packet, c, v.transport, verdict)
	if c.info.Truncated && c.work.limit > 0 {
		s.guard.Capped()
	}
	return reply
}
