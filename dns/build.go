package dns

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// maxChase is how many CNAMEs of the configuration may follow each other inside one zone (D21).
const maxChase = 8

// builder makes the unit of one zone.
type builder struct {
	env     *env
	u       *unit
	sets    map[setKey]*source // of the configuration
	sources []*source
	errs    []error // mistakes of the configuration
	faults  []error // what the data, alone or together with the configuration, has wrong

	name  []byte // of the node that is being gathered
	items []item // its sets
	path  []level
	nodes []node
	links []link
}

// setKey names an RRset.
type setKey struct {
	name string // wire form, lower case
	typ  uint16
}

// item is one RRset on its way into the arena: a record of the configuration, or a set of the data.
type item struct {
	typ uint16
	src *source
	set zone.Set
}

// level is a node above the one that is being written, or that node.
type level struct {
	node   node
	name   []byte
	hidden node // the delegation or DNAME that hides what is below it; 0: none
}

// link is a set or a leaf whose additional records are to be found.
type link struct {
	set   uint32 // offset in the arena; 0: it is a leaf
	leaf  int
	owner node
	cut   bool // the set is a delegation
}

func (b *builder) fail(err error)  { b.errs = append(b.errs, err) }
func (b *builder) fault(err error) { b.faults = append(b.faults, err) }

// buildUnit compiles one zone. cfg may be nil, and so may data, but not both unless the zone is not there yet. mistakes are those
// of the configuration; a fault leaves a unit that is broken.
func buildUnit(e *env, name string, cfg *config.Zone, data *zone.Data) (u *unit, mistakes error) {
	apex, err := parseName(name)
	if err != nil {
		return nil, err
	}
	b := &builder{env: e, sets: map[setKey]*source{}}
	b.u = &unit{name: name, apex: apex, config: cfg, data: data, seed: maphash.MakeSeed()}
	if cfg != nil {
		b.readConfig()
	}
	for _, s := range b.sources {
		if err := b.compileSet(s); err != nil {
			b.fail(fmt.Errorf("%s: %w", s, err))
		}
	}
	switch {
	case len(b.errs) > 0:
		return nil, errors.Join(b.errs...)
	case cfg == nil && data == nil:
		b.u.broken = errNotThere
		return b.u, nil
	case len(b.faults) == 0:
		b.build()
	}
	if len(b.errs) > 0 || data == nil && len(b.faults) > 0 {
		return nil, errors.Join(append(b.errs, b.faults...)...)
	}
	b.u.broken = errors.Join(b.faults...)
	return b.u, nil
}

// build writes the arena.
func (b *builder) build() {
	u := b.u
	if u.data != nil && !bytes.Equal(u.data.Origin(), u.apex) {
		b.fault(fmt.Errorf("the data is of zone %s", zone.NameText(u.data.Origin())))
		return
	}
	u.arena = make([]byte, arenaStart, arenaStart+u.data.Size()+64*u.data.Len()+100*len(b.sources))
	b.merge()
	if len(b.faults) > 0 {
		return
	}
	b.setNegative()
	b.fillTable()
	for _, l := range b.links {
		b.link(l)
	}
	u.arena = append(make([]byte, 0, len(u.arena)), u.arena...)
	b.checkChains()
}

// merge brings the sets of the data and of the configuration into canonical order, in which every name comes before those below
// it, and writes the nodes.
func (b *builder) merge() {
	slices.SortFunc(b.sources, func(x, y *source) int {
		return cmp.Or(zone.Compare(x.name, y.name), cmp.Compare(x.typ, y.typ))
	})
	rest := b.sources
	for set := range b.u.data.Sets() {
		for len(rest) > 0 && zone.Compare(rest[0].name, set.Name) < 0 {
			b.add(rest[0].name, item{typ: rest[0].typ, src: rest[0]})
			rest = rest[1:]
		}
		b.add(set.Name, item{typ: set.Type, set: set})
	}
	for _, s := range rest {
		b.add(s.name, item{typ: s.typ, src: s})
	}
	b.flush()
}

