package origin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

var (
	errReplay = errors.New("idle connection was dead")
	errOver   = errors.New("attempt is over")
)

// attempt is one request to one endpoint.
type attempt struct {
	call   *call
	peer   *peer
	cancel context.CancelCauseFunc
	body   *requestBody // nil: none
	began  time.Time

	// Set by net/http's hooks, which run in the goroutine of RoundTrip.
	asked   int // how often net/http asked for a connection
	conn    *guard
	reused  bool
	connect time.Duration
}

// run sends the request and waits for the head of the response. The place in the peer is given back by the response's body,
// or by run when there is none.
func (a *attempt) run(ctx context.Context) (*httpwire.Response, error) {
	a.began = time.Now()
	ctx, a.cancel = context.WithCancelCause(ctx)
	hooks := &httptrace.ClientTrace{GetConn: a.getConn, GotConn: a.gotConn}
	if a.call.request.Inform != nil {
		hooks.Got1xxResponse = a.informed
	}
	request, err := a.build(httptrace.WithClientTrace(ctx, hooks))
	if err != nil {
		a.finish()
		return nil, err
	}
	answer, err := a.peer.http.RoundTrip(request)
	if err != nil {
		a.body.seal()
		a.finish()
		return nil, err
	}
	return a.accept(answer), nil
}

// finish ends the attempt.
func (a *attempt) finish() {
	a.cancel(errOver)
	a.peer.leave()
}

// getConn is called by net/http before each connection it looks for. A second time means that it wants to replay the request
// on its own; whether that may be is ours to decide.
func (a *attempt) getConn(string) {
	if a.asked++; a.asked > 1 {
		a.cancel(errReplay)
	}
}

// gotConn is called with the connection, before anything is written to it.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	conn, ok := info.Conn.(*guard)
	if a.asked > 1 || !ok {
		// The cancellation may have come too late; on a closed connection nothing leaves.
		_ = info.Conn.Close()
		return
	}
	a.conn, a.reused, a.connect = conn, info.Reused, time.Since(a.began)
	fit := conn.begin(use{
		method: a.call.request.Head.Method, timeout: a.call.readTimeout(), reused: info.Reused, waits: a.body != nil,
	})
	switch {
	case !fit:
		a.body.seal() // nothing will leave, so nothing of the body need be lost
	case a.body != nil:
		a.body.sent = conn.bodySent
	}
}

// informed passes an informational response on (RFC 9110 section 15.2).
func (a *attempt) informed(status int, header textproto.MIMEHeader) error {
	if status <= 101 {
		return nil
	}
	var fields httpwire.Fields
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fields.AddName(name, value)
		}
	}
	a.call.request.Inform(status, fields)
	return nil
}

// build makes net/http's request. Its names keep their case but are sorted on the way out.
func (a *attempt) build(ctx context.Context) (*http.Request, error) {
	r := a.call.request
	request := (&http.Request{
		Method: r.Head.Method, URL: targetURL(a.peer.address, r.Target), Host: r.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.call.header,
	}).WithContext(ctx)
	if a.body = a.call.body(); a.body != nil {
		request.Body, request.ContentLength = a.body, r.Length
	}
	return request, nil
}

// targetURL makes a URL that net/http writes as it was: an opaque one. Two slashes in front would be taken for an absolute
// form, so such a target goes the way of parsed URLs, where bytes that RFC 3986 does not allow are escaped.
func targetURL(address, target string) *url.URL {
	u := &url.URL{Scheme: "http", Host: address}
	if !strings.HasPrefix(target, "//") {
		u.Opaque = target
		return u
	}
	path, query, found := strings.Cut(target, "?")
	u.RawPath, u.RawQuery, u.ForceQuery = path, query, found
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path = plain
	} else {
		u.Path = path
	}
	return u
}

