package rules

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Freshness is the arithmetic of RFC 9111 §4.2 for one response: numbers that do not change while it is stored.
type Freshness struct {
	Lifetime   time.Duration // freshness_lifetime (§4.2.1)
	InitialAge time.Duration // corrected_initial_age (§4.2.3)
	Received   time.Time     // response_time
	Source     string        // what the lifetime comes from: s-maxage, max-age, Expires, default_ttl, error_ttl, Last-Modified, min_ttl, max_ttl
	NoCache    bool          // every use is validated first (§5.2.2.4)
	Immutable  bool          // it does not change while it is fresh (RFC 8246)
	Strict     bool          // never served stale (§4.2.4)

	StaleWhileRevalidate time.Duration // after expiry; 0: not allowed
	StaleIfError         time.Duration // after expiry; 0: not allowed
}

// Age is current_age (RFC 9111 §4.2.3).
func (f *Freshness) Age(now time.Time) time.Duration {
	return f.InitialAge + min(max(0, now.Sub(f.Received)), MaxDuration)
}

// TTL is the freshness left, negative when stale.
func (f *Freshness) TTL(now time.Time) time.Duration { return f.Lifetime - f.Age(now) }

// Since returns the freshness of a response that is declared stale from a time on, as a soft purge does.
func (f *Freshness) Since(stale time.Time) *Freshness {
	g := *f
	if age := f.Age(stale); age < g.Lifetime {
		g.Lifetime, g.Source = age, "soft purge"
	}
	return &g
}

// Fresh reports whether the response may be used without asking the origin.
func (f *Freshness) Fresh(now time.Time) bool { return !f.NoCache && f.TTL(now) > 0 }

// Refreshable reports whether the response may be served stale while it is validated.
func (f *Freshness) Refreshable(now time.Time) bool {
	return !f.Strict && -f.TTL(now) < f.StaleWhileRevalidate
}

// Fallback reports whether the response may be served stale because the origin failed.
func (f *Freshness) Fallback(now time.Time) bool {
	return !f.Strict && -f.TTL(now) < f.StaleIfError
}

// Usable reports whether the response may be served stale for whatever reason a policy or the response allows.
func (f *Freshness) Usable(now time.Time) bool { return f.Refreshable(now) || f.Fallback(now) }

// Satisfies reports whether the response may be used, unvalidated, for a request with these directives (RFC 9111 §5.2.1): whether it is
// fresh, and young and lasting enough, or not too stale. An immutable one need not be confirmed while it is fresh, unless the client
// says no-cache (RFC 8246 §2).
func (f *Freshness) Satisfies(d *Directives, now time.Time) bool {
	ttl := f.TTL(now)
	switch {
	case f.NoCache || d.NoCache:
		return false
	case d.MaxAge.Present && f.Age(now) > d.MaxAge.Value && !(f.Immutable && ttl > 0):
		return false
	case d.MinFresh.Present && ttl < d.MinFresh.Value:
		return false
	case d.MaxAge.Present && d.MaxAge.Value == 0 && !(f.Immutable && ttl > 0):
		return false // even what has just come: the client wants the origin's word
	case ttl > 0:
		return true
	}
	return d.MaxStale.Present && !f.Strict && -ttl <= d.MaxStale.Value
}

// Age computes corrected_initial_age (RFC 9111 §4.2.3) of a response that was asked for and received at these times. A missing
// or malformed Date counts as received (RFC 9110 §6.6.1); of several Age members the first counts, a malformed one not at all
// (RFC 9111 §5.1).
func Age(fields httpwire.Fields, requested, received time.Time) time.Duration {
	apparent := time.Duration(0)
	if v, ok := fields.Get(httpwire.Date); ok {
		if date, ok := ParseDate(v, received); ok {
			apparent = min(max(0, received.Truncate(time.Second).Sub(date)), MaxDuration)
		}
	}
	age := time.Duration(0)
	if v, ok := fields.Get(httpwire.Age); ok {
		first, _, _ := strings.Cut(v, ",")
		age, _ = parseDelta(httpwire.TrimOWS(first))
	}
	return max(apparent, age+max(0, received.Sub(requested)))
}

