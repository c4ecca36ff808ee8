package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/cache/slice"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// fill is one fetch for the store. It has a goroutine of its own, which ends with the origin's body, when the store is closed,
// or when nobody can use the response any more.
//
// Its life, in order:
//
//  1. newFill puts it into its group, with the shard's lock held; others may join from here on.
//  2. The goroutine gets a response head, decides, and publishes an answer. Everybody who waits sees the same answer.
//  3. When the answer has a growing object, the goroutine copies the body into it. New requests may still join.
//  4. The object is complete: it replaces what is stored. Or it is not: it is dropped, and its readers get the error.
type fill struct {
	store      *Store
	group      *group
	tenant     *tenant
	sent       httpwire.Head      // detached; validators are added for the fetch only
	policy     config.CachePolicy // a copy: the fill may outlive the generation it came from
	auth       bool
	solo       bool          // nobody joins
	background bool          // nobody leads
	ask        *ask          // a part that is asked for; nil: the whole
	window     *slice.Window // of the body that is cut into slices; nil: none. Set before ready is closed
	old        *entry
	oldHead    *head  // old's when the fill started
	born       uint64 // the number of purges then
	version    uint64 // and their version
	began      time.Time
	cancel     context.CancelFunc
	refs       atomic.Int32  // the goroutine, and the requests that have joined and not yet taken their answer
	purged     atomic.Bool   // not to be stored
	ready      chan struct{} // closed when answer is set
	answer     answer        // immutable once ready is closed

	mu sync.Mutex // guards the fields below

	leaderGone bool
	direct     *httpwire.Response // for the leader, who takes it once
}

// answer is what a fill has found out.
type answer struct {
	head      *head
	first     *head        // the leader's, with the fields that are not stored; nil: as head
	object    *body.Object // nil: no response to share
	variant   rules.Variant
	shared    bool // others than the leader may have it
	confirmed bool // 304: object is the stored one
	stale     bool // the origin failed, and the old entry stands in
	released  bool // everybody is to look again
	passed    bool // the leader sends its own request
	status    int  // the origin's; 0: none
	reason    string
	err       error
}

// newFill makes a fill for a request and puts it into its group, with the shard's lock held. The context is the fetch's: it
// does not end with the request. nil: the store is closed.
func (s *Store) newFill(ctx context.Context, g *group, req *Request, w *wish, d *decision) (*fill, context.Context) {
	keyed := req.keyed()
	f := &fill{
		store: s, group: g, tenant: s.memory.Of(req.Site), sent: keyed.Fetch(), policy: *req.Policy, auth: w.Auth, solo: d.act == actSolo,
		background: d.act == actStale, old: d.entry, ready: make(chan struct{}), began: time.Now(),
		ask: newAsk(req, w, d.entry),
	}
	return f.enlist(ctx)
}

// enlist puts a new fill into its group, as newFill says.
func (f *fill) enlist(ctx context.Context) (*fill, context.Context) {
	s, g := f.store, f.group
	f.version = s.book.Version() // before born: a purge between the two is weighed again, not missed
	f.born = s.book.Current()
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		f.cancel()
		g.shard.tidy(g)
		return nil, nil
	}
	s.fills[f] = struct{}{}
	s.wg.Add(1)
	s.flying.Add(1)
	f.refs.Store(2)
	if f.background {
		f.refs.Store(1)
		f.leaderGone = true
	}
	if f.old != nil {
		f.oldHead = f.old.current()
		f.old.object.Hold()
	}
	g.fills = append(g.fills, f)
	return f, ctx
}

// joinable finds a fill that a request may wait for or read from, with the shard's lock held.
func (g *group) joinable(fields httpwire.Fields, w *wish, now time.Time) *fill {
	for _, f := range slices.Backward(g.fills) {
		if f.solo || f.auth != w.Auth || f.outdated() {
			continue
		}
		select {
		case <-f.ready:
			a := &f.answer
			if a.shared && a.variant.Match(fields) && w.Fits(&a.head.fresh, now) {
				return f
			}
		default:
			// Its variant is not known yet. The last one's names are a good guess at whether it will suit.
			if g.vary.Same(f.sent.Fields, fields) {
				return f
			}
		}
	}
	return nil
}

// refreshing reports whether a fill for e is in flight, with the shard's lock held.
func (g *group) refreshing(e *entry) bool {
	return slices.ContainsFunc(g.fills, func(f *fill) bool { return f.old == e })
}

// start lets the goroutine go. Store.Close waits for it.
func (f *fill) start(ctx context.Context, origin Origin) {
	go func() {
		defer f.store.wg.Done()
		defer f.end()
		f.work(ctx, origin)
	}()
}

// end is the last thing the goroutine does. A panic of the origin's is an error of this fill's and of nobody else.
func (f *fill) end() {
	if p := recover(); p != nil {
		f.store.log.Error("fill panicked", "key", f.group.key, "panic", fmt.Sprint(p))
		f.broken(fault.New(fault.Unexpected, fmt.Errorf("fill: %v", p)))
	}
	s := f.store
	s.mu.Lock()
	delete(s.fills, f)
	s.mu.Unlock()
	s.flying.Add(-1)
	f.leave()
	s.rest(f.group)
}

// broken ends a fill that did not come to its own end.
func (f *fill) broken(err error) {
	select {
	case <-f.ready:
		f.withdraw()
		if o := f.answer.object; o != nil && !f.answer.confirmed {
			o.Finish(err)
		}
	default:
		f.publish(answer{err: err, reason: ReasonFailed})
	}
	f.cancel()
}

