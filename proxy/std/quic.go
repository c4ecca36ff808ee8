package std

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/time/rate"
)

var errTooMany = errors.New("too many connections")

// quicServer serves HTTP/3 on one packet connection.
type quicServer struct {
	server    *Server
	transport *quic.Transport
	stopped   <-chan struct{} // closed when no more connections are wanted
	stop      context.CancelFunc
	halfOpen  atomic.Int64
	initials  *rate.Limiter
	serving   sync.WaitGroup // one for each connection

	mu    sync.Mutex // guards the fields below
	conns map[*quicConn]bool
}

// ServeQUIC serves HTTP/3 on conn, which it closes at the end. It blocks, and returns ErrClosed after Shutdown or Close, when
// the last handler has returned. 0-RTT is not accepted (attack row Q05). Clients' addresses are verified by Retry while many
// handshakes are under way (Q01).
func (s *Server) ServeQUIC(conn net.PacketConn) error {
	defer conn.Close()
	if s.options.TLS == nil {
		return errNoTLS
	}
	q := &quicServer{server: s, initials: rate.NewLimiter(h3InitialsPerSec, h3InitialsPerSec), conns: map[*quicConn]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	q.stopped, q.stop = ctx.Done(), stop
	defer stop()
	q.transport = &quic.Transport{Conn: conn, VerifySourceAddress: q.suspicious, ConnContext: q.admit}
	defer q.transport.Close()
	ln, err := q.transport.Listen(http3.ConfigureTLSConfig(s.options.TLS), quicConfig())
	if err != nil {
		return err
	}
	if !s.track(q) {
		_ = ln.Close()
		return ErrClosed
	}
	defer s.untrack(q)
	for err == nil {
		var c *quic.Conn
		if c, err = ln.Accept(ctx); err == nil {
			q.serving.Go(func() { q.serve(c) })
		}
	}
	// Connections outlive the listener, and must not outlive the transport: they write through it.
	_ = ln.Close()
	q.serving.Wait()
	if ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// stopping reports whether stop has been called.
func (q *quicServer) stopping() bool {
	select {
	case <-q.stopped:
		return true
	default:
		return false
	}
}

// track registers q with the server, unless that is closing.
func (s *Server) track(q *quicServer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.quic[q] = true
	}
	return !s.closing
}

func (s *Server) untrack(q *quicServer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.quic, q)
}

func quicConfig() *quic.Config {
	return &quic.Config{
		Allow0RTT:                      false,
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 h3Idle,
		InitialStreamReceiveWindow:     h3StreamWindow,
		MaxStreamReceiveWindow:         h3StreamWindowMax,
		InitialConnectionReceiveWindow: h3ConnWindow,
		MaxConnectionReceiveWindow:     h3ConnWindowMax,
		MaxIncomingStreams:             h3Streams,
		MaxIncomingUniStreams:          h3UniStreams,
	}
}

// suspicious reports whether the sender of an Initial must prove its address first.
func (q *quicServer) suspicious(net.Addr) bool {
	return q.halfOpen.Load() > h3HalfOpen || !q.initials.Allow()
}

// admit lets a new connection through the gate. Its context ends with the connection, or with a handshake that fails.
func (q *quicServer) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	leave, ok := q.server.gate.enter(addrPort(info.RemoteAddr).Addr())
	if !ok {
		return nil, errTooMany
	}
	q.halfOpen.Add(1)
	c := &quicConn{established: sync.OnceFunc(func() { q.halfOpen.Add(-1) })}
	context.AfterFunc(ctx, func() {
		c.established()
		leave()
	})
	return context.WithValue(ctx, connKey{}, &ends{quic: c}), nil
}

// quicConn is one connection. It has an http3.Server of its own, because that is what can send GOAWAY.
type quicConn struct {
	established func()
	conn        *quic.Conn
	http        *http3.Server

	mu       sync.Mutex // guards the fields below
	requests int
	quiet    chan struct{} // closed when requests falls to 0; nil: nobody waits
}

// serve serves one connection to its end.
func (q *quicServer) serve(conn *quic.Conn) {
	e, _ := conn.Context().Value(connKey{}).(*ends)
	c := e.quic
	c.established()
	e.local = addrPort(conn.LocalAddr())
	c.conn = conn
	limits := &q.server.options.Limits
	c.http = &http3.Server{
		Handler: http.HandlerFunc(q.server.serve), IdleTimeout: limits.IdleTimeout, Logger: q.server.log,
		// Both count a field dearer than the limit does, which is enforced exactly where the exchange is made.
		MaxHeaderBytes: limits.HeaderBytes + fieldListOverhead*limits.HeaderFields + 4<<10,
	}
	q.mu.Lock()
	q.conns[c] = true
	q.mu.Unlock()
	q.server.metrics.opened("h3")
	if q.stopping() {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	_ = c.http.ServeQUICConn(conn) // how a connection ended says nothing about the server
	q.server.metrics.gone("h3")
	q.mu.Lock()
	delete(q.conns, c)
	q.mu.Unlock()
}

// shutdown stops accepting and lets connections finish until ctx ends.
func (q *quicServer) shutdown(ctx context.Context) error {
	q.stop()
	done := make(chan struct{})
	go func() { // ends with the connections, which close ends if nothing else does
		defer close(done)
		var wg sync.WaitGroup
		for _, c := range q.list() {
			wg.Go(func() { c.shutdown(ctx) })
		}
		wg.Wait()
		q.serving.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close closes every connection at once.
func (q *quicServer) close() {
	q.stop()
	for _, c := range q.list() {
		_ = c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
}

func (q *quicServer) list() []*quicConn {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]*quicConn, 0, len(q.conns))
	for c := range q.conns {
		list = append(list, c)
	}
	return list
}

// shutdown sends GOAWAY and closes the connection when its last request is done. http3 leaves closing to the client.
func (c *quicConn) shutdown(ctx context.Context) {
	graceful, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		// A request may be on its way from a stream to the handler: idle counts once it has lasted.
		for c.waitQuiet(graceful) {
			select {
			case <-time.After(goAwayGrace):
			case <-graceful.Done():
			}
			if c.idle() {
				cancel()
			}
		}
	})
	_ = c.http.Shutdown(graceful)
	cancel()
	wg.Wait()
}

// begin and end count a request.
func (c *quicConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
}

func (c *quicConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests--; c.requests == 0 && c.quiet != nil {
		close(c.quiet)
		c.quiet = nil
	}
}

func (c *quicConn) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests == 0
}

// waitQuiet waits until there is no request; false: ctx ended first.
func (c *quicConn) waitQuiet(ctx context.Context) bool {
	c.mu.Lock()
	var quiet chan struct{}
	if c.requests > 0 {
		if c.quiet == nil {
			c.quiet = make(chan struct{})
		}
		quiet = c.quiet
	}
	c.mu.Unlock()
	if quiet == nil {
		return ctx.Err() == nil
	}
	select {
	case <-quiet:
		return true
	case <-ctx.Done():
		return false
	}
}
