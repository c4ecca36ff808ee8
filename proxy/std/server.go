// Package std is the front that adapts net/http (HTTP/1.1, HTTP/2) and quic-go's http3 to one Exchange.
//
//	server := std.New(std.Options{Handler: router, Limits: cfg.Limits, TLS: tlsConfig, Refuse: router.Refuse})
//	go server.ServeHTTP1(plain)
//	go server.ServeTLS(secure)
//	go server.ServeQUIC(udp)
//	...
//	err := server.Shutdown(ctx)
//
// A Server is safe for concurrent use. Handlers are called on goroutines of their own, one for each request.
//
// # What this front cannot do
//
// By the time net/http calls a handler it has already forgiven what a strict HTTP/1 parser refuses: Transfer-Encoding beside
// Content-Length (the length is dropped in silence), Transfer-Encoding in HTTP/1.0, identical repeated Content-Length, bare
// LF, folded lines (attack rows S01, S07, S10, S13, S20). Of a request target in absolute form it keeps the target's
// authority and throws the Host field away (S27). Field names arrive canonicalised and without their order, so they are
// sorted here. A head beyond the limit by more than about 4 KiB, and one that is no HTTP at all, is answered by net/http itself in
// its own words. These are the reasons for fronts of our own; this one stays as their oracle.
package std

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Handler answers exchanges. Handle may block; ctx ends when the client is gone or the server is closed. The Exchange belongs
// to the handler until the Response's Done has been called. A nil Response, and a panic, become E-INTERNAL.
type Handler interface {
	Handle(ctx context.Context, x *httpwire.Exchange) *httpwire.Response
}

// Options configure a Server. Handler and Limits must be set.
type Options struct {
	Handler Handler
	Limits  config.Limits
	TLS     *tls.Config // for ServeTLS and ServeQUIC; cloned, ALPN is set here. nil: neither may be called

	// AltSvc returns the Alt-Svc value for responses over TLS on TCP, such as `h3=":8443"; ma=3600`; "" sends none. nil: none
	// is ever sent. It is called for every such response.
	AltSvc func() string
	// Refuse makes the response to a request that does not reach Handler, or made it panic. x.Canon is not set. nil: a line
	// of text with the code and the request id.
	Refuse func(x *httpwire.Exchange, err *fault.Error) *httpwire.Response
	// NewID makes request ids, safe to log and to send. nil: 26 characters, ordered by time, the rest random.
	NewID func() string

	Log     *slog.Logger // nil: nothing is logged
	Metrics *Metrics     // shared with other servers; nil: of its own, registered nowhere
}

// Server is the front. Make one with New.
type Server struct {
	options Options
	log     *slog.Logger
	metrics *Metrics
	gate    *gate
	buffers sync.Pool // of *[bufferSize]byte

	writeStall, bodyIdle time.Duration // the constants, but for tests

	plain  *http.Server
	secure *http.Server

	mu      sync.Mutex // guards the fields below
	closing bool
	quic    map[*quicServer]bool
}

// New makes a Server. It opens nothing and starts nothing.
func New(o Options) *Server {
	s := &Server{options: o, log: o.Log, quic: map[*quicServer]bool{}, writeStall: writeStall, bodyIdle: bodyIdle}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.options.NewID == nil {
		s.options.NewID = newID
	}
	if s.options.Refuse == nil {
		s.options.Refuse = refuse
	}
	s.buffers.New = func() any { return new([bufferSize]byte) }
	if s.metrics = o.Metrics; s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	s.gate = newGate(o.Limits.Connections, o.Limits.PerClient, s.metrics)
	s.plain = s.newServer(false)
	s.secure = s.newServer(true)
	return s
}

// newServer makes the net/http half.
func (s *Server) newServer(secure bool) *http.Server {
	limits := &s.options.Limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:   http.HandlerFunc(s.serve),
		Protocols: protocols,
		// OPTIONS * is answered by the handler like everything else.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            limits.HeaderTimeout,
		IdleTimeout:                  limits.IdleTimeout,
		// net/http reads 4 KiB more than this. Within the slack the limit is enforced here, with an error of our own.
		MaxHeaderBytes: limits.HeaderBytes,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext:    withConn,
		ConnState:      s.connState,
	}
	if !secure {
		return server
	}
	protocols.SetHTTP2(true)
	server.MaxHeaderBytes += fieldListOverhead * limits.HeaderFields
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          h2Streams,
		MaxReceiveBufferPerStream:     h2StreamWindow,
		MaxReceiveBufferPerConnection: h2ConnWindow,
		SendPingTimeout:               h2PingAfter,
		PingTimeout:                   h2PingTimeout,
		WriteByteTimeout:              h2WriteTimeout,
	}
	if s.options.TLS != nil {
		server.TLSConfig = s.options.TLS.Clone()
		server.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
		server.TLSConfig.MinVersion = max(server.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	return server
}

var (
	errNoTLS = errors.New("no TLS configuration")
	// ErrClosed is returned by the Serve methods after Shutdown or Close.
	ErrClosed = http.ErrServerClosed
)

// ServeHTTP1 serves plain HTTP/1.x on ln, which it closes at the end. It blocks, and returns ErrClosed after Shutdown or
// Close. HTTP/2 without TLS is not spoken (attack rows S34, R07).
func (s *Server) ServeHTTP1(ln net.Listener) error {
	return s.plain.Serve(&listener{Listener: ln, gate: s.gate})
}

// ServeTLS serves HTTP/2 and HTTP/1.1 over TLS on ln, which it closes at the end. It blocks, and returns ErrClosed after
// Shutdown or Close.
func (s *Server) ServeTLS(ln net.Listener) error {
	if s.options.TLS == nil {
		_ = ln.Close()
		return errNoTLS
	}
	return s.secure.ServeTLS(&listener{Listener: ln, gate: s.gate, secure: true}, "", "")
}

// Shutdown stops accepting connections, tells clients to go (Connection: close, GOAWAY), and waits for requests to finish
// until ctx ends; it then closes what is left and returns ctx's error. It returns nil when nothing had to be cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	waits := []func(context.Context) error{s.plain.Shutdown, s.secure.Shutdown}
	for q := range s.quic {
		waits = append(waits, q.shutdown)
	}
	s.mu.Unlock()
	errs := make([]error, len(waits))
	var wg sync.WaitGroup
	for i, wait := range waits {
		wg.Go(func() { errs[i] = wait(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		_ = s.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// Close closes every connection at once. Handlers that are running see their context end; Close does not wait for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing = true
	quic := make([]*quicServer, 0, len(s.quic))
	for q := range s.quic {
		quic = append(quic, q)
	}
	s.mu.Unlock()
	for _, q := range quic {
		q.close()
	}
	return errors.Join(s.plain.Close(), s.secure.Close())
}
