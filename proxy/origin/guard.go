package origin

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	errUnasked = errors.New("bytes behind the end of a response")
	errRefused = errors.New("connection is not fit for another request")
)

// guard is a connection that knows which request it carries and where the response to it ends. net/http reads through it: a
// byte that does not belong to the response of the request in flight never reaches net/http, and ends the connection.
//
// It also keeps time: reading may take ReadTimeout from one progress to the next, counted only while the origin is the one to
// move, and so may a write.
type guard struct {
	net.Conn
	raw    net.Conn // below TLS
	gauge  prometheus.Gauge
	closed atomic.Bool
	sent   atomic.Int64 // bytes of the current request that the kernel took, or is being given

	mu       sync.Mutex // guards the fields below
	busy     bool       // a request is in flight
	started  bool       // a byte of its response has arrived
	timeout  time.Duration
	patience bool  // the origin is the one to move
	cut      bool  // the other side ended the connection, or it broke
	fault    error // why the connection is spent; sticky
	framer   framer
}

func newGuard(conn, raw net.Conn, gauge prometheus.Gauge) *guard {
	gauge.Inc()
	return &guard{Conn: conn, raw: raw, gauge: gauge}
}

// Close closes the connection once.
func (g *guard) Close() error {
	if g.closed.Swap(true) {
		return net.ErrClosed
	}
	g.gauge.Dec()
	return g.Conn.Close()
}

// use is what a guard is to be used for.
type use struct {
	method  string
	timeout time.Duration
	reused  bool // the connection has carried requests before
	waits   bool // the request has a body to come, during which the origin owes nothing
}

// begin is called when the connection has been chosen for a request and before a byte of it is written. It returns false when
// the connection is not fit for it; nothing can then be written.
func (g *guard) begin(u use) bool {
	g.sent.Store(0)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = false
	// A new TLS connection has session tickets to read; one that was idle has nothing to say.
	if g.fault == nil && u.reused && pending(g.raw) {
		g.fault = errUnasked
	}
	if g.fault != nil {
		return false
	}
	g.busy, g.patience, g.timeout = true, false, u.timeout
	g.framer.reset(u.method)
	if !u.waits {
		g.arm()
	}
	return true
}

// arm starts the clock for the response. mu is held.
func (g *guard) arm() {
	g.patience = true
	_ = g.Conn.SetReadDeadline(time.Now().Add(g.timeout))
}

// bodySent is called when the last of the request's body has been handed to net/http.
func (g *guard) bodySent() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy && !g.patience {
		g.arm()
	}
}

// spent returns why the connection must not be used any more; nil: nothing is wrong with it.
func (g *guard) spent() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault
}

// wasCut reports whether the connection ended under the request, other than by our own doing.
func (g *guard) wasCut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cut
}

// answered reports whether a byte of the response has arrived.
func (g *guard) answered() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.started
}

// Write implements net.Conn.
func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	if g.fault != nil || !g.busy && g.framer.phase != inDone {
		g.mu.Unlock()
		return 0, errRefused
	}
	_ = g.Conn.SetWriteDeadline(time.Now().Add(g.timeout))
	g.mu.Unlock()
	g.sent.Add(int64(len(p))) // before it is true: an answer can be here before Write has returned
	n, err := g.Conn.Write(p)
	g.sent.Add(int64(n - len(p)))
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil && g.busy && g.patience:
		g.arm() // a byte on its way is progress
	case err != nil && !g.closed.Load() && !isTimeout(err):
		g.cut = true
	}
	return n, err
}

// Read implements net.Conn. It returns only bytes of the response in flight.
func (g *guard) Read(p []byte) (int, error) {
	g.mu.Lock()
	if g.fault != nil {
		g.mu.Unlock()
		return 0, g.fault
	}
	if g.busy && g.patience {
		g.arm()
	}
	g.mu.Unlock()
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil && !g.closed.Load() && !isTimeout(err) {
		g.cut = true
	}
	if n == 0 {
		return 0, err
	}
	if !g.busy {
		g.fault = errUnasked
		return 0, g.fault
	}
	g.started, g.patience = true, true
	used, broken := g.framer.feed(p[:n])
	if broken != nil {
		g.fault = broken
		return 0, broken
	}
	if g.framer.phase == inDone {
		g.busy, g.patience = false, false
		_ = g.Conn.SetReadDeadline(time.Time{})
		if used < n {
			g.fault = errUnasked
		}
	}
	return used, err
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
