package cache

import (
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// wish is what a request's own fields say to the cache.
type wish struct {
	head         bool // HEAD
	ranged       bool // Range
	auth         bool // Authorization
	noStore      bool
	onlyIfCached bool
	alone        bool // it has waited for others often enough
	pragma       bool // Pragma: no-cache

	ask *rules.Directives // what the policy lets it say about freshness; nil: nothing
}

// fits reports whether a fresh response is fresh enough for the request.
func (w *wish) fits(f *rules.Freshness, now time.Time) bool {
	return f.Fresh(now) && (w.ask == nil || f.Satisfies(w.ask, now))
}

// note takes in one Cache-Control line.
func (w *wish) note(line string, honour bool) {
	var d rules.Directives
	d.Parse(line)
	w.noStore, w.onlyIfCached = w.noStore || d.NoStore, w.onlyIfCached || d.OnlyIfCached
	if honour {
		if w.ask == nil {
			w.ask = &rules.Directives{}
		}
		w.ask.Parse(line)
	}
}

// settle decides what counts once all fields are read: Pragma only without Cache-Control (RFC 9111 §5.4), and only directives about
// freshness.
func (w *wish) settle() {
	if w.pragma && w.ask == nil {
		w.ask = &rules.Directives{NoCache: true}
	}
	if d := w.ask; d != nil && !d.NoCache && !d.MaxAge.Present && !d.MinFresh.Present && !d.MaxStale.Present {
		w.ask = nil
	}
}

// readWish reads a request in one pass. The reason is not empty when the store has nothing to do with it.
func readWish(req *Request) (w wish, reason string) {
	if req.Policy == nil || req.Policy.Off {
		return w, ReasonOff
	}
	switch req.Head.Method {
	case "GET":
	case "HEAD":
		w.head = true
	default:
		return w, ReasonMethod
	}
	for i := range req.Head.Fields {
		f := &req.Head.Fields[i]
		switch f.ID {
		case httpwire.Range:
			w.ranged = !w.head && rules.UsesRange(f.Value) // RFC 9110 §14.2: Range is for GET only
		case httpwire.Authorization:
			w.auth = true
		case httpwire.IfMatch, httpwire.IfUnmodifiedSince:
			return w, ReasonPrecondition
		case httpwire.ContentLength:
			if f.Value != "0" {
				return w, ReasonBody
			}
		case httpwire.TransferEncoding:
			return w, ReasonBody
		case httpwire.Upgrade:
			return w, ReasonUpgrade
		case httpwire.CacheControl:
			if !rules.CloudFront(req.Policy) {
				w.note(f.Value, req.Policy.HonourRequest)
			}
		case httpwire.Pragma:
			w.pragma = w.pragma || req.Policy.HonourRequest && rules.IsNoCachePragma(f.Value)
		}
	}
	w.settle()
	return w, ""
}
