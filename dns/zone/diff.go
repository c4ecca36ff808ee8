package zone

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Diff yields exactly the records in which two versions differ, in canonical order: those to remove from old and those to add
// to make new. A changed TTL is a removal and an addition. The versions are compared anew by each pass over a sequence, in one
// merge. A nil version has no records.
func Diff(old, new *Data) (removed, added iter.Seq[Record]) {
	return missing(old, new), missing(new, old)
}

// missing yields the records of a that b does not have.
func missing(a, b *Data) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if a == nil {
			return
		}
		j := 0
		for i := range a.sets {
			s := a.set(i)
			for b != nil && j < len(b.sets) && compareSets(b.set(j), s) < 0 {
				j++
			}
			other := Set{}
			if b != nil && j < len(b.sets) && compareSets(b.set(j), s) == 0 {
				other = b.set(j)
			}
			if other.TTL == s.TTL && bytes.Equal(other.data, s.data) {
				continue
			}
			if other.TTL != s.TTL {
				other = Set{}
			}
			if !missingData(s, other, yield) {
				return
			}
		}
	}
}

// missingData yields the records of s that other, sorted alike, does not have.
func missingData(s, other Set, yield func(Record) bool) bool {
	rest := other.data
	for data := range s.RData() {
		var have []byte
		for len(rest) > 0 {
			have = rest[2:][:binary.BigEndian.Uint16(rest)]
			if bytes.Compare(have, data) >= 0 {
				break
			}
			rest = rest[2+len(have):]
		}
		if len(rest) > 0 && bytes.Equal(have, data) {
			continue
		}
		if !yield(Record{Name: s.Name, Type: s.Type, TTL: s.TTL, RData: data}) {
			return false
		}
	}
	return true
}

func compareSets(a, b Set) int {
	if !bytes.Equal(a.Name, b.Name) {
		return Compare(a.Name, b.Name)
	}
	return int(a.Type) - int(b.Type)
}

// ErrAbsent is what Apply returns for a record to remove that is not there, TTL aside: the versions are not what their maker
// thought they were.
var ErrAbsent = errors.New("record to remove is not in the zone")

// Apply makes the version that has first the removed records taken out of old and then the added ones put in. Unchanged names
// are copied in blocks, so that it costs a fraction of building the zone. An added record that is there already changes
// nothing, and TTLs within a set become the least. The result must have its SOA, as for Build. old must not be nil.
func Apply(old *Data, removed, added iter.Seq[Record]) (*Data, error) {
	changes, err := sortChanges(old, removed, added)
	if err != nil {
		return nil, err
	}
	d := &Data{origin: old.origin, count: old.count}
	d.sets, d.arena = make([]place, 0, len(old.sets)+len(changes)), make([]byte, 0, len(old.arena)+changeSize(changes))
	at := 0 // sets of old that are done
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && bytes.Equal(changes[n].Name, changes[0].Name) {
			n++
		}
		from, to := old.span(changes[0].Name, at)
		d.copySets(old, at, from)
		if err := d.changeName(old, from, to, changes[:n]); err != nil {
			return nil, err
		}
		at, changes = to, changes[n:]
	}
	d.copySets(old, at, len(old.sets))
	if cap(d.arena)-len(d.arena) > len(d.arena)/8 {
		d.arena = slices.Clone(d.arena)
	}
	return d, d.checkSOA()
}

// change is one record to remove or add.
type change struct {
	Record
	add bool
}

func sortChanges(old *Data, removed, added iter.Seq[Record]) ([]change, error) {
	var list []change
	collect := func(seq iter.Seq[Record], add bool) error {
		for r := range seq {
			r.Name = lower(slices.Clone(r.Name))
			if !Below(r.Name, old.origin) {
				return fmt.Errorf("%s: %w", NameText(r.Name), ErrOutside)
			}
			if len(r.RData) > 65535 {
				return fmt.Errorf("record data of %d octets", len(r.RData))
			}
			if r.TTL > maxTTL {
				r.TTL = 0
			}
			list = append(list, change{r, add})
		}
		return nil
	}
	if err := errors.Join(collect(removed, false), collect(added, true)); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(x, y change) int {
		if c := Compare(x.Name, y.Name); c != 0 {
			return c
		}
		if x.Type != y.Type {
			return int(x.Type) - int(y.Type)
		}
		if x.add != y.add && x.add {
			return 1
		}
		if x.add != y.add {
			return -1
		}
		return bytes.Compare(x.RData, y.RData)
	})
	return list, nil
}

