package proxy

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
)

// fetch is the way from the cache to the origin for one request. A fill may outlive the request that began it, so fetch
// holds copies, not the exchange; only requests that no fill can outlive have a body.
type fetch struct {
	router *Router
	target *origin.Target
	canon  httpwire.Canonical
	scheme string
	body   io.Reader
	length int64
	hash   uint64 // for policy hash
	prefer int    // index of the endpoint that served the client before, plus one

	mu     sync.Mutex // guards the fields below
	report origin.Report
	inform func(status int, fields httpwire.Fields) error // the client's; nil: it takes none, or none any more
}

// informed sends an informational response to the client that waits for this fetch (RFC 9110 section 15.2). Those who joined it get none.
func (f *fetch) informed(status int, fields httpwire.Fields) {
	cleanResponse(&fields)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inform != nil {
		_ = f.inform(status, fields) // a client that is gone is noticed elsewhere
	}
}

// informNoMore is called when the client is about to get its answer: the fetch may go on, and has nobody to inform.
func (f *fetch) informNoMore() {
	f.mu.Lock()
	f.inform = nil
	f.mu.Unlock()
}

// Fetch implements cache.Origin. The target is the head's: of a fill it is what the response is stored under, which may be less
// than what the client sent (attack row C03).
func (f *fetch) Fetch(ctx context.Context, head *httpwire.Head) (*httpwire.Response, error) {
	host := f.target.HostHeader
	if host == "" {
		host = f.canon.HostPort(f.scheme)
	}
	request := &origin.Request{
		Head: head, Target: head.Target, Host: host, Body: f.body, Length: f.length,
		Random: rand.Uint64(), Hash: f.hash, Prefer: f.prefer,
	}
	f.mu.Lock()
	if f.inform != nil {
		request.Inform = f.informed
	}
	f.mu.Unlock()
	response, report, err := f.router.deps.Origin.Do(ctx, f.target, request)
	f.mu.Lock()
	f.report = report
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	cleanResponse(&response.Fields)
	return response, nil
}

// attempts returns what is known of the attempts so far.
func (f *fetch) attempts() []origin.Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.report.Attempts
}

// cleanResponse drops what belongs to the connection upstream, before anything is stored (attack row P10). Alt-Svc names
// alternatives of the origin, not of this edge.
func cleanResponse(fields *httpwire.Fields) {
	removeHopByHop(fields)
	fields.Del(httpwire.AltSvc)
}
