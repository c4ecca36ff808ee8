// Package zone holds what a zone says: its records as one immutable version, made from zone text, a transfer or an update, and
// compared with other versions.
//
//	d, warnings, err := zone.Parse(text, zone.ParseOptions{Origin: origin, File: "example.org.zone"})
//	problems := zone.Check(d)
//	removed, added := zone.Diff(old, d)
//	zones, err := zone.NewLoader(zone.LoaderOptions{Dir: dir}).Load(ctx, previous, sources)
//
// Records that do not come from text go through a Builder:
//
//	b := zone.NewBuilder(origin)
//	err := b.Add(zone.Record{Name: name, Type: dnswire.TypeA, TTL: 300, RData: addr})
//	data, err := b.Build()
//	for set := range data.Sets() { ... }
//
// A Data never changes and is safe for concurrent use; a Builder belongs to one goroutine.
package zone

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"sort"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Record is one resource record of class IN. Its slices belong to whoever made it and must not be written to.
type Record struct {
	Name  []byte // owner in wire form; compared without regard to ASCII case
	Type  uint16
	TTL   uint32 // seconds, at most 2^31-1 (RFC 2181 section 8)
	RData []byte // wire form, names in it uncompressed
}

// Set is an RRset: the records of one name and type, which share a TTL (RFC 2181 section 5.2). The zero Set is no set.
type Set struct {
	Name []byte // wire form, lower case
	Type uint16
	TTL  uint32
	n    int
	data []byte // each record's data behind its length in two octets
}

// Len is the number of records; 0 for no set.
func (s Set) Len() int { return s.n }

// RData yields the data of each record, in canonical order (RFC 4034 section 6.3). It must not be written to.
func (s Set) RData() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := s.data; len(rest) > 0; {
			end := 2 + int(binary.BigEndian.Uint16(rest))
			if !yield(rest[2:end:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// First is the data of the first record, nil for no set.
func (s Set) First() []byte {
	for data := range s.RData() {
		return data
	}
	return nil
}

// Data is one version of a zone: its RRsets in canonical order. A few large blocks of bytes hold it all, so that the collector
// has nothing to walk. The nil Data has no records.
type Data struct {
	origin []byte
	arena  []byte // names behind their length, and the data of sets
	sets   []place
	count  int // records
}

// place is where a set lies in the arena.
type place struct {
	name, data, size uint32
	ttl              uint32
	typ, n           uint16
}

// Origin is the zone's name in wire form, lower case.
func (d *Data) Origin() []byte { return d.origin }

// Len is the number of records.
func (d *Data) Len() int {
	if d == nil {
		return 0
	}
	return d.count
}

// Size is about how many bytes of memory the version takes.
func (d *Data) Size() int {
	if d == nil {
		return 0
	}
	return cap(d.arena) + 20*cap(d.sets)
}

// Sets yields every RRset, in the canonical order of names (RFC 4034 section 6.1) and by type within a name.
func (d *Data) Sets() iter.Seq[Set] {
	return func(yield func(Set) bool) {
		for i := 0; d != nil && i < len(d.sets); i++ {
			if !yield(d.set(i)) {
				return
			}
		}
	}
}

// Records yields every record in the order of Sets.
func (d *Data) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for s := range d.Sets() {
			for data := range s.RData() {
				if !yield(Record{Name: s.Name, Type: s.Type, TTL: s.TTL, RData: data}) {
					return
				}
			}
		}
	}
}

// Find returns the RRset of a name, in lower-case wire form, and type: the zero Set when there is none.
func (d *Data) Find(name []byte, typ uint16) Set {
	if d == nil {
		return Set{}
	}
	i := sort.Search(len(d.sets), func(i int) bool {
		if c := Compare(d.name(i), name); c != 0 {
			return c > 0
		}
		return d.sets[i].typ >= typ
	})
	if i < len(d.sets) && d.sets[i].typ == typ && bytes.Equal(d.name(i), name) {
		return d.set(i)
	}
	return Set{}
}

// Serial is the SOA's serial number.
func (d *Data) Serial() uint32 {
	soa := d.Find(d.origin, dnswire.TypeSOA).First()
	return binary.BigEndian.Uint32(soa[len(soa)-20:])
}

func (d *Data) name(i int) []byte {
	at := d.sets[i].name
	end := at + 1 + uint32(d.arena[at])
	return d.arena[at+1 : end : end]
}

func (d *Data) set(i int) Set {
	p := &d.sets[i]
	end := p.data + p.size
	return Set{Name: d.name(i), Type: p.typ, TTL: p.ttl, n: int(p.n), data: d.arena[p.data:end:end]}
}

// Compare orders names in lower-case wire form canonically (RFC 4034 section 6.1): by their labels from the root down.
func Compare(a, b []byte) int {
	var x, y [dnswire.MaxLabels]uint8
	i, j := offsets(a, &x), offsets(b, &y)
	for i > 0 && j > 0 {
		i, j = i-1, j-1
		la, lb := a[x[i]+1:][:a[x[i]]], b[y[j]+1:][:b[y[j]]]
		if c := bytes.Compare(la, lb); c != 0 {
			return c
		}
	}
	return i - j
}

// offsets notes where the labels of a name start and returns how many there are, the root's not counted.
func offsets(name []byte, into *[dnswire.MaxLabels]uint8) int {
	n := 0
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		into[n] = uint8(at)
		n++
	}
	return n
}

// FromRR turns a record of miekg/dns into a Record with memory of its own.
func FromRR(rr mdns.RR) (Record, error) {
	buf := make([]byte, mdns.Len(rr)+16)
	end, err := mdns.PackRR(rr, buf, 0, nil, false)
	if err != nil { // Len is an estimate
		buf = make([]byte, 1<<17)
		end, err = mdns.PackRR(rr, buf, 0, nil, false)
		buf = slices.Clone(buf[:end])
	}
	if err != nil {
		return Record{}, err
	}
	n := 0
	for buf[n] != 0 {
		n += 1 + int(buf[n])
	}
	h := rr.Header()
	return Record{Name: lower(buf[: n+1 : n+1]), Type: h.Rrtype, TTL: h.Ttl, RData: buf[n+11 : end : end]}, nil
}

// RR turns a record into one of miekg/dns.
func (r Record) RR() (mdns.RR, error) {
	wire := append([]byte(nil), r.Name...)
	wire = binary.BigEndian.AppendUint16(wire, r.Type)
	wire = binary.BigEndian.AppendUint16(wire, dnswire.ClassIN)
	wire = binary.BigEndian.AppendUint32(wire, r.TTL)
	wire = binary.BigEndian.AppendUint16(wire, uint16(len(r.RData)))
	rr, _, err := mdns.UnpackRR(append(wire, r.RData...), 0)
	return rr, err
}

// Below reports whether a name is origin or ends with it, both in lower-case wire form.
func Below(name, origin []byte) bool {
	for len(name) > len(origin) {
		name = name[1+int(name[0]):]
	}
	return bytes.Equal(name, origin)
}

func lower(name []byte) []byte {
	for i, c := range name {
		if c-'A' < 26 { // length octets are below 64, so they are never letters
			name[i] = c | 0x20
		}
	}
	return name
}
