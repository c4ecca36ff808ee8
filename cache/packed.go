package cache

import (
	"hash/maphash"
	"slices"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/pages"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/record"
)

// packed is a stored response as it lies in memory while nobody uses it: a record in a page, and these numbers. It has no pointers, so a
// million of them are no work for the collector.
//
// All responses of a key are either at rest, or in a group, where requests that need more than a fresh hit work with them. unpack takes them
// out, Store.rest puts them back. A response that is unpacked keeps its record, and goes back into it when nothing about it has changed.
type packed struct {
	ref    pages.Ref
	node   uint32 // in the order of eviction
	entry  uint32 // in shard.stored; 0: it is at rest
	tenant uint32 // its number in Store.memory
	judged uint64 // version of the purges that were last weighed for it
}

// unpackedBit marks, in an order of eviction, the number of an entry in shard.stored; without it a number is of shard.packed.
const unpackedBit = 1 << 31

// indexCost is what the places of a response at rest in the index and in an order of eviction take.
const indexCost = 160

// hash is that of a key, or of the URL part of one.
func (s *Store) hash(key []byte) uint64 { return maphash.Bytes(s.seed, key) }

// view is the record of a response.
func (sh *shard) view(p *packed) record.View {
	return record.Trusted(sh.store.memory.Numbered(p.tenant).arenas[sh.number].Get(p.ref))
}

// live is the group of a key, with what was at rest in it; nil when nothing is stored or under way for it. The shard's lock is held.
func (sh *shard) live(key []byte, url int) *group {
	if g := sh.groups[string(key)]; g != nil {
		return g
	}
	if sh.atRest(key) == 0 {
		return nil
	}
	return sh.unpack(key, url)
}

// atRest finds one of the responses of a key that are at rest; 0: there is none.
func (sh *shard) atRest(key []byte) uint32 {
	for id := sh.packed.First(sh.store.hash(key)); id != 0; id = sh.packed.Next(id) {
		if p := sh.packed.At(id); p.entry == 0 && sh.view(p).Key() == string(key) {
			return id
		}
	}
	return 0
}

// unpack makes the group of a key, and entries in it of what is at rest. There is no group of it yet.
func (sh *shard) unpack(key []byte, url int) *group {
	g := sh.newGroup(key, url)
	for id := sh.packed.First(sh.store.hash(key)); id != 0; id = sh.packed.Next(id) {
		if p := sh.packed.At(id); p.entry == 0 && sh.view(p).Key() == g.key {
			g.entries = append(g.entries, sh.unpackOne(g, id, p))
		}
	}
	slices.SortStableFunc(g.entries, func(a, b *entry) int { return b.head.fresh.Received.Compare(a.head.fresh.Received) })
	return g
}

// unpackOne makes an entry of a response at rest. Its head and its bodies are views into the page, which they hold.
func (sh *shard) unpackOne(g *group, id uint32, p *packed) *entry {
	t := sh.store.memory.Numbered(p.tenant)
	arena, v := &t.arenas[sh.number], sh.view(p)
	h := &head{status: v.Status(), fields: v.AppendFields(nil), fresh: v.Fresh(sh.store.epoch), aged: v.Aged(), born: v.Born(), tags: v.Tags()}
	o := body.NewStored(body.Options{Space: t, Maker: sh.store.maker}, v.Body(0), arena.Hold(p.ref))
	forms := uint8(0)
	for c := 1; c < encode.Count; c++ {
		if b := v.Body(c); b != nil {
			o.AddForm(encode.Coding(c), b, arena.Hold(p.ref))
			forms |= 1 << c
		}
	}
	e := &entry{group: g, tenant: t, object: o, head: h, variant: v.Variant(), node: p.node, packed: id, packedHead: h, packedForms: forms}
	e.slot = sh.stored.Add(e)
	p.entry = e.slot
	if o.SetOwner(e); e.node == 0 {
		e.pinned = p.weight()
	}
	return e
}

// unpackedAt is the entry behind a value in an order of eviction; nil: it is at rest.
func (sh *shard) unpackedAt(value uint32) *entry {
	if value&unpackedBit != 0 {
		return sh.stored.At(value &^ unpackedBit)
	}
	if p := sh.packed.At(value); p.entry != 0 {
		return sh.stored.At(p.entry)
	}
	return nil
}

// dropRecord gives up the record of a response, which may be at rest or not. The order of eviction is the caller's.
func (sh *shard) dropRecord(id uint32) {
	p := sh.packed.At(id)
	t := sh.store.memory.Numbered(p.tenant)
	arena := &t.arenas[sh.number]
	arena.Free(p.ref)
	sh.packed.Remove(id)
	t.Charge(-indexCost)
	arena.Trim()
	if arena.Bytes() == 0 && t.credit[sh.number] > 0 {
		t.Charge(-t.credit[sh.number])
		t.credit[sh.number] = 0
	}
}

// removePacked takes a response at rest out of the index.
func (sh *shard) removePacked(id uint32) {
	p := sh.packed.At(id)
	t := sh.store.memory.Numbered(p.tenant)
	if p.node == 0 {
		t.account.Pinned(-p.weight())
	}
	t.orders[sh.number].Remove(p.node)
	sh.dropRecord(id)
	sh.stamp(t)
	sh.store.objects.Add(-1)
}

// restingOf are the responses at rest whose keys have this URL part.
func (sh *shard) restingOf(url string) (ids []uint32) {
	for id := sh.packed.FirstOf(sh.store.hash([]byte(url))); id != 0; id = sh.packed.NextOf(id) {
		if p := sh.packed.At(id); p.entry == 0 && sh.view(p).URL() == url {
			ids = append(ids, id)
		}
	}
	return ids
}

// countPacked adds a response at rest, if it is hit, and reports whether it is.
func (sh *shard) countPacked(r *Receipt, id uint32, hits func(*purge.Subject) bool) bool {
	p := sh.packed.At(id)
	v := sh.view(p)
	subject := subjectOf(v.Key(), v.Born(), v.Tags())
	if !hits(&subject) {
		return false
	}
	r.Objects++
	r.Bytes += p.weight()
	return true
}

// weight is what a response at rest counts in its order of eviction.
func (p *packed) weight() int64 { return int64(p.ref.Len()) + indexCost }

// compact gets back what is free in pages, as far as the tenant has a page to move things to.
func (sh *shard) compact(t *tenant) {
	arena := &t.arenas[sh.number]
	moved := func(owner uint32, to pages.Ref) { sh.packed.At(owner).ref = to }
	for range maxCompactions {
		page := arena.Wasteful()
		if page == 0 || arena.Compact(page, moved) {
			if page == 0 {
				return
			}
			continue
		}
		size := t.credit[sh.number]
		if size == 0 {
			return
		}
		t.credit[sh.number] = 0
		arena.Add(pages.New(int(size), t))
		arena.Compact(page, moved)
		if sh.store.memory.TryReserve(t, size) { // what the page has given back, unless another was quicker
			t.credit[sh.number] = size
		}
	}
}
