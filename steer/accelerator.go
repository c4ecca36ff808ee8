package steer

import (
	"fmt"
	"iter"
	"math/bits"
	"net/netip"

	"github.com/meridian-edge/meridian/steer/geo"
)

// Limits of an accelerator. Global Accelerator has at most 42 groups.
const (
	MaxGroups      = 64 // of one accelerator
	FailoverGroups = 3  // the closest groups that are tried, whatever their dials, when no group with a dial is healthy
)

// Affinity is what the flows that go to the same endpoint have in common.
type Affinity uint8

// The affinities.
const (
	AffinityNone   Affinity = iota // protocol, addresses and ports: every connection for itself
	AffinitySource                 // source and destination address: all connections of a client
)

// EndpointGroup is the endpoints of one region, as the caller describes them to CompileAccelerator.
type EndpointGroup struct {
	ID        string    // stable: flows are hashed with it
	Point     geo.Point // unknown: farther than every group with a place
	Dial      float64   // percent of the traffic directed here that stays, 0-100
	Endpoints []GroupEndpoint
}

// GroupEndpoint is one endpoint of a group.
type GroupEndpoint struct {
	ID     string // stable: flows are hashed with it
	Slot   Slot
	Weight uint8 // its share of its group; 0: only in the last resort
}

// Flow is a connection, or a sequence of datagrams, to be directed.
type Flow struct {
	Protocol    uint8 // IANA number: 6 TCP, 17 UDP
	Source      netip.AddrPort
	Destination netip.AddrPort // of the accelerator
	From        geo.Point      // where nearness is measured from; unknown: groups are near as listed
}

// Direction is where a flow can go.
type Direction struct {
	Group    int // index of the EndpointGroup
	Endpoint int // index in the group
	// LastResort marks a direction that is offered because no group that is tried has a healthy endpoint (fail open).
	LastResort bool
}

// Accelerator directs flows to endpoint groups by the rules of AWS Global Accelerator. Its decisions are pure functions of
// (accelerator, flow, health): every edge makes the same without sharing state, and an established flow that is asked for again
// goes to the same place as long as health and configuration are the same.
//
// A group is usable while it has a healthy endpoint with a weight above 0. Groups are considered nearest first:
//
//  1. Of the usable groups with a dial above 0, the first whose dial accepts the flow; the last of them accepts what is left.
//     The dial compares a hash of (flow, group) with its percentage: once for each flow and group, so that raising a dial only
//     brings flows to the group and lowering it only takes some away.
//  2. When there is none: the first usable group of the FailoverGroups closest, whatever its dial.
//  3. When there is none: any endpoint of the closest group, alike, whatever its health and weight.
//
// Within a group the healthy endpoints with a weight above 0 share the flows by weighted rendezvous hash. An Accelerator never
// changes and is safe for concurrent use.
type Accelerator struct {
	name     string
	affinity Affinity
	groups   []district
}

// district is an EndpointGroup with its salts. The dial and the endpoints have different ones: with the same, the flows that a
// dial lets in would all have small hashes, and the weights would not come out.
type district struct {
	EndpointGroup
	dial  uint64
	salts []uint64
}

// CompileAccelerator checks groups and makes an Accelerator of them; they belong to it afterwards. The name is hashed with
// every flow, so that two accelerators divide the same clients differently. Errors wrap ErrGroup.
func CompileAccelerator(name string, affinity Affinity, groups []EndpointGroup) (*Accelerator, error) {
	if len(groups) == 0 || len(groups) > MaxGroups {
		return nil, fmt.Errorf("%w: accelerator %s: %d groups, 1 to %d", ErrGroup, name, len(groups), MaxGroups)
	}
	a := &Accelerator{name: name, affinity: affinity}
	seen := map[string]bool{}
	for i := range groups {
		g := &groups[i]
		switch {
		case seen[g.ID]:
			return nil, fmt.Errorf("%w: accelerator %s: two groups %s", ErrGroup, name, g.ID)
		case len(g.Endpoints) == 0 || len(g.Endpoints) > MaxMembers:
			return nil, fmt.Errorf("%w: accelerator %s: group %s: %d endpoints, 1 to %d", ErrGroup, name, g.ID, len(g.Endpoints), MaxMembers)
		case !(g.Dial >= 0 && g.Dial <= 100):
			return nil, fmt.Errorf("%w: accelerator %s: group %s: dial %v, 0 to 100", ErrGroup, name, g.ID, g.Dial)
		}
		seen[g.ID] = true
		a.groups = append(a.groups, newDistrict(name, g))
	}
	return a, nil
}