// NewFreshness computes the freshness of a response under a policy. The second result is false when nothing gives it a lifetime.
func NewFreshness(c *Candidate, d *Directives) (Freshness, bool) {
	f := Freshness{
		InitialAge: Age(c.Fields, c.Requested, c.Received),
		Received:   c.Received,
		NoCache:    d.NoCache,
		Immutable:  d.Immutable,
	}
	lifetime, source, ok := explicit(c.Fields, d, c.Received)
	if CloudFront(c.Policy) {
		f.cloudFront(c, d, lifetime, source, ok)
		return f, f.Source != ""
	}
	// RFC 9111 §5.2.2.10: s-maxage also means proxy-revalidate.
	f.Strict = d.MustRevalidate || d.ProxyRevalidate || d.SMaxAge.Present || d.NoCache
	f.StaleWhileRevalidate = window(d.StaleWhileRevalidate, c.Policy.StaleWhileRevalidate)
	f.StaleIfError = window(d.StaleIfError, c.Policy.StaleIfError)
	if !ok {
		lifetime, source = assumed(c, d)
	}
	switch {
	case ok || lifetime > 0:
		f.clamp(c.Policy, lifetime, source)
	case d.NoCache:
		f.Source = "no-cache" // no lifetime is needed for what is validated on every use
	default:
		return f, false
	}
	if f.Lifetime <= 0 {
		// The origin never wanted it reused. Often that is the only word it has for what is somebody's: the operator's windows do not
		// make it everybody's, only its own directives do.
		f.StaleWhileRevalidate, f.StaleIfError = d.StaleWhileRevalidate.Value, d.StaleIfError.Value
	}
	return f, true
}

// assumed is the lifetime of a response that states none, and where it comes from: error_ttl for errors, else default_ttl, else a part
// of the time since Last-Modified (RFC 9111 §4.2.2). It is for statuses that are cacheable by default, and what is marked public.
func assumed(c *Candidate, d *Directives) (time.Duration, string) {
	if d.NoCache || !heuristic(c.Status) && !d.Public {
		return 0, ""
	}
	p, bound := c.Policy, MaxDuration
	if c.Status >= 400 {
		// An error that one client's odd request provokes must not last (attack row C11).
		if ttl, own := errorTTL(p, c.Status); own || ttl > 0 {
			return ttl, "error_ttl"
		}
		bound = heuristicErrors
	}
	if p.DefaultTTL > 0 {
		return min(p.DefaultTTL, bound), "default_ttl"
	}
	// The guess is for what is the same for everybody: not for answers to those who say who they are.
	if p.HeuristicPercent <= 0 || c.Request.Fields.Has(httpwire.Cookie) || c.Request.Fields.Has(httpwire.Authorization) {
		return 0, ""
	}
	v, _ := c.Fields.Get(httpwire.LastModified)
	modified, ok := ParseDate(v, c.Received)
	if !ok {
		return 0, ""
	}
	since := sent(c.Fields, c.Received).Sub(modified)
	return max(0, min(since/100*time.Duration(p.HeuristicPercent), p.HeuristicMax, bound)).Truncate(time.Second), "Last-Modified"
}

// errorTTL is how long the policy keeps errors of a status, and whether it says so for this one.
func errorTTL(p *config.CachePolicy, status int) (ttl time.Duration, own bool) {
	for i := range p.ErrorTTLs {
		if p.ErrorTTLs[i].Status == status {
			return p.ErrorTTLs[i].TTL, true
		}
	}
	return p.ErrorTTL, false
}

