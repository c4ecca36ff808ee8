package steer

import (
	"math/bits"
	"time"
)

// spillWidth is over how many members the load of a full one spreads.
const spillWidth = 3

// unknownLatency is what a busy leaf is taken to need before it has answered for the first time. An idle one is tried at once.
const unknownLatency = time.Second

// slowest is the least share of its weight that a member has in slow start.
const slowest = 0.01

// shareUnit is what one unit of weight counts in draws while slow start takes fractions of it.
const shareUnit = 1000

// ramp is the part of its weight that a member has: less than 1 while it is in slow start.
func (w *walker) ramp(n *node, m *member) float64 {
	slow := n.group.SlowStart
	if slow <= 0 || m.slot == Always || w.client.Now.IsZero() {
		return 1
	}
	aged, ok := w.health.(Aged)
	if !ok {
		return 1
	}
	since := aged.Since(m.slot)
	if since.IsZero() {
		return 1
	}
	return min(1, max(slowest, float64(w.client.Now.Sub(since))/float64(slow)))
}

// share is the number of lots a member has in a draw.
func (w *walker) share(n *node, i int) int {
	m := &n.members[i]
	weight := int(m.weight)
	if p := n.group.Policy; p == Simple || p == Multivalue {
		weight = 1
	}
	if n.group.SlowStart <= 0 && w.adviser == nil || weight == 0 {
		return weight
	}
	return max(1, int(float64(weight*shareUnit)*w.ramp(n, m)*w.scale(m)))
}

// force is the weight by which a balancer divides. Where only members of weight 0 are left they are all alike.
func (w *walker) force(n *node, i int) float64 {
	m := &n.members[i]
	return float64(max(1, m.weight)) * w.ramp(n, m) * w.scale(m)
}

// tier is the members of s with a weight, or s when none has one.
func (n *node) tier(s *set) set {
	if !n.zeros {
		return *s
	}
	var heavy set
	for i := s.next(0); i >= 0; i = s.next(i + 1) {
		if n.members[i].weight > 0 {
			heavy.add(i)
		}
	}
	if heavy.empty() {
		return *s
	}
	return heavy
}

// outstanding is the number of requests a leaf has not answered; an alias has none of its own.
func (w *walker) outstanding(m *member) int {
	if w.client.Load == nil || m.target != nil {
		return 0
	}
	return max(0, w.client.Load.Outstanding(m.Leaf))
}

// latency is what a leaf takes to answer; 0: unknown.
func (w *walker) latency(m *member) time.Duration {
	if w.client.Load == nil || m.target != nil {
		return 0
	}
	return w.client.Load.Latency(m.Leaf)
}

// inTurn takes the member whose turn it is. Members of equal weight come one after the other. With different ones the turns
// walk round a circle of arcs as long as the weights, in steps of the golden ratio: no n turns in a row give a member more than
// a few turns more or less than its share.
func (w *walker) inTurn(n *node, s *set) int {
	t := n.tier(s)
	if t.empty() {
		return -1
	}
	sum, even, one := 0, true, -1
	for i := t.next(0); i >= 0; i = t.next(i + 1) {
		weight := w.turnShare(n, i)
		even = even && (one < 0 || weight == one)
		one = weight
		sum += weight
	}
	if even {
		return t.nth(int(w.client.Turn % uint64(t.size())))
	}
	high, _ := bits.Mul64(w.client.Turn*0x9e3779b97f4a7c15, uint64(sum))
	k := int(high)
	for i := t.next(0); ; i = t.next(i + 1) {
		if k -= w.turnShare(n, i); k < 0 {
			return i
		}
	}
}

// turnShare is share for members that all have some weight.
func (w *walker) turnShare(n *node, i int) int { return max(1, int(w.force(n, i)*shareUnit)) }

// leastOutstanding takes the member that has the fewest requests for its weight, once it has this one too. Equals are drawn
// from, so that the first of an idle pool is not everyone's choice.
func (w *walker) leastOutstanding(n *node, s *set) int {
	t := n.tier(s)
	at, least, equals := -1, 0.0, 0
	for i := t.next(0); i >= 0; i = t.next(i + 1) {
		load := float64(w.outstanding(&n.members[i])+1) / w.force(n, i)
		switch {
		case at < 0 || load < least:
			at, least, equals = i, load, 1
		case load == least:
			if equals++; w.below(equals) == 0 { // each of k equals stays with probability 1/k
				at = i
			}
		}
	}
	return at
}

