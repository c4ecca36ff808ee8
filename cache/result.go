package cache

import (
	"fmt"
	"time"

	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
)

// Outcome says in one word how a request was answered.
type Outcome uint8

// The outcomes.
const (
	Bypass      Outcome = iota // the store was not asked: policy, method, range
	Miss                       // nothing usable was stored; the origin answered
	Hit                        // a fresh stored response
	Stale                      // a stored response past its freshness, allowed by stale-while-revalidate or stale-if-error
	Revalidated                // stored and stale; the origin confirmed it (304)
	Expired                    // stored and stale; the origin sent another
	Collapsed                  // answered by a fetch that another request had started
	outcomeCount
)

// String returns the word used in logs and metrics.
func (o Outcome) String() string {
	if o >= outcomeCount {
		return "unknown"
	}
	return outcomeNames[o]
}

var outcomeNames = [...]string{"bypass", "miss", "hit", "stale", "revalidated", "expired", "collapsed"}

// MarshalText writes the outcome's word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown cache outcome %q", text)
}

// The reasons a Result gives. They are part of the log format.
const (
	ReasonOff           = rules.ReasonOff          // the policy stores nothing
	ReasonMethod        = rules.ReasonMethod       // not GET or HEAD
	ReasonBody          = rules.ReasonBody         // GET with a body (attack row C02)
	ReasonPrecondition  = rules.ReasonPrecondition // If-Match or If-Unmodified-Since
	ReasonUpgrade       = rules.ReasonUpgrade      // the connection is to change protocol
	ReasonRange         = "range"                  // a range of an object whose slices cannot be stored
	ReasonHead          = "head"                   // HEAD of an object that is not stored
	ReasonRequest       = rules.ReasonRequest      // the client's no-store
	ReasonOnlyIfCached  = "only-if-cached"         // and nothing is stored
	ReasonClosed        = "closed"                 // the store is closed
	ReasonStatus        = rules.ReasonStatus       // a status that is not stored
	ReasonNoStore       = rules.ReasonNoStore
	ReasonPrivate       = rules.ReasonPrivate
	ReasonNoCache       = rules.ReasonNoCache // without a validator
	ReasonAuthorization = rules.ReasonAuthorization
	ReasonSetCookie     = rules.ReasonSetCookie
	ReasonVary          = rules.ReasonVary      // Vary: *, or too many names
	ReasonFreshness     = rules.ReasonFreshness // none stated, or stale on arrival and of no use later
	ReasonSize          = "size"                // larger than an object may be
	ReasonMemory        = "memory"              // no room that is not in use
	ReasonRefresh       = "stale-while-revalidate"
	ReasonError         = "stale-if-error"
	ReasonErrorKept     = "error-ttl"     // stale-if-error, without asking again so soon
	ReasonSlow          = "stale-if-slow" // the origin takes its time
	ReasonMaxStale      = "max-stale"     // the client takes it
	ReasonWaiters       = "waiters"       // too many wait for the fetch
	ReasonFailed        = "fetch"         // the origin gave no response
	ReasonContention    = "contention"    // several fetches of others did not suit
)

// Result says how a request was answered and why.
type Result struct {
	Outcome   Outcome
	Reason    string        // why the response is not stored, or not a fresh hit; empty: nothing to explain
	Stored    bool          // the response of this request's fetch is being stored
	TTL       time.Duration // remaining freshness, negative when stale; 0 when nothing was stored
	Age       time.Duration // RFC 9111 §4.2.3
	Key       string        // printable, as netstrings; empty when no key was made
	Collapsed bool          // the fetch was another request's
	FwdStatus int           // status of the origin's response; 0: none

	ShowKey bool // Cache-Status says the key

	varyMiss bool // variants were stored, and none matched
	partial  bool // a fresh response was stored, but not the slices that were needed
	demanded bool // a fresh response was stored, and the request wanted a fresher one

	reply reply.Handle // of the response; zero: it lies in memory of its own
}

// Release gives back the memory of the response that this Result came with, for another: nobody may use the response any more, and its body must
// have been closed. Strings of its fields stay valid. Releasing twice, or a copy, does nothing; not to release costs the collector some work.
func (r *Result) Release() { r.reply.Release() }

// AppendStatus appends one member of a Cache-Status field (RFC 9211) to dst: `eu1; hit; ttl=57` or
// `eu1; fwd=miss; fwd-status=200; stored`. The node is written as a token when it is one, else as a quoted string.
func (r *Result) AppendStatus(dst []byte, node string) []byte {
	c := rules.CacheStatus{TTL: r.TTL}
	if r.ShowKey {
		c.Key = r.Key
	}
	if r.Outcome == Hit || r.Outcome == Stale && r.Reason != ReasonError && r.Reason != ReasonSlow {
		return c.Append(dst, node)
	}
	c.Forward, c.Status, c.Stored, c.Collapsed, c.Detail = r.forward(), r.FwdStatus, r.Stored, r.Collapsed, r.Reason
	return c.Append(dst, node)
}

// forward is the word of RFC 9211 §2.2.
func (r *Result) forward() string {
	switch r.Outcome {
	case Bypass:
		switch r.Reason {
		case ReasonMethod:
			return "method"
		case ReasonRequest:
			return "request"
		}
		return "bypass"
	case Stale, Revalidated, Expired:
		if r.demanded {
			return "request"
		}
		return "stale"
	}
	switch {
	case r.partial:
		return "partial"
	case r.varyMiss:
		return "vary-miss"
	}
	return "miss"
}