func changeSize(changes []change) (n int) {
	for _, c := range changes {
		if c.add {
			n += 3 + len(c.Name) + len(c.RData)
		}
	}
	return n
}

// span finds the sets of a name at or behind the set at from.
func (d *Data) span(name []byte, from int) (first, end int) {
	first, _ = slices.BinarySearchFunc(d.sets[from:], name, func(p place, name []byte) int {
		return Compare(d.arena[p.name+1:][:d.arena[p.name]], name)
	})
	first += from
	for end = first; end < len(d.sets) && bytes.Equal(d.name(end), name); end++ {
	}
	return first, end
}

// copySets copies the sets of whole names in one block.
func (d *Data) copySets(old *Data, from, to int) {
	if from == to {
		return
	}
	start, end := old.sets[from].name, old.sets[to-1].data+old.sets[to-1].size
	shift := uint32(len(d.arena)) - start // may wrap, and wraps back
	d.arena = append(d.arena, old.arena[start:end]...)
	for _, p := range old.sets[from:to] {
		p.name += shift
		p.data += shift
		d.sets = append(d.sets, p)
	}
}

// changeName writes the sets of one name, old ones between from and to, with their changes.
func (d *Data) changeName(old *Data, from, to int, changes []change) error {
	b := Builder{origin: old.origin}
	for from < to || len(changes) > 0 {
		var s Set
		var typ uint16
		switch {
		case len(changes) == 0 || from < to && old.sets[from].typ <= changes[0].Type:
			s = old.set(from)
			typ = s.Type
			from++
		default:
			typ = changes[0].Type
		}
		n := 0
		for n < len(changes) && changes[n].Type == typ {
			n++
		}
		d.count -= s.n
		if err := b.change(s, changes[:n]); err != nil {
			return err
		}
		if changes = changes[n:]; len(b.recs) == 0 {
			continue
		}
		if len(d.arena)+len(b.arena)+2*len(b.recs) > 1<<32-1 {
			return errors.New("zone is larger than 4 GiB")
		}
		if err := d.appendSet(&b, b.recs); err != nil {
			return err
		}
	}
	return nil
}

// change fills the builder with one set and its changes, sorted.
func (b *Builder) change(s Set, changes []change) error {
	b.recs, b.arena = b.recs[:0], b.arena[:0]
	n := 0
	for n < len(changes) && !changes[n].add {
		n++
	}
	gone := changes[:n]
	for data := range s.RData() {
		if len(gone) > 0 && bytes.Equal(gone[0].RData, data) {
			for len(gone) > 0 && bytes.Equal(gone[0].RData, data) {
				gone = gone[1:]
			}
			continue
		}
		if err := b.Add(Record{Name: s.Name, Type: s.Type, TTL: s.TTL, RData: data}); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		return fmt.Errorf("%s %s: %w", NameText(gone[0].Name), typeName(gone[0].Type), ErrAbsent)
	}
	for _, c := range changes[n:] {
		if err := b.Add(c.Record); err != nil {
			return err
		}
	}
	slices.SortFunc(b.recs, func(x, y entry) int { return bytes.Compare(b.data(&x), b.data(&y)) })
	return nil
}

// SerialLess reports whether a is older than b in the arithmetic of serial numbers (RFC 1982 section 3.2). Numbers that are
// 2^31 apart have no order: it is false both ways.
func SerialLess(a, b uint32) bool { return a != b && b-a < 1<<31 }

// NextSerial is the serial number after s, skipping 0, which some secondaries take for "none".
func NextSerial(s uint32) uint32 { return max(s+1, 1) }

// WithSerial is the zone with another serial number in its SOA; d is left alone.
func (d *Data) WithSerial(serial uint32) (*Data, error) {
	soa := d.Find(d.origin, dnswire.TypeSOA)
	old := Record{Name: soa.Name, Type: soa.Type, TTL: soa.TTL, RData: soa.First()}
	next := old
	next.RData = slices.Clone(old.RData)
	binary.BigEndian.PutUint32(next.RData[len(next.RData)-20:], serial)
	return Apply(d, one(old), one(next))
}

func one(r Record) iter.Seq[Record] { return func(yield func(Record) bool) { yield(r) } }
