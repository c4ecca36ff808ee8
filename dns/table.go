package dns

import (
	"bytes"
	"hash/maphash"
)

// table finds nodes by their name in wire form: open addressing over hashes, at most half full.
type table struct {
	seed  maphash.Seed
	slots []slot
	depth int // labels of the longest name held
}

type slot struct {
	hash uint32
	node uint32 // index plus one; 0: free
}

func newTable(nodes []node) table {
	size := 8
	for size < 2*len(nodes) {
		size *= 2
	}
	t := table{seed: maphash.MakeSeed(), slots: make([]slot, size)}
	for i := range nodes {
		t.depth = max(t.depth, countLabels(nodes[i].name))
		h := maphash.Bytes(t.seed, nodes[i].name)
		at := uint32(h) & uint32(size-1)
		for t.slots[at].node != 0 {
			at = (at + 1) & uint32(size-1)
		}
		t.slots[at] = slot{hash: uint32(h >> 32), node: uint32(i + 1)}
	}
	return t
}

// get returns the index of the node with exactly this name, or -1.
func (t *table) get(nodes []node, name []byte) int {
	h := maphash.Bytes(t.seed, name)
	mask := uint32(len(t.slots) - 1)
	for at := uint32(h) & mask; ; at = (at + 1) & mask {
		s := t.slots[at]
		if s.node == 0 {
			return -1
		}
		if s.hash == uint32(h>>32) && bytes.Equal(nodes[s.node-1].name, name) {
			return int(s.node - 1)
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
	missing                // the name does not exist; the node is the closest encloser
)

func (m match) String() string {
	return [...]string{"outside", "exact", "wildcard", "delegation", "nxdomain"}[m]
}

// find looks a name up (RFC 1034 section 4.3.2 steps 2 and 3). Every name of ours and every empty non-terminal is a node, so the
// longest suffix that is a node is the closest encloser, and its zone is the zone. It probes at most depth+1 times however
// many labels the name has, which keeps random-subdomain floods cheap (D06).
func (z *Zones) find(name []byte) (*node, match) {
	excess := countLabels(name) - z.table.depth
	rest := name
	for ; excess > 0; excess-- {
		rest = parent(rest)
	}
	for {
		if i := z.table.get(z.nodes, rest); i >= 0 {
			n := &z.nodes[i]
			switch {
			case n.cut != nil:
				return n, delegated
			case len(rest) == len(name):
				return n, exact
			case n.wildcard != nil:
				return n.wildcard, wildcard
			}
			return n, missing
		}
		if len(rest) == 1 {
			return nil, outside
		}
		rest = parent(rest)
	}
}

// parent strips the first label.
func parent(name []byte) []byte { return name[1+int(name[0]):] }

// countLabels counts the labels of a name in wire form, the root's not included.
func countLabels(name []byte) int {
	n := 0
	for name[0] != 0 {
		name = parent(name)
		n++
	}
	return n
}

// below reports whether name is top or lies under it; both in wire form, lower case.
func below(name, top []byte) bool {
	for len(name) > len(top) {
		name = parent(name)
	}
	return bytes.Equal(name, top)
}

// lower returns a copy of a name in wire form with ASCII letters in lower case.
func lower(wire []byte) []byte {
	out := bytes.Clone(wire)
	for i := 0; out[i] != 0; i += 1 + int(wire[i]) {
		for j := i + 1; j <= i+int(wire[i]); j++ {
			if out[j]-'A' < 26 {
				out[j] |= 0x20
			}
		}
	}
	return out
}
