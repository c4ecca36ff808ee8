package rules

import (
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Wish is what a request's own fields say to the cache.
type Wish struct {
	Head         bool // HEAD
	Ranged       bool // Range
	Auth         bool // Authorization
	NoStore      bool
	OnlyIfCached bool
	pragma       bool // Pragma: no-cache

	Ask *Directives // what the policy lets it say about freshness; nil: nothing
}

// Fits reports whether a fresh response is fresh enough for the request.
func (w *Wish) Fits(f *Freshness, now time.Time) bool {
	return f.Fresh(now) && (w.Ask == nil || f.Satisfies(w.Ask, now))
}

// note takes in one Cache-Control line.
func (w *Wish) note(line string, honour bool) {
	var d Directives
	d.Parse(line)
	w.NoStore, w.OnlyIfCached = w.NoStore || d.NoStore, w.OnlyIfCached || d.OnlyIfCached
	if honour {
		if w.Ask == nil {
			w.Ask = &Directives{}
		}
		w.Ask.Parse(line)
	}
}

// settle decides what counts once all fields are read: Pragma only without Cache-Control (RFC 9111 §5.4), and only directives about
// freshness.
func (w *Wish) settle() {
	if w.pragma && w.Ask == nil {
		w.Ask = &Directives{NoCache: true}
	}
	if d := w.Ask; d != nil && !d.NoCache && !d.MaxAge.Present && !d.MinFresh.Present && !d.MaxStale.Present {
		w.Ask = nil
	}
}

// ReadWish reads a request in one pass. The reason is not empty when the store has nothing to do with it.
func ReadWish(head *httpwire.Head, p *config.CachePolicy) (w Wish, reason string) {
	if p == nil || p.Off {
		return w, ReasonOff
	}
	switch head.Method {
	case "GET":
	case "HEAD":
		w.Head = true
	default:
		return w, ReasonMethod
	}
	for i := range head.Fields {
		f := &head.Fields[i]
		switch f.ID {
		case httpwire.Range:
			w.Ranged = !w.Head && UsesRange(f.Value) // RFC 9110 §14.2: Range is for GET only
		case httpwire.Authorization:
			w.Auth = true
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
			if !CloudFront(p) {
				w.note(f.Value, p.HonourRequest)
			}
		case httpwire.Pragma:
			w.pragma = w.pragma || p.HonourRequest && IsNoCachePragma(f.Value)
		}
	}
	w.settle()
	return w, ""
}

// ServerError lists the statuses that count as an error for stale-if-error (RFC 5861 §4).
func ServerError(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}