func newDistrict(name string, g *EndpointGroup) district {
	d := district{EndpointGroup: *g, dial: salt("dial", name, g.ID)}
	count := map[string]int{} // endpoints listed twice have the shares of two
	for i := range g.Endpoints {
		id := g.Endpoints[i].ID
		d.salts = append(d.salts, mix(salt("endpoint", name, g.ID, id)+uint64(count[id])))
		count[id]++
	}
	return d
}

// usable is the set of endpoints that are healthy and have a weight.
func (d *district) usable(h Health) set {
	var s set
	for i := range d.Endpoints {
		if e := &d.Endpoints[i]; e.Weight > 0 && (e.Slot == Always || h.Up(e.Slot)) {
			s.add(i)
		}
	}
	return s
}

// Pick returns where the flow goes. There is always an answer. It does not allocate.
func (a *Accelerator) Pick(f *Flow, h Health) Direction {
	d := director{a: a, flow: f, health: h, key: a.key(f)}
	d.run()
	return d.first
}

// Candidates yields where the flow goes, then where else it could when that fails: the other usable endpoints of the group, of
// the other groups with a dial, of the groups that failover tries, and last what fail-open would choose from. The sequence is
// lazy and must not outlive f.
func (a *Accelerator) Candidates(f *Flow, h Health) iter.Seq[Direction] {
	return func(yield func(Direction) bool) {
		d := director{a: a, flow: f, health: h, key: a.key(f), yield: yield}
		d.run()
	}
}

// key is the hash of what the flows that stay together have in common.
func (a *Accelerator) key(f *Flow) uint64 {
	key := hashAddr(hashAddr(0, f.Source.Addr()), f.Destination.Addr())
	if a.affinity == AffinityNone {
		key = mix(key ^ (uint64(f.Protocol)<<32 | uint64(f.Source.Port())<<16 | uint64(f.Destination.Port())))
	}
	return key
}

// hashAddr takes an address into a hash. An IPv4 address in IPv6 form is the IPv4 address.
func hashAddr(h uint64, a netip.Addr) uint64 {
	b := a.As16()
	var high, low uint64
	for i := range 8 {
		high, low = high<<8|uint64(b[i]), low<<8|uint64(b[8+i])
	}
	return mix(mix(h+0x9e3779b97f4a7c15^high) ^ low)
}

// groupSet is a set of group indices.
type groupSet uint64

func (s groupSet) has(i int) bool { return s>>i&1 != 0 }
func (s *groupSet) remove(i int)  { *s &^= 1 << i }

// director is one question to an Accelerator.
type director struct {
	a      *Accelerator
	flow   *Flow
	health Health
	key    uint64
	yield  func(Direction) bool // nil: only the first is wanted
	first  Direction
	trace  *Trace // nil unless Explain asks
	done   groupSet
	any    bool // something was handed out
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
			if c := rendezvous(d.key, g.salts[e], float64(g.Endpoints[e].Weight)); at < 0 || c < least {
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

// failOpen hands out the endpoints of the closest group that have not been: those that are down or have weight 0.
func (d *director) failOpen() {
	left := d.all()
	i := d.nearest(&left)
	g := &d.a.groups[i]
	usable := g.usable(d.health) // these were handed out if the group was visited, and it is one of the closest
	var s set
	for e := range g.Endpoints {
		s.add(e)
	}
	if d.any { // else what is usable now was not when the group was visited
		s = s.without(usable)
	}
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
			return
		}
	}
}