// byHash takes the member that the client's hash belongs to.
func (w *walker) byHash(n *node, s *set) int {
	t := n.tier(s)
	at, least := -1, 0.0
	for i := t.next(0); i >= 0; i = t.next(i + 1) {
		if c := rendezvous(w.client.Hash, n.members[i].salt, w.force(n, i)); at < 0 || c < least {
			at, least = i, c
		}
	}
	return at
}

// betterOfTwo draws two members and takes the one that promises to answer sooner. Looking at two is nearly as good as looking at
// all, and keeps a crowd of edges from falling on the one that was fastest a moment ago.
func (w *walker) betterOfTwo(n *node, s *set) int {
	t := n.tier(s)
	size := t.size()
	if size < 2 {
		return t.next(0)
	}
	i, j := w.below(size), w.below(size-1)
	if j >= i {
		j++
	}
	a, b := t.nth(i), t.nth(j)
	w.noteDraw(n, a, b)
	if w.wait(n, b) < w.wait(n, a) {
		return b
	}
	return a
}

// wait is how long a request would take at a member: behind the ones that are there, and longer for less weight.
func (w *walker) wait(n *node, i int) float64 {
	m := &n.members[i]
	took, out := w.latency(m), w.outstanding(m)
	if took <= 0 {
		if out == 0 {
			return 0
		}
		took = unknownLatency
	}
	return float64(took) * float64(out+1) / w.force(n, i)
}

// take removes the next member from s and returns it, or -1 when there is none: the one the client prefers, then those with
// room in the order of the policy, then the full ones.
func (w *walker) take(n *node, s *set) int {
	var full set
	w.took = 0
	if (n.limited || w.adviser != nil) && w.client.Load != nil {
		full = w.full(n, s)
	}
	i := w.preferred(n, s, &full)
	switch open := s.without(full); {
	case i >= 0:
	case full.empty() || open.empty():
		i = w.next(n, s)
	case n.group.Policy.ordered():
		if i = w.next(n, s); full.has(i) {
			i = w.spill(n, open)
			w.took = Spilled
		}
	default:
		i = w.next(n, &open)
	}
	if i >= 0 {
		s.remove(i)
	}
	return i
}

// preferred is the member of s that served the client before, or -1. It is asked for once.
func (w *walker) preferred(n *node, s, full *set) int {
	if w.client.Prefer <= 0 || w.sticky {
		return -1
	}
	for i := s.next(0); i >= 0; i = s.next(i + 1) {
		if m := &n.members[i]; m.target == nil && m.Leaf == w.client.Prefer-1 && !full.has(i) {
			w.sticky = true
			w.took = Stuck
			w.noteSticky(n, m)
			return i
		}
	}
	return -1
}

// full is the members of s that have as many requests as they may.
func (w *walker) full(n *node, s *set) set {
	var full set
	for i := s.next(0); i >= 0; i = s.next(i + 1) {
		m := &n.members[i]
		if limit := w.limitOf(n, m); limit > 0 && m.target == nil && w.outstanding(m) >= limit {
			full.add(i)
		}
	}
	return full
}

// spill takes one of the next few members with room when the one whose turn it is has none: by the room they have, so that what
// one cannot take does not drown the next.
func (w *walker) spill(n *node, open set) int {
	var few [spillWidth]int
	count, sum := 0, 0
	for count < spillWidth {
		i := w.next(n, &open)
		if i < 0 {
			break
		}
		open.remove(i)
		few[count] = i
		count++
		sum += w.room(n, i)
	}
	k := w.below(sum)
	for _, i := range few[:count] {
		if k -= w.room(n, i); k < 0 {
			w.noteSpill(n, i, count)
			return i
		}
	}
	return few[0]
}

// maxRoom stands for the room of a member without a limit.
const maxRoom = 1 << 16

// room is how many requests more a member can take; at least 1.
func (w *walker) room(n *node, i int) int {
	m := &n.members[i]
	limit := w.limitOf(n, m)
	if limit == 0 || m.target != nil {
		return maxRoom
	}
	return max(1, min(maxRoom, limit-w.outstanding(m)))
}
