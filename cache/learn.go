package cache

import (
	"slices"

	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// learn updates a stored response to GET from the response to HEAD, or drops it when that shows that it is not what the origin has now
// (RFC 9111 §4.3.5).
func (s *Store) learn(e *entry, req *Request, in arrival) {
	sh := e.group.shard
	sh.mu.Lock()
	stored := e.head
	sh.mu.Unlock()
	if !rules.Describes(in.resp.Fields, in.resp.Length, stored.fields, stored.length(e.object)) {
		s.forget(e)
		return
	}
	fields := rules.Update(stored.fields, in.resp.Fields, in.received)
	get := *req.Head
	get.Method = "GET"
	v := rules.Storable(&rules.Candidate{Request: &get, Status: stored.status, Fields: rules.WithAge(fields, in.resp.Fields), Policy: req.Policy,
		Requested: in.requested, Received: in.received})
	if !v.Store {
		s.forget(e)
		return
	}
	if len(v.Hidden) > 0 {
		fields = rules.Update(stored.fields, in.resp.Fields, in.received, v.Hidden...)
	}
	h := &head{status: stored.status, fields: fields, fresh: v.Fresh, aged: in.resp.Fields.Has(httpwire.Age), born: stored.born, tags: stored.tags,
		total: stored.total}
	variant := rules.Variant(nil)
	if !rules.CloudFront(req.Policy) {
		variant = rules.NewVariant(req.Head.Fields, fields)
	}
	base := h.cost(e.group.key, variant)
	growth := max(0, base-e.object.Base())
	if !e.tenant.Reserve(growth) {
		return // it stays as it is
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !e.alive() || e.head != stored || !slices.Contains(e.group.entries, e) {
		e.tenant.Charge(-growth) // somebody knows better
		return
	}
	e.tenant.Charge(e.object.Recharge(base) - growth)
	was := e.variant
	e.head, e.variant, e.judged, e.soft = h, variant, 0, purge.Verdict{}
	e.rewriteKept(was)
	e.reweigh()
}

// forget drops an entry.
func (s *Store) forget(e *entry) {
	sh := e.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e.dead.Store(true)
	sh.remove(e)
	sh.tidy(e.group)
}
