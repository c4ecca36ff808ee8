package std

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

var errShut = errors.New("exchange is over")

// receiveBody gives the exchange its body, if there is one.
func (x *exchange) receiveBody() *fault.Error {
	r := x.r
	if r.ContentLength > x.server.options.Limits.BodyBytes {
		return fault.New(fault.BodyTooLarge, nil)
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &requestBody{exchange: x, source: r.Body, left: x.server.options.Limits.BodyBytes}
	b.over.L = &b.mu
	if x.Head.Proto == httpwire.HTTP3 && r.ContentLength < 0 && usuallyBodyless(r.Method) && !b.probe() {
		return nil
	}
	if x.Head.Proto == httpwire.HTTP11 {
		// Without this net/http reads the rest of the request before it writes a response.
		_ = x.rc.EnableFullDuplex()
	}
	x.body, x.Body, x.Length = b, b, r.ContentLength
	return nil
}

func usuallyBodyless(method string) bool {
	switch method {
	case "GET", "HEAD", "DELETE", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// requestBody is a request's body with its limits: size, time between bytes, and the end of the exchange.
type requestBody struct {
	exchange *exchange
	source   io.ReadCloser
	left     int64 // bytes until the limit
	first    []byte
	renewed  time.Time // when the deadline was last moved
	err      error     // sticky

	mu      sync.Mutex // guards the fields below
	over    sync.Cond  // on mu; a read has ended
	reading bool
	ended   bool // the whole body was read
	closed  bool
}

// probe finds out whether there is a body at all: HTTP/3 says so only by the end of the stream, which nearly always comes
// with the head. A client that keeps the stream open has a body for now.
func (b *requestBody) probe() bool {
	rc := b.exchange.rc
	_ = rc.SetReadDeadline(time.Now().Add(bodyProbe))
	var one [1]byte
	n, err := b.source.Read(one[:])
	_ = rc.SetReadDeadline(time.Time{})
	if n == 1 {
		b.first = one[:]
		return true
	}
	return err != io.EOF && errors.Is(err, os.ErrDeadlineExceeded)
}

// Read implements io.Reader. It fails with E-LIMIT-BODY past the limit, and with E-CLIENT-GONE when the client stops.
func (b *requestBody) Read(p []byte) (int, error) {
	if !b.enter() {
		return 0, fault.New(fault.ClientGone, errShut)
	}
	defer b.leave()
	return b.next(p)
}

// next reads on. Only one goroutine is in it.
func (b *requestBody) next(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		b.left -= int64(n)
		return n, nil
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one byte more than may come tells whether more comes
	}
	// Rolling: only a body that stands still is cut off (attack row R02).
	idle := b.exchange.server.bodyIdle
	if now := time.Now(); now.Sub(b.renewed) > min(renewEvery, idle/4) {
		b.renewed = now
		_ = b.exchange.rc.SetReadDeadline(now.Add(idle))
	}
	n, err := b.source.Read(p)
	if int64(n) > b.left {
		b.err = fault.New(fault.BodyTooLarge, nil)
		return int(b.left), b.err
	}
	b.left -= int64(n)
	switch {
	case err == io.EOF:
		// net/http goes on reading, to learn that the client is gone: without an end.
		_ = b.exchange.rc.SetReadDeadline(time.Time{})
		b.err = err
	case err != nil:
		b.err = fault.New(fault.ClientGone, err)
	}
	return n, b.err
}

func (b *requestBody) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.reading = true
	return true
}

func (b *requestBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading, b.ended = false, b.err == io.EOF
	b.over.Broadcast()
}

// complete reports whether the whole body was read.
func (b *requestBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// shut ends the body with its exchange: no read is under way when it returns, and none will be. The nil body is shut.
func (b *requestBody) shut() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for b.reading {
		_ = b.exchange.rc.SetReadDeadline(time.Unix(1, 0)) // what is being waited for will not be needed
		b.over.Wait()
	}
	if !b.ended && b.exchange.Head.Proto <= httpwire.HTTP11 {
		// net/http now reads some of the rest, so that the connection can be used again.
		_ = b.exchange.rc.SetReadDeadline(time.Now().Add(lingerTimeout))
	}
}