// add gathers the sets of one name.
func (b *builder) add(name []byte, it item) {
	if b.name != nil && !bytes.Equal(b.name, name) {
		b.flush()
	}
	b.name = name
	b.items = append(b.items, it)
}

// flush writes the gathered node, after the empty non-terminals above it.
func (b *builder) flush() {
	for len(b.path) > 0 && !dnswire.Below(b.name, b.path[len(b.path)-1].name) {
		b.path = b.path[:len(b.path)-1]
	}
	top := len(b.u.apex)
	if len(b.path) > 0 {
		top = len(b.path[len(b.path)-1].name)
	} else if len(b.name) > top {
		b.writeNode(b.u.apex, nil) // a zone that has nothing at its apex; refused later
	}
	var missing [dnswire.MaxLabels][]byte
	n := 0
	for name := b.name; len(name) > top && len(dnswire.Parent(name)) > top; n++ {
		name = dnswire.Parent(name)
		missing[n] = name
	}
	for n--; n >= 0; n-- {
		b.writeNode(missing[n], nil)
	}
	slices.SortStableFunc(b.items, func(x, y item) int { return cmp.Compare(x.typ, y.typ) })
	b.check()
	b.writeNode(b.name, b.items)
	b.items = b.items[:0]
}

// check refuses what must not stand together at one name.
func (b *builder) check() {
	cname, others := false, false
	for i, it := range b.items {
		switch {
		case i > 0 && b.items[i-1].typ == it.typ:
			b.fault(fmt.Errorf("%s: also in the zone's data", cmp.Or(b.items[i-1].src, it.src)))
		case it.typ == dnswire.TypeCNAME:
			cname = true
		case it.typ == mdns.TypeRRSIG || it.typ == mdns.TypeNSEC || it.typ == mdns.TypeKEY: // RFC 4034 section 3 and 4
		default:
			others = true
		}
		switch {
		case it.src == nil && message.Single(it.typ) && it.set.Len() > 1:
			b.fault(fmt.Errorf("%s: more than one %s record", zone.NameText(b.name), mdns.Type(it.typ)))
		case it.src == nil && it.typ == dnswire.TypeNS && isWildcard(b.name):
			b.fault(fmt.Errorf("%s: a wildcard cannot delegate", zone.NameText(b.name))) // RFC 4592 section 4.2
		case it.src == nil && (it.typ == dnswire.TypeCNAME || it.typ == mdns.TypeDNAME) && !dnswire.IsName(it.set.First()):
			b.fault(fmt.Errorf("%s: malformed %s record", zone.NameText(b.name), mdns.Type(it.typ)))
		}
	}
	if cname && others {
		b.fault(fmt.Errorf("%s: a CNAME cannot stand next to other records", zone.NameText(b.name))) // RFC 1034 section 3.6.2
	}
}

// writeNode appends a node and its sets, and puts it on the path.
func (b *builder) writeNode(name []byte, items []item) {
	u := b.u
	n := node(len(u.arena))
	l := level{node: n, name: name}
	flags := byte(0)
	var ref node
	if len(b.path) > 0 {
		above := b.path[len(b.path)-1]
		switch l.hidden = above.hidden; {
		case l.hidden != 0:
			flags, ref = nodeBelow, l.hidden
		case isWildcard(name):
			u.arena[above.node+nodeFlags] |= nodeWild
			binary.LittleEndian.PutUint32(u.arena[above.node+nodeRef:], uint32(n))
		}
	}
	if l.hidden == 0 {
		flags, l.hidden = b.hides(items, n, len(name))
	}
	u.arena = append(u.arena, byte(len(name)), flags, byte(len(items)), byte(len(items)>>8))
	u.arena = binary.LittleEndian.AppendUint32(u.arena, uint32(ref))
	u.arena = append(u.arena, 0xFF, 0xFF, 0xFF, 0xFF) // no set for ANY, no CNAME
	u.arena = append(u.arena, name...)
	u.arena = append(u.arena, make([]byte, setLen*len(items))...)
	least := uint32(1 << 16)
	for i := range items {
		s := b.writeSet(u.setAt(n, i), n, &items[i], items)
		if !s.has(setIsTree) && s.typ() != 0 && s.size() < least {
			least = s.size()
			binary.LittleEndian.PutUint16(u.arena[n+nodeAny:], uint16(i))
		}
		if s.typ() == dnswire.TypeCNAME {
			binary.LittleEndian.PutUint16(u.arena[n+nodeCNAME:], uint16(i))
		}
	}
	u.depth = max(u.depth, dnswire.CountLabels(name))
	b.nodes = append(b.nodes, n)
	b.path = append(b.path, l)
}

