package dns

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
)

// unit is one zone, compiled. It never changes, and generations share the units of zones that did not change. What most zones
// consist of lies in two blocks without pointers: a lookup is a probe in slots, and then reads forward in arena.
//
// A node of the arena is a name that exists: it has records, or one below it does (an empty non-terminal, RFC 4592 section
// 2.2.2). It consists of
//
//	length of the name (1), flags (1), number of sets (2), ref (4), index of the set for ANY (2), index of the CNAME (2)
//	the name in wire form, lower case
//	for each set: type (2), records (2), octets (2), flags (2), offset of its wire form (4), extras or index in steered (4)
//	the sets' records, and after those of a signed set its signatures: records (2), octets (2), their wire form
type unit struct {
	name   string // as in the configuration
	apex   []byte // the name in wire form, lower case
	config *config.Zone
	data   *zone.Data
	broken error // not nil: there is nothing to serve

	seed  maphash.Seed
	slots []uint64 // the upper half of a name's hash, and the offset of its node; 0: free
	depth int      // labels of the longest name
	arena []byte

	negative blob // the SOA with the negative TTL (RFC 2308 section 3)
	steered  []steered
	leaves   []leaf // what steer's picks point at
	uses     []use  // what of the node's facts went into it
	records  int
}

// Offsets within a node and a set.
const (
	nodeFlags   = 1
	nodeCount   = 2
	nodeRef     = 4
	nodeAny     = 8
	nodeCNAME   = 10
	nodeNameAt  = 12
	setLen      = 16
	noSet       = 0xFFFF
	arenaStart  = 4 // so that no node is at 0
	setIsTree   = 1 // a policy picks the answer: extra is an index in steered
	setIsSigned = 2 // its signatures (RRSIG), which the zone's data has, follow its records: nothing is signed here yet
	sigHeader   = 4 // records (2), octets (2)
	extraHeader = 6 // records (2), octets (2), required (2)
)

// Flags of a node.
const (
	nodeWild  = 1 << iota // ref is "*" directly below
	nodeCut               // it is a delegation point
	nodeDName             // it has a DNAME, which stands for everything below it
	nodeBelow             // ref is the delegation or DNAME above, which hides it
)

// set is one RRset of a node: the two words that stand for it in the arena. As two it stays in registers on its way through a lookup; as six
// fields it would be written to memory and read back at each step, sooner than the processor has it there.
type set struct{ head, tail uint64 }

// setFields are what a set consists of.
type setFields struct {
	typ, n, size, flags uint16
	at, extra           uint32
}

func (f *setFields) set() set {
	return set{
		head: uint64(f.typ) | uint64(f.n)<<16 | uint64(f.size)<<32 | uint64(f.flags)<<48,
		tail: uint64(f.at) | uint64(f.extra)<<32,
	}
}

func (s set) typ() uint16       { return uint16(s.head) } // 0: there is none
func (s set) n() int            { return int(uint16(s.head >> 16)) }
func (s set) size() uint32      { return uint32(uint16(s.head >> 32)) }
func (s set) has(f uint16) bool { return uint16(s.head>>48)&f != 0 }
func (s set) at() uint32        { return uint32(s.tail) }
func (s set) extra() uint32     { return uint32(s.tail >> 32) }

// steered is an RRset that a policy picks, or that is not known before it is asked for.
type steered struct {
	tree     *steer.Tree // nil: the leaf is always the same
	leaf     int
	multi    bool // the tree has a multivalue group: several leaves may answer together
	together bool // drawn by client and name
	choices  []int
}

// leaf is one answer of a steered set.
type leaf struct {
	blob
	id   string // for explain
	host string // not empty: the addresses are those of this host, now
}

// blob is the RRs of an answer, and what goes with them.
type blob struct {
	message.Records
	extra uint32 // offset of the additional records that go with it; 0: none
}

// node is the offset of a node in its unit's arena; 0: none.
type node uint32

func (u *unit) flags(n node) byte { return u.arena[n+nodeFlags] }

func (u *unit) ref(n node) node { return node(binary.LittleEndian.Uint32(u.arena[n+nodeRef:])) }

func (u *unit) count(n node) int { return int(binary.LittleEndian.Uint16(u.arena[n+nodeCount:])) }

func (u *unit) nodeName(n node) []byte {
	start := n + nodeNameAt
	end := start + node(u.arena[n])
	return u.arena[start:end:end]
}

// setAt is where the i-th set of a node lies.
func (u *unit) setAt(n node, i int) uint32 {
	return uint32(n) + nodeNameAt + uint32(u.arena[n]) + uint32(i)*setLen
}

