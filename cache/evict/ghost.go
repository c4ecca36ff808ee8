package evict

import (
	"math/bits"

	"github.com/meridian-edge/meridian/internal/arena"
)

// ghosts remembers the keys of objects that left the small queue lately, as fingerprints in buckets of eight, which is a line of the
// processor's cache: eight bytes a key, no pointers. It may forget one early when its bucket is full; it takes one key for another once
// in about five hundred million.
//
// It grows by one bucket at a time, whose keys come from another (linear hashing), so that nobody waits for a large copy.
type ghosts struct {
	buckets arena.Arena[[perBucket]ghost]
	clock   uint32 // keys put so far
	size    int    // keys that count as lately
}

type ghost struct{ print, put uint32 }

const (
	perBucket   = 8
	leastGhosts = 64
)

// put remembers a key for as many further keys as the order holds objects.
func (g *ghosts) put(hash uint64, objects int) {
	g.size = max(objects, leastGhosts)
	// Twice as many places as keys: buckets are not equally full. Two buckets more for each key are enough to keep up.
	for grown := 0; grown < 2 && g.buckets.Len()*perBucket < 2*g.size; grown++ {
		g.split()
	}
	g.clock++
	b := g.bucket(hash)
	oldest := 0
	for i := range b {
		if b[i].print == 0 {
			oldest = i
			break
		}
		if g.clock-b[i].put > g.clock-b[oldest].put {
			oldest = i
		}
	}
	b[oldest] = ghost{print: fingerprint(hash), put: g.clock}
}

// take reports whether a key is remembered, and forgets it.
func (g *ghosts) take(hash uint64) bool {
	if g.buckets.Len() == 0 {
		return false
	}
	b := g.bucket(hash)
	for i := range b {
		if b[i].print == fingerprint(hash) && int(g.clock-b[i].put) < g.size {
			b[i] = ghost{}
			return true
		}
	}
	return false
}

// split adds a bucket. What is in it may have been put in the one with the same number but for its first bit. Which of its keys were,
// nothing is left to tell: they are in both from now on.
func (g *ghosts) split() {
	at := g.buckets.Add()
	if at > 0 {
		*g.buckets.At(at) = *g.buckets.At(at &^ (1 << (bits.Len32(at) - 1)))
	}
}

func (g *ghosts) bucket(hash uint64) *[perBucket]ghost {
	// The lowest bits choose the shard: they are the same for all keys of an order.
	last := uint32(g.buckets.Len() - 1)
	at := uint32(hash>>8) & (1<<bits.Len32(last) - 1)
	if at > last {
		at &^= 1 << (bits.Len32(at) - 1)
	}
	return g.buckets.At(at)
}

// fingerprint is never 0, which marks a free place.
func fingerprint(hash uint64) uint32 { return uint32(hash>>32) | 1 }
