package proxy

import (
	"fmt"
	"strings"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// deliver is the phase that adds what this edge has to say to a response (RFC 9110 section 7.6.3, RFC 9211).
func (t *transaction) deliver(response *httpwire.Response) {
	via := "1.1 " + t.router.node // how the response was received, not how it goes on
	status := t.result.AppendStatus(nil, t.router.node)
	// The store shares its fields between readers: the list is extended in a copy.
	fields := make(httpwire.Fields, len(response.Fields), len(response.Fields)+5)
	copy(fields, response.Fields)
	if before, ok := fields.Joined(httpwire.CacheStatus); ok {
		fields.Set(httpwire.CacheStatus, before+", "+string(status))
	} else {
		fields.Add(httpwire.CacheStatus, string(status))
	}
	fields.Add(httpwire.Via, via)
	fields.Set(httpwire.XRequestID, t.x.ID)
	t.stick(&fields)
	response.Fields = fields
}

// Refuse makes the response to a request that a front refused before it reached the router.
func (r *Router) Refuse(x *httpwire.Exchange, err *fault.Error) *httpwire.Response {
	t := &transaction{router: r, x: x, client: r.clientOf(x), fault: err}
	r.deps.Metrics.inFlight.Inc()
	response := r.refuse(x, err, nil)
	response.Done = t.done(response)
	return response
}

// refuse is the one function that turns an error into a response. b may be nil.
func (r *Router) refuse(x *httpwire.Exchange, err *fault.Error, b *behavior) *httpwire.Response {
	entry := err.Code.Entry()
	body := fmt.Sprintf("%d %s\n\n%s: %s.\nRequest %s on %s. `meridian explain %s` says more.\n",
		entry.Status, reason(entry.Status), err.Code, entry.Title, x.ID, r.node, err.Code)
	response := &httpwire.Response{Status: entry.Status, Length: int64(len(body))}
	if x.Head.Method != "HEAD" {
		response.Body = httpwire.TextBody(body)
	}
	response.Fields.Add(httpwire.ContentType, "text/plain; charset=utf-8")
	response.Fields.Add(httpwire.CacheControl, "no-store")
	// RFC 9209: the proxy says that it made this response, and why.
	response.Fields.Add(httpwire.ProxyStatus, fmt.Sprintf("%s; error=%s; details=%q", item(r.node), entry.Proxy, err.Code))
	response.Fields.Add(httpwire.XRequestID, x.ID)
	if err.Code == fault.Method {
		response.Fields.Add(httpwire.Allow, b.allow()) // RFC 9110 section 15.5.6
	}
	if entry.Status == 503 {
		response.Fields.Add(httpwire.RetryAfter, "1")
	}
	return response
}

// allow is the value of the Allow field. b may be nil.
func (b *behavior) allow() string {
	if b != nil && b.methods != "" {
		return b.methods
	}
	return "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
}

// item writes a token of HTTP as an item of a structured field, whose tokens start with a letter or an asterisk (RFC 9651
// section 3.3.4): others become strings, in which no token byte needs an escape.
func item(token string) string {
	if c := token[0] | 0x20; c >= 'a' && c <= 'z' || token[0] == '*' {
		return token
	}
	return `"` + token + `"`
}

// reason is the reason phrase of the statuses the edge makes itself.
func reason(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 413:
		return "Content Too Large"
	case 414:
		return "URI Too Long"
	case 421:
		return "Misdirected Request"
	case 431:
		return "Request Header Fields Too Large"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 508:
		return "Loop Detected"
	}
	return "Internal Server Error"
}

// done is the log phase: it runs when the front has written the last byte, or could not.
func (t *transaction) done(response *httpwire.Response) func(int64, error) {
	status := response.Status
	return func(written int64, err error) {
		t.router.deps.Metrics.observe(t, status, written)
		if t.router.deps.Log != nil {
			t.router.deps.Log.write(t, status, written, err)
		}
		t.result.Release()
	}
}

// siteName is the distribution's name for logs and metrics; a request nobody serves has none.
func (t *transaction) siteName() string {
	if t.site == nil {
		return "-"
	}
	return t.site.name
}

// outcome is the cache's word for logs and metrics.
func (t *transaction) outcome() string {
	if !t.cached {
		return "none"
	}
	return strings.ToLower(t.result.Outcome.String())
}
