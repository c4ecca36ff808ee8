// Package packed is the form in which a database of countries is kept in the binary:
// a file of range boundaries in compressed columns, and the table it expands to.
//
//	err := packed.Encode(file, packed.Header{Source: "example"}, networks)
//	table, err := packed.Decode(data)
//	label, bits := table.Lookup(addr)
//
// Ranges of the same label that touch are merged, so that the boundaries around an
// address tell exactly which prefix decided about it. A Table is flat arrays without
// pointers, about 5 bytes a range for IPv4 and 9 for IPv6; it never changes and is safe
// for concurrent use.
package packed

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// Unknown is the label of addresses that no network covers.
const Unknown = 0

// Header says what a file holds.
type Header struct {
	// Source names the data, at most 255 bytes.
	Source string
	// Built is when the data was made, kept to the second.
	Built time.Time
}

// Table maps every address to a label.
type Table struct {
	Header

	labels []string
	v4     table4
	v6     table6
}

// Labels returns the texts of the labels; entry Unknown is "". The caller must not
// change it.
func (t *Table) Labels() []string { return t.labels }

// Lookup returns the label of an address, an index into Labels, and the length of the
// shortest prefix around the address that has this label all over. All addresses of
// that prefix get the same answer, so the prefixes tile without overlap (RFC 7871
// section 7.2.1). An IPv4 address inside an IPv6 one is looked up as IPv6, and a zone is
// ignored; the invalid Addr is Unknown.
func (t *Table) Lookup(addr netip.Addr) (label uint8, length int) {
	switch {
	case addr.Is4():
		a := addr.As4()
		return t.v4.lookup(binary.BigEndian.Uint32(a[:]))
	case addr.Is6():
		a := addr.As16()
		return t.v6.lookup(uint128{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])})
	default:
		return Unknown, 0
	}
}

// The first level of the tables decides about that many bits at once: the leading ones
// of an IPv4 address, those after 2000::/3 of an IPv6 address. The latter family needs
// more because most of its networks are in a few /16s.
const (
	topBits4 = 16
	topBits6 = 18
)

// table4 has the IPv4 ranges: range i goes from starts[i] to just before starts[i+1],
// and neighbours have different labels. starts[0] is 0, so that every address is in one.
type table4 struct {
	starts []uint32
	labels []uint8
	// top[k] is the range that the first address of bucket k is in, with one entry more at
	// the end: the last range.
	top []uint32
}

func (t *table4) start(i uint32) uint128 { return uint128{uint64(t.starts[i]) << 32, 0} }

func (t *table4) lookup(a uint32) (label uint8, length int) {
	k := a >> (32 - topBits4)
	first := search(t.starts, t.top[k], t.top[k+1], a)
	// A prefix stays inside the range when it reaches neither the address just before
	// the range nor the one just after.
	if first > 0 {
		length = bits.LeadingZeros32(a^(t.starts[first]-1)) + 1
	}
	if next := int(first) + 1; next < len(t.starts) {
		length = max(length, bits.LeadingZeros32(a^t.starts[next])+1)
	}
	return t.labels[first], length
}

// buckets says how the first level of a table divides addresses, given by their leading
// halves: n of them in order, which one an address is in, and where one starts.
type buckets struct {
	n     uint64
	of    func(high uint64) uint64
	first func(k uint64) uint64
}

func bucket4(high uint64) uint64 { return high >> (64 - topBits4) }

func bucket4First(k uint64) uint64 { return k << (64 - topBits4) }

// search returns the last of the sorted starts from first to last that is at most a;
// the first one is. It halves the distance whatever the comparison says, so that the
// compiler needs no branch, which nobody could predict.
func search[T uint32 | uint64](starts []T, first, last uint32, a T) uint32 {
	for n := last - first; n > 0; {
		half := (n + 1) / 2
		next := first
		if starts[first+half] <= a {
			next = first + half
		}
		first = next
		n -= half
	}
	return first
}

// table6 is table4 for IPv6. Networks longer than /64 are rare: low, the lower halves
// of the starts, is nil when they are all zero.
type table6 struct {
	high   []uint64
	low    []uint64
	labels []uint8
	top    []uint32
}

func (t *table6) start(i uint32) uint128 {
	if t.low == nil {
		return uint128{t.high[i], 0}
	}
	return uint128{t.high[i], t.low[i]}
}

// Global unicast addresses, 2000::/3, in leading halves.
const (
	globalFirst = 0x2000 << 48
	globalNext  = 0x4000 << 48
)

// bucket6 has one bucket for all below 2000::/3, and one for all above.
func bucket6(high uint64) uint64 {
	switch {
	case high < globalFirst:
		return 0
	case high < globalNext:
		return 1 + (high-globalFirst)>>(61-topBits6)
	default:
		return 1 + 1<<topBits6
	}
}

func bucket6First(k uint64) uint64 {
	if k == 0 {
		return 0
	}
	return globalFirst + (k-1)<<(61-topBits6)
}

func (t *table6) lookup(a uint128) (label uint8, length int) {
	k := bucket6(a.high)
	first := search(t.high, t.top[k], t.top[k+1], a.high)
	if t.low != nil {
		// Of the starts with this upper half, the last with a lower half that fits. The
		// one before all of them always does.
		for t.high[first] == a.high && t.low[first] > a.low {
			first--
		}
	}
	if first > 0 {
		length = a.common(t.start(first).previous()) + 1
	}
	if next := first + 1; int(next) < len(t.high) {
		length = max(length, a.common(t.start(next))+1)
	}
	return t.labels[first], length
}

// uint128 is an address as a number: an IPv6 address, or an IPv4 address in the
// leading 32 bits, so that prefix lengths mean the same in both.
type uint128 struct{ high, low uint64 }

func (u uint128) less(v uint128) bool {
	return u.high < v.high || u.high == v.high && u.low < v.low
}

// next returns u+1 and whether there is such a number.
func (u uint128) next() (uint128, bool) {
	low, carry := bits.Add64(u.low, 1, 0)
	high, carry := bits.Add64(u.high, 0, carry)
	return uint128{high, low}, carry == 0
}

// previous returns u-1. u is not zero.
func (u uint128) previous() uint128 {
	low, borrow := bits.Sub64(u.low, 1, 0)
	return uint128{u.high - borrow, low}
}

// common returns how many leading bits u and v, which differ, have in common.
func (u uint128) common(v uint128) int {
	if u.high != v.high {
		return bits.LeadingZeros64(u.high ^ v.high)
	}
	return 64 + bits.LeadingZeros64(u.low^v.low)
}