func (u *unit) readSet(at uint32) set {
	b := u.arena[at : at+setLen]
	return set{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (u *unit) writeSet(at uint32, s set) {
	b := u.arena[at : at+setLen]
	binary.LittleEndian.PutUint64(b, s.head)
	binary.LittleEndian.PutUint64(b[8:], s.tail)
}

// find returns a node's set of a type; without one, a set of type 0.
func (u *unit) set(n node, typ uint16) set {
	at := u.setAt(n, 0)
	for range u.count(n) {
		if binary.LittleEndian.Uint16(u.arena[at:]) == typ {
			return u.readSet(at)
		}
		at += setLen
	}
	return set{}
}

// special returns the set whose index is kept at an offset of the node: for ANY, or the CNAME.
func (u *unit) special(n node, offset node) set {
	i := binary.LittleEndian.Uint16(u.arena[n+offset:])
	if i == noSet {
		return set{}
	}
	return u.readSet(u.setAt(n, int(i)))
}

// setFor is the set that answers for a type, and whether it is a CNAME to follow. Without one it is a set of type 0.
func (u *unit) setFor(n node, typ uint16) (s set, chase bool) {
	if binary.LittleEndian.Uint16(u.arena[n+nodeCNAME:]) != noSet && typ != typeRRSIG && typ != typeNSEC { // these stand next to a CNAME (RFC 4034)
		return u.special(n, nodeCNAME), typ != dnswire.TypeCNAME && typ != dnswire.TypeANY
	}
	if typ == dnswire.TypeANY {
		return u.special(n, nodeAny), false
	}
	return u.set(n, typ), false
}

// static is the answer of a set that no policy picks.
func (u *unit) static(s set) blob { return blob{Records: u.recordsOf(s), extra: s.extra()} }

func (u *unit) recordsOf(s set) message.Records {
	return message.Records{Wire: u.arena[s.at() : s.at()+s.size()], N: s.n()}
}

// signaturesOf are those of a signed set.
func (u *unit) signaturesOf(s set) message.Records {
	at := s.at() + s.size()
	head := u.arena[at : at+sigHeader]
	at += sigHeader
	return message.Records{Wire: u.arena[at : at+uint32(binary.LittleEndian.Uint16(head[2:]))], N: int(binary.LittleEndian.Uint16(head))}
}

// get returns the node with exactly this name, or 0.
func (u *unit) get(name []byte) node {
	h := maphash.Bytes(u.seed, name)
	mask := uint32(len(u.slots) - 1)
	for at := uint32(h) & mask; ; at = (at + 1) & mask {
		s := u.slots[at]
		if s == 0 {
			return 0
		}
		if s>>32 == h>>32 {
			if n := node(uint32(s)); bytes.Equal(u.nodeName(n), name) {
				return n
			}
		}
	}
}

// match says how a name was found.
type match uint8

const (
	outside   match = iota // in none of our zones
	exact                  // the name itself
	wildcard               // by a wildcard at the closest encloser
	delegated              // at or below a delegation
	renamed                // below a DNAME
	missing                // the name does not exist; the node is the closest encloser
)

func (m match) String() string {
	return [...]string{"outside", "exact", "wildcard", "delegation", "dname", "nxdomain"}[m]
}

// find looks a name of the zone up (RFC 1034 section 4.3.2 step 3). Every name and every empty non-terminal is a node, so the
// longest suffix that is a node is the closest encloser. It probes at most depth+1 times however many labels the name has,
// which keeps random-subdomain floods cheap (D06). labels is how many the name has.
func (u *unit) find(name []byte, labels int) (node, match) {
	rest := name
	for excess := labels - u.depth; excess > 0; excess-- {
		rest = dnswire.Parent(rest)
	}
	n := u.get(rest)
	for n == 0 {
		rest = dnswire.Parent(rest)
		n = u.get(rest)
	}
	whole := len(rest) == len(name)
	switch flags := u.flags(n); {
	case flags&nodeBelow != 0:
		n = u.ref(n)
		if u.flags(n)&nodeCut != 0 {
			return n, delegated
		}
		return n, renamed
	case flags&nodeCut != 0:
		return n, delegated
	case whole:
		return n, exact
	case flags&nodeDName != 0:
		return n, renamed
	case flags&nodeWild != 0:
		return u.ref(n), wildcard
	}
	return n, missing
}

// apexTable finds the zone of a name.
type apexTable struct {
	seed  maphash.Seed
	slots []uint64 // the upper half of the hash of a zone's name, and its index plus one; 0: free
	depth int      // labels of the longest name
}

func newApexTable(units []*unit) apexTable {
	t := apexTable{seed: maphash.MakeSeed(), slots: make([]uint64, tableSize(len(units)))}
	for i, u := range units {
		t.depth = max(t.depth, dnswire.CountLabels(u.apex))
		insert(t.slots, maphash.Bytes(t.seed, u.apex), uint32(i+1))
	}
	return t
}

// tableSize is a power of two that n entries fill to three quarters at most.
func tableSize(n int) int {
	size := 4
	for size*3 < n*4 {
		size *= 2
	}
	return size
}

func insert(slots []uint64, h uint64, value uint32) {
	mask := uint32(len(slots) - 1)
	at := uint32(h) & mask
	for slots[at] != 0 {
		at = (at + 1) & mask
	}
	slots[at] = h>>32<<32 | uint64(value)
}

// zoneOf is the index of the zone a name of so many labels belongs to: the one with the longest matching apex, or -1.
func (z *Zones) zoneOf(name []byte, labels int) int {
	if len(z.units) <= fewZones {
		return z.fewZoneOf(name)
	}
	rest := name
	for excess := labels - z.apexes.depth; excess > 0; excess-- {
		rest = dnswire.Parent(rest)
	}
	for {
		if i := z.apexAt(rest); i >= 0 || len(rest) == 1 {
			return i
		}
		rest = dnswire.Parent(rest)
	}
}

// fewZones are compared one by one, which takes less time than a hash.
const fewZones = 4

func (z *Zones) fewZoneOf(name []byte) int {
	best, longest := -1, 0
	for i, u := range z.units {
		if len(u.apex) > longest && dnswire.Below(name, u.apex) {
			best, longest = i, len(u.apex)
		}
	}
	return best
}

// apexAt is the index of the zone with exactly this name, or -1.
func (z *Zones) apexAt(name []byte) int {
	t := &z.apexes
	h := maphash.Bytes(t.seed, name)
	mask := uint32(len(t.slots) - 1)
	for at := uint32(h) & mask; ; at = (at + 1) & mask {
		s := t.slots[at]
		if s == 0 {
			return -1
		}
		if s>>32 == h>>32 && bytes.Equal(z.units[uint32(s)-1].apex, name) {
			return int(uint32(s)) - 1
		}
	}
}
