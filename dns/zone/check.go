package zone

import (
	"bytes"
	"fmt"
	"slices"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// maxChecked bounds the errors that Check reports; warnings have a bound of their own.
const maxChecked = 50

// Check finds what a primary must refuse to serve, as errors, and what is likely a mistake, as warnings, up to 50 of each and in
// canonical order. d must not be nil.
func Check(d *Data) []Problem {
	c := checker{d: d, problems: problems{maxErrors: maxChecked}}
	c.apex()
	for i := 0; i < len(d.sets); {
		end := i + 1
		for end < len(d.sets) && d.sets[end].name == d.sets[i].name {
			end++
		}
		c.name(d.name(i), i, end)
		i = end
	}
	return c.problems.done()
}

// checker walks the names in canonical order, in which all that is below a name follows it.
type checker struct {
	d        *Data
	problems problems
	cut      []byte // the delegation that the walk is at or below, nil for none
	dname    []byte // likewise the DNAME
	types    []uint16
}

func (c *checker) add(severity Severity, s Set, text, remedy string) {
	c.problems.add(Problem{Severity: severity, Name: NameText(s.Name), Type: s.Type, Text: text, Remedy: remedy})
}

func (c *checker) apex() {
	origin := c.d.origin
	soa := c.d.Find(origin, dnswire.TypeSOA)
	if c.d.Find(origin, dnswire.TypeNS).Len() == 0 {
		c.add(Error, Set{Name: origin, Type: dnswire.TypeNS}, "zone has no NS record at its name", "add: @ NS ns1.example.org. (RFC 1035 section 6.1.1)")
	}
	data := soa.First()
	primary := nameLen(data)
	contact := nameLen(data[primary:])
	if primary == 0 || contact == 0 || len(data) != primary+contact+20 {
		c.add(Error, soa, "malformed data", "")
		return
	}
	if bytes.IndexByte(data[primary:][:contact], '@') >= 0 {
		c.add(Warning, soa, "contact holds an @", "write hostmaster.example.org for hostmaster@example.org (RFC 1035 section 8)")
	}
	times := data[len(data)-16:]
	refresh, retry, expire, minimum := be32(times), be32(times[4:]), be32(times[8:]), be32(times[12:])
	if uint64(expire) < uint64(refresh)+uint64(retry) {
		c.add(Warning, soa, fmt.Sprintf("expire, %d s, is less than refresh and retry together", expire), "a secondary drops the zone before it has asked twice (RFC 1912 section 2.2)")
	}
	if retry >= refresh && refresh > 0 {
		c.add(Warning, soa, fmt.Sprintf("retry, %d s, is not less than refresh", retry), "")
	}
	if min(minimum, soa.TTL) > 86400 {
		c.add(Warning, soa, fmt.Sprintf("minimum, %d s: resolvers remember for longer than a day that a name does not exist", minimum), "one to three hours are usual (RFC 2308 section 5)")
	}
}

// name checks the sets of one name, those from first to before end.
func (c *checker) name(name []byte, first, end int) {
	d := c.d
	if c.cut != nil && !Below(name, c.cut) {
		c.cut = nil
	}
	if c.dname != nil && !Below(name, c.dname) {
		c.dname = nil
	}
	c.types = c.types[:0]
	for i := first; i < end; i++ {
		c.types = append(c.types, d.sets[i].typ)
	}
	if c.dname != nil {
		c.add(Warning, d.set(first), "name is below the DNAME "+NameText(c.dname)+" and never answered", "remove it (RFC 6672 section 2.4)")
		return
	}
	if c.cut != nil && !bytes.Equal(name, c.cut) {
		c.belowCut(first, end)
		return
	}
	apex := bytes.Equal(name, d.origin)
	if !apex && c.has(dnswire.TypeNS) {
		c.cut = name
	}
	for i := first; i < end; i++ {
		c.set(d.set(i), apex)
	}
}

func (c *checker) has(typ uint16) bool { return slices.Contains(c.types, typ) }

// belowCut says what is hidden by a delegation: all but the addresses that glue is made of.
func (c *checker) belowCut(first, end int) {
	for i := first; i < end; i++ {
		switch s := c.d.set(i); s.Type {
		case dnswire.TypeA, dnswire.TypeAAAA, mdns.TypeRRSIG, mdns.TypeNSEC:
		default:
			c.add(Warning, s, "set is below the delegation "+NameText(c.cut)+" and never answered", "it belongs into that zone")
		}
	}
}

func (c *checker) set(s Set, apex bool) {
	wild := s.Name[0] == 1 && s.Name[1] == '*'
	switch s.Type {
	case dnswire.TypeCNAME:
		c.alias(s)
	case mdns.TypeDNAME:
		c.dname = s.Name
		if s.Len() > 1 {
			c.add(Error, s, "name has more than one DNAME", "keep one (RFC 6672 section 2.4)")
		}
		if c.has(dnswire.TypeNS) && !apex {
			c.add(Warning, s, "DNAME beside a delegation is never answered", "")
		}
		if wild {
			c.add(Warning, s, "DNAME at a wildcard is answered differently by different servers", "RFC 4592 section 4.4")
		}
	case dnswire.TypeNS:
		if wild {
			c.add(Warning, s, "delegation at a wildcard has no defined meaning", "RFC 4592 section 4.2")
		}
		c.targets(s, 0)
	case dnswire.TypeMX:
		c.targets(s, 2)
	case dnswire.TypeSRV:
		c.targets(s, 6)
	case dnswire.TypeDS:
		if apex || !c.has(dnswire.TypeNS) {
			c.add(Warning, s, "DS without a delegation is never used", "DS stands beside the NS of the child, in the parent (RFC 4035 section 2.4)")
		}
	case dnswire.TypeSOA:
		if !apex {
			c.add(Error, s, "SOA that is not at the zone's name", "make it a zone of its own")
		}
	}
}

// alias checks a CNAME: alone but for what DNSSEC puts beside it (RFC 1034 section 3.6.2, RFC 4034 section 3 and 4).
func (c *checker) alias(s Set) {
	if s.Len() > 1 {
		c.add(Error, s, "name has more than one CNAME", "keep one (RFC 2181 section 10.1)")
	}
	for _, typ := range c.types {
		switch typ {
		case dnswire.TypeCNAME, mdns.TypeRRSIG, mdns.TypeNSEC, mdns.TypeKEY, mdns.TypeSIG, mdns.TypeNXT:
		default:
			c.add(Error, s, "name has a CNAME and "+typeName(typ), "a CNAME stands alone (RFC 1034 section 3.6.2)")
			return
		}
	}
}

// targets checks the hosts that a set names, behind so many octets of each record's data.
func (c *checker) targets(s Set, skip int) {
	for data := range s.RData() {
		if len(data) <= skip || nameLen(data[skip:]) != len(data)-skip {
			c.add(Error, s, "malformed data", "")
			return
		}
		target := lower(slices.Clone(data[skip:]))
		if len(target) == 1 || !Below(target, c.d.origin) { // the root stands for none (RFC 7505, RFC 2782)
			continue
		}
		switch cname, found := c.lookup(target); {
		case cname && s.Type == dnswire.TypeNS:
			c.add(Error, s, "target "+NameText(target)+" is a CNAME", "name a host with addresses (RFC 2181 section 10.3)")
		case cname:
			c.add(Warning, s, "target "+NameText(target)+" is a CNAME", "name a host with addresses (RFC 2181 section 10.3)")
		case !found:
			c.add(Warning, s, "target "+NameText(target)+" has no address in the zone", "add an A or AAAA record for it")
		}
	}
}

// lookup finds out what a name inside the zone has: a CNAME, or addresses, its own, a wildcard's, or glue. A name below a DNAME
// counts as found; where it leads is not looked at.
func (c *checker) lookup(name []byte) (cname, found bool) {
	d := c.d
	for _, typ := range []uint16{dnswire.TypeA, dnswire.TypeAAAA} {
		if d.Find(name, typ).Len() > 0 {
			return false, true
		}
	}
	if d.Find(name, dnswire.TypeCNAME).Len() > 0 {
		return true, false
	}
	if d.exists(name) {
		return false, false
	}
	for up := name; len(up) > len(d.origin); {
		up = up[1+int(up[0]):]
		if d.Find(up, mdns.TypeDNAME).Len() > 0 {
			return false, true
		}
		if star := append([]byte("\x01*"), up...); d.exists(up) && d.exists(star) {
			return d.Find(star, dnswire.TypeCNAME).Len() > 0, d.Find(star, dnswire.TypeA).Len()+d.Find(star, dnswire.TypeAAAA).Len() > 0
		} else if d.exists(up) { // the closest encloser (RFC 4592 section 3.3.1)
			break
		}
	}
	return false, false
}

// exists reports whether a name has records, or names below it that have.
func (d *Data) exists(name []byte) bool {
	first, _ := d.span(name, 0)
	return first < len(d.sets) && Below(d.name(first), name)
}