// hides says what a node does to the names below it. A delegation counts before a DNAME.
func (b *builder) hides(items []item, n node, nameLen int) (flags byte, hidden node) {
	for i := range items {
		switch {
		case items[i].typ == dnswire.TypeNS && nameLen > len(b.u.apex):
			return nodeCut, n
		case items[i].typ == mdns.TypeDNAME && !items[i].empty():
			flags, hidden = nodeDName, n
		}
	}
	return flags, hidden
}

// empty reports whether a record of the configuration turned out to have nothing to say.
func (it *item) empty() bool { return it.src != nil && it.src.steered == nil && it.src.answer.N == 0 }

// writeSet fills in the head of a set, at an offset, and appends its records.
func (b *builder) writeSet(at uint32, owner node, it *item, node []item) set {
	u := b.u
	s := setFields{typ: it.typ, at: uint32(len(u.arena))}
	switch {
	case it.src != nil && it.src.steered != nil:
		s.flags, s.extra = setIsTree, uint32(len(u.steered))
		u.steered = append(u.steered, *it.src.steered)
		for _, i := range it.src.steered.choices {
			u.records += u.leaves[i].N
			b.links = append(b.links, link{leaf: i, owner: owner})
		}
	case it.src != nil:
		u.arena = append(u.arena, it.src.answer.Wire...)
		s.n = uint16(it.src.answer.N)
	default:
		for data := range it.set.RData() {
			u.arena = append(message.AppendHead(u.arena, it.typ, it.set.TTL, len(data)), data...)
		}
		s.n = uint16(it.set.Len())
		if len(u.arena)-int(s.at) > message.MaxRecords {
			b.fault(fmt.Errorf("%s %s: records need more than %d octets", zone.NameText(b.name), mdns.Type(it.typ), message.MaxRecords))
		}
	}
	if len(u.arena) > 1<<32-1<<20 {
		b.fault(errors.New("zone needs more than 4 GiB"))
	}
	s.size = uint16(len(u.arena) - int(s.at))
	switch {
	case s.flags&setIsTree != 0:
	case s.n == 0:
		s.typ = 0 // the name is there, the type is not
	case b.sign(s.typ, node):
		s.flags |= setIsSigned
	}
	u.records += int(s.n)
	u.writeSet(at, s.set())
	if s.flags&setIsTree == 0 && hasTargets(s.typ) {
		b.links = append(b.links, link{set: at, owner: owner, cut: u.arena[owner+nodeFlags]&nodeCut != 0 && s.typ == dnswire.TypeNS})
	}
	return s.set()
}

// sign appends the signatures of a type that a node has, and reports whether there are any.
func (b *builder) sign(typ uint16, node []item) bool {
	u := b.u
	start, n := len(u.arena), 0
	for i := range node {
		it := &node[i]
		if it.typ != mdns.TypeRRSIG || it.src != nil || typ == mdns.TypeRRSIG {
			continue
		}
		for data := range it.set.RData() {
			if len(data) < 2 || binary.BigEndian.Uint16(data) != typ { // the type covered (RFC 4034 section 3.1.1)
				continue
			}
			if n++; n == 1 {
				u.arena = append(u.arena, make([]byte, sigHeader)...)
			}
			u.arena = append(message.AppendHead(u.arena, it.typ, it.set.TTL, len(data)), data...)
		}
	}
	size := len(u.arena) - start - sigHeader
	switch {
	case n == 0:
		return false
	case size > message.MaxRecords:
		b.fault(fmt.Errorf("%s %s: signatures need more than %d octets", zone.NameText(b.name), mdns.Type(typ), message.MaxRecords))
		return false
	}
	binary.LittleEndian.PutUint16(u.arena[start:], uint16(n))
	binary.LittleEndian.PutUint16(u.arena[start+2:], uint16(size))
	return true
}

