package update

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	mdns "github.com/miekg/dns"
)

// serial is that of an SOA's data.
func serial(data []byte) uint32 { return binary.BigEndian.Uint32(data[len(data)-20:]) }

// later reports whether a comes after b (RFC 1982 section 3.2).
func later(a, b uint32) bool { return a != b && a-b < 1<<31 }

func contains(list [][]byte, typ uint16, data []byte) bool {
	return slices.ContainsFunc(list, func(d []byte) bool { return same(typ, d, data) })
}

// same compares the data of two records: names in it without regard to case (RFC 2136 section 1.1.1), for the types where a sender
// could have another case (RFC 4034 section 6.2).
func same(typ uint16, a, b []byte) bool {
	head := 0
	switch typ {
	case mdns.TypeNS, mdns.TypeCNAME, mdns.TypePTR, mdns.TypeDNAME:
	case mdns.TypeMX:
		head = 2
	case mdns.TypeSRV:
		head = 6
	default:
		return bytes.Equal(a, b)
	}
	if len(a) != len(b) || len(a) < head || !bytes.Equal(a[:head], b[:head]) {
		return false
	}
	for i := head; i < len(a); i++ { // length octets are below 64, so they are no letters
		if a[i] != b[i] && (fold(a[i]) != fold(b[i])) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
