// Package update decides what a dynamic update (RFC 2136) does to a version of a zone.
//
//	result := update.Decide(data, message, allow)
//	if result.RCode == 0 && result.Changed { ... }
//
// It changes nothing and does no I/O. Safe for concurrent use.
package update

import (
	"encoding/binary"
	"errors"
	"slices"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/zone"
)

// Allow says whether the sender may touch records of a name (lower-case wire form) and type. For the deletion of all that a name has, it
// is asked for every type there.
type Allow func(name []byte, typ uint16) bool

// Result is the outcome. Either all of an update happens or nothing.
type Result struct {
	RCode   int // of the response
	Changed bool
	// Removed and Added are the difference, without the SOA; a record whose TTL changes is in both. SOA is the new one, its serial higher
	// than the old.
	Removed, Added []zone.Record
	SOA            zone.Record
}

// refusal carries a response code up.
type refusal int

func (r refusal) Error() string { return mdns.RcodeToString[int(r)] }

// Decide works out an update of old. m is the whole message; its zone section has been matched with old by the caller.
func Decide(old *zone.Data, m *mdns.Msg, allow Allow) Result {
	w := &work{old: old, allow: allow}
	err := w.run(m)
	if err != nil {
		if code, ok := errors.AsType[refusal](err); ok {
			return Result{RCode: int(code)}
		}
		return Result{RCode: mdns.RcodeFormatError}
	}
	return w.result()
}

// rrset is a set that may change.
type rrset struct {
	ttl  uint32
	data [][]byte
}

// work holds the names an update speaks of, as they become.
type work struct {
	old   *zone.Data
	allow Allow
	names map[string]map[uint16]*rrset
	types map[string][]uint16 // that they had before
}

// change is one record of the message.
type change struct {
	zone.Record
	class uint16
	empty bool // there was no data
}

func (w *work) run(m *mdns.Msg) error {
	pre, err := w.records(m.Answer)
	if err != nil {
		return err
	}
	ups, err := w.records(m.Ns)
	if err != nil {
		return err
	}
	w.load(pre, ups)
	if err := w.require(pre); err != nil {
		return err
	}
	for i := range ups {
		if err := prescan(&ups[i]); err != nil {
			return err
		}
	}
	for i := range ups {
		if !w.allowed(&ups[i]) {
			return refusal(mdns.RcodeRefused)
		}
	}
	for i := range ups {
		w.apply(&ups[i])
	}
	return nil
}

// records brings a section into our form; what lies outside the zone is NOTZONE (RFC 2136 section 3.2.1 and 3.4.1.2).
func (w *work) records(section []mdns.RR) ([]change, error) {
	out := make([]change, 0, len(section))
	for _, rr := range section {
		h := *rr.Header()
		c := change{class: h.Class, empty: h.Rdlength == 0}
		var err error
		if c.empty {
			// Packing a record that came without data would give it the data of a zero value.
			c.Record, err = zone.FromRR(&mdns.RFC3597{Hdr: h})
		} else {
			c.Record, err = zone.FromRR(rr)
		}
		if err != nil {
			return nil, refusal(mdns.RcodeFormatError)
		}
		if !zone.Below(c.Name, w.old.Origin()) {
			return nil, refusal(mdns.RcodeNotZone)
		}
		out = append(out, c)
	}
	return out, nil
}

// load notes what the names have now.
func (w *work) load(sections ...[]change) {
	w.names, w.types = map[string]map[uint16]*rrset{}, map[string][]uint16{}
	for _, changes := range sections {
		for i := range changes {
			w.names[string(changes[i].Name)] = map[uint16]*rrset{}
		}
	}
	for s := range w.old.Sets() {
		if sets := w.names[string(s.Name)]; sets != nil {
			sets[s.Type] = &rrset{ttl: s.TTL, data: slices.Collect(s.RData())}
			w.types[string(s.Name)] = append(w.types[string(s.Name)], s.Type)
		}
	}
}

