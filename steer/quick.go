package steer

// quick is the fast lane of Pick: it goes straight down to the first candidate, and looks at the health of a member only where
// that can change the choice. It takes the same draws as the walk, so that both choose alike. It returns false when it comes to
// a group in which no member applies: the walk knows how to go back.
func (w *walker) quick(n *node) bool {
	for {
		i := w.quickMember(n)
		if i < 0 {
			return false
		}
		m := &n.members[i]
		if m.target == nil {
			w.first = Pick{Leaf: m.Leaf, Group: n.group, ID: m.ID, LastResort: w.last}
			return true
		}
		n = m.target
	}
}

// quickMember is the member that the walk would visit first, or -1.
func (w *walker) quickMember(n *node) int {
	switch p := n.group.Policy; p {
	case Failover:
		for i := range n.members {
			if memberUp(&n.members[i], w.health) {
				return i
			}
		}
		w.last = true
		return 0
	case Weighted:
		if len(n.members) <= 64 {
			return w.quickWeighted(n)
		}
		fallthrough
	case Simple, Multivalue:
		up, down := w.survey(n)
		if up.empty() {
			up, w.last = down, true
		}
		return w.next(n, &up)
	}
	return w.quickLeast(n)
}

// quickLeast is quickMember for the policies that have a cost.
func (w *walker) quickLeast(n *node) int {
	at, least := -1, 0.0   // of the healthy
	other, lost := -1, 0.0 // of the others
	for i := range n.members {
		m := &n.members[i]
		if n.some && !w.applies(n.group.Policy, m.Member) {
			continue
		}
		c := w.cost(n, i)
		switch {
		case at >= 0 && c >= least:
		case memberUp(m, w.health):
			at, least = i, c
		case at < 0 && (other < 0 || c < lost):
			other, lost = i, c
		}
	}
	if at < 0 {
		at, w.last = other, true
	}
	return at
}

// quickWeighted is drawWeighted for small groups without slow start.
func (w *walker) quickWeighted(n *node) int {
	var up uint64
	sum, total := 0, 0
	for i := range n.members {
		m := &n.members[i]
		weight := int(m.weight)
		total += weight
		if memberUp(m, w.health) {
			up |= 1 << i
			sum += weight
		}
	}
	if up == 0 {
		up, sum, w.last = ^uint64(0)>>(64-len(n.members)), total, true
	}
	if sum == 0 {
		s := set{up}
		return w.draw(&s)
	}
	k := w.below(sum)
	for i := range n.members {
		if up>>i&1 != 0 {
			if k -= int(n.members[i].weight); k < 0 {
				return i
			}
		}
	}
	panic("BUG: steer: weights changed while they were drawn from")
}
