package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/internal/proxyproto"
)

// link is an accepted connection, ready to be spoken over.
type link struct {
	net.Conn          // the TLS connection where there is one
	raw      net.Conn // below it: closing this never blocks
	kind     Kind
	from     netip.AddrPort
	secure   bool // as in Message
	entry    *entry
}

// port is a listener and what is spoken on it.
type port struct {
	ln    net.Listener
	kind  Kind
	tls   *tls.Config                                    // nil: none
	speak func(ctx context.Context, l *link) closeReason // until the connection is of no more use

	stopping func() // called when no more connections are accepted, to make speak return; nil: its ctx does that
}

// serve accepts connections until ctx is done and waits for them to end.
func (s *Server) serve(ctx context.Context, p *port) error {
	serving, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // ends the connections when the listener fails
	if p.stopping != nil {
		wg.Go(func() {
			<-serving.Done()
			p.stopping()
		})
	}
	stop := context.AfterFunc(serving, func() {
		if d, ok := p.ln.(interface{ SetDeadline(time.Time) error }); ok {
			_ = d.SetDeadline(time.Unix(1, 0))
			return
		}
		_ = p.ln.Close()
	})
	defer stop()
	for {
		conn, err := p.ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve dns over %s on %s: %w", p.kind, p.ln.Addr(), err)
		case err != nil: // out of descriptors, or the client gave up already
			s.log.Warn("dns accept", "addr", p.ln.Addr().String(), "err", err)
			pause(ctx, acceptPause)
			continue
		}
		wg.Go(func() { s.admit(serving, conn, p) })
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// admit takes a connection through what comes before the first message.
func (s *Server) admit(ctx context.Context, conn net.Conn, p *port) {
	defer conn.Close()
	l := &link{Conn: conn, raw: conn, kind: p.kind, from: peerOf(conn)}
	if p.kind == HTTPS {
		l.raw = &watched{Conn: conn, link: l, closed: make(chan struct{})}
		l.Conn = l.raw
	}
	proxied := s.Proxy(l.from.Addr())
	counts := l.from.Addr()
	if proxied {
		counts = netip.Addr{}
	}
	if l.entry = s.tables[p.kind].add(counts, func() { _ = conn.Close() }); l.entry == nil {
		return
	}
	reason := closedProxy
	defer func() { l.entry.remove(reason) }()
	if proxied {
		if reason = s.introduce(ctx, l); reason != closedClient {
			return
		}
	}
	if p.tls != nil {
		if reason = s.handshake(ctx, l, p.tls); reason != closedClient {
			return
		}
	}
	reason = p.speak(ctx, l)
}

// introduce reads who a proxy speaks for; closedClient means that all is well.
func (s *Server) introduce(ctx context.Context, l *link) closeReason {
	_ = l.SetReadDeadline(time.Now().Add(s.limits.Header))
	stop := context.AfterFunc(ctx, func() { _ = l.SetReadDeadline(time.Unix(1, 0)) })
	src, err := proxyproto.Read(l.Conn)
	switch {
	case !stop():
		return closedStopping
	case err != nil:
		return closedProxy
	case src.IsValid():
		l.from = src
	}
	_ = l.SetReadDeadline(time.Time{})
	if !l.entry.identify(l.from.Addr()) {
		return closedPeer
	}
	return closedClient
}

// handshake makes a TLS connection of l; closedClient means that all is well.
func (s *Server) handshake(ctx context.Context, l *link, config *tls.Config) closeReason {
	limited, cancel := context.WithTimeout(ctx, s.limits.Handshake)
	defer cancel()
	conn := tls.Server(l.Conn, config)
	if err := conn.HandshakeContext(limited); err != nil {
		if ctx.Err() != nil {
			return closedStopping
		}
		return closedHandshake
	}
	state := conn.ConnectionState()
	l.secure = state.Version >= tls.VersionTLS13 && state.NegotiatedProtocol == alpnDoT
	l.Conn = conn
	return closedClient
}

// Tokens of ALPN.
const (
	alpnDoT = "dot" // RFC 9103 section 8.1
	alpnDoQ = "doq" // RFC 9250 section 4.1
)

// secured is a configuration for one protocol: TLS 1.2 and above, with session tickets unless the caller has switched them off. A client
// that offers other protocols only is turned away by its handshake.
func secured(config *tls.Config, protocols ...string) *tls.Config {
	config = config.Clone()
	config.NextProtos = protocols
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return config
}

var errNoTLS = errors.New("no TLS configuration")

// peerOf is the address of a connection's other end; nothing for a connection that has none.
func peerOf(conn net.Conn) netip.AddrPort {
	switch a := conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	case *net.UDPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
