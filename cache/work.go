package cache

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// arrival is a response head as it came back to a fill.
type arrival struct {
	resp      *httpwire.Response
	status    int   // as it came
	total     int64 // of the body that a part came of; 0: resp has all there is
	requested time.Time
	received  time.Time
}

// work is the whole of a fill's goroutine.
func (f *fill) work(ctx context.Context, origin Origin) {
	if f.ask != nil && f.ask.of != nil {
		f.fetchSlice(ctx, origin)
		return
	}
	in, err := f.fetch(ctx, origin, f.old != nil)
	if err == nil && in.resp.Status == 304 {
		if f.confirm(in) {
			f.cancel()
			return
		}
		// It speaks of another response, or ours was purged meanwhile: ask without validators (RFC 9111 §4.3.3).
		in, err = f.fetch(ctx, origin, false)
		if err == nil && in.resp.Status == 304 {
			reply.Discard(in.resp)
			err = fault.New(fault.OriginProtocol, errors.New("304 to an unconditional request"))
		}
	}
	switch {
	case err != nil && f.store.isClosed() && errors.Is(ctx.Err(), context.Canceled):
		f.cancel()
		f.publish(answer{released: true})
	case err != nil || rules.ServerError(in.resp.Status) && f.mayStandIn():
		f.failed(in, err)
	default:
		f.judge(ctx, in)
	}
}