// cloudFront is the arithmetic of the profile of that name: the bounds also raise what the origin wants uncached, errors are kept for
// error_ttl at least, and a stale object is kept for errors unless the origin says otherwise.
func (f *Freshness) cloudFront(c *Candidate, d *Directives, lifetime time.Duration, source string, ok bool) {
	p := c.Policy
	switch refused := d.NoStore || d.Private || d.NoCache; {
	case refused && p.MinTTL > 0:
		f.Lifetime, f.Source, f.NoCache = p.MinTTL, "min_ttl", false
	case refused:
		f.Source = "no-cache"
	case c.Status >= 400:
		f.cloudFrontError(c, d)
	case ok:
		f.clamp(p, lifetime, source)
	case heuristic(c.Status) && max(p.MinTTL, p.DefaultTTL) > 0:
		f.clamp(p, max(p.MinTTL, p.DefaultTTL), "default_ttl")
	}
	f.Strict = f.NoCache || d.MustRevalidate || d.ProxyRevalidate
	f.StaleWhileRevalidate = window(d.StaleWhileRevalidate, p.StaleWhileRevalidate)
	f.StaleIfError = window(d.StaleIfError, p.StaleIfError)
	if !d.StaleIfError.Present && p.StaleIfError == 0 {
		f.StaleIfError = MaxDuration
	}
	if p.MaxTTL > 0 {
		f.StaleWhileRevalidate = min(f.StaleWhileRevalidate, p.MaxTTL)
		f.StaleIfError = min(f.StaleIfError, p.MaxTTL)
	}
}

// cloudFrontError sets how long an error is kept: the longer of error_ttl and what the origin says. Some are kept only if it says
// something; others never
// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html).
func (f *Freshness) cloudFrontError(c *Candidate, d *Directives) {
	stated := d.SMaxAge.Present || d.MaxAge.Present
	switch c.Status {
	case 404, 414, 500, 501, 502, 503, 504:
	case 400, 403, 405, 412, 415:
		if !stated {
			return
		}
	default:
		return
	}
	f.Lifetime, f.Source = d.MaxAge.Value, "max-age"
	if d.SMaxAge.Present {
		f.Lifetime, f.Source = d.SMaxAge.Value, "s-maxage"
	}
	if ttl, _ := errorTTL(c.Policy, c.Status); !stated || f.Lifetime < ttl {
		f.Lifetime, f.Source = ttl, "error_ttl"
	}
}

// explicit is the lifetime the response itself states (RFC 9111 §4.2.1) and the field it comes from.
func explicit(fields httpwire.Fields, d *Directives, received time.Time) (time.Duration, string, bool) {
	switch {
	case d.SMaxAge.Present:
		return d.SMaxAge.Value, "s-maxage", true
	case d.MaxAge.Present:
		return d.MaxAge.Value, "max-age", true
	}
	if d.Targeted {
		return 0, "", false
	}
	lifetime, found := MaxDuration, false
	date := sent(fields, received)
	// Several Expires lines, or one that is no date such as 0, mean the earliest: the past (RFC 9111 §5.3).
	for v := range fields.Values(httpwire.Expires) {
		found = true
		t, ok := ParseDate(v, received)
		if !ok {
			t = date
		}
		lifetime = min(lifetime, max(0, t.Sub(date)))
	}
	return lifetime, "Expires", found
}

// sent is when the origin made a response: its Date, or when it came.
func sent(fields httpwire.Fields, received time.Time) time.Time {
	if v, ok := fields.Get(httpwire.Date); ok {
		if t, ok := ParseDate(v, received); ok {
			return t
		}
	}
	return received.Truncate(time.Second)
}

// clamp sets the lifetime within the policy's bounds.
func (f *Freshness) clamp(p *config.CachePolicy, lifetime time.Duration, source string) {
	f.Lifetime, f.Source = lifetime, source
	if p.MaxTTL > 0 && f.Lifetime > p.MaxTTL {
		f.Lifetime, f.Source = p.MaxTTL, "max_ttl"
	}
	if f.Lifetime < p.MinTTL {
		f.Lifetime, f.Source = p.MinTTL, "min_ttl"
	}
}

// window is how long after expiry stale is allowed: the response's word, else the policy's.
func window(d Delta, policy time.Duration) time.Duration {
	if d.Present {
		return d.Value
	}
	return policy
}

// CloudFront reports whether a policy has the profile of that name.
func CloudFront(p *config.CachePolicy) bool { return p.Profile == "cloudfront" }
