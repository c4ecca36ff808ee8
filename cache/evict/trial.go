package evict

import "math/bits"

// trial runs the two shares of the small queue against each other on a sample of the keys. A key is in the sample by its hash, so the
// simulated caches see all requests for it; they hold as much less as the sample is smaller.
type trial struct {
	little, large mini
	seen          int
	shift         uint // of the sample: one key in 1<<shift
	chosen        float64
}

const (
	miniObjects = 256  // that a simulation should hold
	period      = 512  // sampled requests between two decisions
	lead        = 1.02 // the other share must be so much better to be chosen
)

// mini is one simulated cache.
type mini struct {
	fifo
	in   map[uint64]uint32 // nodes by hash
	hits float64           // of late, halved at each decision
}

// see shows a request to the simulations, and reports whether there is a decision to take. held and objects are what the real
// order holds.
func (t *trial) see(hash uint64, size, held int64, objects int) bool {
	// The low bits choose the shard and the bucket of the ghosts: others take the sample.
	if hash>>40&(1<<t.shift-1) != 0 || objects < miniObjects/4 {
		return false
	}
	capacity := held >> t.shift
	t.little.share, t.large.share = littleShare, largeShare
	t.little.see(hash, max(size, 1), capacity)
	t.large.see(hash, max(size, 1), capacity)
	if t.seen++; t.seen < period {
		return false
	}
	t.seen = 0
	if shift := uint(max(0, bits.Len(uint(objects/miniObjects))-1)); shift != t.shift {
		*t = trial{shift: shift, chosen: t.chosen} // another sample: what was simulated is of no use
	}
	return true
}

// better is the share that has done better of late.
func (t *trial) better() float64 {
	switch {
	case t.large.hits > t.little.hits*lead:
		t.chosen = largeShare
	case t.little.hits > t.large.hits*lead, t.chosen == 0:
		t.chosen = littleShare
	}
	t.little.hits /= 2
	t.large.hits /= 2
	return t.chosen
}

func (m *mini) see(hash uint64, size, capacity int64) {
	if m.in == nil {
		m.in = make(map[uint64]uint32)
	}
	if id := m.in[hash]; id != 0 {
		n := m.nodes.At(id)
		n.uses = min(n.uses+1, mostUses)
		m.hits++
		return
	}
	for m.Bytes()+size > capacity && m.Len() > 0 {
		id := m.Victim(nil)
		delete(m.in, m.nodes.At(id).hash)
		m.Remove(id)
	}
	if size <= capacity {
		m.in[hash] = m.add(hash, size, 0)
	}
}
