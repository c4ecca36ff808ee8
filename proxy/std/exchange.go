package std

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// exchange is one request on its way through this front.
type exchange struct {
	httpwire.Exchange
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	rc     *http.ResponseController
	body   *requestBody // nil: none

	answering bool // Inform is over
}

// serve adapts one request. net/http and http3 call it on a goroutine of the request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	e, _ := r.Context().Value(connKey{}).(*ends)
	if e != nil && e.quic != nil {
		e.quic.begin()
		defer e.quic.end()
	}
	x := &exchange{server: s, w: w, r: r, rc: http.NewResponseController(w)}
	refused := x.receive(e)
	var response *httpwire.Response
	if refused == nil {
		response, refused = x.handle(r.Context())
	}
	if refused != nil {
		response = x.refuse(refused)
	}
	x.answering = true
	if !x.write(response) {
		panic(http.ErrAbortHandler) // the only way to end a message without completing it
	}
}

// receive fills the exchange in, and says why the request is refused before the handler sees it.
func (x *exchange) receive(e *ends) *fault.Error {
	r := x.r
	x.ID, x.Start = x.server.options.NewID(), time.Now()
	x.Head.Method, x.Head.Proto = r.Method, protoOf(r)
	x.Head.Scheme, x.Head.Authority, x.Head.Target = "http", r.Host, r.RequestURI
	if x.TLS = r.TLS; x.TLS != nil {
		x.Head.Scheme = "https"
	}
	if e != nil {
		x.Peer, x.Local = e.peer, e.local
	}
	if !x.Peer.IsValid() {
		x.Peer, _ = netip.ParseAddrPort(r.RemoteAddr)
		x.Peer = netip.AddrPortFrom(x.Peer.Addr().Unmap(), x.Peer.Port())
	}
	if x.Head.Proto != httpwire.HTTP10 {
		x.Inform = x.inform
	}
	if err := x.receiveTarget(); err != nil {
		return err
	}
	if err := x.receiveFields(); err != nil {
		return err
	}
	return x.receiveBody()
}

func protoOf(r *http.Request) httpwire.Proto {
	switch {
	case r.ProtoMajor == 3:
		return httpwire.HTTP3
	case r.ProtoMajor == 2:
		return httpwire.HTTP2
	case r.ProtoMinor == 0:
		return httpwire.HTTP10
	}
	return httpwire.HTTP11
}

// receiveTarget takes an absolute-form target apart (RFC 9112 section 3.2.2) and checks lengths. net/http has put the
// target's authority into Host already; the Host field itself is lost.
func (x *exchange) receiveTarget() *fault.Error {
	h := &x.Head
	if len(h.Target) > x.server.options.Limits.TargetBytes {
		return fault.New(fault.TargetTooLong, nil)
	}
	if h.Target == "" || h.Target[0] == '/' || h.Target == "*" || h.Method == http.MethodConnect {
		return nil
	}
	scheme, rest, found := strings.Cut(h.Target, "://")
	if !found || !strings.EqualFold(scheme, h.Scheme) {
		return fault.New(fault.BadTarget, errors.New("target is neither a path nor of the connection's scheme"))
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if rest[:end] != h.Authority {
		return fault.New(fault.BadHost, errors.New("authority of the target is not the host"))
	}
	if h.Target = rest[end:]; h.Target == "" || h.Target[0] == '?' {
		h.Target = "/" + h.Target
	}
	return nil
}

// receiveFields lists the fields, sorted by name because a map has no order, and counts them.
func (x *exchange) receiveFields() *fault.Error {
	limits, header := &x.server.options.Limits, x.r.Header
	var room [24]string
	names, count := room[:0], 0
	for name, values := range header {
		names = append(names, name)
		count += len(values)
	}
	if count > limits.HeaderFields {
		return fault.New(fault.HeadTooLarge, fmt.Errorf("%d fields", count))
	}
	slices.Sort(names)
	fields := make(httpwire.Fields, 0, count+8) // the router adds some
	for _, name := range names {
		id := httpwire.Identify(name)
		for _, value := range header[name] {
			if id == httpwire.Host {
				if value != x.Head.Authority { // beside :authority (attack row S26)
					return fault.New(fault.BadHost, errors.New("field Host differs from :authority"))
				}
				continue
			}
			fields = append(fields, httpwire.Field{ID: id, Name: name, Value: value})
		}
	}
	x.Head.Fields = fields
	const around = len(" HTTP/1.1\r\nHost: \r\n\r\n") + 1
	if size := len(x.r.Method) + len(x.r.RequestURI) + len(x.Head.Authority) + around + fields.Size(); size > limits.HeaderBytes {
		return fault.New(fault.HeadTooLarge, fmt.Errorf("%d bytes", size))
	}
	return nil
}

// handle calls the handler. A panic in it is a bug that costs one request, not the process.
func (x *exchange) handle(ctx context.Context) (response *httpwire.Response, failed *fault.Error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				x.body.shut()
				panic(p)
			}
			response, failed = nil, x.server.panicked(x, p)
		}
	}()
	if response = x.server.options.Handler.Handle(ctx, &x.Exchange); response == nil {
		return nil, fault.New(fault.Unexpected, errors.New("handler returned no response"))
	}
	return response, nil
}

// panicked counts and logs a panic. It is called while the stack is still there.
func (s *Server) panicked(x *exchange, p any) *fault.Error {
	s.metrics.panics.Inc()
	s.log.Error("panic in a request", "request", x.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return fault.New(fault.Unexpected, fmt.Errorf("panic: %v", p))
}

// refuse makes the response to a request that failed in this front.
func (x *exchange) refuse(err *fault.Error) (response *httpwire.Response) {
	defer func() {
		if p := recover(); p != nil {
			x.server.panicked(x, p)
			response = refuse(&x.Exchange, err)
		}
	}()
	return x.server.options.Refuse(&x.Exchange, err)
}

// refuse is the response when there is no better one.
func refuse(x *httpwire.Exchange, err *fault.Error) *httpwire.Response {
	text := fmt.Sprintf("%s\nRequest %s.\n", err.Code, x.ID)
	response := &httpwire.Response{Status: err.Code.Entry().Status, Length: int64(len(text)), Body: httpwire.TextBody(text)}
	response.Fields.Add(httpwire.ContentType, "text/plain; charset=utf-8")
	response.Fields.Add(httpwire.CacheControl, "no-store")
	response.Fields.Add(httpwire.XRequestID, x.ID)
	return response
}

var errInform = errors.New("not an informational response that can be sent now")

// inform sends an informational response. 100 is net/http's to send, when the body is first read; 101 is not for fronts that
// cannot switch. It may be called until the handler returns, by the handler's goroutine.
func (x *exchange) inform(status int, fields httpwire.Fields) error {
	if x.answering || status <= 101 || status > 199 {
		return errInform
	}
	header := x.w.Header()
	setFields(header, fields)
	x.w.WriteHeader(status)
	clear(header)
	return x.r.Context().Err()
}
