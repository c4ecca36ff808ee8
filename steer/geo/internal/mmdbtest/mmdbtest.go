// Package mmdbtest writes small databases in the MaxMind DB format, for tests.
//
//	file := mmdbtest.Write(mmdbtest.File{IPVersion: 6}, []mmdbtest.Network{
//		{netip.MustParsePrefix("192.0.2.0/24"), map[string]any{"country_code": "GB"}},
//	})
//
// It knows as much of the format as the tests need and has no state.
package mmdbtest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
)

// File says what the metadata of a file holds. Zero fields stand for IPVersion 6,
// RecordSize 24, Type "Test" and the Unix epoch.
type File struct {
	IPVersion  int // 4 or 6
	RecordSize int // bits: 24, 28 or 32
	Type       string
	Built      time.Time
}

// Network is a prefix and its record. Records are made of map[string]any, []any,
// string, float64, float32, int, uint16, uint32, uint64 and bool.
type Network struct {
	Prefix netip.Prefix
	Record any
}

// node is a node of the search tree: each side is another node, a record, or neither.
type node struct {
	child  [2]*node
	record [2]int // index of the record + 1
	number int
}

// Write returns a file with the networks. Later networks overwrite earlier ones where
// they overlap. It panics when a record holds something else than Network says.
func Write(f File, networks []Network) []byte {
	f = f.withDefaults()
	root := new(node)
	var data []byte
	var offsets []int
	for _, n := range networks {
		offsets = append(offsets, len(data))
		data = appendValue(data, n.Record)
		root.insert(f.key(n.Prefix), len(offsets))
	}
	var nodes []*node
	root.walk(func(n *node) {
		n.number = len(nodes)
		nodes = append(nodes, n)
	})

	var out []byte
	for _, n := range nodes {
		var pair [2]uint64
		for side := range pair {
			switch {
			case n.child[side] != nil:
				pair[side] = uint64(n.child[side].number)
			case n.record[side] > 0:
				pair[side] = uint64(len(nodes) + 16 + offsets[n.record[side]-1])
			default:
				pair[side] = uint64(len(nodes))
			}
		}
		out = appendPair(out, f.RecordSize, pair)
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return appendValue(out, map[string]any{
		"binary_format_major_version": uint16(2),
		"binary_format_minor_version": uint16(0),
		"build_epoch":                 uint64(f.Built.Unix()),
		"database_type":               f.Type,
		"description":                 map[string]any{"en": "A database of a test"},
		"ip_version":                  uint16(f.IPVersion),
		"languages":                   []any{"en"},
		"node_count":                  uint32(len(nodes)),
		"record_size":                 uint16(f.RecordSize),
	})
}

func (f File) withDefaults() File {
	if f.IPVersion == 0 {
		f.IPVersion = 6
	}
	if f.RecordSize == 0 {
		f.RecordSize = 24
	}
	if f.Type == "" {
		f.Type = "Test"
	}
	if f.Built.IsZero() {
		f.Built = time.Unix(0, 0)
	}
	return f
}

// key returns the bits that lead to a prefix: an IPv4 one is under ::/96 in a file for
// both families.
func (f File) key(p netip.Prefix) []byte {
	a := p.Addr().AsSlice()
	skip := 0
	if p.Addr().Is4() && f.IPVersion == 6 {
		a = append(make([]byte, 12), a...)
		skip = 96
	}
	var key []byte
	for i := range p.Bits() + skip {
		key = append(key, a[i/8]>>(7-i%8)&1)
	}
	return key
}

func (n *node) insert(key []byte, record int) {
	side := key[0]
	if len(key) == 1 {
		n.child[side], n.record[side] = nil, record
		return
	}
	if n.child[side] == nil {
		// A record that covered the whole side goes on to cover both halves of it.
		n.child[side] = &node{record: [2]int{n.record[side], n.record[side]}}
		n.record[side] = 0
	}
	n.child[side].insert(key[1:], record)
}

func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, child := range n.child {
		if child != nil {
			child.walk(visit)
		}
	}
}

func appendPair(out []byte, size int, pair [2]uint64) []byte {
	switch size {
	case 24:
		for _, v := range pair {
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	case 28:
		l, r := pair[0], pair[1]
		out = append(out, byte(l>>16), byte(l>>8), byte(l), byte(l>>24<<4|r>>24), byte(r>>16), byte(r>>8), byte(r))
	case 32:
		for _, v := range pair {
			out = binary.BigEndian.AppendUint32(out, uint32(v))
		}
	default:
		panic(fmt.Sprintf("BUG: record size %d", size))
	}
	return out
}

// appendValue writes a value of the data section.
func appendValue(out []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return append(appendControl(out, 2, len(v)), v...)
	case float64:
		return binary.BigEndian.AppendUint64(appendControl(out, 3, 8), math.Float64bits(v))
	case float32:
		return binary.BigEndian.AppendUint32(appendControl(out, 15, 4), math.Float32bits(v))
	case uint16:
		return binary.BigEndian.AppendUint16(appendControl(out, 5, 2), v)
	case uint32:
		return binary.BigEndian.AppendUint32(appendControl(out, 6, 4), v)
	case int:
		return binary.BigEndian.AppendUint32(appendControl(out, 8, 4), uint32(int32(v)))
	case uint64:
		return binary.BigEndian.AppendUint64(appendControl(out, 9, 8), v)
	case bool:
		if v {
			return appendControl(out, 14, 1)
		}
		return appendControl(out, 14, 0)
	case []any:
		out = appendControl(out, 11, len(v))
		for _, e := range v {
			out = appendValue(out, e)
		}
		return out
	case map[string]any:
		out = appendControl(out, 7, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = appendValue(appendValue(out, key), v[key])
		}
		return out
	default:
		panic(fmt.Sprintf("BUG: value of type %T", value))
	}
}

// appendControl writes the type and the size in front of a value.
func appendControl(out []byte, kind, size int) []byte {
	first, extended := byte(kind<<5), kind > 7
	if extended {
		first = 0
	}
	switch {
	case size < 29:
		out = append(out, first|byte(size))
	case size < 285:
		out = append(out, first|29)
	default:
		out = append(out, first|30)
	}
	if extended {
		out = append(out, byte(kind-7))
	}
	switch {
	case size < 29:
		return out
	case size < 285:
		return append(out, byte(size-29))
	default:
		return binary.BigEndian.AppendUint16(out, uint16(size-285))
	}
}
