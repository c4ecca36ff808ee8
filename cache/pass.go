package cache

import (
	"context"
	"time"

	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// pass remembers that the responses of a key could not be shared a moment ago, so that requests for it do not queue behind
// each other ("hit for miss").
type pass struct {
	until  time.Time
	reason string
	solo   bool // storable, but every use is validated: fetch alone, with the stored validators
}

// passKey is where a pass is kept. Requests with credentials have their own: an answer to one of them says nothing about the
// others, and they must not be able to switch collapsing off for them.
func passKey(key []byte, auth bool) string {
	if auth {
		return string(key) + "!"
	}
	return string(key)
}

// remember notes why a key's responses cannot be shared.
func (s *Store) remember(key string, auth bool, v *rules.Verdict, status int, now time.Time) {
	ttl := passTTL
	if status >= 400 {
		ttl = errorPassTTL
	}
	s.passes.Add(passKey([]byte(key), auth), pass{until: now.Add(ttl), reason: v.Reason, solo: v.Store})
}

// pass sends a request on as it is, with its own context, and returns the response as it is.
func (s *Store) pass(ctx context.Context, req *Request, origin Origin, result Result) (*httpwire.Response, Result, error) {
	start := time.Now()
	head := req.Head
	if req.Policy != nil && !req.Policy.Off && (head.Method == "GET" || head.Method == "HEAD") {
		keyed := req.keyed()
		head = keyed.Forward()
	}
	result.ShowKey = req.Policy != nil && req.Policy.ShowKey
	resp, err := origin.Fetch(ctx, head)
	if err != nil {
		return nil, result, err
	}
	result.FwdStatus = resp.Status
	if req.Policy == nil || req.Policy.Off {
		return resp, result, nil
	}
	if result.Reason == ReasonMethod {
		s.invalidate(req, resp)
		return resp, result, nil
	}
	if result.Outcome == Miss && req.Head.Method == "GET" {
		// A key is forgotten as not shareable as soon as one response shows otherwise.
		v := rules.Storable(&rules.Candidate{Request: req.Head, Status: resp.Status, Fields: resp.Fields, Policy: req.Policy,
			Requested: start, Received: time.Now()})
		if v.Shared {
			s.passes.Remove(passKey([]byte(result.Key), req.Head.Fields.Has(httpwire.Authorization)))
		}
	}
	return resp, result, nil
}

// passOrStale is pass, with the stored response, if there is one, to fall back on where stale-if-error allows it: src, which holds a reference.
func (s *Store) passOrStale(ctx context.Context, req *Request, w *wish, origin Origin, result Result, e *entry, src source) (*httpwire.Response, Result, error) {
	start := time.Now()
	resp, result, err := s.pass(ctx, req, origin, result)
	if e == nil {
		return resp, result, err
	}
	now := time.Now()
	if w.Head && err == nil && resp.Status == 200 && src.head.status == 200 {
		s.learn(e, req, arrival{resp: resp, requested: start, received: now})
	}
	if (err == nil && !rules.ServerError(resp.Status)) || e.gone(src.head) || !src.head.fresh.Fallback(now) || ctx.Err() != nil {
		src.object.Release()
		return resp, result, err
	}
	if err == nil {
		reply.Discard(resp)
	}
	result.Outcome, result.Reason = Stale, ReasonError
	result.TTL, result.Age = src.head.fresh.TTL(now), src.head.fresh.Age(now)
	src.age = result.Age
	return s.answer(ctx, result, req, w, src)
}
