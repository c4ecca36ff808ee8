package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// link finds the additional records of a set or leaf and appends them to the arena.
func (b *builder) link(l link) {
	u := b.u
	if len(u.slots) == 0 || u.flags(l.owner)&nodeBelow != 0 {
		return // never answered with
	}
	owner := u.nodeName(l.owner)
	var wire []byte
	if l.set != 0 {
		wire = u.static(u.readSet(l.set)).Wire
	} else {
		wire = u.leaves[l.leaf].Wire
	}
	self := owner
	if l.set == 0 || isWildcard(owner) { // a leaf may be shared with an alias
		self = nil
	}
	at := uint32(len(u.arena))
	found := message.Targets(wire, self)
	if l.cut {
		// Addresses of nameservers inside the delegated zone must go with it or it leads nowhere; other addresses of ours go
		// along when there is room.
		for _, required := range []bool{true, false} {
			for _, t := range found {
				if dnswire.Below(t.Name, owner) != required {
					continue
				}
				n := u.get(t.Name)
				if n == 0 && !required {
					n = b.answering(t.Name)
				}
				b.appendExtras(n, t, required)
			}
		}
	} else {
		for _, t := range found {
			b.appendExtras(b.answering(t.Name), t, false)
		}
	}
	if at == uint32(len(u.arena)) {
		return
	}
	u.arena = append(u.arena, 0, 0) // no more
	if l.set != 0 {
		binary.LittleEndian.PutUint32(u.arena[l.set+12:], at)
	} else {
		u.leaves[l.leaf].extra = at
	}
}

// answering is the node whose records a question for a name would be answered with, itself or a wildcard; 0: none of ours. Hosts below a
// delegation are not.
func (b *builder) answering(name []byte) node {
	if !dnswire.Below(name, b.u.apex) {
		return 0
	}
	if n, how := b.u.find(name, dnswire.CountLabels(name)); how == exact || how == wildcard {
		return n
	}
	return 0
}

// appendExtras appends the addresses at a node, or what else a target wants, as far as the answers do not depend on who asks: that
// would need a scope of its own.
func (b *builder) appendExtras(n node, t message.Target, required bool) {
	if n == 0 {
		return
	}
	u := b.u
	types := [3]uint16{t.Other, dnswire.TypeA, dnswire.TypeAAAA}
	want := types[:]
	if t.Only {
		want = types[:1]
	}
	for _, typ := range want {
		s := u.set(n, typ)
		if typ == 0 || s.typ() == 0 || s.has(setIsTree) {
			continue
		}
		flag := byte(0)
		if required {
			flag = 1
		}
		from := len(u.arena)
		u.arena = binary.LittleEndian.AppendUint16(u.arena, uint16(s.n()))
		u.arena = append(u.arena, 0, 0, flag, 0)
		u.arena = message.AppendOwned(u.arena, u.static(s).Wire, t.Name)
		size := len(u.arena) - from - extraHeader
		if size > message.MaxRecords {
			u.arena = u.arena[:from]
			continue
		}
		binary.LittleEndian.PutUint16(u.arena[from+2:], uint16(size))
	}
}
