package slots

import (
	"math/bits"

	"github.com/meridian-edge/meridian/internal/arena"
)

// buckets are the first ids of chains. There are as many as there ever were things in them, so that a chain has one on average.
type buckets struct {
	heads arena.Arena[uint32]
	n     int // things in the chains
}

// add counts one thing more, and reports whether there is a new bucket for it: the last one, to be filled from its parent.
func (b *buckets) add() (grown bool) {
	b.n++
	if b.n <= b.heads.Len() {
		return false
	}
	b.heads.Add()
	return true
}

// of is the bucket of a hash. There must be one.
func (b *buckets) of(hash uint64) *uint32 {
	last := uint32(b.heads.Len() - 1)
	at := uint32(hash>>32) & (1<<bits.Len32(last) - 1)
	if at > last {
		at = parent(at)
	}
	return b.heads.At(at)
}

// parent is the bucket that held what belongs into a bucket before there was that one.
func parent(at uint32) uint32 { return at &^ (1 << (bits.Len32(at) - 1)) }

// split takes the last bucket's part from its parent. low and high are where the next id of each goes.
func (b *buckets) split() (first uint32, low, high *uint32, bit uint64) {
	last := uint32(b.heads.Len() - 1)
	if last == 0 {
		return 0, nil, nil, 0
	}
	low, high = b.heads.At(parent(last)), b.heads.At(last)
	return *low, low, high, 1 << (32 + bits.Len32(last) - 1)
}

// splitKeys fills the last bucket. The ids in each chain stay in their order.
func (t *Table[V]) splitKeys() {
	id, low, high, bit := t.keys.split()
	for id != 0 {
		s := t.slots.At(id)
		if s.key&bit == 0 {
			*low, low = id, &s.next
		} else {
			*high, high = id, &s.next
		}
		id = s.next
	}
	if low != nil {
		*low, *high = 0, 0
	}
}

// splitGroups does the same for the first ones of groups.
func (t *Table[V]) splitGroups() {
	id, low, high, bit := t.groups.split()
	for id != 0 {
		s := t.slots.At(id)
		if s.group&bit == 0 {
			*low, low = id, &s.chain
		} else {
			*high, high = id, &s.chain
		}
		id = s.chain
	}
	if low != nil {
		*low, *high = 0, 0
	}
}
