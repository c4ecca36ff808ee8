package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/cache/slots"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// What things cost beyond the bytes they hold, rounded up.
const (
	entryCost = 1024 // entry, object, group and their places in the index
	fieldCost = 48   // one field of a head
)

// head is a stored response head. It is immutable; a 304 makes another.
type head struct {
	status int
	fields httpwire.Fields // without Age
	fresh  rules.Freshness
	aged   bool     // came with an Age: a cache behind this one had it
	born   uint64   // the number of purges when its fetch began
	tags   []string // lower case
	total  int64    // bytes of the whole body, which is kept in slices; 0: it is kept in one piece
}

func (h *head) cost(key string, v rules.Variant) int64 {
	tags := 0
	for _, t := range h.tags {
		tags += len(t) + 16
	}
	return entryCost + int64(tags) + int64(len(key)) + int64(h.fields.Size()) + int64(len(h.fields))*fieldCost + v.Size()
}

// entry is one stored response: a head, a variant and an object. Its fields are guarded by the shard's lock, except where noted.
type entry struct {
	group   *group
	tenant  *tenant
	object  *body.Object  // immutable
	head    *head         // replaced by a 304
	variant rules.Variant // the same
	retry   time.Time     // no background refresh before this
	standIn time.Time     // the origin has failed: it is not asked again before this
	dead    atomic.Bool   // purged or invalidated: never to be served again, whoever still points here

	pinned     int64  // what it takes of what may be pinned, while node is 0
	slot, node uint32 // in the shard's stored, and in the order of eviction of its tenant and shard; 0: not in the index, or pinned

	packed      uint32 // its record, in the shard's packed; 0: it has none
	packedHead  *head  // that is in the record
	packedForms uint8  // the same of forms, a bit for each coding

	judged uint64        // version of the purges that were last weighed for it; see alive
	soft   purge.Verdict // of that time
}

// group is everything stored and under way for one key.
type group struct {
	shard   *shard
	key     string
	url     int           // length of the URL part of key
	entries []*entry      // variants, newest first
	fills   []*fill       // oldest first
	vary    rules.Variant // of the newest response: a guess at what the next one varies on
}

// shard is a part of the index with its own lock. All keys of one URL are in one shard.
type shard struct {
	mu sync.Mutex // guards the fields below, and the groups and entries in them

	groups map[string]*group              // by key
	extra  map[string]map[*group]struct{} // by URL part: groups whose key has more than that
	stored slots.Refs[entry]              // the entries, for the orders of eviction

	packed slots.Table[packed] // what is at rest, and the records of what was; by key, and by URL part

	store  *Store // immutable
	number int    // immutable

	recalling map[string]*recalled // looks at the disk that are under way, by key
}

func (s *Store) shard(url []byte) *shard {
	return &s.shards[s.hash(url)&(shardCount-1)]
}

// group finds or makes the group of a key.
func (sh *shard) group(key []byte, url int) *group {
	if g := sh.live(key, url); g != nil {
		return g
	}
	return sh.newGroup(key, url)
}

// newGroup makes the group of a key that has none.
func (sh *shard) newGroup(key []byte, url int) *group {
	g := &group{shard: sh, key: string(key), url: url}
	sh.groups[g.key] = g
	if url < len(key) {
		of := sh.extra[g.key[:url]]
		if of == nil {
			of = make(map[*group]struct{})
			sh.extra[g.key[:url]] = of
		}
		of[g] = struct{}{}
	}
	return g
}

// tidy forgets a group that has nothing left.
func (sh *shard) tidy(g *group) {
	if len(g.entries) > 0 || len(g.fills) > 0 || sh.groups[g.key] != g {
		return
	}
	delete(sh.groups, g.key)
	if g.url == len(g.key) {
		return
	}
	of := sh.extra[g.key[:g.url]]
	if delete(of, g); len(of) == 0 {
		delete(sh.extra, g.key[:g.url])
	}
}

// find selects the stored response for a request: of those whose variant matches, the newest that has a Vary, since some resources
// leave it out of their default response, else the newest (RFC 9111 §4.1).
func (g *group) find(fields httpwire.Fields) (plain *entry) {
	for _, e := range g.entries {
		if (plain == nil || len(e.variant) > 0) && e.variant.Match(fields) && e.alive() {
			if len(e.variant) > 0 {
				return e
			}
			plain = e
		}
	}
	return plain
}

// insert adds an entry that holds a reference to its object. It replaces those that the same request selects, unless one of
// them was received later: the new one is then dropped.
func (sh *shard) insert(e *entry, request httpwire.Fields, pin bool) (kept bool) {
	g := e.group
	for _, old := range slices.Clone(g.entries) {
		if !old.variant.Match(request) {
			continue
		}
		if old.head.fresh.Received.After(e.head.fresh.Received) {
			return false
		}
		sh.remove(old)
	}
	g.entries = slices.Insert(g.entries, 0, e)
	for len(g.entries) > maxVariants {
		sh.remove(g.entries[len(g.entries)-1])
	}
	sh.place(e, pin)
	return true
}

// place gives an entry that is in its group its place in the index and in the order of eviction.
func (sh *shard) place(e *entry, pin bool) {
	e.store().objects.Add(1)
	e.object.SetOwner(e) // before it is weighed: what comes later is told
	e.slot = sh.stored.Add(e)
	e.enter(e.store().hash([]byte(e.group.key)), pin)
	sh.stamp(e.tenant)
}

// remove takes an entry out of the index and from the disk. Its group stays, for the caller to tidy.
func (sh *shard) remove(e *entry) {
	e.forgetKept()
	sh.take(e)
}

// take takes an entry out of the index: the disk may still have it.
func (sh *shard) take(e *entry) {
	g := e.group
	i := slices.Index(g.entries, e)
	if i < 0 {
		return
	}
	g.entries = slices.Delete(g.entries, i, i+1)
	e.leave()
	sh.stored.Remove(e.slot)
	if e.packed != 0 {
		sh.dropRecord(e.packed)
	}
	e.slot, e.packed = 0, 0
	e.object.SetOwner(nil)
	sh.stamp(e.tenant)
	e.store().objects.Add(-1)
	e.object.Release()
}

// store is the one that the entry is in.
func (e *entry) store() *Store { return e.tenant.store }

// Weigh implements body.Owner.
func (e *entry) Weigh() {
	sh := e.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if slices.Contains(e.group.entries, e) {
		e.reweigh()
	}
}

// bytes is what an entry takes on the tier that it is on, for receipts, with the shard's lock held.
func (e *entry) bytes() int64 {
	if e.object.Stored() {
		return e.weight() + e.object.Size()
	}
	return e.weight()
}

// weight is what an entry counts in its order of eviction, with the shard's lock held.
func (e *entry) weight() int64 {
	n := e.object.Charged()
	if e.packed != 0 {
		n += e.group.shard.packed.At(e.packed).weight()
	}
	return n
}
