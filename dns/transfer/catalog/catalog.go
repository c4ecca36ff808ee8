// Package catalog reads catalog zones (RFC 9432): zones whose records list the zones that a secondary is to serve.
//
//	members, err := catalog.Read(data)
//
// It keeps nothing. Safe for concurrent use.
package catalog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/meridian-edge/meridian/dns/zone"
)

// maxMembers is how many zones one catalog may list.
const maxMembers = 100_000

const (
	typePTR = 12
	typeTXT = 16
)

// Member is a zone that a catalog lists.
type Member struct {
	Zone  []byte // name in wire form, lower case
	ID    string // its unique label: when it changes, the zone starts anew (RFC 9432 section 5.4)
	Group string // the first group property, empty: none; what it means is between producer and consumer (section 4.3.2)
	Coo   []byte // name of the catalog that may take the zone over (section 4.3.1), nil: none
}

// Read lists the members of a catalog, in the order of their labels. A catalog that is broken by the rules of RFC 9432 is an error as a
// whole: the one before it must then stay in force (section 5.1).
func Read(d *zone.Data) ([]Member, error) {
	version := d.Find(under("version", d.Origin()), typeTXT)
	switch {
	case version.Len() != 1:
		return nil, errors.New("no TXT record, or more than one, at the name version")
	case string(version.First()) != "\x012":
		return nil, fmt.Errorf("version %q of the schema: only \"2\" is known", version.First()[1:])
	}
	zones := under("zones", d.Origin())
	var members []Member
	seen := map[string]bool{}
	for s := range d.Sets() {
		if s.Type != typePTR || len(s.Name) <= len(zones) || !zone.Below(s.Name, zones) || 1+int(s.Name[0])+len(zones) != len(s.Name) {
			continue
		}
		id := string(s.Name[1 : 1+s.Name[0]])
		if s.Len() != 1 {
			return nil, fmt.Errorf("member %q has %d PTR records", id, s.Len())
		}
		m := Member{ID: id, Zone: lower(s.First())}
		if seen[string(m.Zone)] {
			return nil, fmt.Errorf("two members are the same zone; the second is %q", id)
		}
		seen[string(m.Zone)] = true
		if g := d.Find(under("group", s.Name), typeTXT); g.Len() == 1 {
			first := g.First()
			m.Group = string(first[1 : 1+first[0]])
		}
		if c := d.Find(under("coo", s.Name), typePTR); c.Len() == 1 {
			m.Coo = lower(c.First())
		}
		if members = append(members, m); len(members) > maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
	}
	return members, nil
}

func under(label string, name []byte) []byte {
	return append(append([]byte{byte(len(label))}, label...), name...)
}

func lower(name []byte) []byte {
	name = slices.Clone(name)
	for i, c := range name {
		if c-'A' < 26 { // length octets are below 64, so they are never letters
			name[i] = c | 0x20
		}
	}
	return name
}
