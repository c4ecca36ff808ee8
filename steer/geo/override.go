package geo

import (
	"errors"
	"fmt"
	"net/netip"
)

// maxOverrides is the most prefixes that WithOverrides takes.
const maxOverrides = 10000

// Override is the operator's word on where the addresses of some prefixes are. It goes before the database, and
// replaces all that the database says of them.
type Override struct {
	Prefixes    []netip.Prefix // at least one; masked, and no IPv4 in IPv6 clothes
	Country     string         // ISO 3166-1 alpha-2, or XK; empty: unknown
	Subdivision string         // the second part of the ISO 3166-2 code; empty: unknown
	Point       Point          // unknown: the country's centroid
}

// place is the place that an override stands for. Bits come with the lookup.
func (o *Override) place() (Place, error) {
	p := Place{Subdivision: o.Subdivision, Overridden: true}
	if o.Country != "" {
		i := countryAt(o.Country)
		if i < 0 {
			return Place{}, fmt.Errorf("%q is no country", o.Country)
		}
		c := countries[i].place()
		p.Country, p.Continent, p.Point = c.Country, c.Continent, c.Point
	}
	if o.Point.Known() {
		p.Point = o.Point
	}
	return p, nil
}

// overrides is a binary trie of prefixes for each family. Every path in it leads to a prefix.
type overrides struct {
	nodes  []overrideNode // the roots of IPv4 and of IPv6 first
	places []Place
}

// overrideNode has two ways down and perhaps a place; 0 stands for neither, since nothing leads to a root.
type overrideNode struct {
	child [2]int32
	place int32 // index into places + 1
}

// WithOverrides returns a database that knows what db knows and, before that, what the overrides say: of those that
// hold an address the longest prefix decides. db may be nil and is not changed; without overrides it is returned as it is.
//
// Place.Bits stays exact: where an override cuts into a network, it is as long as it takes to tell them apart.
//
// It fails when a country is none, when a prefix is invalid, not masked, or in two overrides, and beyond 10,000 prefixes.
func (db *DB) WithOverrides(list []Override) (*DB, error) {
	if len(list) == 0 {
		return db, nil
	}
	o := &overrides{nodes: make([]overrideNode, 2)}
	left := maxOverrides
	for i := range list {
		p, err := list[i].place()
		if err != nil {
			return nil, fmt.Errorf("place override %d: %w", i+1, err)
		}
		o.places = append(o.places, p)
		for _, prefix := range list[i].Prefixes {
			if left--; left < 0 {
				return nil, fmt.Errorf("more than %d prefixes are overridden", maxOverrides)
			}
			if err := o.insert(prefix, int32(len(o.places))); err != nil {
				return nil, fmt.Errorf("place override %d: %q %w", i+1, prefix, err)
			}
		}
	}
	next := new(DB)
	if db != nil {
		*next = *db
	}
	next.overrides = o
	return next, nil
}

func (o *overrides) insert(p netip.Prefix, place int32) error {
	if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
		return errors.New("is not a prefix of IPv4 or IPv6")
	}
	at, bits := root(p.Addr()), p.Addr().As16()
	skip := 128 - p.Addr().BitLen()
	for i := range p.Bits() {
		side := bit(&bits, skip+i)
		next := o.nodes[at].child[side]
		if next == 0 {
			next = int32(len(o.nodes))
			o.nodes = append(o.nodes, overrideNode{})
			o.nodes[at].child[side] = next
		}
		at = next
	}
	if o.nodes[at].place != 0 {
		return errors.New("is overridden twice")
	}
	o.nodes[at].place = place
	return nil
}

// find returns the place of the longest prefix that holds addr, nil when none does, and how many bits it took to tell: any
// address that shares them has the same answer. A path ends where no prefix goes on, so one bit after the last node it
// shares decides that none of the longer ones holds the address.
func (o *overrides) find(addr netip.Addr) (found *Place, decisive int) {
	at, bits := root(addr), addr.As16()
	skip := 128 - addr.BitLen()
	for {
		n := &o.nodes[at]
		if n.place != 0 {
			found = &o.places[n.place-1]
		}
		if n.child == [2]int32{} {
			return found, decisive
		}
		at = n.child[bit(&bits, skip+decisive)]
		decisive++
		if at == 0 {
			return found, decisive
		}
	}
}

// root is the node that a family starts from.
func root(a netip.Addr) int32 {
	if a.Is4() {
		return 0
	}
	return 1
}

func bit(a *[16]byte, i int) byte { return a[i>>3] >> (7 - i&7) & 1 }
