package steer

import (
	"net/netip"

	"github.com/meridian-edge/meridian/steer/geo"
)

// applies reports whether a member can serve the client at all, whatever its health.
func (w *walker) applies(p Policy, m *Member) bool {
	switch p {
	case Geolocation:
		return locationRank(m, &w.client.Place) > 0
	case CIDR:
		return blockRank(m, w.client) >= 0
	}
	return true
}

// next returns the member of s that the group's policy puts first, or -1 when s is empty.
func (w *walker) next(n *node, s *set) int {
	switch n.group.Policy {
	case Weighted:
		return w.drawWeighted(n, s)
	case Simple, Multivalue:
		if n.group.SlowStart > 0 || w.adviser != nil {
			return w.drawWeighted(n, s)
		}
		return w.draw(s)
	case RoundRobin:
		return w.inTurn(n, s)
	case LeastOutstanding:
		return w.leastOutstanding(n, s)
	case Hash:
		return w.byHash(n, s)
	case LeastLatency:
		return w.betterOfTwo(n, s)
	}
	at, least := -1, 0.0
	for i := s.next(0); i >= 0; i = s.next(i + 1) {
		if c := w.cost(n, i); at < 0 || c < least { // of equals the one listed first
			at, least = i, c
		}
	}
	return at
}

// cost orders the members of the policies that do not draw: the smallest comes first.
func (w *walker) cost(n *node, i int) float64 {
	m := &n.members[i]
	switch n.group.Policy {
	case Latency:
		if n.group.Measured && w.allMeasured(n) {
			return w.nearness(m)
		}
		return separation(w.client.From, m.Point)
	case Geoproximity:
		return biased(distance(w.client.From, m.Point), m.Bias)
	case Geolocation:
		return -float64(locationRank(m.Member, &w.client.Place))
	case CIDR:
		return -float64(blockRank(m.Member, w.client))
	}
	return 0 // Failover: as listed
}

// farAway is beyond any distance on earth: a member or client without a place comes after those with one.
const farAway = 1e6

// distance is the great-circle distance in kilometres.
func distance(from, to geo.Point) float64 {
	if !from.Known() || !to.Known() {
		return farAway
	}
	return from.Kilometres(to)
}

// separation orders points as distance does, at a fraction of the cost: it is the square of the chord between them, at most 4.
func separation(from, to geo.Point) float64 {
	if !from.Known() || !to.Known() {
		return farAway
	}
	x, y, z := from.X-to.X, from.Y-to.Y, from.Z-to.Z
	return x*x + y*y + z*z
}

// biased applies Route 53's formula: biased distance = distance * (1 - bias/100)
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-geoproximity.html).
func biased(km float64, bias int) float64 { return km * (1 - float64(bias)/100) }

// locationRank is how specific a geolocation member is for a place; 0 does not apply.
func locationRank(m *Member, p *geo.Place) int {
	switch {
	case m.Subdivision != "":
		if m.Country == p.Country && m.Subdivision == p.Subdivision {
			return 4
		}
	case m.Country != "":
		if m.Country == p.Country {
			return 3
		}
	case m.Continent != "":
		if m.Continent == p.Continent {
			return 2
		}
	case m.Default:
		return 1
	}
	return 0
}

// blockRank is the length of the longest block of m that contains the client, 0 for a default, -1 does not apply.
func blockRank(m *Member, c *Client) int {
	rank := -1
	if m.Default {
		rank = 0
	}
	for _, block := range m.CIDRs {
		if contains(block, c) {
			rank = max(rank, block.Bits())
		}
	}
	return rank
}

// contains reports whether the block holds all of the client's prefix: a block longer than what is known of the client does
// not match (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-ipbased.html).
func contains(block netip.Prefix, c *Client) bool {
	if !c.Addr.IsValid() || c.Bits > 0 && block.Bits() > c.Bits {
		return false
	}
	return block.Contains(c.Addr)
}

// draw takes one member of s, all alike.
func (w *walker) draw(s *set) int {
	size := s.size()
	if size == 0 {
		return -1
	}
	return s.nth(w.below(size))
}

// drawWeighted takes one member of s with probability weight / sum of the weights in s. Members of weight 0 are a second
// tier, drawn alike once no other is left
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html).
func (w *walker) drawWeighted(n *node, s *set) int {
	sum := 0
	for i := s.next(0); i >= 0; i = s.next(i + 1) {
		sum += w.share(n, i)
	}
	if sum == 0 {
		return w.draw(s)
	}
	k := w.below(sum)
	for i := s.next(0); ; i = s.next(i + 1) {
		if k -= w.share(n, i); k < 0 {
			return i
		}
	}
}

// Scope is how many bits of the client's address the candidates depend on: the SCOPE PREFIX-LENGTH of an EDNS Client Subnet
// answer. Scopes of one tree tile: two clients inside one scope get the same candidates (RFC 7871 section 7.2.1).
func (t *Tree) Scope(c *Client) int {
	if !t.byClient {
		return 0
	}
	return t.root.scope(c)
}

func (n *node) scope(c *Client) int {
	bits := 0
	switch n.group.Policy {
	case Latency, Geoproximity, Geolocation:
		bits = c.Place.Bits
	case CIDR:
		for i := range n.members {
			for _, block := range n.members[i].CIDRs {
				bits = max(bits, decisive(block, c.Addr))
			}
		}
	}
	for i := range n.members {
		if target := n.members[i].target; target != nil {
			bits = max(bits, target.scope(c))
		}
	}
	return bits
}

// decisive is the length at which a prefix of a lies wholly inside or wholly outside the block.
func decisive(block netip.Prefix, a netip.Addr) int {
	if block.Addr().Is4() != a.Is4() {
		return 0
	}
	for bits := range block.Bits() {
		if p, err := a.Prefix(bits + 1); err == nil && !p.Contains(block.Addr()) {
			return bits + 1
		}
	}
	return block.Bits()
}
