package cache

import (
	"time"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/pages"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/record"
)

// Rest implements body.Owner.
func (e *entry) Rest() {
	if e.light() {
		e.store().rest(e.group)
	}
}

// light reports whether an entry is one that is packed, by its body: larger ones are so few, for the memory they take, that they stay as they are.
func (e *entry) light() bool {
	return e.object.Done() && !e.object.Stored() && e.object.Size() <= int64(e.tenant.pageSize())/packPart
}

// small is light for what is neither a slice nor the base of slices, which are found by way of their entries. The shard's lock is held.
func (e *entry) small() bool { return e.head.total == 0 && e.head.status != 206 && e.light() }

// pageSize is the size of the pages that records of a tenant lie in; 0: there is too little memory for that.
func (t *tenant) pageSize() int {
	limit, size := t.store.memory.LimitOf(t), int64(maxPage)
	for size > limit/pagesOfLimit {
		size /= 2
	}
	if size < minPage {
		return 0
	}
	return int(size)
}

// plan is what it takes to pack an entry.
type plan struct {
	entry  *entry // nil: nothing is left to be packed
	index  int64  // bytes to reserve for its places in the index
	page   int64  // for a new page; 0: there is room
	credit int64  // for one more to compact with; see tenant.credit
}

// rest packs the responses of a group, if nobody uses any of them and nothing is under way for the key. Memory is reserved without the
// shard's lock, as others are evicted for it; so everything is looked at again after that.
func (s *Store) rest(g *group) {
	sh := g.shard
	buf, _ := s.scratch.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer s.scratch.Put(buf)
	var ration plan // what is reserved
	var page *pages.Page
	for {
		sh.mu.Lock()
		next, ok := s.toPack(g, buf)
		for ok && next.entry != nil && ration.covers(&next) {
			s.pack(next.entry, *buf, page)
			ration = plan{entry: ration.entry, index: ration.index - next.index, page: ration.page - next.page, credit: ration.credit - next.credit}
			next, ok = s.toPack(g, buf)
		}
		if ok && next.entry == nil {
			sh.settleGroup(g)
		}
		sh.mu.Unlock()
		if e := ration.entry; e != nil {
			e.tenant.Charge(-ration.index - ration.page - ration.credit)
		}
		if !ok || next.entry == nil || !next.entry.tenant.Reserve(next.index+next.page+next.credit) {
			return
		}
		if ration = next; next.page > 0 {
			page = pages.New(int(next.page), next.entry.tenant)
		}
	}
}

// covers reports whether what is reserved is enough for another plan.
func (p *plan) covers(next *plan) bool {
	return p.entry != nil && p.entry.tenant == next.entry.tenant && next.index <= p.index && (next.page == 0 || next.page == p.page) &&
		(next.credit == 0 || next.credit == p.credit)
}

// toPack finds an entry of a group that has no record, or another one than it should have, and writes the record it should have into buf. ok is
// false when the group cannot rest now. The shard's lock is held.
func (s *Store) toPack(g *group, buf *[]byte) (p plan, ok bool) {
	sh, now := g.shard, time.Now()
	if sh.groups[g.key] != g || len(g.fills) > 0 || len(g.entries) == 0 {
		return plan{}, false
	}
	for _, e := range g.entries {
		if !e.small() || !e.object.Idle() || now.Before(e.retry) || now.Before(e.standIn) || e.dead.Load() {
			return plan{}, false
		}
	}
	for _, e := range g.entries {
		if e.packed != 0 && e.packedHead == e.head && e.packedForms == e.object.Forms() {
			continue
		}
		*buf = e.append((*buf)[:0])
		n, size := len(*buf), e.tenant.pageSize()
		if n > size/packPart {
			return plan{}, false // the head, or what it is in other codings, is too large
		}
		if p.entry = e; e.packed == 0 {
			p.index = indexCost
		}
		if !e.tenant.arenas[sh.number].Room(n) {
			if p.page = int64(size); e.tenant.credit[sh.number] == 0 {
				p.credit = p.page
			}
		}
		return p, true
	}
	return plan{}, true
}

// append writes the record of an entry.
func (e *entry) append(dst []byte) []byte {
	r := e.recorded()
	r.Body = e.object.Bodies()
	return record.Append(dst, &r, e.store().epoch, false)
}

// recorded is what a record has of an entry, but for its bodies.
func (e *entry) recorded() record.Response {
	h := e.head
	return record.Response{Key: e.group.key, URL: e.group.url, Status: h.status, Fields: h.fields, Fresh: h.fresh, Aged: h.aged, Born: h.born, Tags: h.tags,
		Total: h.total, Variant: e.variant, Mark: encode.Judge(h.status, h.fields, e.object.Length()) == ""}
}

// pack puts the record of an entry into a page: a new one, if there is no room. The shard's lock is held.
func (s *Store) pack(e *entry, b []byte, page *pages.Page) {
	sh, t := e.group.shard, e.tenant
	arena := &t.arenas[sh.number]
	if !arena.Room(len(b)) {
		arena.Add(page)
		if t.credit[sh.number] == 0 {
			t.credit[sh.number] = int64(page.Size())
		}
	}
	if e.packed == 0 {
		key := []byte(e.group.key)
		e.packed = sh.packed.Add(s.hash(key), s.hash(key[:e.group.url]), packed{node: e.node, entry: e.slot, tenant: t.account.Number()})
		if e.node != 0 {
			e.order().SetValue(e.node, e.packed)
		}
	} else {
		arena.Free(sh.packed.At(e.packed).ref)
	}
	p := sh.packed.At(e.packed)
	var to []byte
	p.ref, to = arena.Alloc(e.packed, len(b))
	copy(to, b)
	e.packedHead, e.packedForms = e.head, e.object.Forms()
	e.reweigh()
}

// settleGroup lets a group rest whose entries all have their records. The shard's lock is held.
func (sh *shard) settleGroup(g *group) {
	for _, e := range g.entries {
		p := sh.packed.At(e.packed)
		if p.entry, p.judged = 0, 0; e.soft == (purge.Verdict{}) {
			p.judged = e.judged
		}
		e.object.SetOwner(nil)
		e.object.Release()
		sh.stored.Remove(e.slot)
		e.settled(p)
		e.slot, e.node, e.packed, e.pinned = 0, 0, 0, 0
	}
	g.entries = nil
	sh.tidy(g)
}

// settled tells the order, when an entry has come to rest, that it takes no more than its record.
func (e *entry) settled(p *packed) {
	if e.node != 0 {
		e.order().Resize(e.node, p.weight())
		e.group.shard.stamp(e.tenant)
		return
	}
	e.tenant.account.Pinned(p.weight() - e.pinned)
}
