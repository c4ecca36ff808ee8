package httpwire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
)

// Proto is the version of HTTP a request came in.
type Proto uint8

// The versions in use.
const (
	HTTP10 Proto = iota + 1
	HTTP11
	HTTP2
	HTTP3
)

// String returns the ALPN-like short form used in logs and metrics: h1.0, h1, h2, h3.
func (p Proto) String() string {
	switch p {
	case HTTP10:
		return "h1.0"
	case HTTP11:
		return "h1"
	case HTTP2:
		return "h2"
	case HTTP3:
		return "h3"
	}
	return "unknown"
}

// Via is the protocol version as the Via field writes it (RFC 9110 section 7.6.3).
func (p Proto) Via() string {
	switch p {
	case HTTP10:
		return "1.0"
	case HTTP2:
		return "2"
	case HTTP3:
		return "3"
	}
	return "1.1"
}

// Head is a request head as it arrived. Nothing in it is canonical: see Canonical.
type Head struct {
	Method    string
	Target    string // raw request target: the path and query for every version
	Proto     Proto
	Scheme    string // http or https, from the connection, never from the client
	Authority string // :authority or Host, raw
	Fields    Fields // without Host and without pseudo-fields
}

// Exchange is one request and whatever a handler needs to answer it. A front makes one for each request, passes it down
// once, and writes the one Response it gets back. It must not be kept after Response.Done has been called.
type Exchange struct {
	ID     string // unique for the request, safe to log and to send; made by the front
	Head   Head
	Canon  Canonical            // set by the router in its receive phase
	Body   io.Reader            // nil: no body. Reading after the handler returned is allowed until Done
	Length int64                // of Body; -1 unknown, 0 without a body
	Peer   netip.AddrPort       // the connection's other end
	Local  netip.AddrPort       // the listener's end
	TLS    *tls.ConnectionState // nil: plain text
	Start  time.Time            // when the head was complete

	// Inform sends an informational response (1xx) at once; the one exception to "return, do not write".
	// nil: the version or the client cannot take one.
	Inform func(status int, fields Fields) error
}

// Response is what a handler returns for an Exchange. Only the front writes it.
type Response struct {
	Status int
	Fields Fields // without Content-Length, Transfer-Encoding and Connection, which are the front's to write
	Body   Body   // nil: no body. The front closes it exactly once
	Length int64  // of Body; -1 unknown. For HEAD and 304 the length a GET would have had, -1 when unknown

	// Trailers returns the trailer fields; called once after Body has ended with io.EOF. nil: none.
	Trailers func() Fields
	// Done tells the handler that the exchange is over: the body bytes written, and why writing stopped (nil: all was
	// written). The front calls it exactly once, whatever happens, after it has closed Body, and does not use the response any more: its memory
	// may be another's then. nil: nobody wants to know.
	Done func(written int64, err error)
}

// Body is a response body. A Body that can write itself (memory blocks, a file) also implements io.WriterTo, and a front
// prefers that. A Read that ends before the promised length returns an error other than io.EOF: a truncated body is never
// taken for a complete one.
type Body interface {
	io.Reader
	io.Closer
}

// ErrTruncated is returned by a Body whose source ended before the message was complete.
var ErrTruncated = errors.New("message body ended early")

// Truncated is the error that readers get of an origin's body that broke off because of err, which is not nil. It wraps ErrTruncated, and is a fault.
func Truncated(err error) error {
	if !errors.Is(err, ErrTruncated) {
		err = fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	return fault.New(fault.OriginAborted, err)
}
