package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// diff is the difference between two versions of a zone, as IXFR carries it. It never changes.
type diff struct {
	from, to       zone.Record // the SOA records
	removed, added []zone.Record
	update         bool // made by a dynamic update
}

// later reports whether serial a comes after b (RFC 1982 section 3.2). Two that are 2^31 apart come after neither.
func later(a, b uint32) bool { return a != b && a-b < 1<<31 }

// serialOf is the serial of an SOA record.
func serialOf(r zone.Record) uint32 { return binary.BigEndian.Uint32(r.RData[len(r.RData)-20:]) }

// soaOf is the SOA record of a version.
func soaOf(d *zone.Data) zone.Record {
	s := d.Find(d.Origin(), dnswire.TypeSOA)
	return zone.Record{Name: d.Origin(), Type: dnswire.TypeSOA, TTL: s.TTL, RData: s.First()}
}

// timer reads a number of an SOA record: 0 serial, 1 refresh, 2 retry, 3 expire, 4 minimum.
func timer(r zone.Record, n int) uint32 {
	return binary.BigEndian.Uint32(r.RData[len(r.RData)-20+4*n:])
}

// withSerial is an SOA record with another serial.
func withSerial(r zone.Record, serial uint32) zone.Record {
	r.RData = slices.Clone(r.RData)
	binary.BigEndian.PutUint32(r.RData[len(r.RData)-20:], serial)
	return r
}

// compare finds what differs between two versions, the SOA apart.
func compare(old, now *zone.Data) diff {
	d := diff{from: soaOf(old), to: soaOf(now)}
	a, b := slices.Collect(old.Sets()), slices.Collect(now.Sets())
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(b) == 0:
			c = -1
		case len(a) == 0:
			c = 1
		default:
			if c = zone.Compare(a[0].Name, b[0].Name); c == 0 {
				c = int(a[0].Type) - int(b[0].Type)
			}
		}
		switch {
		case c < 0:
			d.removed = appendSet(d.removed, a[0], zone.Set{})
			a = a[1:]
		case c > 0:
			d.added = appendSet(d.added, b[0], zone.Set{})
			b = b[1:]
		default:
			d.removed = appendSet(d.removed, a[0], b[0])
			d.added = appendSet(d.added, b[0], a[0])
			a, b = a[1:], b[1:]
		}
	}
	return d
}

// appendSet appends the records of a set that another does not have.
func appendSet(to []zone.Record, s, other zone.Set) []zone.Record {
	if s.Type == dnswire.TypeSOA {
		return to
	}
	for data := range s.RData() {
		if s.TTL == other.TTL && slices.ContainsFunc(slices.Collect(other.RData()), func(o []byte) bool { return bytes.Equal(o, data) }) {
			continue
		}
		to = append(to, zone.Record{Name: s.Name, Type: s.Type, TTL: s.TTL, RData: data})
	}
	return to
}

// own is the difference in memory of its own. Records are parts of the version or the message they came with, and would keep all of that.
func (d *diff) own() diff {
	out := diff{update: d.update, from: cloned(d.from), to: cloned(d.to)}
	for _, r := range d.removed {
		out.removed = append(out.removed, cloned(r))
	}
	for _, r := range d.added {
		out.added = append(out.added, cloned(r))
	}
	return out
}

func cloned(r zone.Record) zone.Record {
	r.Name, r.RData = slices.Clone(r.Name), slices.Clone(r.RData)
	return r
}

// size is about how many octets the difference has on the wire.
func (d *diff) size() int {
	n := 2 * (len(d.from.RData) + len(d.from.Name) + 10)
	for _, list := range [][]zone.Record{d.removed, d.added} {
		for i := range list {
			n += len(list[i].Name) + 10 + len(list[i].RData)
		}
	}
	return n
}

// identity is what makes two records the same one, whatever their TTL.
func identity(r *zone.Record) string {
	b := make([]byte, 0, len(r.Name)+2+len(r.RData))
	b = append(b, r.Name...)
	b = binary.BigEndian.AppendUint16(b, r.Type)
	return string(append(b, r.RData...))
}

var errApply = errors.New("a record that is to go is not there")

// apply makes the version that follows old. With strict, everything that is removed must be there.
func (d *diff) apply(old *zone.Data, strict bool) (*zone.Data, error) {
	gone := make(map[string]bool, len(d.removed))
	for i := range d.removed {
		gone[identity(&d.removed[i])] = true
	}
	// A record that is added takes the place of an equal one, since its TTL may be another.
	replaced := make(map[string]bool, len(d.added))
	for i := range d.added {
		replaced[identity(&d.added[i])] = true
	}
	names := make(map[string]bool) // only what has one of these is looked at closely
	for _, list := range [][]zone.Record{d.removed, d.added} {
		for i := range list {
			names[string(list[i].Name)] = true
		}
	}
	b := zone.NewBuilder(old.Origin())
	for r := range old.Records() {
		if r.Type == dnswire.TypeSOA {
			continue
		}
		if names[string(r.Name)] {
			id := identity(&r)
			if gone[id] {
				delete(gone, id)
				continue
			}
			if replaced[id] {
				continue
			}
		}
		if err := b.Add(r); err != nil {
			return nil, err
		}
	}
	if strict && len(gone) > 0 {
		return nil, errApply
	}
	for _, r := range append(slices.Clip(d.added), d.to) {
		if err := b.Add(r); err != nil {
			return nil, fmt.Errorf("%s: %w", textName(r.Name), err)
		}
	}
	return b.Build()
}

// compose is one difference that does what two in a row do.
func compose(a, b diff) diff {
	out := diff{from: a.from, to: b.to}
	type side struct {
		r   zone.Record
		off bool
	}
	removed, added := map[string]*side{}, map[string]*side{}
	var rs, as []*side
	full := func(r *zone.Record) string { return identity(r) + fmt.Sprint(r.TTL) }
	for _, d := range []*diff{&a, &b} {
		for i := range d.removed {
			id := full(&d.removed[i])
			if s := added[id]; s != nil && !s.off {
				s.off = true
				continue
			}
			s := &side{r: d.removed[i]}
			removed[id], rs = s, append(rs, s)
		}
		for i := range d.added {
			id := full(&d.added[i])
			if s := removed[id]; s != nil && !s.off {
				s.off = true
				continue
			}
			s := &side{r: d.added[i]}
			added[id], as = s, append(as, s)
		}
	}
	for _, s := range rs {
		if !s.off {
			out.removed = append(out.removed, s.r)
		}
	}
	for _, s := range as {
		if !s.off {
			out.added = append(out.added, s.r)
		}
	}
	return out
}