// makeHeader turns final fields into net/http's form. It fails rather than send something incorrect upstream.
func makeHeader(fields httpwire.Fields) (http.Header, error) {
	header := make(http.Header, len(fields)+1)
	values := make([]string, len(fields))
	header["User-Agent"] = nil // there, so that net/http does not add its own
	for i := range fields {
		f := &fields[i]
		switch f.ID {
		case httpwire.Host, httpwire.ContentLength, httpwire.TransferEncoding, httpwire.Connection, httpwire.KeepAlive,
			httpwire.ProxyConnection, httpwire.Trailer, httpwire.TE, httpwire.Upgrade, httpwire.Expect, httpwire.HTTP2Settings:
			continue // of the connection, or net/http's to write; an Expect was answered by the front (attack row S23)
		}
		if !httpwire.IsToken(f.Name) || !httpwire.IsFieldValue(f.Value) {
			return nil, fault.New(fault.FieldName, errors.New("field "+strconv.Quote(f.Name)+" cannot be sent"))
		}
		name := f.Name
		switch {
		case f.ID != httpwire.Other:
			name = f.ID.String()
		case strings.EqualFold(name, "Idempotency-Key") || strings.EqualFold(name, "X-Idempotency-Key"):
			name = strings.ToLower(name) // net/http replays requests that have it in the spelling it knows
		}
		if before, ok := header[name]; ok && before != nil {
			header[name] = append(before, f.Value)
			continue
		}
		values[i] = f.Value
		header[name] = values[i : i+1 : i+1]
	}
	return header, nil
}

// accept makes our response of net/http's.
func (a *attempt) accept(answer *http.Response) *httpwire.Response {
	response := &httpwire.Response{Status: answer.StatusCode, Length: answer.ContentLength, Fields: takeFields(answer.Header)}
	if answer.StatusCode == http.StatusNotModified {
		response.Length = statedLength(answer.Header)
	}
	if answer.Body == http.NoBody || a.call.request.Head.Method == http.MethodHead || answer.ContentLength == 0 {
		_ = answer.Body.Close()
		if a.body == nil || a.body.complete() {
			a.finish()
			return response
		}
		// The request is still on its way: the connection must not be taken from under it before the client has the answer.
		response.Body = &responseBody{attempt: a, source: http.NoBody}
		return response
	}
	response.Body = &responseBody{attempt: a, source: answer.Body, gone: a.call.ctx}
	return response
}

// takeFields lists a header sorted by name. Connection stays: it names fields that the proxy has to drop.
func takeFields(header http.Header) httpwire.Fields {
	keys := make([]string, 0, 24)
	n := 0
	for key, values := range header {
		keys = append(keys, key)
		n += len(values)
	}
	slices.Sort(keys)
	fields := make(httpwire.Fields, 0, n)
	for _, key := range keys {
		id := httpwire.Identify(key)
		if id == httpwire.ContentLength || id == httpwire.TransferEncoding || id == httpwire.Trailer {
			continue
		}
		name := key
		if id != httpwire.Other {
			name = id.String() // net/http's key is Etag where the field's name is ETag
		}
		for _, value := range header[key] {
			fields = append(fields, httpwire.Field{ID: id, Name: name, Value: value})
		}
	}
	return fields
}

// statedLength is the length that a response without body claims for the body it stands for.
func statedLength(header http.Header) int64 {
	if n, err := strconv.ParseUint(header.Get("Content-Length"), 10, 63); err == nil {
		return int64(n)
	}
	return -1
}

// left reports whether any of the request was handed to the kernel.
func (a *attempt) left() bool { return a.conn != nil && a.conn.sent.Load() > 0 }

// stale reports whether the connection had been idle and died before it answered.
func (a *attempt) stale() bool { return a.conn != nil && a.reused && !a.conn.answered() }

// classify gives the failure of an attempt its name.
func (a *attempt) classify(err error) *fault.Error {
	if cause := a.call.ctx.Err(); cause != nil {
		return contextFault(cause)
	}
	if a.body != nil {
		if failed := a.body.failure(); failed != nil {
			return failed
		}
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*dialError](err); ok {
		return fault.Retryable(e.code, err)
	}
	if a.conn == nil {
		return fault.Retryable(fault.Connect, err)
	}
	name := readFault(a.conn, err)
	return &fault.Error{Code: name.Code, Retry: !a.left(), Err: name.Err}
}

// readFault names the failure to read a response or to write a request.
func readFault(conn *guard, err error) *fault.Error {
	if spent := conn.spent(); errors.Is(spent, errProtocol) {
		return fault.New(fault.OriginProtocol, spent)
	}
	if isTimeout(err) {
		return fault.New(fault.OriginTimeout, err)
	}
	// What net/http refuses after the guard has let it pass breaks the protocol all the same.
	if conn.answered() && !conn.wasCut() {
		return fault.New(fault.OriginProtocol, err)
	}
	return fault.New(fault.OriginAborted, err)
}

// contextFault names the end of a call by its context.
func contextFault(cause error) *fault.Error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return fault.New(fault.OriginTimeout, cause)
	}
	return fault.New(fault.ClientGone, cause)
}