// publish sets the answer, once. A fill that nobody else may read from leaves its group in the same step.
func (f *fill) publish(a answer) {
	sh := f.group.shard
	sh.mu.Lock()
	f.answer = a
	if a.object != nil {
		f.group.vary = a.variant
	}
	if a.object == nil || a.confirmed || a.head.total > 0 {
		f.unlist()
	}
	close(f.ready)
	sh.mu.Unlock()
}

// withdraw takes the fill out of its group: no request finds it any more.
func (f *fill) withdraw() {
	sh := f.group.shard
	sh.mu.Lock()
	f.unlist()
	sh.mu.Unlock()
}

// unlist is withdraw with the shard's lock held.
func (f *fill) unlist() {
	if i := slices.Index(f.group.fills, f); i >= 0 {
		f.group.fills = slices.Delete(f.group.fills, i, i+1)
	}
	f.group.shard.tidy(f.group)
}

// leave drops one reference: a request's, once it has taken its answer or given up, or the goroutine's.
func (f *fill) leave() {
	n := f.refs.Add(-1)
	if n > 0 {
		select {
		case <-f.ready:
			if o := f.answer.object; o != nil {
				o.Moved()
			}
			if f.window != nil {
				f.window.Poke()
			}
		default:
			if n == 1 && f.purged.Load() {
				f.cancel() // nobody waits, and it will not be stored
			}
		}
		return
	}
	if o := f.answer.object; o != nil && !f.answer.confirmed {
		o.Release()
	}
	if f.old != nil {
		f.old.object.Release()
	}
}

// lead answers the request that started the fill.
func (f *fill) lead(ctx context.Context, req *Request, w *wish, result Result) (*httpwire.Response, Result, error) {
	defer f.leave()
	result.Key, result.Outcome = f.group.key, Miss
	if f.old != nil {
		result.Outcome = Expired
	}
	limit, _ := f.patience(req, w, true)
	if err := f.wait(ctx, limit); err == errSlow {
		if resp, result, ok := f.standIn(ctx, req, w, result); ok {
			f.abandon()
			return resp, result, nil
		}
		err = f.wait(ctx, -1) // purged meanwhile
		if err != nil {
			f.abandon()
			return nil, result, err
		}
	} else if err != nil {
		f.abandon()
		return nil, result, err
	}
	a := &f.answer
	result.FwdStatus, result.Reason = a.status, a.reason
	if a.object != nil || a.stale || a.released {
		return f.take(ctx, req, w, result)
	}
	if a.err != nil {
		return nil, result, a.err
	}
	if a.passed {
		result.Outcome = Bypass
		return f.store.pass(ctx, req, w.origin, result)
	}
	f.mu.Lock()
	resp := f.direct
	f.direct = nil
	f.mu.Unlock()
	reply.Own(ctx, resp, f.cancel)
	return resp, result, nil
}

// join answers a request from another's fill, or tells it to look again.
func (f *fill) join(ctx context.Context, req *Request, w *wish, result Result) (*httpwire.Response, Result, error) {
	defer f.leave()
	result.Key, result.Outcome, result.Collapsed = f.group.key, Collapsed, true
	limit, stale := f.patience(req, w, false)
	if err := f.wait(ctx, limit); err == errSlow {
		if stale {
			if resp, result, ok := f.standIn(ctx, req, w, result); ok {
				return resp, result, nil
			}
		}
		return nil, result, errAlone
	} else if err != nil {
		return nil, result, err
	}
	a := &f.answer
	result.FwdStatus = a.status
	switch {
	case a.err != nil:
		result.Reason = a.reason
		return nil, result, a.err
	case a.stale && f.old.variantMatches(req.Head.Fields):
	case !a.shared, !a.variant.Match(req.Head.Fields):
		return nil, result, errAgain
	}
	return f.take(ctx, req, w, result)
}

// take makes the response from the answer's object, or from the old entry.
func (f *fill) take(ctx context.Context, req *Request, w *wish, result Result) (*httpwire.Response, Result, error) {
	a, now := &f.answer, time.Now()
	src := source{head: a.head, object: a.object, stored: result.Collapsed || a.confirmed}
	if a.first != nil && !result.Collapsed {
		src.head = a.first
	}
	switch {
	case a.released:
		return nil, result, errAgain
	case a.stale:
		if f.old.gone(f.oldHead) {
			return nil, result, errAgain // purged meanwhile: it is never served again
		}
		src = source{head: f.oldHead, object: f.old.object, stored: true}
		result.Outcome, result.Reason = Stale, ReasonError
	case a.confirmed && !result.Collapsed:
		result.Outcome = Revalidated
	}
	result.Stored = !a.stale && a.reason == ""
	result.TTL, result.Age = src.head.fresh.TTL(now), src.head.fresh.Age(now)
	src.age = result.Age
	src.object.Hold()
	return f.store.answer(ctx, result, req, w, src)
}

// abandon is called when the leader goes before the answer: a response that was for it alone is given up.
func (f *fill) abandon() {
	f.mu.Lock()
	f.leaderGone = true
	resp := f.direct
	f.direct = nil
	f.mu.Unlock()
	if resp != nil {
		f.cancel()
		reply.Discard(resp)
	}
}

func (e *entry) variantMatches(fields httpwire.Fields) bool {
	sh := e.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return e.variant.Match(fields)
}
