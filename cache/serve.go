package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Serve answers a request from the store, or from origin by way of the store. The response's body must be closed. Errors are
// those of origin; fault.OnlyIfCached when the client wants a stored response and there is none; fault.ClientGone and
// fault.OriginTimeout when ctx ends while the request waits. The Result is meaningful with an error too.
func (s *Store) Serve(ctx context.Context, req *Request, origin Origin) (*httpwire.Response, Result, error) {
	resp, result, err := s.serve(ctx, req, origin)
	s.metrics.requests[result.Outcome].Inc()
	return resp, result, err
}

// Lookup answers a request that is a fresh hit and needs nothing else, exactly as Serve would: the hit lane. ok is false for
// every other request, which nothing has happened to. No context is needed: all bytes are there, as they may not be of what is kept in slices.
func (s *Store) Lookup(req *Request) (resp *httpwire.Response, result Result, ok bool) {
	w, reason := readWish(req)
	if reason != "" {
		return nil, Result{}, false
	}
	var buf [keyBuffer]byte
	keyed := req.keyed()
	k, url := keyed.Append(buf[:0])
	if resp = s.hit(req, &w, k, url, &result); resp != nil {
		s.metrics.requests[Hit].Inc()
	}
	return resp, result, resp != nil
}

// keyBuffer is room for the key of an ordinary request on the stack.
const keyBuffer = 256

// action is what a decision tells to do.
type action uint8

const (
	actLead   action = iota // fetch, and let others join
	actSolo                 // fetch, alone
	actHit                  // answer with the entry
	actStale                // the same, and refresh it when due
	actJoin                 // wait for the fill
	actPass                 // to the origin, unstored
	actRefuse               // 504
)

// decision is what is to be done with a request, and why. It is a value: taking it changes nothing.
type decision struct {
	act      action
	entry    *entry // the stored response the request selects; nil: none
	fill     *fill  // actJoin
	refresh  bool   // actStale: start one
	demanded bool   // the entry is fresh, but not enough for the request
	reason   string
	bypass   bool // actPass: the store has no say; else it looked and found nothing
	varyMiss bool // variants are stored, and none matches
}

// decide looks at a key's group, which may be nil, with the shard's lock held. The entry's validation (RFC 9111 §4.3), the
// request's wishes and the fills in flight are weighed in this order and nowhere else.
func (s *Store) decide(g *group, k []byte, req *Request, w *wish, now time.Time) decision {
	var d decision
	if g != nil {
		if d.entry = g.find(req.Head.Fields); d.entry != nil && d.entry.head.total > 0 && req.Policy.NoSlices {
			d.entry = nil // of a time when the policy had them
		}
		d.varyMiss = d.entry == nil && slices.ContainsFunc(g.entries, (*entry).alive)
	}
	alone := w.alone || rules.CloudFront(req.Policy) && key.Cookies(req.Policy) // that service does not collapse these
	if e := d.entry; e != nil {
		if d.fromStore(e, w, now) {
			d.refresh = d.reason == ReasonRefresh && !now.Before(e.retry) && !g.refreshing(e)
			return d
		}
		// What is validated on every use cannot be shared: each request asks for itself.
		fresh := e.freshness()
		alone = alone || fresh.NoCache || fresh.Lifetime <= fresh.InitialAge
	}
	switch {
	case w.OnlyIfCached:
		d.act, d.reason = actRefuse, ReasonOnlyIfCached
		return d
	case w.Ranged && d.entry == nil && !s.fetchesParts(req.Policy, k, w, now):
		d.act, d.reason, d.bypass = actPass, ReasonRange, true
		return d
	}
	if g != nil && !alone {
		if d.fill = g.joinable(req.Head.Fields, w, now); d.fill != nil && !d.fill.crowded(req.Policy) {
			d.act = actJoin
			return d
		}
		if d.fill != nil {
			d.fill, alone = nil, true
			if d.entry != nil && w.Ask == nil && d.entry.freshness().Usable(now) {
				d.act, d.reason = actStale, ReasonWaiters
				return d
			}
		}
	}
	switch p, marked := s.passes.Peek(passKey(k, w.Auth)); {
	case w.NoStore:
		d.act, d.reason, d.bypass = actPass, ReasonRequest, true
	case w.Head:
		d.act, d.reason = actPass, ReasonHead
	case marked && now.Before(p.until) && !p.solo:
		d.act, d.reason = actPass, p.reason
	case alone || marked && now.Before(p.until):
		d.act = actSolo
	}
	return d
}

