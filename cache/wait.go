package cache

import (
	"context"
	"errors"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// crowded reports whether as many requests wait for the answer as may.
func (f *fill) crowded(p *config.CachePolicy) bool {
	most := p.MaxWaiters
	if most <= 0 {
		most = maxWaiters
	}
	return !f.published() && int(f.refs.Load()) > most+1 // the goroutine and the leader do not wait for others
}

// patience is how long a request waits for the answer, negative for as long as it takes, and whether the old entry stands in then.
func (f *fill) patience(req *Request, w *wish, leader bool) (limit time.Duration, stale bool) {
	limit = -1
	if !leader {
		if limit = req.Policy.WaitTimeout; limit <= 0 {
			limit = waitTimeout
		}
	}
	stale = f.old != nil && w.Ask == nil && f.oldHead.fresh.Usable(time.Now()) && !f.old.gone(f.oldHead) && f.old.variantMatches(req.Head.Fields)
	if slow := req.Policy.StaleIfSlow; stale && slow > 0 {
		if slow = max(0, slow-time.Since(f.began)); limit < 0 || slow < limit {
			limit = slow
		}
	}
	return limit, stale
}

// errSlow says that the answer did not come in time.
var errSlow = errors.New("the answer takes too long")

// wait waits for the answer, for no longer than limit if that is not negative.
func (f *fill) wait(ctx context.Context, limit time.Duration) error {
	if f.published() {
		return nil
	}
	var late <-chan time.Time
	if limit >= 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-f.ready:
		return nil
	case <-late:
		return errSlow
	case <-ctx.Done():
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return fault.New(fault.OriginTimeout, cause)
	}
	return fault.New(fault.ClientGone, cause)
}

// standIn answers with the old entry while the fetch goes on. It fails when the entry was purged meanwhile.
func (f *fill) standIn(ctx context.Context, req *Request, w *wish, result Result) (*httpwire.Response, Result, bool) {
	now := time.Now()
	if f.old.gone(f.oldHead) {
		return nil, result, false
	}
	result.Outcome, result.Reason = Stale, ReasonSlow
	result.TTL, result.Age = f.oldHead.fresh.TTL(now), f.oldHead.fresh.Age(now)
	f.old.object.Hold()
	resp, result, err := f.store.answer(ctx, result, req, w, source{head: f.oldHead, object: f.old.object, age: result.Age, stored: true})
	return resp, result, err == nil
}
