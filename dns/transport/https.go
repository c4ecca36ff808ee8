package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// ServeHTTPS serves DoH over HTTP/2 and HTTP/1.1 on connections accepted from ln, as ServeTLS does. At the end clients are told to go,
// and requests under way have Limits.Drain to finish.
func (s *Server) ServeHTTPS(ctx context.Context, ln net.Listener, config *tls.Config) error {
	if config == nil {
		return errNoTLS
	}
	handed := &handedOver{addr: ln.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	server := s.httpServer()
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(handed) }) // ends with handed
	p := &port{ln: ln, kind: HTTPS, tls: secured(config, "h2", "http/1.1"), speak: handed.speak}
	p.stopping = func() { // connections are in the hands of net/http, which alone can tell clients to go
		limited, cancel := context.WithTimeout(context.Background(), s.limits.Drain)
		defer cancel()
		if server.Shutdown(limited) != nil {
			_ = server.Close()
		}
	}
	err := s.serve(ctx, p)
	_ = server.Close()
	wg.Wait()
	return err
}

func (s *Server) httpServer() *http.Server {
	l := &s.limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler: s.Handler(), Protocols: protocols, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		ReadHeaderTimeout: l.Receive, IdleTimeout: l.IdleQUIC, MaxHeaderBytes: httpHead,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: l.Streams, MaxReceiveBufferPerStream: h2Window, MaxReceiveBufferPerConnection: 4 * h2Window,
			SendPingTimeout: l.IdleQUIC, PingTimeout: l.Transfer, WriteByteTimeout: l.Write,
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if secure, ok := c.(*tls.Conn); ok {
				if w, ok := secure.NetConn().(*watched); ok {
					return context.WithValue(ctx, linkKey{}, &peer{w.link.from, w.link.entry})
				}
			}
			return ctx
		},
	}
}

// handedOver is the listener net/http gets its connections from: they have been admitted and have shaken hands.
type handedOver struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Accept implements net.Listener.
func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handedOver) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handedOver) Addr() net.Addr { return h.addr }

// speak gives a connection away and waits until it is closed.
func (h *handedOver) speak(ctx context.Context, l *link) closeReason {
	w, ok := l.raw.(*watched)
	if !ok {
		return closedHandshake // admit makes them all
	}
	select {
	case h.conns <- l.Conn:
		<-w.closed
	case <-h.done:
		_ = l.Close()
	}
	if ctx.Err() != nil {
		return closedStopping
	}
	return closedClient
}

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	link   *link
	closed chan struct{}
	once   sync.Once
}

// Close implements net.Conn.
func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// ServeHTTP3 serves DoH over HTTP/3 on conn until ctx is done; requests under way are then finished, clients told to go, and nil is
// returned. It blocks. The caller closes conn. 0-RTT is not accepted. config is as for ServeTLS.
func (s *Server) ServeHTTP3(ctx context.Context, conn net.PacketConn, config *tls.Config) error {
	if config == nil {
		return errNoTLS
	}
	under := &gauge{}
	server := &http3.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			under.add(1)
			defer under.add(-1)
			s.serveDoH(w, r)
		}),
		IdleTimeout: s.limits.IdleQUIC, MaxHeaderBytes: httpHead, Logger: s.log,
	}
	front := &quicFront{
		server: s, kind: HTTPS, config: http3.ConfigureTLSConfig(secured(config, http3.NextProtoH3)),
		uniStreams: h3UniStreams, overload: quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad),
	}
	front.speak = func(_ context.Context, c *quic.Conn, _ *peer) {
		_ = server.ServeQUICConn(c) // how a connection ended says nothing about the server
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	front.drain = func() {
		limited, cancel := context.WithTimeout(context.Background(), s.limits.Drain)
		defer cancel()
		under.wait(limited)
		goAway, cancel := context.WithTimeout(context.Background(), s.limits.Goodbye)
		defer cancel()
		if err := server.Shutdown(goAway); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.log.Debug("dns over http/3 stops", "err", err)
		}
	}
	return front.serve(ctx, conn)
}

// gauge counts what is under way.
type gauge struct {
	mu   sync.Mutex // guards the fields below
	n    int
	zero chan struct{} // closed when n falls to 0; nil: nobody waits
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n += n; g.n == 0 && g.zero != nil {
		close(g.zero)
		g.zero = nil
	}
}

// wait returns when nothing is under way, or ctx is done.
func (g *gauge) wait(ctx context.Context) {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return
	}
	if g.zero == nil {
		g.zero = make(chan struct{})
	}
	zero := g.zero
	g.mu.Unlock()
	select {
	case <-zero:
	case <-ctx.Done():
	}
}