// require checks the prerequisites (RFC 2136 section 3.2.5).
func (w *work) require(pre []change) error {
	type set struct {
		name string
		typ  uint16
	}
	exact := map[set][][]byte{}
	for i := range pre {
		c := &pre[i]
		sets := w.names[string(c.Name)]
		if c.TTL != 0 || c.class != mdns.ClassINET && !c.empty {
			return refusal(mdns.RcodeFormatError)
		}
		inUse := len(sets) > 0
		if c.Type != mdns.TypeANY {
			inUse = sets[c.Type] != nil
		}
		switch {
		case c.class == mdns.ClassANY && !inUse && c.Type == mdns.TypeANY:
			return refusal(mdns.RcodeNameError)
		case c.class == mdns.ClassANY && !inUse:
			return refusal(mdns.RcodeNXRrset)
		case c.class == mdns.ClassNONE && inUse && c.Type == mdns.TypeANY:
			return refusal(mdns.RcodeYXDomain)
		case c.class == mdns.ClassNONE && inUse:
			return refusal(mdns.RcodeYXRrset)
		case c.class == mdns.ClassINET && meta(c.Type):
			return refusal(mdns.RcodeFormatError)
		case c.class == mdns.ClassINET:
			key := set{string(c.Name), c.Type}
			if !contains(exact[key], c.Type, c.RData) {
				exact[key] = append(exact[key], c.RData)
			}
		case c.class != mdns.ClassANY && c.class != mdns.ClassNONE:
			return refusal(mdns.RcodeFormatError)
		}
	}
	for key, data := range exact {
		have := w.names[key.name][key.typ]
		if have == nil || len(have.data) != len(data) {
			return refusal(mdns.RcodeNXRrset)
		}
		for _, d := range data {
			if !contains(have.data, key.typ, d) {
				return refusal(mdns.RcodeNXRrset)
			}
		}
	}
	return nil
}

// meta are types that no zone holds (RFC 6895 section 3.1), and OPT.
func meta(t uint16) bool { return t == 0 || t == mdns.TypeOPT || t >= 128 && t <= 255 }

// prescan is RFC 2136 section 3.4.1.3.
func prescan(c *change) error {
	bad := false
	switch c.class {
	case mdns.ClassINET:
		bad = meta(c.Type) || c.empty && c.Type != mdns.TypeNULL && c.Type != mdns.TypeAPL
	case mdns.ClassANY:
		bad = c.TTL != 0 || !c.empty || meta(c.Type) && c.Type != mdns.TypeANY
	case mdns.ClassNONE:
		bad = c.TTL != 0 || meta(c.Type)
	default:
		bad = true
	}
	if bad {
		return refusal(mdns.RcodeFormatError)
	}
	return nil
}

func (w *work) allowed(c *change) bool {
	if w.allow == nil {
		return true
	}
	if c.Type != mdns.TypeANY {
		return w.allow(c.Name, c.Type)
	}
	for typ := range w.names[string(c.Name)] {
		if !w.kept(c.Name, typ) && !w.allow(c.Name, typ) {
			return false
		}
	}
	return true
}

// kept reports whether a set outlives every deletion: the SOA and NS of the zone itself.
func (w *work) kept(name []byte, typ uint16) bool {
	return (typ == mdns.TypeSOA || typ == mdns.TypeNS) && string(name) == string(w.old.Origin())
}

// apply is RFC 2136 section 3.4.2.
func (w *work) apply(c *change) {
	sets := w.names[string(c.Name)]
	switch {
	case c.class == mdns.ClassINET:
		w.add(sets, c)
	case c.class == mdns.ClassANY && c.Type == mdns.TypeANY:
		for typ := range sets {
			if !w.kept(c.Name, typ) {
				delete(sets, typ)
			}
		}
	case c.class == mdns.ClassANY:
		if !w.kept(c.Name, c.Type) {
			delete(sets, c.Type)
		}
	default:
		set := sets[c.Type]
		if set == nil || c.Type == mdns.TypeSOA || w.kept(c.Name, c.Type) && len(set.data) == 1 {
			return // section 3.4.2.4: the last NS of the zone stays
		}
		set.data = slices.DeleteFunc(set.data, func(d []byte) bool { return same(c.Type, d, c.RData) })
		if len(set.data) == 0 {
			delete(sets, c.Type)
		}
	}
}