// fetch asks the origin, with the validators of the old entry if conditional.
func (f *fill) fetch(ctx context.Context, origin Origin, conditional bool) (arrival, error) {
	sent := f.sent
	sent.Fields = slices.Clone(f.sent.Fields)
	if conditional && !(rules.CloudFront(&f.policy) && key.Cookies(&f.policy)) { // that service asks without conditions where cookies count
		rules.AddValidators(&sent.Fields, f.oldHead.fields)
	}
	if f.ask != nil {
		f.ask.write(&sent.Fields)
	}
	in := arrival{requested: time.Now()}
	resp, err := origin.Fetch(ctx, &sent)
	if err == nil && resp == nil {
		err = fault.New(fault.Unexpected, errors.New("origin returned no response"))
	}
	if in.resp, in.received = resp, time.Now(); resp != nil {
		in.status = resp.Status
	}
	return in, err
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// mayStandIn reports whether the old entry may be served because the origin failed.
func (f *fill) mayStandIn() bool {
	return f.old != nil && !f.old.gone(f.oldHead) && f.oldHead.fresh.Fallback(time.Now())
}

// failed publishes that the origin failed: the old entry stands in if it may, else everybody gets the error.
func (f *fill) failed(in arrival, err error) {
	f.store.metrics.fills.WithLabelValues(fillError).Inc()
	a := answer{err: err, reason: ReasonFailed}
	if err == nil || f.mayStandIn() {
		a = answer{stale: true, reason: ReasonError}
	}
	if err == nil {
		a.status = in.resp.Status
		reply.Discard(in.resp)
	}
	f.cancel()
	f.postpone()
	if f.background {
		f.store.log.Debug("background refresh got no response", "key", f.group.key, "status", a.status, "err", err)
	}
	f.publish(a)
}

// postpone keeps the next background refresh of the old entry for a while.
func (f *fill) postpone() {
	if f.old == nil {
		return
	}
	sh := f.group.shard
	now := time.Now()
	sh.mu.Lock()
	f.old.retry = now.Add(refreshBackoff)
	if rules.CloudFront(&f.policy) {
		f.old.standIn = now.Add(f.policy.ErrorTTL)
	}
	sh.mu.Unlock()
}

// confirm freshens the old entry from a 304 and publishes it (RFC 9111 §4.3.4). It fails when the 304 is not about the entry,
// or the entry must not be used any more.
func (f *fill) confirm(in arrival) bool {
	reply.Discard(in.resp)
	if f.old == nil || !rules.Confirms(in.resp.Fields, f.oldHead.fields) {
		return false
	}
	all := rules.Update(f.oldHead.fields, in.resp.Fields, in.received)
	v := f.verdict(f.oldHead.status, rules.WithAge(all, in.resp.Fields), in)
	fields := all
	if len(v.Hidden) > 0 {
		fields = rules.Update(f.oldHead.fields, in.resp.Fields, in.received, v.Hidden...)
	}
	fresh := &head{status: f.oldHead.status, fields: fields, fresh: v.Fresh, born: f.born, tags: f.oldHead.tags, total: f.oldHead.total}
	if tags := rules.Tags(in.resp.Fields, *f.store.tagFields.Load()); len(tags) > 0 {
		fresh.tags = tags
	}
	fresh.fresh.Received, fresh.aged = in.received, in.resp.Fields.Has(httpwire.Age)
	a := answer{head: fresh, object: f.old.object, variant: rules.NewVariant(f.sent.Fields, fields), shared: v.Shared,
		confirmed: true, status: 304, reason: v.Reason}
	if f.policyIgnoresVary() {
		a.variant = nil
	}
	a.first = fresh.withFields(all, v.Hidden)
	base := fresh.cost(f.group.key, a.variant)
	growth := max(0, base-f.old.object.Base())
	if v.Store && !f.old.tenant.Reserve(growth) {
		v, a.shared, a.reason = rules.Verdict{Reason: ReasonMemory}, false, ReasonMemory
	}
	if !f.replaceHead(&a, v, base, growth) {
		return false
	}
	if !a.shared {
		f.store.remember(f.group.key, f.auth, &v, 304, in.received)
	}
	f.store.metrics.fills.WithLabelValues(fillRevalidated).Inc()
	f.publish(a)
	return true
}

// replaceHead puts a confirmed head into the old entry, or takes the entry out when it may not be stored any more. It fails
// when the entry was purged.
func (f *fill) replaceHead(a *answer, v rules.Verdict, base, growth int64) bool {
	sh, e := f.group.shard, f.old
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := slices.Index(f.group.entries, e)
	if !v.Store {
		growth = 0
	}
	if !e.alive() || f.purged.Load() || i < 0 && v.Store && a.shared {
		e.tenant.Charge(-growth)
		// Replaced, not purged: the newer one answers everybody who looks again.
		return false
	}
	if i < 0 {
		e.tenant.Charge(-growth)
		return true
	}
	if !v.Store {
		e.dead.Store(true)
		sh.remove(e)
		return true
	}
	e.tenant.Charge(e.object.Recharge(base) - growth)
	was := e.variant
	e.head, e.variant, e.judged, e.soft = a.head, a.variant, 0, purge.Verdict{}
	e.rewriteKept(was)
	f.group.entries = slices.Insert(slices.Delete(f.group.entries, i, i+1), 0, e)
	e.touch(f.policy.Pin)
	e.reweigh()
	return true
}

func (f *fill) policyIgnoresVary() bool { return rules.CloudFront(&f.policy) }

func (f *fill) verdict(status int, fields httpwire.Fields, in arrival) rules.Verdict {
	return rules.Storable(&rules.Candidate{
		Request: &f.sent, Status: status, Fields: fields, Policy: &f.policy, Requested: in.requested, Received: in.received,
	})
}

// withFields is h with other fields, nil when nothing is hidden.
func (h *head) withFields(fields httpwire.Fields, hidden []string) *head {
	if len(hidden) == 0 {
		return nil
	}
	own := *h
	own.fields = fields
	return &own
}

// judge publishes a response that is not about a stored one: to be stored and shared, or for the leader alone.
func (f *fill) judge(ctx context.Context, in arrival) {
	if f.ask != nil && f.partial(&in) {
		return
	}
	v := f.verdict(in.resp.Status, in.resp.Fields, in)
	var o *body.Object
	h, variant := &head{}, rules.Variant(nil)
	if v.Store {
		h = &head{status: in.resp.Status, fields: rules.KeepFields(in.resp.Fields, in.received, v.Hidden...), fresh: v.Fresh,
			aged: in.resp.Fields.Has(httpwire.Age), born: f.born, tags: rules.Tags(in.resp.Fields, *f.store.tagFields.Load()), total: f.cut(&in)}
		if !f.policyIgnoresVary() {
			variant = rules.NewVariant(f.sent.Fields, h.fields)
		}
		var reason string
		if o, reason = f.room(&in, h, h.cost(f.group.key, variant)); o == nil {
			v = rules.Verdict{Reason: reason, Fresh: v.Fresh}
		}
	}
	if o == nil && in.total > 0 {
		f.passOn(in, v.Reason)
		return
	}
	if v.Shared {
		f.store.passes.Remove(passKey([]byte(f.group.key), f.auth))
	} else {
		f.store.remember(f.group.key, f.auth, &v, in.resp.Status, in.received)
	}
	if o == nil {
		f.hand(in, v.Reason)
		return
	}
	a := answer{head: h, object: o, variant: variant, shared: v.Shared, status: in.status}
	if len(v.Hidden) > 0 {
		a.first = h.withFields(rules.KeepFields(in.resp.Fields, in.received), v.Hidden)
	}
	e := &entry{group: f.group, tenant: f.tenant, variant: variant, object: o, head: h}
	if h.total > 0 {
		f.slice(ctx, in, e, a)
		return
	}
	if o.Total == 0 {
		// There is nothing to stream, so whoever has the answer may ask again at once: it finds the response stored.
		f.fill(ctx, in.resp, e)
		f.publish(a)
		return
	}
	f.publish(a)
	f.fill(ctx, in.resp, e)
}

// admit reserves memory for a response whose head and place in the index cost base: all of it when its length is known, and a
// block when it is not.
func (f *fill) admit(resp *httpwire.Response, base int64) (*body.Object, string) {
	s, most, total := f.store, f.policy.MaxObject, resp.Length
	if resp.Body == nil {
		total = max(total, 0)
	}
	need := body.Need(total)
	if resp.Body == nil {
		need = 0
	}
	if most <= 0 {
		most = math.MaxInt64
	}
	switch {
	case total > min(most, s.maxObject()):
		return nil, ReasonSize
	case !f.tenant.Reserve(base + need):
		return nil, ReasonMemory
	}
	return body.New(body.Options{Space: f.tenant, Maker: s.maker, Total: total, Most: most, Charge: base + need, Base: base}), ""
}

// hand gives a response that may not be shared to the leader, if it is still there. What it replaces is not served again.
func (f *fill) hand(in arrival, reason string) {
	f.store.metrics.fills.WithLabelValues(fillNotStored).Inc()
	f.supersede(in.resp.Status)
	f.mu.Lock()
	gone := f.leaderGone
	if !gone {
		f.direct = in.resp
	}
	f.mu.Unlock()
	if gone {
		f.cancel()
		reply.Discard(in.resp)
	}
	f.publish(answer{status: in.resp.Status, reason: reason})
}

// supersede takes the old entry out when the origin has answered with another response that is not stored.
func (f *fill) supersede(status int) {
	if f.old == nil || status >= 500 {
		return
	}
	sh := f.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f.old.dead.Store(true); slices.Contains(f.group.entries, f.old) {
		sh.remove(f.old)
	}
}
