package steer

import (
	"fmt"
	"iter"
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
	d := director{a: a, flow: f, health: h, adviser: adviserOf(h, false), key: a.key(f)}
	d.run()
	return d.first
}

// Candidates yields where the flow goes, then where else it could when that fails: the other usable endpoints of the group, of
// the other groups with a dial, of the groups that failover tries, and last what fail-open would choose from. The sequence is
// lazy and must not outlive f.
func (a *Accelerator) Candidates(f *Flow, h Health) iter.Seq[Direction] {
	return func(yield func(Direction) bool) {
		d := director{a: a, flow: f, health: h, adviser: adviserOf(h, false), key: a.key(f), yield: yield}
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
