package cache

import (
	"slices"
	"sync/atomic"

	"github.com/meridian-edge/meridian/cache/evict"
	"github.com/meridian-edge/meridian/cache/pages"
)

// tenant is whose memory is counted together: a distribution with a quota, or all the others in common. Each has its own order of eviction,
// so that what one stores does not push out what another has stored.
type tenant struct {
	store  *Store
	number uint32       // in Store.numbered
	gone   atomic.Bool  // no distribution is its any more
	limit  atomic.Int64 // bytes; 0: only the store's
	used   atomic.Int64 // bytes charged
	pinned atomic.Int64 // of them, of what is not evicted

	orders [shardCount]evict.Order  // each guarded by its shard's lock
	bytes  [shardCount]atomic.Int64 // of the orders

	// Of each shard, guarded by its lock: the records of what is at rest, and the size of a page that is charged and not there yet, for records
	// that are moved (0: none).
	arenas [shardCount]pages.Arena
	credit [shardCount]int64
}

// tenants are those of one configuration. It is immutable.
type tenants struct {
	named  map[string]*tenant
	gone   []*tenant // no longer named; what they still have goes first
	quotas int64     // their sum
}

// Reserve implements body.Space.
func (t *tenant) Reserve(n int64) bool { return t.store.reserve(t, n) }

// Charge implements body.Space.
func (t *tenant) Charge(n int64) { t.store.charge(t, n) }

// MaxObject implements body.Space.
func (t *tenant) MaxObject() int64 { return t.store.maxObject() }

// SetQuotas says how many bytes distributions may take, by name; one that is not named shares what is left with the others. What is above
// a quota is evicted at once. A distribution with a quota loses nothing to others, unless the quotas are more than there is memory.
func (s *Store) SetQuotas(quotas map[string]int64) {
	s.quotaMu.Lock()
	defer s.quotaMu.Unlock()
	old, next := s.tenants.Load(), &tenants{named: make(map[string]*tenant, len(quotas))}
	for name, limit := range quotas {
		t := old.named[name]
		if t == nil {
			t = s.newTenant()
		}
		t.limit.Store(limit)
		next.named[name] = t
		next.quotas += limit
	}
	for name, t := range old.named {
		if next.named[name] == nil {
			next.gone = append(next.gone, t)
			t.gone.Store(true)
		}
	}
	for _, t := range old.gone {
		if t.used.Load() > 0 {
			next.gone = append(next.gone, t)
		}
	}
	s.tenants.Store(next)
	s.unpin(s.common)
	for _, t := range next.gone {
		s.unpin(t)
	}
	for _, t := range next.named {
		s.unpin(t)
		for t.used.Load() > t.limit.Load() && s.evictOf(t) {
		}
	}
}

// newTenant makes a tenant with a number. Numbers of those that are gone and have nothing left are given again.
func (s *Store) newTenant() *tenant {
	t := &tenant{store: s}
	var all []*tenant
	if old := s.numbered.Load(); old != nil {
		all = slices.Clone(*old)
	}
	t.number = uint32(len(all))
	for i, other := range all {
		if other.gone.Load() && other.used.Load() == 0 {
			t.number = uint32(i)
		}
	}
	if int(t.number) == len(all) {
		all = append(all, t)
	}
	all[t.number] = t
	s.numbered.Store(&all)
	return t
}

func (s *Store) numberedTenant(number uint32) *tenant { return (*s.numbered.Load())[number] }

// tenant is whose a site's objects are.
func (s *Store) tenant(site string) *tenant {
	if t := s.tenants.Load().named[site]; t != nil {
		return t
	}
	return s.common
}

// charge changes what a tenant takes.
func (s *Store) charge(t *tenant, n int64) {
	s.used.Add(n)
	t.used.Add(n)
}

// reserve takes n bytes of memory for a tenant, evicting for them. It fails when what is left is in use, or others'.
func (s *Store) reserve(t *tenant, n int64) bool {
	for {
		used, limit := t.used.Load(), t.limit.Load()
		switch {
		case limit > 0 && n > limit:
			return false
		case limit <= 0 || used+n <= limit:
			if !t.used.CompareAndSwap(used, used+n) {
				continue
			}
			if s.reserveAll(t, n) {
				return true
			}
			t.used.Add(-n)
			return false
		case !s.evictOf(t):
			return false
		}
	}
}

// tryReserve takes n bytes that are free.
func (t *tenant) tryReserve(n int64) bool {
	s, limit := t.store, t.limit.Load()
	if used := t.used.Add(n); limit > 0 && used > limit {
		t.used.Add(-n)
		return false
	}
	for used := s.used.Load(); used+n <= s.limit.Load(); used = s.used.Load() {
		if s.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
	t.used.Add(-n)
	return false
}

// reserveAll takes n bytes of the store's memory.
func (s *Store) reserveAll(t *tenant, n int64) bool {
	for {
		used, limit := s.used.Load(), s.limit.Load()
		switch {
		case n > limit:
			return false
		case used+n <= limit:
			if s.used.CompareAndSwap(used, used+n) {
				return true
			}
		case !s.evictFor(t):
			return false
		}
	}
}

// evictFor makes room for a tenant: at the cost of those without a quota, then of itself, and of others only where the quotas promise
// more than there is, or nobody has one.
func (s *Store) evictFor(t *tenant) bool {
	for _, gone := range s.tenants.Load().gone {
		if s.evictOf(gone) {
			return true
		}
	}
	if s.evictOf(s.common) || t != s.common && s.evictOf(t) {
		return true
	}
	return s.tenants.Load().quotas > s.limit.Load() && s.evictAny()
}

// evictAny evicts from whom has most.
func (s *Store) evictAny() bool {
	most := s.common
	for _, t := range s.tenants.Load().named {
		if t.used.Load() > most.used.Load() {
			most = t
		}
	}
	if s.evictOf(most) {
		return true
	}
	for _, t := range s.tenants.Load().named {
		if s.evictOf(t) {
			return true
		}
	}
	for _, t := range s.tenants.Load().gone {
		if s.evictOf(t) {
			return true
		}
	}
	return s.evictOf(s.common)
}

// evictOf removes an entry of a tenant that nobody reads from the shard in which it has most. It fails when there is none.
func (s *Store) evictOf(t *tenant) bool {
	var tried uint32
	for range s.shards {
		best, most := -1, int64(0)
		for i := range t.bytes {
			if n := t.bytes[i].Load(); tried&(1<<i) == 0 && n > most {
				best, most = i, n
			}
		}
		if best < 0 {
			return false
		}
		if s.shards[best].evict(t) {
			s.metrics.evictions.Inc()
			return true
		}
		tried |= 1 << best
	}
	return false
}

// evict removes the entry of a tenant that goes next.
func (sh *shard) evict(t *tenant) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// Readers attach with the lock held, so a count of one, the index's own, stays one.
	n := t.orders[sh.number].Victim(func(value uint32) bool {
		e := sh.unpackedAt(value)
		return e == nil || e.object.Idle()
	})
	if n == 0 {
		return false
	}
	value := t.orders[sh.number].Value(n)
	if e := sh.unpackedAt(value); e != nil {
		sh.take(e)
		sh.tidy(e.group)
	} else {
		sh.removePacked(value)
	}
	sh.compact(t)
	return true
}

// order is the one an entry is in, to be used with the shard's lock held.
func (e *entry) order() *evict.Order { return &e.tenant.orders[e.group.shard.number] }

// stamp tells without the lock what the tenant has in the shard.
func (sh *shard) stamp(t *tenant) { t.bytes[sh.number].Store(t.orders[sh.number].Bytes()) }
