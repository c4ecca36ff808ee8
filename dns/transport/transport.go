// Package transport carries DNS messages over connections: TCP, TLS (DoT), HTTPS (DoH over HTTP/2 and HTTP/3) and QUIC (DoQ).
//
//	s := transport.New(transport.Options{Answerer: newAnswerer, Registerer: reg})
//	go s.ServeTCP(ctx, listener)
//	go s.ServeTLS(ctx, listener, tlsConfig)
//	go s.ServeHTTPS(ctx, listener, tlsConfig)
//	go s.ServeHTTP3(ctx, packetConn, tlsConfig)
//	go s.ServeQUIC(ctx, packetConn, tlsConfig)
//
// What an answer is, the package does not know: an Answerer makes one out of each message. Every transport has a table of its own, so
// that a flood on one leaves room on the others. A Server is safe for concurrent use.
package transport

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Kind is what carried a message.
type Kind uint8

// The kinds.
const (
	TCP   Kind = iota
	TLS        // DoT (RFC 7858)
	HTTPS      // DoH (RFC 8484), over HTTP/1.1, HTTP/2 and HTTP/3
	QUIC       // DoQ (RFC 9250)

	kinds = 4
)

func (k Kind) String() string { return [...]string{"tcp", "tls", "https", "quic"}[k] }

// Answerer answers messages at once, one at a time. Answer appends the reply to dst, nothing for a message that deserves none, and
// tells what it read of the message: that is used until the next call.
type Answerer interface {
	Answer(dst, packet []byte, from netip.AddrPort, k Kind) ([]byte, *dnswire.Query)
}

// Messages deals with what cannot be answered at once, such as transfers and updates. Both methods are called concurrently. Takes
// says whether Handle wants a message. Handle may block and send several replies; it returns when ctx is done or Send fails.
type Messages interface {
	Takes(packet []byte) bool
	Handle(ctx context.Context, m *Message)
}

// Message is one message for Messages. It lives until Handle returns.
type Message struct {
	Packet []byte // as received
	From   netip.AddrPort
	Kind   Kind
	// Secure is true when a zone may be sent by RFC 9103 section 7.1: over QUIC, or over TLS 1.3 with the ALPN token "dot".
	Secure bool
	// Send writes a reply; HTTPS takes one, and refuses more. The slice may be used again when Send returns. An error means
	// that the client has gone.
	Send func(reply []byte) error
}

// Options are what a Server works with.
type Options struct {
	Answerer   func() Answerer       // makes one for a goroutine; must be set
	Messages   Messages              // nil: every message is for an Answerer
	Limits     Limits                // zero fields: the defaults
	Proxies    []netip.Prefix        // whose connections begin with a PROXY protocol header; nobody else's is believed
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
}

// Server carries messages. Its Serve methods may be called several times, each with a socket of its own.
type Server struct {
	messages  Messages
	limits    Limits
	proxies   []netip.Prefix
	log       *slog.Logger
	metrics   *metrics
	tables    [kinds]*table
	answerers sync.Pool // of Answerer
	buffers   sync.Pool // of *[]byte, for replies
}

// New makes a server that serves nothing yet. It panics without o.Answerer, and when o.Registerer already has the metrics of another
// Server.
func New(o Options) *Server {
	if o.Answerer == nil {
		panic("BUG: transport.New without an Answerer")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{messages: o.Messages, limits: o.Limits.withDefaults(), log: o.Log, metrics: newMetrics(o.Registerer)}
	for _, p := range o.Proxies {
		s.proxies = append(s.proxies, p.Masked())
	}
	for k := range Kind(kinds) {
		s.tables[k] = newTable(s.limits.Connections, s.limits.PerPeer, &s.metrics.kinds[k])
	}
	s.answerers.New = func() any { return o.Answerer() }
	s.buffers.New = func() any { return new([]byte) }
	return s
}

// Proxied reports whether there are listed proxies.
func (s *Server) Proxied() bool { return len(s.proxies) > 0 }

// Proxy reports whether addr is one of the listed proxies.
func (s *Server) Proxy(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// takes reports whether a message is for Messages.
func (s *Server) takes(packet []byte) bool { return s.messages != nil && s.messages.Takes(packet) }

// answer appends the reply to one message, with the options that depend on the transport.
func (s *Server) answer(a Answerer, dst, packet []byte, from netip.AddrPort, k Kind) []byte {
	base := len(dst)
	dst, q := a.Answer(dst, packet, from, k)
	if len(dst) == base || !q.EDNS {
		return dst
	}
	if q.Keepalive && (k == TCP || k == TLS) {
		dst = appendKeepalive(dst, base, s.limits.Idle)
	}
	if q.Padding && k != TCP {
		dst = appendPadding(dst, base)
	}
	return dst
}
