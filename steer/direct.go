package steer

import "math/bits"

// groupSet is a set of group indices.
type groupSet uint64

func (s groupSet) has(i int) bool { return s>>i&1 != 0 }
func (s *groupSet) remove(i int)  { *s &^= 1 << i }

// director is one question to an Accelerator.
type director struct {
	a      *Accelerator
	flow   *Flow
	health Health
	// adviser is asked beside health; nil: it has nothing to say.
	adviser Adviser
	key     uint64
	yield   func(Direction) bool // nil: only the first is wanted
	first   Direction
	trace   *Trace // nil unless Explain asks
	done    groupSet
	any     bool // something was handed out
}

// emit hands out one direction. It returns false when no more are wanted.
func (d *director) emit(to Direction) bool {
	d.any = true
	if d.yield != nil {
		return d.yield(to)
	}
	d.first = to
	return false
}

// all is the set of all groups.
func (d *director) all() groupSet { return ^groupSet(0) >> (MaxGroups - len(d.a.groups)) }

// nearest removes the group nearest to the flow from s and returns it; of equals it is the one listed first. s is not empty.
func (d *director) nearest(s *groupSet) int {
	at, least := -1, 0.0
	for left := uint64(*s); left != 0; left &= left - 1 {
		i := bits.TrailingZeros64(left)
		if c := separation(d.flow.From, d.a.groups[i].Point); at < 0 || c < least {
			at, least = i, c
		}
	}
	s.remove(at)
	return at
}

// run goes through the passes in the order of the documentation of Accelerator.
func (d *director) run() {
	if home := d.home(); home >= 0 && !d.visit(home, false) {
		return
	}
	for left := d.all(); left != 0; {
		if g := d.nearest(&left); d.a.groups[g].Dial > 0 && !d.visit(g, false) {
			return
		}
	}
	left := d.all()
	for range min(FailoverGroups, len(d.a.groups)) {
		if !d.visit(d.nearest(&left), true) {
			return
		}
	}
	d.failOpen()
}

// home is the group of the first pass, or -1.
func (d *director) home() int {
	last := -1
	for left := d.all(); left != 0; {
		i := d.nearest(&left)
		g := &d.a.groups[i]
		if g.Dial == 0 {
			d.note(i, "dial 0")
			continue
		}
		if s := g.usable(d.health); s.empty() {
			d.note(i, "no healthy endpoint with a weight above 0")
			continue
		}
		last = i
		drawn := unit(mix(d.key ^ g.dial))
		d.noteDial(i, drawn)
		if drawn < g.Dial/100 {
			return i
		}
	}
	if last >= 0 {
		d.note(last, "the last group with a dial takes what is left")
	}
	return last
}

// visit hands out the usable endpoints of a group, unless that has been done.
func (d *director) visit(i int, failover bool) bool {
	if d.done.has(i) {
		return true
	}
	d.done |= 1 << i
	g := &d.a.groups[i]
	s := g.usable(d.health)
	if failover && !s.empty() {
		d.note(i, "failover: whatever the dial")
	}
	for !s.empty() {
		at, least := -1, 0.0
		for e := s.next(0); e >= 0; e = s.next(e + 1) {
			if c := rendezvous(d.key, g.salts[e], d.force(&g.Endpoints[e])); at < 0 || c < least {
				at, least = e, c
			}
		}
		s.remove(at)
		to := Direction{Group: i, Endpoint: at}
		d.noteEndpoint(to, least)
		if !d.emit(to) {
			return false
		}
	}
	return true
}

// force is the weight of an endpoint, as it asks for it.
func (d *director) force(e *GroupEndpoint) float64 {
	weight := float64(e.Weight)
	if d.adviser != nil && e.Slot != Always {
		if percent := d.adviser.Advice(e.Slot).Weight; percent > 0 {
			return weight * asked(int(e.Weight), percent)
		}
	}
	return weight
}

// failOpen hands out the endpoints of the closest group that have not been: those that are down or have weight 0. What an
// operator has taken out of service comes last: while another group has something else, that group is closest.
func (d *director) failOpen() {
	all := d.all()
	closest := d.nearest(&all)
	home := closest
	for left := d.all(); d.adviser != nil && left != 0; {
		if i := d.nearest(&left); d.orderedCount(i) < len(d.a.groups[i].Endpoints) {
			home = i
			break
		}
	}
	ordered := d.ordered(home)
	if d.lastly(home, d.idle(home).without(ordered)) && d.adviser != nil {
		d.lastly(closest, d.ordered(closest))
	}
}

// idle is the endpoints of a group that have not been handed out.
func (d *director) idle(i int) set {
	g := &d.a.groups[i]
	var s set
	for e := range g.Endpoints {
		s.add(e)
	}
	if d.any && d.done.has(i) { // else what is usable now was not when the group was visited
		s = s.without(g.usable(d.health))
	}
	return s
}

// ordered is the endpoints of a group that an operator has taken out of service.
func (d *director) ordered(i int) set {
	var s set
	if d.adviser == nil {
		return s
	}
	for e := range d.a.groups[i].Endpoints {
		if slot := d.a.groups[i].Endpoints[e].Slot; slot != Always && d.adviser.Advice(slot).Ordered {
			s.add(e)
		}
	}
	return s
}

func (d *director) orderedCount(i int) int {
	s := d.ordered(i)
	return s.size()
}

// lastly hands out endpoints of a group alike, as last resorts.
func (d *director) lastly(i int, s set) bool {
	g := &d.a.groups[i]
	if !s.empty() {
		d.note(i, "fail open: any endpoint of the closest group")
	}
	for !s.empty() {
		at, least := -1, uint64(0)
		for e := s.next(0); e >= 0; e = s.next(e + 1) {
			if c := mix(d.key ^ g.salts[e]); at < 0 || c < least {
				at, least = e, c
			}
		}
		s.remove(at)
		to := Direction{Group: i, Endpoint: at, LastResort: true}
		d.noteEndpoint(to, unit(least))
		if !d.emit(to) {
			return false
		}
	}
	return true
}
