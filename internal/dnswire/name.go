package dnswire

import "bytes"

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
	for at := 0; ; {
		n := int(wire[at])
		dst = append(dst, wire[at])
		if n == 0 {
			return dst
		}
		for _, c := range wire[at+1 : at+1+n] {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
		}
		at += 1 + n
	}
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
