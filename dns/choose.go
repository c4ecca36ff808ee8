package dns

import (
	"slices"

	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// pick chooses the leaves that answer for a set: none when a policy has nothing for this client, several only for multivalue.
func (z *Zones) pick(c *Client, u *unit, n node, set set, name []byte) []int {
	w := &c.work
	s := &u.steered[set.extra()]
	if s.tree == nil {
		w.picks[0] = s.leaf
		w.trace.chosen(u, n, set, w.picks[:1])
		return w.picks[:1]
	}
	byClient := s.tree.ByClient()
	if !w.asked && byClient {
		z.ask(c)
	}
	w.asker.Random = c.Random
	if s.together {
		var bits int
		w.asker.Random, bits = together(c, name)
		w.scope = max(w.scope, bits)
	}
	var found []steer.Pick
	var steps steer.Trace
	switch {
	case w.trace != nil:
		found, steps = s.tree.Explain(&w.asker, z.health)
	case s.multi:
		found = s.tree.Append(w.found[:0], len(w.found), &w.asker, z.health)
	default:
		if p, ok := s.tree.Pick(&w.asker, z.health); ok {
			found = append(w.found[:0], p)
		}
	}
	// A source length of 0 is the client's wish to stay unknown: its resolver steers, and the answer is for everybody
	// behind that (RFC 7871 section 7.1.2).
	if byClient && c.Subnet.Bits() > 0 {
		w.scope = max(w.scope, s.tree.Scope(&w.asker))
	}
	picks := alongside(w.picks[:0], found)
	w.trace.steered(u, n, set, picks, steps)
	return picks
}

// Clients whose addresses agree in so many bits choose together.
const (
	togetherBits4 = 24
	togetherBits6 = 48
)

// together is the draw that a client's queries for all types of a name have in common, and the scope that goes with it.
func together(c *Client, name []byte) (draw uint64, scope int) {
	addr, bits := c.Addr.Unmap(), 128
	if c.Subnet.Bits() > 0 {
		addr, bits = c.Subnet.Addr(), c.Subnet.Bits()
	}
	limit := togetherBits6
	if addr.Is4() {
		limit = togetherBits4
	}
	if c.Subnet.Bits() > 0 {
		scope = limit
	}
	bits = min(bits, limit)
	h := uint64(0xcbf29ce484222325) // FNV-1a: all edges draw alike
	a := addr.As16()
	if addr.Is4() {
		bits += 96
	}
	for i, octet := range a {
		if known := bits - 8*i; known < 8 {
			octet &= ^byte(0) << (8 - max(known, 0))
		}
		h = (h ^ uint64(octet)) * 0x100000001b3
	}
	for _, octet := range name {
		h = (h ^ uint64(octet)) * 0x100000001b3
	}
	return h, scope
}

// alongside appends the leaves of steer's candidates that make one answer: the first or, when it is of a multivalue group, up to
// eight of that group that are healthy as it is. When none is healthy, eight of those that are not (D24).
func alongside(leaves []int, found []steer.Pick) []int {
	for i := range found {
		p, first := &found[i], &found[0]
		if i > 0 && (first.Group.Policy != steer.Multivalue || p.Group != first.Group || p.LastResort != first.LastResort) {
			break
		}
		if len(leaves) == steer.MultivalueAnswers {
			break
		}
		if !slices.Contains(leaves, p.Leaf) {
			leaves = append(leaves, p.Leaf)
		}
	}
	return leaves
}

// ask finds out who the client is, once per query and only for policies that look.
func (z *Zones) ask(c *Client) {
	w := &c.work
	w.asked = true
	w.asker = steer.Client{Addr: c.Addr.Unmap(), From: z.deps.From}
	if c.Subnet.Bits() > 0 {
		w.asker.Addr, w.asker.Bits = c.Subnet.Addr(), c.Subnet.Bits()
	}
	if z.deps.Places == nil || !w.asker.Addr.IsValid() {
		return
	}
	place := z.deps.Places.Place(w.asker.Addr)
	if !place.Overridden { // the operator may place private addresses
		special, bits := geo.SpecialPurpose(w.asker.Addr)
		if special {
			place = geo.Place{Bits: place.Bits} // such an address is nowhere, whatever a database says (D18)
		}
		place.Bits = max(place.Bits, bits)
	}
	w.asker.Place = place
	if place.Point.Known() {
		w.asker.From = place.Point
	}
}
