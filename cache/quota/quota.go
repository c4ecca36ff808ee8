// Package quota shares memory between those who store in it, and decides at whose cost room is made.
//
//	ledger := quota.New(quota.Options[*tenant]{Limit: 1 << 30, Make: newTenant, Evict: evict})
//	ledger.Set(map[string]int64{"www": 100 << 20})
//	if ledger.Reserve(ledger.Of("www"), n) { ... ledger.Charge(member, -n) }
//
// A member with a quota takes no more than that, and what it stores pushes out its own and what is of members without one; those push out
// nothing of it. Where the quotas together are more than there is, whoever has most loses.
//
// What can be evicted is in shards, each with a lock of its owner's; Options.Evict is called without any lock of this package. Everything is
// safe for concurrent use.
package quota

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Shards is how many shards there are.
const Shards = 16

// Account is what is counted for one member. The zero Account is ready.
type Account struct {
	number uint32
	gone   atomic.Bool  // nobody is called by its name any more
	limit  atomic.Int64 // bytes; 0: only the ledger's
	used   atomic.Int64 // bytes charged
	pinned atomic.Int64 // of them, of what is not evicted
	bytes  [Shards]atomic.Int64
}

// Number tells the member from all others that have anything.
func (a *Account) Number() uint32 { return a.number }

// Evictable says how many bytes of the member's can be evicted from a shard.
func (a *Account) Evictable(shard int, bytes int64) { a.bytes[shard].Store(bytes) }

// Pinned changes how much of the member's is not evicted.
func (a *Account) Pinned(n int64) { a.pinned.Add(n) }

// Member has an Account: a pointer type.
type Member interface {
	comparable
	Account() *Account
}

// Options configure a Ledger. Make and Evict must be set.
type Options[M Member] struct {
	Limit   int64                          // bytes; 0 or less: nothing fits
	Make    func() M                       // a new member
	Evict   func(member M, shard int) bool // makes some room in a shard of a member's; false: nothing can go there
	Evicted func()                         // called after each success; nil: nobody wants to know
}

// Ledger is the memory and who has what of it.
type Ledger[M Member] struct {
	options Options[M]
	common  M // of all names without a quota
	limit   atomic.Int64
	used    atomic.Int64 // bytes charged to anybody

	setting  sync.Mutex // serialises Set
	members  atomic.Pointer[members[M]]
	numbered atomic.Pointer[[]M] // by Account.number
}

// members are those of one configuration. It is immutable.
type members[M Member] struct {
	named  map[string]M
	gone   []M   // no longer named; what they still have goes first
	quotas int64 // their sum
}

// New makes a Ledger without quotas.
func New[M Member](o Options[M]) *Ledger[M] {
	l := &Ledger[M]{options: o}
	l.members.Store(&members[M]{})
	l.common = l.add()
	l.limit.Store(max(o.Limit, 0))
	return l
}

// add makes a member with a number. Numbers of those that are gone and have nothing left are given again.
func (l *Ledger[M]) add() M {
	m := l.options.Make()
	var all []M
	if old := l.numbered.Load(); old != nil {
		all = slices.Clone(*old)
	}
	number := len(all)
	for i, other := range all {
		if a := other.Account(); a.gone.Load() && a.used.Load() == 0 {
			number = i
		}
	}
	if m.Account().number = uint32(number); number == len(all) {
		all = append(all, m)
	}
	all[number] = m
	l.numbered.Store(&all)
	return m
}

// Numbered is the member with a number.
func (l *Ledger[M]) Numbered(number uint32) M { return (*l.numbered.Load())[number] }

// All are the members that may have anything.
func (l *Ledger[M]) All() []M { return *l.numbered.Load() }

// Of is whose a name's things are.
func (l *Ledger[M]) Of(name string) M {
	if m, ok := l.members.Load().named[name]; ok {
		return m
	}
	return l.common
}

// Set gives quotas in bytes to names. One that is not named shares what is left with the others. The caller sees to it that everybody keeps
// within them: see Settle.
func (l *Ledger[M]) Set(quotas map[string]int64) {
	l.setting.Lock()
	defer l.setting.Unlock()
	old, next := l.members.Load(), &members[M]{named: make(map[string]M, len(quotas))}
	for name, limit := range quotas {
		m, ok := old.named[name]
		if !ok {
			m = l.add()
		}
		m.Account().limit.Store(limit)
		next.named[name] = m
		next.quotas += limit
	}
	for name, m := range old.named {
		if _, ok := next.named[name]; !ok {
			next.gone = append(next.gone, m)
			m.Account().gone.Store(true)
		}
	}
	for _, m := range old.gone {
		if m.Account().used.Load() > 0 {
			next.gone = append(next.gone, m)
		}
	}
	l.members.Store(next)
}

// SetLimit changes how much there is, in bytes.
func (l *Ledger[M]) SetLimit(bytes int64) { l.limit.Store(max(bytes, 0)) }

// Settle evicts until everybody keeps within limits, or nothing can go any more.
func (l *Ledger[M]) Settle() {
	for _, m := range l.members.Load().named {
		for a := m.Account(); a.used.Load() > a.limit.Load() && l.evictOf(m); {
		}
	}
	for l.used.Load() > l.limit.Load() && l.evictAny() {
	}
}

// Limit is how much there is, and Used what of it is charged, in bytes.
func (l *Ledger[M]) Limit() int64 { return l.limit.Load() }

// Used is what is charged to anybody, in bytes.
func (l *Ledger[M]) Used() int64 { return l.used.Load() }

// LimitOf is what a member may take, in bytes.
func (l *Ledger[M]) LimitOf(m M) int64 {
	limit := l.limit.Load()
	if own := m.Account().limit.Load(); own > 0 {
		limit = min(limit, own)
	}
	return limit
}
