package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// The results of a prefetch, one of which fits every URL: Prefetched.Result, and the label of a metric.
const (
	PrefetchStored    = "stored"     // it came from the origin, or was confirmed by it, and is in the store now
	PrefetchFresh     = "fresh"      // it was in the store
	PrefetchNotStored = "not stored" // there is a response, and it may not be stored or there is no room for it
	PrefetchFailed    = "failed"     // there is no response, or it is an error
)

// Prefetched is what came of one URL of a prefetch.
type Prefetched struct {
	URL     string        `json:"url"`
	Status  int           `json:"status"`
	Outcome cache.Outcome `json:"outcome"`
	Stored  bool          `json:"stored"`           // it is in the store now
	Reason  string        `json:"reason,omitempty"` // why not, or why it did not come from the origin: as in cache.Result, or a few words
	Bytes   int64         `json:"bytes"`            // of the body, or of what was read of one that is not stored
	Coding  string        `json:"coding,omitempty"` // in which the edge keeps it besides; empty: none that was asked for
}

// Result is one of the words above. Errors count as failed although some are stored for a while: nobody wants them in the cache on purpose.
func (p *Prefetched) Result() string {
	switch {
	case p.Status >= 400:
		return PrefetchFailed
	case p.Stored && p.Outcome == cache.Hit:
		return PrefetchFresh
	case p.Stored:
		return PrefetchStored
	}
	return PrefetchNotStored
}

// discardedBody is how much is read of a body that is not stored. Beyond that a new connection to the origin costs less than the rest.
const discardedBody = 64 << 10

// Prefetch asks for a URL as a client on this machine would that sends these fields, and throws the answer away: what the cache keeps of it is
// the point. It joins a fetch that is under way and leaves alone what is fresh; what is stale it waits for. A fetch that was begun goes on when
// ctx ends. A URL that no distribution serves, or that cannot be fetched, is an error. Objects of distribution.errors do not stand in.
//
// It is no client's request: the access log and the metrics of requests do not know it, those of the cache do.
func (r *Router) Prefetch(ctx context.Context, url string, fields httpwire.Fields) (Prefetched, error) {
	p, err := r.prefetch(ctx, url, fields)
	result := p.Result()
	if err != nil {
		result = PrefetchFailed
	}
	r.deps.Metrics.prefetched.WithLabelValues(label(result)).Inc()
	return p, err
}

func (r *Router) prefetch(ctx context.Context, url string, fields httpwire.Fields) (Prefetched, error) {
	p := Prefetched{URL: url}
	head, err := headOf("GET", url)
	if err != nil {
		return p, err
	}
	head.Fields = fields.Clone()
	x := &httpwire.Exchange{ID: "prefetch-" + rand.Text(), Head: head, Start: time.Now()}
	x.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	t := &transaction{router: r, x: x, client: x.Peer.Addr()}
	defer func() { t.result.Release() }()
	response, err := t.prefetch(ctx)
	if err != nil {
		return p, err
	}
	defer end(response)
	p.Status, p.Outcome, p.Reason = response.Status, t.result.Outcome, t.result.Reason
	if t.behavior.RedirectToHTTPS && x.Head.Scheme == "http" {
		p.Reason = "redirect to https"
	}
	err = t.keep(&p, response)
	return p, err
}

// prefetch is run, as far as the store is concerned: nothing is made of the response.
func (t *transaction) prefetch(ctx context.Context) (*httpwire.Response, error) {
	if err := t.receive(); err != nil {
		return nil, err
	}
	t.x.Local = netip.AddrPortFrom(t.x.Peer.Addr(), t.x.Canon.Port) // for X-Forwarded-Port
	if err := t.route(); err != nil {
		return nil, err
	}
	if response, err := t.admit(); response != nil || err != nil {
		return response, err
	}
	t.insist()
	return t.get(ctx)
}

// insist makes the request one that a stale response does not answer, unless it has a say of its own: min-fresh=0 is what a client says that
// takes nothing stale (RFC 9111 section 5.2.1.3). A cache on the way to the origin is told the same.
func (t *transaction) insist() {
	own, b := *t.behavior, *t.behavior.Behavior
	b.Cache.HonourRequest = true
	own.Behavior, t.behavior = &b, &own
	if fields := &t.x.Head.Fields; !fields.Has(httpwire.CacheControl) && !fields.Has(httpwire.Pragma) {
		fields.Add(httpwire.CacheControl, "min-fresh=0")
	}
}

// keep waits until the store has the response, as far as it takes it, and says so.
func (t *transaction) keep(p *Prefetched, response *httpwire.Response) error {
	hit := t.result.Outcome == cache.Hit
	storing := hit || t.result.Stored
	var err error
	if p.Bytes, err = t.swallow(response, storing); err != nil {
		return fault.New(fault.OriginAborted, fmt.Errorf("after %d bytes: %w", p.Bytes, err))
	}
	switch {
	case hit && t.ask.Coding == encode.Identity:
		p.Stored = true
		return nil
	case t.result.Outcome == cache.Stale && t.result.Reason == cache.ReasonRefresh:
		p.Stored = true // the profile cloudfront hears no wishes; a refresh is under way
		return nil
	case !storing:
		return nil
	}
	// A body of unknown length may have outgrown the limit, and a purge may have come: the last word is the store's.
	now := t.router.deps.Cache.Explain(t.cacheRequest())
	if p.Stored = hit || now.Stored; !p.Stored {
		p.Reason = whyGone(&now)
	}
	for _, coding := range now.Codings {
		if coding == t.ask.Coding.String() {
			p.Coding = coding
		}
	}
	return nil
}

// swallow reads a body to its end: nothing is stored before that, and no other coding made. A stored one has no need of that, and of one that is
// not stored nobody wants the rest.
func (t *transaction) swallow(response *httpwire.Response, storing bool) (int64, error) {
	switch {
	case response.Body == nil:
		return 0, nil
	case t.result.Outcome == cache.Hit && !response.Fields.Has(httpwire.ContentEncoding) && response.Length >= 0:
		return response.Length, nil
	case !storing:
		n, err := io.CopyN(io.Discard, response.Body, discardedBody)
		if err == io.EOF {
			err = nil
		}
		return n, err
	}
	return io.Copy(io.Discard, response.Body)
}

// whyGone says why a response that was being stored is not there.
func whyGone(now *cache.Explanation) string {
	switch {
	case now.Unshared != "":
		return now.Unshared
	case now.Purge != "":
		return "purged"
	}
	return cache.ReasonMemory
}

// PrefetchFields reads field lines, such as "Accept-Encoding: br", for Prefetch. It refuses what would make the request one for less than a whole
// object, or for another than the URL says.
func PrefetchFields(lines []string) (httpwire.Fields, error) {
	var fields httpwire.Fields
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if value = httpwire.TrimOWS(value); !found || !httpwire.IsToken(name) || !httpwire.IsFieldValue(value) {
			return nil, fmt.Errorf("%q is no header field such as Accept-Encoding: br", line)
		}
		switch strings.ToLower(name) {
		case "host":
			return nil, fmt.Errorf("%q: the URL names the host", line)
		case "connection", "content-length", "expect", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
			"range", "te", "trailer", "transfer-encoding", "upgrade":
			return nil, fmt.Errorf("%q: a prefetch asks for whole objects, without conditions and without a body", line)
		}
		fields.AddName(name, value)
	}
	return fields, nil
}
