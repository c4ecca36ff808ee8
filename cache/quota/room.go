package quota

// Charge changes what a member takes.
func (l *Ledger[M]) Charge(m M, n int64) {
	l.used.Add(n)
	m.Account().used.Add(n)
}

// Reserve takes n bytes for a member, evicting for them. It fails when what is left is in use, or others'.
func (l *Ledger[M]) Reserve(m M, n int64) bool {
	a := m.Account()
	for {
		used, limit := a.used.Load(), a.limit.Load()
		switch {
		case limit > 0 && n > limit:
			return false
		case limit <= 0 || used+n <= limit:
			if !a.used.CompareAndSwap(used, used+n) {
				continue
			}
			if l.reserveAll(m, n) {
				return true
			}
			a.used.Add(-n)
			return false
		case !l.evictOf(m):
			return false
		}
	}
}

// reserveAll takes n bytes of all there is.
func (l *Ledger[M]) reserveAll(m M, n int64) bool {
	for {
		used, limit := l.used.Load(), l.limit.Load()
		switch {
		case n > limit:
			return false
		case used+n <= limit:
			if l.used.CompareAndSwap(used, used+n) {
				return true
			}
		case !l.evictFor(m):
			return false
		}
	}
}

// TryReserve takes n bytes that are free.
func (l *Ledger[M]) TryReserve(m M, n int64) bool {
	a := m.Account()
	limit := a.limit.Load()
	if used := a.used.Add(n); limit > 0 && used > limit {
		a.used.Add(-n)
		return false
	}
	for used := l.used.Load(); used+n <= l.limit.Load(); used = l.used.Load() {
		if l.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
	a.used.Add(-n)
	return false
}

// Pin takes n bytes of what a member may have that is not evicted: half of what it may take.
func (l *Ledger[M]) Pin(m M, n int64) bool {
	a := m.Account()
	if a.pinned.Add(n) > l.LimitOf(m)/2 {
		a.pinned.Add(-n)
		return false
	}
	return true
}

// Overpinned reports whether a member has more that is not evicted than it may: its limit has sunk.
func (l *Ledger[M]) Overpinned(m M) bool { return m.Account().pinned.Load() > l.LimitOf(m)/2 }

// evictFor makes room for a member: at the cost of those without a quota, then of itself, and of others only where the quotas promise
// more than there is, or nobody has one.
func (l *Ledger[M]) evictFor(m M) bool {
	for _, gone := range l.members.Load().gone {
		if l.evictOf(gone) {
			return true
		}
	}
	if l.evictOf(l.common) || m != l.common && l.evictOf(m) {
		return true
	}
	return l.members.Load().quotas > l.limit.Load() && l.evictAny()
}

// evictAny evicts from whom has most.
func (l *Ledger[M]) evictAny() bool {
	all, most := l.members.Load(), l.common
	for _, m := range all.named {
		if m.Account().used.Load() > most.Account().used.Load() {
			most = m
		}
	}
	if l.evictOf(most) {
		return true
	}
	for _, m := range all.named {
		if l.evictOf(m) {
			return true
		}
	}
	for _, m := range all.gone {
		if l.evictOf(m) {
			return true
		}
	}
	return l.evictOf(l.common)
}

// evictOf evicts from the shard in which a member has most. It fails when there is none that has anything that can go.
func (l *Ledger[M]) evictOf(m M) bool {
	a, tried := m.Account(), uint32(0)
	for range Shards {
		best, most := -1, int64(0)
		for i := range a.bytes {
			if n := a.bytes[i].Load(); tried&(1<<i) == 0 && n > most {
				best, most = i, n
			}
		}
		if best < 0 {
			return false
		}
		if l.options.Evict(m, best) {
			if l.options.Evicted != nil {
				l.options.Evicted()
			}
			return true
		}
		tried |= 1 << best
	}
	return false
}
