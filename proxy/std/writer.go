package std

import (
	"errors"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

var errTooLong = errors.New("body is longer than its length")

// writer passes a response body to net/http, flushed after each write, and does not let a client hold it up for ever (attack
// row R03). What it is given is seen by the client as it comes; the head too, when the body takes its time to begin.
type writer struct {
	exchange *exchange
	length   int64 // -1: unknown
	written  int64
	err      error // of writing; sticky

	mu      sync.Mutex // held while anything is written; guards the fields below
	renewed time.Time
	head    *time.Timer // sends the head alone; nil: it need not be
	done    bool
	stall   stall
}

// begin starts the clock by which a head is sent without its body. A short body of known length is waited for.
func (w *writer) begin() {
	if w.length >= 0 && w.length <= bufferSize {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head = time.AfterFunc(headDelay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.done {
			_ = w.flush() // the next write meets the same error
		}
	})
}

// end is called when nothing more will be written.
func (w *writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
}

// settle stops the clock of the head. mu is held.
func (w *writer) settle() {
	w.done = true
	if w.head != nil {
		w.head.Stop()
	}
}

// complete reports whether everything that was promised is written.
func (w *writer) complete() bool { return w.length >= 0 && w.written >= w.length }

// Write implements io.Writer. It writes in steps, so that each has its own time: a client that takes 20 KB/s is slow, not
// stalled.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	total := 0
	for w.err == nil && len(p) > 0 {
		n, err := w.step(p[:min(len(p), bufferSize)])
		total += n
		p = p[n:]
		w.written += int64(n)
		w.err = err
	}
	if w.err == nil && !w.complete() {
		w.err = w.flush()
	}
	return total, w.err
}

func (w *writer) step(p []byte) (int, error) {
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, errTooLong
	}
	whole := w.length >= 0 && w.length <= h2Buffer // net/http keeps it to itself: nothing to wait for
	if !whole {
		defer w.watch()()
	}
	return w.exchange.w.Write(p)
}

func (w *writer) flush() error {
	defer w.watch()()
	return w.exchange.rc.Flush()
}

// watch bounds the write that follows; the function it returns ends it. For HTTP/1 and HTTP/3 a deadline that passes while
// nothing is written does no harm. In HTTP/2 it would reset a stream whose body only pauses, so there a timer runs, during
// writes only.
func (w *writer) watch() (over func()) {
	if w.exchange.Head.Proto != httpwire.HTTP2 {
		w.renew()
		return func() {}
	}
	w.stall.arm(w.exchange)
	return w.stall.disarm
}

// extend moves the deadline for what net/http writes on its own.
func (w *writer) extend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renew()
}

// renew moves the write deadline. mu is held.
func (w *writer) renew() {
	limit := w.exchange.server.writeStall
	if now := time.Now(); now.Sub(w.renewed) > min(renewEvery, limit/4) {
		w.renewed = now
		_ = w.exchange.rc.SetWriteDeadline(now.Add(limit))
	}
}

// stall aborts a stream when one write takes too long.
type stall struct {
	timer *time.Timer

	mu    sync.Mutex // guards the fields below
	armed int        // changes with each write
}

func (s *stall) arm(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed++
	this := s.armed
	s.timer = time.AfterFunc(x.server.writeStall, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.armed == this { // the write is still under way, so the stream is still there
			_ = x.rc.SetWriteDeadline(time.Unix(1, 0))
		}
	})
}

func (s *stall) disarm() {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed++
}
