package packed

import (
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
)

// Network is a prefix with the label of the addresses in it; the label "" is Unknown.
type Network struct {
	Prefix netip.Prefix
	Label  string
}

// Encode writes a packed file with the networks to w. Networks may be in any order and
// inside one another, where the longest wins, but not twice in the list; IPv4 ones have
// 4-byte addresses. There are at most 255 labels of 255 bytes each.
func Encode(w io.Writer, h Header, networks []Network) error {
	labels, err := collectLabels(networks)
	if err != nil {
		return err
	}
	if len(h.Source) > maxText {
		return fmt.Errorf("source of %d bytes is longer than %d", len(h.Source), maxText)
	}
	v4, err := boundaries(networks, labels, netip.Addr.Is4)
	if err != nil {
		return err
	}
	v6, err := boundaries(networks, labels, netip.Addr.Is6)
	if err != nil {
		return err
	}

	out := appendText([]byte(magic), h.Source)
	out = binary.AppendVarint(out, h.Built.Unix())
	out = binary.AppendUvarint(out, uint64(len(labels)-1))
	for _, label := range labels[1:] {
		out = appendText(out, label)
	}
	out = appendColumns(out, v4, func(b boundary) uint64 { return b.start.high >> 32 }, column4)
	out = appendColumns(out, v6, func(b boundary) uint64 { return b.start.high }, column6)
	out = appendLow(out, v6)

	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(out); err != nil {
		return fmt.Errorf("write packed file: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write packed file: %w", err)
	}
	return nil
}

// collectLabels returns the labels in use, sorted so that the output is the same for
// the same input; the first is Unknown's.
func collectLabels(networks []Network) ([]string, error) {
	labels := []string{""}
	for _, n := range networks {
		i, found := slices.BinarySearch(labels, n.Label)
		if found {
			continue
		}
		if len(n.Label) > maxText {
			return nil, fmt.Errorf("label of %d bytes is longer than %d", len(n.Label), maxText)
		}
		labels = slices.Insert(labels, i, n.Label)
	}
	if len(labels)-1 > math.MaxUint8 {
		return nil, fmt.Errorf("%d labels are more than %d", len(labels)-1, math.MaxUint8)
	}
	return labels, nil
}

// boundary is the start of a range that goes on to the next boundary.
type boundary struct {
	start uint128
	label uint8
}

// open is a network whose end has not been reached yet.
type open struct {
	last  uint128
	label uint8
}

// boundaries turns the networks of one family into the boundaries between merged
// ranges, the first at address zero.
func boundaries(networks []Network, labels []string, family func(netip.Addr) bool) ([]boundary, error) {
	var list []Network
	for _, n := range networks {
		if !n.Prefix.IsValid() {
			return nil, fmt.Errorf("network with label %q: invalid prefix", n.Label)
		}
		if family(n.Prefix.Addr()) {
			list = append(list, Network{n.Prefix.Masked(), n.Label})
		}
	}
	// Outer networks come before the ones inside them.
	slices.SortFunc(list, func(a, b Network) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})

	s := sweep{out: []boundary{{}}}
	for i, n := range list {
		if i > 0 && list[i-1].Prefix == n.Prefix {
			return nil, fmt.Errorf("network %s is there twice", n.Prefix)
		}
		label, _ := slices.BinarySearch(labels, n.Label)
		first, last := span(n.Prefix)
		s.closeBefore(first)
		s.cut(first, uint8(label))
		s.stack = append(s.stack, open{last, uint8(label)})
	}
	s.closeAll()
	return s.merged(), nil
}

// sweep goes through sorted networks from address zero up.
type sweep struct {
	stack []open // networks around the current address, the innermost last
	out   []boundary
}

// cut starts a range at an address.
func (s *sweep) cut(start uint128, label uint8) {
	if last := &s.out[len(s.out)-1]; last.start == start {
		last.label = label
		return
	}
	s.out = append(s.out, boundary{start, label})
}

// closeBefore ends the networks whose last address is below the given one.
func (s *sweep) closeBefore(address uint128) {
	for len(s.stack) > 0 && s.stack[len(s.stack)-1].last.less(address) {
		s.pop()
	}
}

func (s *sweep) closeAll() {
	for len(s.stack) > 0 {
		s.pop()
	}
}

// pop ends the innermost network: from there on the one around it counts again.
func (s *sweep) pop() {
	ended := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	label := uint8(Unknown)
	if len(s.stack) > 0 {
		label = s.stack[len(s.stack)-1].label
	}
	if next, ok := ended.last.next(); ok {
		s.cut(next, label)
	}
}

// merged returns the ranges with equal neighbours joined.
func (s *sweep) merged() []boundary {
	return slices.CompactFunc(s.out, func(a, b boundary) bool { return a.label == b.label })
}

// span returns the first and the last address of a prefix.
func span(p netip.Prefix) (first, last uint128) {
	var a [16]byte
	if p.Addr().Is4() {
		b := p.Addr().As4()
		copy(a[:], b[:])
	} else {
		a = p.Addr().As16()
	}
	first = uint128{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
	last = uint128{first.high | ones(p.Bits()), first.low | ones(p.Bits()-64)}
	return first, last
}

// ones returns a number with all bits set after the first n of 64. A shift by 64 and
// more gives 0, which is right for n >= 64.
func ones(n int) uint64 { return ^uint64(0) >> max(n, 0) }

// appendColumns writes the distances between the starts, and after them the labels:
// like next to like compresses to half of what pairs do.
func appendColumns(out []byte, list []boundary, start func(boundary) uint64, c column) []byte {
	out = binary.AppendUvarint(out, uint64(len(list)))
	previous := uint64(0)
	for _, b := range list {
		out = binary.AppendUvarint(out, c.rotate(start(b)-previous))
		previous = start(b)
	}
	for _, b := range list {
		out = append(out, b.label)
	}
	return out
}

// appendLow writes the lower halves that are not zero, with the distance between their
// positions in the list.
func appendLow(out []byte, list []boundary) []byte {
	var rows []byte
	count, previous := 0, 0
	for i, b := range list {
		if b.start.low == 0 {
			continue
		}
		rows = binary.AppendUvarint(rows, uint64(i-previous))
		rows = binary.AppendUvarint(rows, b.start.low)
		previous = i
		count++
	}
	return append(binary.AppendUvarint(out, uint64(count)), rows...)
}

func appendText(out []byte, s string) []byte {
	return append(append(out, byte(len(s))), s...)
}
