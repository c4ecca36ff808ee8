package zone

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// ErrOutside is what Add returns for a record that does not belong to the zone.
var ErrOutside = errors.New("outside the zone")

// Builder collects records for a Data.
type Builder struct {
	origin []byte
	arena  []byte
	recs   []entry
	mixed  []mixed // of the last Build
}

// mixed is a set whose records came with different TTLs.
type mixed struct {
	name []byte
	typ  uint16
	ttl  uint32 // the one it got
}

const maxMixed = 20 // remembered; the rest are as bad

// entry is a record in the builder's arena: its name behind its length, then its data.
type entry struct {
	at, ttl   uint32
	typ, size uint16
}

// NewBuilder starts a zone. origin is its name in wire form; it is copied.
func NewBuilder(origin []byte) *Builder { return &Builder{origin: lower(slices.Clone(origin))} }

// reserve makes room for about so many records and octets.
func (b *Builder) reserve(records, octets int) {
	b.recs, b.arena = slices.Grow(b.recs, records), slices.Grow(b.arena, octets)
}

// Origin is the zone's name in wire form, lower case.
func (b *Builder) Origin() []byte { return b.origin }

// Len is the number of records added so far, duplicates included.
func (b *Builder) Len() int { return len(b.recs) }

// Add copies a record. Class is IN by nature; a TTL with its top bit set is taken for 0 (RFC 2181 section 8).
func (b *Builder) Add(r Record) error {
	if len(r.RData) > 65535 {
		return fmt.Errorf("record data of %d octets", len(r.RData))
	}
	if len(b.arena)+1+len(r.Name)+len(r.RData) > 1<<32-1 {
		return errors.New("zone is larger than 4 GiB")
	}
	if r.TTL>>31 != 0 {
		r.TTL = 0
	}
	at := len(b.arena)
	b.arena = append(append(b.arena, byte(len(r.Name))), r.Name...)
	name := lower(b.arena[at+1:])
	if !Below(name, b.origin) {
		b.arena = b.arena[:at]
		return ErrOutside
	}
	b.arena = append(b.arena, r.RData...)
	b.recs = append(b.recs, entry{at: uint32(at), ttl: r.TTL, typ: r.Type, size: uint16(len(r.RData))})
	return nil
}

// AddRR adds a record of miekg/dns.
func (b *Builder) AddRR(rr mdns.RR) error {
	r, err := FromRR(rr)
	if err != nil {
		return err
	}
	return b.Add(r)
}

func (b *Builder) name(e *entry) []byte { return b.arena[e.at+1:][:b.arena[e.at]] }

func (b *Builder) data(e *entry) []byte {
	return b.arena[e.at+1+uint32(b.arena[e.at]):][:e.size]
}

// errNoSOA is what Build returns without an SOA.
var errNoSOA = errors.New("no SOA record at the zone's name")

// Build makes the version: sorted, equal records made one, TTLs within a set made equal to the least. It fails when there is not
// exactly one SOA, at the origin. What else a zone must not hold is Check's business.
func (b *Builder) Build() (*Data, error) {
	b.sort()
	d := &Data{origin: b.origin}
	sets, size := b.measure()
	d.sets, d.arena = make([]place, 0, sets), make([]byte, 0, size)
	b.mixed = nil
	for i := 0; i < len(b.recs); {
		end := b.setEnd(i)
		if err := d.appendSet(b, b.recs[i:end]); err != nil {
			return nil, err
		}
		i = end
	}
	return d, d.checkSOA()
}

// setEnd is where the set that begins at i ends.
func (b *Builder) setEnd(i int) int {
	end := i + 1
	for name := b.name(&b.recs[i]); end < len(b.recs) && b.recs[end].typ == b.recs[i].typ && bytes.Equal(b.name(&b.recs[end]), name); {
		end++
	}
	return end
}

// measure says what the sorted records will take, so that a Data holds no byte more than it needs.
func (b *Builder) measure() (sets, size int) {
	var name, data []byte
	typ := uint16(0)
	for i := range b.recs {
		e := &b.recs[i]
		n, v := b.name(e), b.data(e)
		same := i > 0 && bytes.Equal(n, name)
		if !same {
			size += 1 + len(n)
		}
		if !same || e.typ != typ {
			sets++
		} else if bytes.Equal(v, data) {
			continue
		}
		size += 2 + len(v)
		name, typ, data = n, e.typ, v
	}
	return sets, size
}

