package cache

import (
	"context"
	"strings"
	"time"

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
	resp, err := origin.Fetch(ctx, req.Head)
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

// passOrStale is pass, with the stored response to fall back on where stale-if-error allows it.
func (s *Store) passOrStale(ctx context.Context, req *Request, w *wish, origin Origin, result Result, e *entry) (*httpwire.Response, Result, error) {
	var src source
	if e != nil {
		sh := e.group.shard
		sh.mu.Lock()
		if !e.alive() {
			e = nil
		} else {
			src = source{head: e.current(), object: e.object, stored: true}
			e.object.hold()
		}
		sh.mu.Unlock()
	}
	resp, result, err := s.pass(ctx, req, origin, result)
	if e == nil {
		return resp, result, err
	}
	now := time.Now()
	if (err == nil && !serverError(resp.Status)) || e.gone(src.head) || !src.head.fresh.Fallback(now) || ctx.Err() != nil {
		e.object.release()
		return resp, result, err
	}
	if err == nil {
		discard(resp)
	}
	result.Outcome, result.Reason = Stale, ReasonError
	result.TTL, result.Age = src.head.fresh.TTL(now), src.head.fresh.Age(now)
	src.age = result.Age
	return respond(ctx, req, w, src), result, nil
}

// serverError lists the statuses that count as an error for stale-if-error (RFC 5861 §4).
func serverError(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// discard ends a response that nobody is going to get.
func discard(resp *httpwire.Response) {
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	if resp.Done != nil {
		resp.Done(0, errAbandoned)
	}
}

// cloneHead copies what a fill sends, so that it may outlive the request: without preconditions and ranges of the client,
// because whole objects are stored (RFC 9111 §4.3.1).
func cloneHead(req *Request) httpwire.Head {
	h := httpwire.Head{
		Method:    "GET",
		Target:    forwardTarget(req),
		Proto:     req.Head.Proto,
		Scheme:    strings.Clone(req.Head.Scheme),
		Authority: strings.Clone(req.Head.Authority),
		Fields:    make(httpwire.Fields, 0, len(req.Head.Fields)+2),
	}
	for i := range req.Head.Fields {
		switch req.Head.Fields[i].ID {
		case httpwire.IfNoneMatch, httpwire.IfModifiedSince, httpwire.IfRange, httpwire.Range:
		default:
			h.Fields = append(h.Fields, req.Head.Fields[i])
		}
	}
	h.Fields = h.Fields.Clone()
	return h
}