// fromStore decides whether the entry answers without the origin, with the shard's lock held.
func (d *decision) fromStore(e *entry, w *wish, now time.Time) bool {
	fresh := e.freshness()
	d.demanded = fresh.Fresh(now)
	switch {
	case w.Fits(fresh, now):
		d.act, d.demanded = actHit, false
	case w.Ask != nil && fresh.Satisfies(w.Ask, now):
		d.act, d.reason = actStale, ReasonMaxStale
	case w.Ask != nil:
		return false
	case fresh.Refreshable(now):
		d.act, d.reason = actStale, ReasonRefresh
	case now.Before(e.standIn) && fresh.Fallback(now):
		d.act, d.reason = actStale, ReasonErrorKept
	default:
		return false
	}
	return true
}

func (s *Store) serve(ctx context.Context, req *Request, origin Origin) (*httpwire.Response, Result, error) {
	w, reason := readWish(req)
	if reason != "" {
		return s.pass(ctx, req, origin, Result{Outcome: Bypass, Reason: reason})
	}
	w.origin = origin
	var buf [keyBuffer]byte
	keyed := req.keyed()
	k, url := keyed.Append(buf[:0])
	var result Result
	if resp := s.hit(req, &w, k, url, &result); resp != nil {
		return resp, result, nil
	}
	if s.recall(ctx, req, k, url) {
		if resp := s.hit(req, &w, k, url, &result); resp != nil {
			return resp, result, nil
		}
	}
	for joins := 0; joins <= maxJoins+1; joins++ {
		w.alone = joins >= maxJoins
		resp, result, err := s.attempt(ctx, req, &w, k, url, origin)
		switch {
		case errors.Is(err, errAlone):
			joins = maxJoins - 1
		case !errors.Is(err, errAgain):
			return resp, result, err
		}
	}
	return s.pass(ctx, req, origin, Result{Outcome: Miss, Reason: ReasonContention, Key: string(k)})
}

// errAgain says that a fill could not answer this request, which should look again.
var errAgain = errors.New("look again")

// errAlone says that a request has waited for others for as long as it may.
var errAlone = errors.New("fetch alone")

// attempt decides once and does what was decided.
func (s *Store) attempt(ctx context.Context, req *Request, w *wish, k []byte, url int, origin Origin) (*httpwire.Response, Result, error) {
	sh := s.shard(k[:url])
	now := time.Now()
	sh.mu.Lock()
	g := sh.live(k, url)
	d := s.decide(g, k, req, w, now)
	var src source
	if d.entry != nil {
		src = source{head: d.entry.current(), object: d.entry.object, stored: true}
	}
	var f *fill
	var run context.Context
	switch d.act {
	case actHit, actStale:
		d.entry.touch(req.Policy.Pin)
		src.object.Hold()
		if d.refresh {
			f, run = s.newFill(ctx, sh.group(k, url), req, w, &d)
		}
	case actPass:
		if d.entry != nil {
			src.object.Hold()
		}
	case actJoin:
		f = d.fill
		f.refs.Add(1)
	case actLead, actSolo:
		f, run = s.newFill(ctx, sh.group(k, url), req, w, &d)
	}
	sh.mu.Unlock()

	if g != nil && (d.act == actRefuse || d.act == actPass && d.entry == nil) {
		s.rest(g)
	}
	result := Result{Reason: d.reason, varyMiss: d.varyMiss, demanded: d.demanded, ShowKey: req.Policy.ShowKey}
	switch d.act {
	case actHit, actStale:
		if f != nil {
			f.start(run, origin)
		}
		result.Key, result.Outcome = d.entry.group.key, Hit
		if d.act == actStale {
			result.Outcome = Stale
		}
		result.TTL, result.Age = src.head.fresh.TTL(now), src.head.fresh.Age(now)
		src.age = result.Age
		return s.answer(ctx, result, req, w, src)
	case actRefuse:
		result.Key, result.Outcome = string(k), Miss
		return nil, result, fault.New(fault.OnlyIfCached, nil)
	case actPass:
		result.Key, result.Outcome = string(k), Miss
		if d.bypass {
			result.Outcome = Bypass
		}
		return s.passOrStale(ctx, req, w, origin, result, d.entry, src)
	case actJoin:
		return f.join(ctx, req, w, result)
	}
	if f == nil {
		result.Key, result.Outcome, result.Reason = string(k), Bypass, ReasonClosed
		return s.pass(ctx, req, origin, result)
	}
	f.start(run, origin)
	return f.lead(ctx, req, w, result)
}