func hasTargets(typ uint16) bool {
	switch typ {
	case dnswire.TypeNS, dnswire.TypeMX, dnswire.TypeSRV, mdns.TypeSVCB, mdns.TypeHTTPS, mdns.TypeNAPTR:
		return true
	}
	return false
}

// setNegative prepares the SOA that goes with negative answers; its TTL is the lower of its own and its minimum field
// (RFC 2308 section 3).
func (b *builder) setNegative() {
	u := b.u
	apex := b.nodes[0]
	soa, ns := u.set(apex, dnswire.TypeSOA), u.set(apex, dnswire.TypeNS)
	switch {
	case ns.typ() == 0:
		b.fault(errors.New("no nameservers"))
		return
	case soa.typ() == 0 || soa.size() < message.FixedLen+22:
		b.fault(errors.New("no SOA record"))
		return
	}
	u.negative = u.static(soa)
	u.negative.Wire = bytes.Clone(u.negative.Wire)
	minimum := u.negative.Wire[len(u.negative.Wire)-4:]
	if ttl := u.negative.Wire[message.OwnerLen+4 : message.OwnerLen+8]; bytes.Compare(minimum, ttl) < 0 {
		copy(ttl, minimum)
	}
}

func (b *builder) fillTable() {
	u := b.u
	u.slots = make([]uint64, tableSize(len(b.nodes)))
	for _, n := range b.nodes {
		insert(u.slots, maphash.Bytes(u.seed, u.nodeName(n)), uint32(n))
	}
}

// checkChains refuses CNAMEs of the configuration that lead, through any choice of a policy, back to themselves or further than
// maxChase. The data may say what it likes: answers then end where they have gone round.
func (b *builder) checkChains() {
	lengths := map[node]int{}
	for _, s := range b.sources {
		if s.typ != dnswire.TypeCNAME || len(b.faults) > 0 {
			continue
		}
		n, how := b.u.find(s.name, dnswire.CountLabels(s.name))
		if how != exact {
			continue
		}
		switch length := b.chain(n, lengths); {
		case length == endless:
			b.fail(fmt.Errorf("%s CNAME: leads into a loop", zone.NameText(s.name)))
		case length > maxChase:
			b.fail(fmt.Errorf("%s CNAME: chain of more than %d CNAMEs", zone.NameText(s.name), maxChase))
		}
	}
}

// endless is the length of a chain of CNAMEs that meets itself.
const endless = 1 << 30

// chain is how many CNAMEs of the configuration may follow each other from a node on, its own included. While a node is being
// walked it counts as endless, which is what meeting it again makes it.
func (b *builder) chain(n node, lengths map[node]int) int {
	src := b.sets[setKey{string(b.u.nodeName(n)), dnswire.TypeCNAME}]
	if src == nil {
		return 0
	}
	if length, known := lengths[n]; known {
		return length
	}
	lengths[n] = endless
	longest := 0
	for _, wire := range b.answers(src) {
		name := dnswire.Lower(wire[message.FixedLen:])
		if !dnswire.Below(name, b.u.apex) {
			continue
		}
		if next, how := b.u.find(name, dnswire.CountLabels(name)); how == exact || how == wildcard {
			longest = max(longest, b.chain(next, lengths))
		}
	}
	if longest < endless {
		longest++
	}
	lengths[n] = longest
	return longest
}

// answers is everything a record of the configuration can be answered with.
func (b *builder) answers(s *source) [][]byte {
	if s.steered == nil {
		return [][]byte{s.answer.Wire}
	}
	var all [][]byte
	for _, i := range s.steered.choices {
		if wire := b.u.leaves[i].Wire; len(wire) > 0 {
			all = append(all, wire)
		}
	}
	return all
}

func isWildcard(name []byte) bool { return name[0] == 1 && name[1] == '*' }
