package rules

import (
	"slices"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Candidate is a response that could be stored, and what is known about it. Nothing in it may be nil.
type Candidate struct {
	Request   *httpwire.Head // as forwarded
	Status    int
	Fields    httpwire.Fields
	Policy    *config.CachePolicy
	Requested time.Time // request_time of RFC 9111 §4.2.3
	Received  time.Time // response_time
}

// Verdict says whether a Candidate is stored.
type Verdict struct {
	Store  bool
	Shared bool   // it may also answer requests that wait for it: it is fresh
	Reason string // why it is not stored; empty when it is
	Fresh  Freshness
	Hidden []string // fields that are not stored, lower case; see Directives.Withheld
}

// Storable applies RFC 9111 §3 for a shared cache, and the rules of this one that are stricter. It is a pure function.
func Storable(c *Candidate) Verdict {
	d := ResponseDirectives(c.Fields, c.Policy)
	if reason := refusal(c, &d); reason != "" {
		return Verdict{Reason: reason}
	}
	f, ok := NewFreshness(c, &d)
	if !ok {
		return Verdict{Reason: ReasonFreshness}
	}
	v := Verdict{Store: true, Fresh: f, Shared: f.Fresh(c.Received), Hidden: d.Withheld}
	if v.Shared || HasValidator(c.Fields) {
		return v
	}
	// Without a validator, what is not fresh is of use only if it may be served stale.
	if f.NoCache {
		return Verdict{Reason: ReasonNoCache, Fresh: f}
	}
	if !f.Refreshable(c.Received) && !f.Fallback(c.Received) {
		return Verdict{Reason: ReasonFreshness, Fresh: f}
	}
	return v
}

// refusal is the reason that forbids storing whatever the freshness, or "".
func refusal(c *Candidate, d *Directives) string {
	raised := CloudFront(c.Policy) && c.Policy.MinTTL > 0 // the profile's MinTTL beats the origin's refusal
	// RFC 9111 §5.2.2.3: with must-understand, a status that is understood lifts no-store.
	noStore := d.NoStore && !(d.MustUnderstand && understood(c.Status))
	switch {
	case c.Request.Method != "GET":
		return ReasonMethod
	case !storableStatus(c.Status), d.MustUnderstand && !understood(c.Status):
		return ReasonStatus
	case ParseDirectives(c.Request.Fields).NoStore && !CloudFront(c.Policy):
		return ReasonRequest
	case noStore && !raised:
		return ReasonNoStore
	case d.Private && !raised:
		return ReasonPrivate
	case CloudFront(c.Policy) && d.NoCache && !raised:
		return ReasonNoCache
	case c.Fields.Has(httpwire.SetCookie) && !d.Hides(&httpwire.Field{Name: "Set-Cookie"}):
		return ReasonSetCookie
	case c.Request.Fields.Has(httpwire.Authorization) && !sharedDespiteAuthorization(d) && !keyedBy(c.Policy, "authorization"):
		return ReasonAuthorization
	case !raised && !varyStorable(c.Fields):
		return ReasonVary
	}
	return ""
}

// keyedBy reports whether a request field is in the key: what it was stored for is then all that it answers.
func keyedBy(p *config.CachePolicy, name string) bool {
	return CloudFront(p) && slices.Contains(p.KeyHeaders, name)
}

// sharedDespiteAuthorization is RFC 9111 §3.5: what lets a shared cache store the answer to an authenticated request.
func sharedDespiteAuthorization(d *Directives) bool {
	return d.Public || d.MustRevalidate || d.SMaxAge.Present && d.SMaxAge.Valid
}

// storableStatus refuses what is not final, and what would be taken for something else when it is found again: a part (206),
// a confirmation (304), a range that does not exist (416).
func storableStatus(status int) bool {
	return status >= 200 && status <= 599 && status != 206 && status != 304 && status != 416
}

// heuristic lists the statuses that may be stored without explicit freshness (RFC 9110 §15.1), 206 left out.
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood lists the statuses whose caching rules are implemented here (RFC 9111 §5.2.2.3): those of RFC 9110 §15 that have none of
// their own.
func understood(status int) bool {
	switch status {
	case 206, 304, 416:
		return false
	case 421, 422, 426:
		return true
	}
	return status >= 200 && status <= 205 || status >= 300 && status <= 308 && status != 306 ||
		status >= 400 && status <= 417 || status >= 500 && status <= 505
}
