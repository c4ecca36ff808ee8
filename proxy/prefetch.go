package proxy

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Prefetched is what came of one URL of a prefetch.
type Prefetched struct {
	URL     string        `json:"url"`
	Status  int           `json:"status"`
	Outcome cache.Outcome `json:"outcome"`
	Stored  bool          `json:"stored"`           // it is in the store now
	Reason  string        `json:"reason,omitempty"` // why not
	Bytes   int64         `json:"bytes"`            // of the body
}

// Prefetch asks for a URL as a client would that sends these fields, and throws the answer away: what the cache keeps of it is the point. It joins
// a fetch that is under way, and leaves alone what is fresh. A URL that no distribution serves, or that cannot be fetched, is an error.
func (r *Router) Prefetch(ctx context.Context, url string, fields httpwire.Fields) (Prefetched, error) {
	p := Prefetched{URL: url}
	x := &httpwire.Exchange{ID: "prefetch", Start: time.Now()}
	var err error
	if x.Head, err = headOf("GET", url); err != nil {
		return p, err
	}
	x.Head.Fields = append(x.Head.Fields, fields...)
	t := &transaction{router: r, x: x}
	response, err := t.run(ctx)
	if err != nil {
		return p, err
	}
	p.Status, p.Outcome = response.Status, t.result.Outcome
	if response.Body != nil {
		p.Bytes, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	t.result.Release()
	switch {
	case err != nil:
		return p, fault.New(fault.OriginAborted, fmt.Errorf("after %d bytes: %w", p.Bytes, err))
	case !t.cached:
		p.Reason = "not for the cache" // a redirect of the edge's own, or a behavior without a cache
	case t.result.Outcome == cache.Hit || t.result.Outcome == cache.Revalidated || t.result.Stored:
		p.Stored = true
	default:
		p.Reason = t.result.Reason
	}
	return p, nil
}
