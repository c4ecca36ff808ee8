package dns

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// maxChase is how many CNAMEs are followed inside our zones (D21).
const maxChase = 8

// link makes nodes of compiled records and ties them together: empty non-terminals, wildcards, delegations, additional records.
func (z *Zones) link(sources []*source, apex map[string]*zone) error {
	z.placeNodes(sources, apex)
	if err := z.checkNodes(); err != nil {
		return err
	}
	z.table = newTable(z.nodes)
	z.linkWildcards()
	z.linkReferrals(apex)
	z.linkExtras()
	return z.checkChains()
}

// placeNodes makes a node of every name of ours and of every empty non-terminal between it and its apex. Names of a zone that
// are at or below the apex of another one are that zone's, so what the outer zone has there is never seen.
func (z *Zones) placeNodes(sources []*source, apex map[string]*zone) {
	byName := map[string][]*source{}
	for _, s := range sources {
		if zoneOf(s.name, apex) != s.zone {
			continue
		}
		byName[string(s.name)] = append(byName[string(s.name)], s)
		for name := s.name; apex[string(name)] == nil; {
			name = parent(name)
			if _, there := byName[string(name)]; there {
				break // and so is everything above it
			}
			byName[string(name)] = nil
		}
	}
	z.nodes = make([]node, 0, len(byName))
	for name, sources := range byName {
		n := node{name: []byte(name), zone: zoneOf([]byte(name), apex), sets: make([]rrset, len(sources))}
		for i, s := range sources {
			n.sets[i] = s.set
		}
		slices.SortFunc(n.sets, func(a, b rrset) int { return cmp.Compare(a.typ, b.typ) })
		n.cname = n.set(dnswire.TypeCNAME)
		n.any = z.smallest(n.sets)
		z.nodes = append(z.nodes, n)
	}
	slices.SortFunc(z.nodes, func(a, b node) int { return bytes.Compare(a.name, b.name) })
}

// zoneOf is the zone a name belongs to: the one with the longest matching apex.
func zoneOf(name []byte, apex map[string]*zone) *zone {
	for {
		if z := apex[string(name)]; z != nil || len(name) == 1 {
			return z
		}
		name = parent(name)
	}
}

// smallest is the answer to ANY: the smallest RRset that does not depend on who asks, or nil.
func (z *Zones) smallest(sets []rrset) *rrset {
	var least *rrset
	for i := range sets {
		s := &sets[i]
		if s.tree == nil && (least == nil || len(z.leaves[s.leaf].wire) < len(z.leaves[least.leaf].wire)) {
			least = s
		}
	}
	return least
}

// checkNodes refuses a CNAME next to other data (RFC 1034 section 3.6.2).
func (z *Zones) checkNodes() error {
	var errs []error
	for i := range z.nodes {
		if n := &z.nodes[i]; n.cname != nil && len(n.sets) > 1 {
			errs = append(errs, fmt.Errorf("zone %s: %s: a CNAME cannot stand next to other records", n.zone.name, nameText(n.name)))
		}
	}
	return errors.Join(errs...)
}

func (z *Zones) linkWildcards() {
	for i := range z.nodes {
		n := &z.nodes[i]
		if !isWildcard(n.name) || len(n.name) == n.zone.wireLen {
			continue
		}
		z.nodes[z.table.get(z.nodes, parent(n.name))].wildcard = n
	}
}

// linkReferrals marks what lies at and below each zone cut: an NS RRset below the apex. Of cuts below each other the uppermost
// counts.
func (z *Zones) linkReferrals(apex map[string]*zone) {
	cuts := map[string]*referral{}
	for i := range z.nodes {
		n := &z.nodes[i]
		for name := n.name; apex[string(name)] == nil; name = parent(name) {
			top := &z.nodes[z.table.get(z.nodes, name)]
			ns := top.set(dnswire.TypeNS)
			if ns == nil {
				continue
			}
			r := cuts[string(name)]
			if r == nil {
				r = z.referral(top, ns)
				cuts[string(name)] = r
			}
			n.cut = r
		}
		n.atCut = n.cut != nil && n.cut.nameLen == len(n.name)
	}
}

// referral compiles a delegation. Addresses of nameservers inside the delegated zone must go with it or it leads nowhere; other
// addresses of ours go along when there is room.
func (z *Zones) referral(n *node, ns *rrset) *referral {
	r := &referral{nameLen: len(n.name), about: ns.about}
	r.ns = z.leaves[ns.leaf]
	r.ns.extra = nil
	targets := r.ns.targets()
	for _, required := range []bool{true, false} {
		for _, target := range targets {
			if below(target, n.name) == required {
				r.ns.extra = z.appendAddresses(r.ns.extra, target, required)
			}
		}
	}
	return r
}

// appendAddresses appends the A and AAAA records of a name of ours whose answers do not depend on who asks. Steered names are
// left out: their answer would need a scope of its own.
func (z *Zones) appendAddresses(extras []extra, name []byte, required bool) []extra {
	at := z.table.get(z.nodes, name)
	if at < 0 {
		return extras
	}
	for _, typ := range []uint16{dnswire.TypeA, dnswire.TypeAAAA} {
		if s := z.nodes[at].set(typ); s != nil && s.tree == nil {
			b := &z.leaves[s.leaf]
			extras = append(extras, extra{wire: b.owned(name), count: uint16(len(b.ends)), required: required})
		}
	}
	return extras
}

// linkExtras finds the additional records of every answer that names hosts of ours. Hosts below a delegation are not ours.
func (z *Zones) linkExtras() {
	for i := range z.leaves {
		b := &z.leaves[i]
		for _, target := range b.targets() {
			if n, how := z.find(target); how == exact && n.cname == nil {
				b.extra = z.appendAddresses(b.extra, target, false)
			}
		}
	}
}

// checkChains refuses CNAMEs that lead, through any choice of a policy, back to themselves or further than maxChase.
func (z *Zones) checkChains() error {
	var errs []error
	lengths := map[*rrset]int{}
	for i := range z.nodes {
		n := &z.nodes[i]
		if n.cname == nil || n.cut != nil {
			continue
		}
		switch length := z.chain(n.cname, lengths); {
		case length == endless:
			errs = append(errs, fmt.Errorf("zone %s: %s CNAME: leads into a loop", n.zone.name, nameText(n.name)))
		case length > maxChase:
			errs = append(errs, fmt.Errorf("zone %s: %s CNAME: chain of more than %d CNAMEs", n.zone.name, nameText(n.name), maxChase))
		}
	}
	return errors.Join(errs...)
}

// endless is the length of a chain of CNAMEs that meets itself.
const endless = 1 << 30

// chain is how many CNAMEs may follow each other from s on, s included. While s is being walked it counts as endless, which is
// what meeting it again makes it.
func (z *Zones) chain(s *rrset, lengths map[*rrset]int) int {
	if length, known := lengths[s]; known {
		return length
	}
	lengths[s] = endless
	longest := 0
	for _, leaf := range s.choices {
		if n, how := z.find(z.leaves[leaf].target); (how == exact || how == wildcard) && n.cname != nil {
			longest = max(longest, z.chain(n.cname, lengths))
		}
	}
	if longest < endless {
		longest++
	}
	lengths[s] = longest
	return longest
}

// nameText is a name in presentation form.
func nameText(wire []byte) string {
	name, _, err := mdns.UnpackDomainName(wire, 0)
	if err != nil {
		panic("BUG: a compiled name does not unpack: " + err.Error())
	}
	return name
}
