package evict

// ghosts remembers the keys of objects that left the small queue lately, as fingerprints in buckets of four: eight bytes a key, no
// pointers. It may forget one early when its bucket is full; it takes one key for another once in about a thousand million.
type ghosts struct {
	slots []ghost
	clock uint32 // keys put so far
	size  int    // keys that count as lately
}

type ghost struct{ print, put uint32 }

const (
	bucket      = 4
	leastGhosts = 64
)

// put remembers a key for as many further keys as the order holds objects.
func (g *ghosts) put(hash uint64, objects int) {
	g.size = max(objects, leastGhosts)
	if g.size > len(g.slots) || g.slots == nil {
		g.grow()
	}
	g.clock++
	b := g.bucket(hash)
	oldest := 0
	for i := range b {
		if g.clock-b[i].put > g.clock-b[oldest].put || b[i].print == 0 {
			oldest = i
		}
	}
	b[oldest] = ghost{print: fingerprint(hash), put: g.clock}
}

// take reports whether a key is remembered, and forgets it.
func (g *ghosts) take(hash uint64) bool {
	if g.slots == nil {
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

// grow makes room for size keys and keeps what is remembered.
func (g *ghosts) grow() {
	old, n := g.slots, leastGhosts
	for n < g.size+g.size/4 {
		n *= 2
	}
	g.slots = make([]ghost, n)
	// Where a key was is all that is left of its bucket's number, so it is put wherever it may be looked for now.
	for i, s := range old {
		if s.print == 0 {
			continue
		}
		for at := i / bucket; at < n/bucket; at += len(old) / bucket {
			b := g.slots[at*bucket:][:bucket]
			for k := range b {
				if b[k].print == 0 {
					b[k] = s
					break
				}
			}
		}
	}
}

func (g *ghosts) bucket(hash uint64) []ghost {
	at := int(hash) & (len(g.slots)/bucket - 1) * bucket
	return g.slots[at : at+bucket : at+bucket]
}

// fingerprint is never 0, which marks a free slot.
func fingerprint(hash uint64) uint32 { return uint32(hash>>32) | 1 }
