package dns

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/internal/proxyproto"
)

// maxProxyHeader is how long a PROXY protocol header before a datagram's message may be.
const maxProxyHeader = proxyproto.FixedLen + proxyproto.MaxLen

// newStreams makes what carries messages over everything but UDP.
func newStreams(s *Server, o *Options) *transport.Server {
	limits := o.Streams
	if o.Limits.DNSTCPClients != 0 {
		limits.Connections = o.Limits.DNSTCPClients
	}
	if o.Limits.DNSTCPPerPeer != 0 {
		limits.PerPeer = o.Limits.DNSTCPPerPeer
	}
	t := transport.Options{
		Answerer: func() transport.Answerer { return &answerer{server: s} },
		Limits:   limits, Proxies: o.Proxies, Log: o.Log, Registerer: o.Registerer,
	}
	if o.Messages != nil {
		t.Messages = &handover{server: s}
	}
	return transport.New(t)
}

// ServeTCP answers queries on connections accepted from ln (RFC 7766) until ctx is done; it then answers the queries it has, closes its
// connections and returns nil. It blocks. The caller closes ln, except that a listener without SetDeadline is closed here, being
// impossible to stop otherwise. When ln fails for good before ctx is done ServeTCP returns an error.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	return s.streams.ServeTCP(ctx, ln)
}

// ServeTLS is ServeTCP over TLS 1.2 and above (DoT, RFC 7858). config has the certificates; it is cloned, and ALPN is set here. A nil
// config is an error.
func (s *Server) ServeTLS(ctx context.Context, ln net.Listener, config *tls.Config) error {
	return s.streams.ServeTLS(ctx, ln, config)
}

// ServeHTTPS answers queries over HTTP/2 and HTTP/1.1 at /dns-query (DoH, RFC 8484); for the rest it is as ServeTLS.
func (s *Server) ServeHTTPS(ctx context.Context, ln net.Listener, config *tls.Config) error {
	return s.streams.ServeHTTPS(ctx, ln, config)
}

// ServeHTTP3 is ServeHTTPS over HTTP/3. The caller closes conn. There is no 0-RTT.
func (s *Server) ServeHTTP3(ctx context.Context, conn net.PacketConn, config *tls.Config) error {
	return s.streams.ServeHTTP3(ctx, conn, config)
}

// ServeQUIC answers queries over QUIC (DoQ, RFC 9250); for the rest it is as ServeHTTP3.
func (s *Server) ServeQUIC(ctx context.Context, conn net.PacketConn, config *tls.Config) error {
	return s.streams.ServeQUIC(ctx, conn, config)
}

// DoH is the handler behind ServeHTTPS and ServeHTTP3, for another server to call. It takes requests for /dns-query only, from their
// RemoteAddr.
func (s *Server) DoH() http.Handler { return s.streams.Handler() }

// answerer is the plain way through the server.
type answerer struct {
	server *Server
	client Client
}

// Answer implements transport.Answerer.
func (a *answerer) Answer(dst, packet []byte, from netip.AddrPort, k transport.Kind) ([]byte, *dnswire.Query) {
	dst = a.server.handle(dst, packet, &a.client, from, over(k))
	return dst, &a.client.query
}

func over(k transport.Kind) Transport { return [...]Transport{TCP, TLS, HTTPS, QUIC}[k] }

// handover takes what is no plain query off a stream.
type handover struct{ server *Server }

// Takes implements transport.Messages.
func (h *handover) Takes(packet []byte) bool {
	var q dnswire.Query
	return special(&q, q.Parse(packet))
}

// Handle implements transport.Messages.
func (h *handover) Handle(ctx context.Context, m *transport.Message) {
	t := over(m.Kind)
	h.server.handOver(ctx, t, &transfer.Message{Packet: m.Packet, From: m.From, Stream: t != HTTPS, Secure: m.Secure, Send: m.Send})
}

// proxied takes a PROXY protocol header off a datagram from a listed proxy, and says who asks; false: it has none that can be
// believed. What others send is left alone.
func (s *Server) proxied(packet []byte, from netip.AddrPort) (rest []byte, asker netip.AddrPort, ok bool) {
	if !s.streams.Proxy(from.Addr()) {
		return packet, from, true
	}
	src, n, err := proxyproto.Parse(packet)
	if err != nil {
		return nil, from, false
	}
	if src.IsValid() {
		from = src
	}
	return packet[n:], from, true
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