// add is RFC 2136 section 3.4.2.2. A set has one TTL (RFC 2181 section 5.2), which is that of the record that came last.
func (w *work) add(sets map[uint16]*rrset, c *change) {
	set := sets[c.Type]
	switch c.Type {
	case mdns.TypeSOA:
		if set == nil || !later(serial(c.RData), serial(set.data[0])) {
			return
		}
		set.data = nil
	case mdns.TypeCNAME:
		for typ := range sets {
			if typ != mdns.TypeCNAME && !besideCNAME(typ) {
				return
			}
		}
		if set != nil {
			set.data = nil
		}
	default:
		if sets[mdns.TypeCNAME] != nil && !besideCNAME(c.Type) {
			return
		}
	}
	if set == nil {
		set = &rrset{}
		sets[c.Type] = set
	}
	set.ttl = c.TTL
	if !contains(set.data, c.Type, c.RData) {
		set.data = append(set.data, c.RData)
	}
}

// besideCNAME are types that may stand next to a CNAME (RFC 4034 section 3 and 4, RFC 3007 section 3.1).
func besideCNAME(typ uint16) bool {
	return typ == mdns.TypeRRSIG || typ == mdns.TypeNSEC || typ == mdns.TypeKEY
}

// result compares what the names have become with what they were.
func (w *work) result() Result {
	var r Result
	origin := w.old.Origin()
	soa := w.old.Find(origin, mdns.TypeSOA)
	r.SOA = zone.Record{Name: origin, Type: mdns.TypeSOA, TTL: soa.TTL, RData: slices.Clone(soa.First())}
	replaced := false
	for _, name := range sortedKeys(w.names) {
		sets := w.names[name]
		for _, typ := range w.touched(name) {
			before := w.old.Find([]byte(name), typ)
			after := sets[typ]
			if typ == mdns.TypeSOA {
				if name == string(origin) && (after.ttl != before.TTL || string(after.data[0]) != string(before.First())) {
					r.SOA.TTL, r.SOA.RData, replaced = after.ttl, slices.Clone(after.data[0]), true
				}
				continue
			}
			r.compare([]byte(name), typ, before, after)
		}
	}
	r.Changed = replaced || len(r.Removed)+len(r.Added) > 0
	if r.Changed && !replaced {
		at := r.SOA.RData[len(r.SOA.RData)-20:]
		next := binary.BigEndian.Uint32(at) + 1
		if next == 0 {
			next = 1 // RFC 2136 section 7.14 advises against 0
		}
		binary.BigEndian.PutUint32(at, next)
	}
	return r
}

// touched are the types a name had or has, in order.
func (w *work) touched(name string) []uint16 {
	types := w.types[name]
	for typ := range w.names[name] {
		if !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	slices.Sort(types)
	return types
}

func (r *Result) compare(name []byte, typ uint16, before zone.Set, after *rrset) {
	if after == nil {
		after = &rrset{}
	}
	kept := func(d []byte, in [][]byte) bool {
		return after.ttl == before.TTL && slices.ContainsFunc(in, func(o []byte) bool { return string(o) == string(d) })
	}
	old := slices.Collect(before.RData())
	for _, d := range old {
		if !kept(d, after.data) {
			r.Removed = append(r.Removed, zone.Record{Name: name, Type: typ, TTL: before.TTL, RData: d})
		}
	}
	for _, d := range after.data {
		if !kept(d, old) {
			r.Added = append(r.Added, zone.Record{Name: name, Type: typ, TTL: after.ttl, RData: d})
		}
	}
}