func (d *Data) appendSet(b *Builder, recs []entry) error {
	name := b.name(&recs[0])
	p := place{typ: recs[0].typ, ttl: recs[0].ttl}
	if last := len(d.sets) - 1; last >= 0 && bytes.Equal(d.name(last), name) {
		p.name = d.sets[last].name
	} else {
		p.name = uint32(len(d.arena))
		d.arena = append(append(d.arena, byte(len(name))), name...)
	}
	p.data = uint32(len(d.arena))
	var before []byte
	differ := false
	for i := range recs {
		data := b.data(&recs[i])
		differ = differ || recs[i].ttl != recs[0].ttl
		if p.ttl = min(p.ttl, recs[i].ttl); i > 0 && bytes.Equal(before, data) {
			continue
		}
		if p.n == 1<<16-1 {
			return fmt.Errorf("more than 65,535 records in the set %s %s", NameText(name), typeName(p.typ))
		}
		before = data
		d.arena = append(binary.BigEndian.AppendUint16(d.arena, uint16(len(data))), data...)
		p.n++
	}
	if differ && len(b.mixed) < maxMixed {
		b.mixed = append(b.mixed, mixed{slices.Clone(name), p.typ, p.ttl})
	}
	p.size = uint32(len(d.arena)) - p.data
	d.count += int(p.n)
	d.sets = append(d.sets, p)
	return nil
}

func (d *Data) checkSOA() error {
	switch soa := d.Find(d.origin, dnswire.TypeSOA); {
	case soa.Len() == 0:
		return errNoSOA
	case soa.Len() > 1:
		return errors.New("more than one SOA record")
	case len(soa.First()) < 22:
		return errors.New("malformed SOA record")
	}
	return nil
}

// sort orders the records by name, type and data. Most zone text is nearly in order, then one look is enough; otherwise the
// names are compared by the first octets of their labels from the origin down, which tells nearly all of them apart.
func (b *Builder) sort() {
	if slices.IsSortedFunc(b.recs, func(x, y entry) int { return b.compare(&x, &y) }) {
		return
	}
	type keyed struct {
		hi, lo uint64
		entry
	}
	keys := make([]keyed, len(b.recs))
	for i := range b.recs {
		k := &keys[i]
		k.entry = b.recs[i]
		k.hi, k.lo = sortKey(b.name(&k.entry), len(b.origin))
	}
	slices.SortFunc(keys, func(x, y keyed) int {
		switch {
		case x.hi != y.hi && x.hi < y.hi, x.hi == y.hi && x.lo < y.lo:
			return -1
		case x.hi != y.hi || x.lo != y.lo:
			return 1
		}
		return b.compare(&x.entry, &y.entry)
	})
	for i := range keys {
		b.recs[i] = keys[i].entry
	}
}

func (b *Builder) compare(x, y *entry) int {
	nx, ny := b.name(x), b.name(y)
	if !bytes.Equal(nx, ny) {
		return Compare(nx, ny)
	}
	if x.typ != y.typ {
		return int(x.typ) - int(y.typ)
	}
	return bytes.Compare(b.data(x), b.data(y))
}

// sortKey is the beginning of what Compare compares, below an origin of a known length: an octet c as c+1, the end of a label as
// 0. It never contradicts Compare: where an octet does not fit, the key says no more, and equal keys say nothing.
func sortKey(name []byte, origin int) (hi, lo uint64) {
	var at [dnswire.MaxLabels]uint8
	n := 0
	for i := 0; i < len(name)-origin; i += 1 + int(name[i]) {
		at[n] = uint8(i)
		n++
	}
	var key [16]byte
	k := 0
	for n--; n >= 0 && k < len(key); n-- {
		for _, c := range name[at[n]+1:][:name[at[n]]] {
			if k == len(key) {
				break
			}
			if c >= 254 {
				key[k] = 255
				return binary.BigEndian.Uint64(key[:8]), binary.BigEndian.Uint64(key[8:])
			}
			key[k] = c + 1
			k++
		}
		k++ // the end of the label is 0
	}
	return binary.BigEndian.Uint64(key[:8]), binary.BigEndian.Uint64(key[8:])
}
