package cache

// What a policy pins is in no order of eviction, so nothing pushes it out. That goes as far as half of what its tenant may take; what comes
// on top of it is stored like anything else. It ends with the response: a purge, another response in its place, or a request by a policy that
// does not pin.

// enter gives an entry its place in the order of eviction, or pins it.
func (e *entry) enter(hash uint64, pin bool) {
	if w := e.weight(); pin && e.store().memory.Pin(e.tenant, w) {
		e.pinned = w
		return
	}
	value := e.slot | unpackedBit
	if e.packed != 0 {
		value = e.packed
	}
	e.node = e.order().Add(hash, e.weight(), value)
}

// reweigh tells the order what an entry takes now.
func (e *entry) reweigh() {
	w := e.weight()
	if e.node != 0 {
		e.order().Resize(e.node, w)
		e.group.shard.stamp(e.tenant)
		return
	}
	e.tenant.account.Pinned(w - e.pinned)
	e.pinned = w
}

// touch marks a use of an entry by a policy.
func (e *entry) touch(pin bool) {
	sh := e.group.shard
	switch {
	case e.node == 0 && !pin:
		e.tenant.account.Pinned(-e.pinned)
		e.pinned = 0
		e.enter(e.store().hash([]byte(e.group.key)), false)
	case e.node != 0 && pin && e.store().memory.Pin(e.tenant, e.weight()):
		e.pinned = e.weight()
		e.order().Remove(e.node)
		e.node = 0
	case e.node != 0:
		e.order().Touch(e.node)
		return
	}
	if e.packed != 0 {
		sh.packed.At(e.packed).node = e.node
	}
	sh.stamp(e.tenant)
}

// leave takes an entry out of the order, or frees what it has pinned.
func (e *entry) leave() {
	e.order().Remove(e.node)
	e.tenant.account.Pinned(-e.pinned)
	e.node, e.pinned = 0, 0
}

// touchPacked is touch for a response at rest.
func (sh *shard) touchPacked(t *tenant, id uint32, p *packed, hash uint64, pin bool) {
	order := &t.orders[sh.number]
	switch {
	case p.node == 0 && !pin:
		t.account.Pinned(-p.weight())
		p.node = order.Add(hash, p.weight(), id)
	case p.node != 0 && pin && sh.store.memory.Pin(t, p.weight()):
		order.Remove(p.node)
		p.node = 0
	case p.node != 0:
		order.Touch(p.node)
		return
	}
	sh.stamp(t)
}

// unpin puts what tenants have pinned into the orders of eviction, where it is more than may be: the limit has sunk.
func (s *Store) unpin() {
	for _, t := range s.memory.All() {
		if !s.memory.Overpinned(t) {
			continue
		}
		for i := range s.shards {
			s.shards[i].unpin(t)
		}
	}
}

func (sh *shard) unpin(t *tenant) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, g := range sh.groups {
		for _, e := range g.entries {
			if e.tenant == t && e.node == 0 {
				e.touch(false)
			}
		}
	}
	for id := range sh.packed.All() {
		if p := sh.packed.At(id); p.entry == 0 && p.node == 0 && p.tenant == t.account.Number() {
			sh.touchPacked(t, id, p, sh.packed.Key(id), false)
		}
	}
}
