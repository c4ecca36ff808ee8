package dnswire

import (
	"bytes"
	"encoding/binary"
)

// Parent strips the first label of a name in wire form, which must not be the root.
func Parent(name []byte) []byte { return name[1+int(name[0]):] }

// CountLabels counts the labels of a name in wire form, the root's not included.
func CountLabels(name []byte) int {
	n := 0
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		n++
	}
	return n
}

// Below reports whether name is top or lies under it; both in wire form, lower case.
func Below(name, top []byte) bool {
	for len(name) > len(top) {
		name = Parent(name)
	}
	return bytes.Equal(name, top)
}

// Lower returns a copy of the name that a message has at its start, with ASCII letters in lower case. What follows the name is
// not looked at.
func Lower(wire []byte) []byte { return AppendLower(nil, wire) }

// AppendLower is Lower appending to dst.
func AppendLower(dst, wire []byte) []byte {
	n := 1
	for wire[n-1] != 0 {
		n += 1 + int(wire[n-1])
	}
	dst = append(dst, wire[:n]...)
	name := dst[len(dst)-n:]
	lower(name, name)
	return dst
}

// lower copies a name in wire form from src to dst, which has the same length, with ASCII letters in lower case. The lengths of labels are below
// any letter, so a name can be taken eight octets at a time whatever is in it.
func lower(dst, src []byte) {
	n := len(src)
	if n < 8 {
		for i, c := range src {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst[i] = c
		}
		return
	}
	for at := 0; at < n-8; at += 8 {
		binary.LittleEndian.PutUint64(dst[at:], lower8(binary.LittleEndian.Uint64(src[at:])))
	}
	binary.LittleEndian.PutUint64(dst[n-8:], lower8(binary.LittleEndian.Uint64(src[n-8:]))) // some of these a second time
}

// lower8 lowers eight octets. Sums of seven bits set the eighth where an octet is at or above a bound, and never reach the next octet.
func lower8(octets uint64) uint64 {
	const (
		each  = 0x0101010101010101
		seven = 0x7F * each
	)
	low := octets & seven
	fromA, afterZ := low+(0x80-'A')*each, low+(0x7F-'Z')*each
	letters := (fromA ^ afterZ) &^ octets &^ seven
	return octets | letters>>2
}

// IsName reports whether data begins with an uncompressed name. Data from elsewhere may be anything.
func IsName(data []byte) bool {
	for at := 0; at < len(data) && at < MaxName; at += 1 + int(data[at]) {
		if data[at] == 0 {
			return true
		}
		if data[at] > 63 {
			return false
		}
	}
	return false
}
