package steer

import (
	"iter"
	"math/bits"
)

// set is a set of member indices of one group.
type set [MaxMembers / 64]uint64

func (s *set) add(i int)    { s[i>>6] |= 1 << (i & 63) }
func (s *set) remove(i int) { s[i>>6] &^= 1 << (i & 63) }
func (s *set) empty() bool  { return *s == set{} }

// size is the number of members.
func (s *set) size() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// has reports whether i is in the set.
func (s *set) has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }

// without is the set less another.
func (s set) without(o set) set {
	for i := range s {
		s[i] &^= o[i]
	}
	return s
}

// with is the set and another.
func (s set) with(o set) set {
	for i := range s {
		s[i] |= o[i]
	}
	return s
}

// nth is the member with k members below it; the set has more than k.
func (s *set) nth(k int) int {
	for w := range s {
		word := s[w]
		if n := bits.OnesCount64(word); k >= n {
			k -= n
			continue
		}
		for ; k > 0; k-- {
			word &= word - 1
		}
		return w<<6 + bits.TrailingZeros64(word)
	}
	return -1
}

// next returns the first member not below i, or -1.
func (s *set) next(i int) int {
	for w := i >> 6; w < len(s); w++ {
		word := s[w]
		if w == i>>6 {
			word &= ^uint64(0) << (i & 63)
		}
		if word != 0 {
			return w<<6 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// walker is one question to a tree. What it finds goes to yield or, without one, into picks: escape analysis does not tell
// the fields of a struct apart, so a closure in here would cost every caller an allocation.
type walker struct {
	client *Client
	health Health
	// adviser is asked beside health; nil: it has nothing to say.
	adviser Adviser
	random  uint64
	yield   func(Pick) bool
	picks   []Pick // without yield: what was found
	limit   int    // without yield: how many are wanted; 0: the first, in first
	first   Pick
	found   bool
	last    bool   // what is found now is a last resort
	sticky  bool   // the member the client prefers has had its turn
	causes  Cause  // of what is found now
	took    Cause  // of the member that take returned last
	trace   *Trace // nil unless Explain asks
	depth   int    // of the trace
}

// emit hands out one candidate. It returns false when no more are wanted.
func (w *walker) emit(p Pick) bool {
	switch {
	case w.yield != nil:
		return w.yield(p)
	case w.limit == 0:
		w.first, w.found = p, true
		return false
	}
	w.picks = append(w.picks, p)
	return len(w.picks) < w.limit
}

// walker begins a question.
func (t *Tree) walker(client *Client, health Health) walker {
	return walker{client: client, health: health, adviser: adviserOf(health, t.measured), random: client.Random}
}

// Candidates yields every leaf that applies to the client, best first: healthy ones in the order of the policies, then, as
// last resorts, the others. A branch in which no member applies is passed over, so nothing is yielded only when no member of
// the whole tree applies (geolocation or CIDR groups without a default). The sequence is lazy, may be ranged over once, and
// must not outlive client.
func (t *Tree) Candidates(client *Client, health Health) iter.Seq[Pick] {
	return func(yield func(Pick) bool) {
		w := t.walker(client, health)
		w.yield = yield
		w.run(t.root)
	}
}

// Pick returns the first candidate, or false when no member applies to the client. It does not allocate.
func (t *Tree) Pick(client *Client, health Health) (Pick, bool) {
	w := t.walker(client, health)
	if t.plain && client.Prefer == 0 && w.adviser == nil && w.quick(t.root) {
		return w.first, true
	}
	w.random, w.last = client.Random, false
	w.run(t.root)
	return w.first, w.found
}

// Append appends the first candidates, at most limit of them, to dst. It allocates only when dst has to grow.
func (t *Tree) Append(dst []Pick, limit int, client *Client, health Health) []Pick {
	if limit <= 0 {
		return dst
	}
	w := t.walker(client, health)
	w.picks, w.limit = dst, len(dst)+limit
	w.run(t.root)
	return w.picks
}

// Healthy reports whether anything in the tree is healthy: what an alias that evaluates its target's health asks.
func (t *Tree) Healthy(health Health) bool { return anyUp(t.root, health) }

// phase says what a visit is after.
type phase uint8

const (
	best phase = iota // what Route 53 would choose: at each group its healthy members or, when none is, all of them
	rest              // everything best leaves out, so that what is down anywhere comes after what is up anywhere
)

func (w *walker) run(root *node) {
	_ = w.group(root, best) && w.group(root, rest)
}

// group visits one group in one phase. It returns false when the consumer wants no more.
func (w *walker) group(n *node, p phase) bool {
	up, down := w.survey(n)
	if p == best {
		w.skipped(n)
	}
	ordered := w.takeOrdered(n, &down)
	causes, outer := w.causes, w.last
	if n.guarded && !up.empty() && n.panics(up.size(), down.size()+ordered.size()) && !down.empty() {
		if p == best {
			w.notePanic(n, up.size(), down.size()+ordered.size())
			w.causes |= Panicked
		}
		up, down = up.with(down), set{}
	}
	var more bool
	if p == best {
		more = w.open(n, up, down, ordered)
	} else {
		more = w.others(n, up, down, ordered)
	}
	w.last, w.causes = outer, causes
	return more
}

// open visits what is chosen from: what is healthy or, when nothing is, everything, and what an operator took out only when
// there is nothing else.
func (w *walker) open(n *node, up, down, ordered set) bool {
	if !up.empty() {
		return w.visit(n, up, best)
	}
	if down.empty() && ordered.empty() {
		w.note(n, "no member applies to this client")
		return true
	}
	w.last = true
	w.note(n, "fail open: nothing here is healthy, so everything is treated as healthy")
	if !down.empty() {
		return w.visit(n, down, best)
	}
	return w.visit(n, ordered, best)
}

// others visits what open leaves out.
func (w *walker) others(n *node, up, down, ordered set) bool {
	w.last = true
	before := false // open has been through a set before
	for _, s := range [...]set{up, down, ordered} {
		switch {
		case s.empty():
			continue
		case before && !w.visit(n, s, best), !w.visit(n, s, rest):
			return false
		}
		before = true
	}
	return true
}

// visit goes through the members of s in the order of the policy. Leaves are yielded in the best phase only: in the rest
// phase s has been through it, and only groups below have something left.
func (w *walker) visit(n *node, s set, p phase) bool {
	outer := w.causes
	for i := w.take(n, &s); i >= 0; i = w.take(n, &s) {
		m := &n.members[i]
		w.causes = outer | w.took
		if m.target != nil {
			w.enter(n, i, p)
			if !w.group(m.target, p) {
				return false
			}
			w.leave()
			continue
		}
		if p == rest {
			continue
		}
		last := w.last || n.guarded && !memberUp(m, w.health) && !w.persists(m)
		w.candidate(n, i, last)
		if !w.emit(Pick{Leaf: m.Leaf, Group: n.group, ID: m.ID, LastResort: last, Limit: w.advice(m).Limit, Causes: w.causes}) {
			return false
		}
	}
	w.causes = outer
	return true
}

// survey splits the members that apply to the client by health.
func (w *walker) survey(n *node) (up, down set) {
	for i := range n.members {
		m := &n.members[i]
		if n.some && !w.applies(n.group.Policy, m.Member) {
			continue
		}
		if memberUp(m, w.health) || w.persists(m) {
			up.add(i)
		} else {
			down.add(i)
		}
	}
	return up, down
}

// panics reports whether so few members are healthy that the load of all would be too much for them: health is ignored then.
func (n *node) panics(up, down int) bool {
	return up < n.group.MinHealthy || up*100 < n.group.Panic*(up+down)
}

// memberUp is Route 53's rule: the member's own check and, for an alias that evaluates its target, anything below it.
func memberUp(m *member, h Health) bool {
	if m.slot != Always && !h.Up(m.slot) {
		return false
	}
	return !m.below || anyUp(m.target, h)
}

// anyUp reports whether any member of a group is healthy.
func anyUp(n *node, h Health) bool {
	if n.steady {
		return true
	}
	for i := range n.members {
		if memberUp(&n.members[i], h) {
			return true
		}
	}
	return false
}
