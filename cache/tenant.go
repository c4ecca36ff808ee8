package cache

import (
	"github.com/meridian-edge/meridian/cache/evict"
	"github.com/meridian-edge/meridian/cache/pages"
	"github.com/meridian-edge/meridian/cache/quota"
)

// tenant is whose memory is counted together: a distribution with a quota, or all the others in common. Each has its own order of eviction,
// so that what one stores does not push out what another has stored.
type tenant struct {
	account quota.Account
	store   *Store

	// Of each shard, guarded by its lock: the order of eviction, the records of what is at rest, and the size of a page that is charged and not
	// there yet, for records that are moved (0: none).
	orders [shardCount]evict.Order
	arenas [shardCount]pages.Arena
	credit [shardCount]int64
}

// Account implements quota.Member.
func (t *tenant) Account() *quota.Account { return &t.account }

// Reserve implements body.Space.
func (t *tenant) Reserve(n int64) bool { return t.store.memory.Reserve(t, n) }

// Charge implements body.Space.
func (t *tenant) Charge(n int64) { t.store.memory.Charge(t, n) }

// MaxObject implements body.Space.
func (t *tenant) MaxObject() int64 { return t.store.maxObject() }

// newMemory makes the ledger of a store's memory.
func (s *Store) newMemory(limit int64) *quota.Ledger[*tenant] {
	return quota.New(quota.Options[*tenant]{
		Limit: limit, Make: func() *tenant { return &tenant{store: s} },
		Evict:   func(t *tenant, shard int) bool { return s.shards[shard].evict(t) },
		Evicted: func() { s.metrics.evictions.Inc() },
	})
}

// SetQuotas says how many bytes distributions may take, by name; one that is not named shares what is left with the others. What is above
// a quota is evicted at once. A distribution with a quota loses nothing to others, unless the quotas are more than there is memory.
func (s *Store) SetQuotas(quotas map[string]int64) {
	s.memory.Set(quotas)
	s.unpin()
	s.memory.Settle()
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
func (sh *shard) stamp(t *tenant) { t.account.Evictable(sh.number, t.orders[sh.number].Bytes()) }
