package rules

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// AppendVariant appends a Variant in the form that ParseVariant and MatchVariant read: the number of its fields, and for each its name, and
// its value with one before it, or nothing where the field is absent. Lengths are varints.
func AppendVariant(dst []byte, v Variant) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	for i := range v {
		dst = binary.AppendUvarint(dst, uint64(len(v[i].name)))
		dst = append(dst, v[i].name...)
		if !v[i].present {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(v[i].value))+1)
		dst = append(dst, v[i].value...)
	}
	return dst
}

// ParseVariant reads what AppendVariant has written, and returns what follows it. The result shares no memory with b.
func ParseVariant(b []byte) (v Variant, rest []byte, ok bool) {
	n, b, ok := count(b)
	if !ok || n > maxVaryNames {
		return nil, nil, false
	}
	for range n {
		var name, value []byte
		var present bool
		if name, value, present, b, ok = parseSelector(b); !ok {
			return nil, nil, false
		}
		v = append(v, selector{id: httpwire.Identify(string(name)), name: string(name), value: string(value), present: present})
	}
	return v, b, true
}

// MatchVariant is Variant.Match on what AppendVariant has written. It does not allocate for values of ordinary length.
func MatchVariant(b []byte, request httpwire.Fields) bool {
	n, b, ok := count(b)
	if !ok {
		return false
	}
	var buf [256]byte
	for range n {
		name, want, present, rest, ok := parseSelector(b)
		if !ok {
			return false
		}
		b = rest
		id := identify(name)
		var value []byte
		var has bool
		if id == httpwire.Other {
			value, has = appendSelecting(buf[:0], request, id, string(name))
		} else {
			value, has = appendSelecting(buf[:0], request, id, "")
		}
		if has != present || string(value) != string(want) {
			return false
		}
	}
	return true
}

// identify is httpwire.Identify without a copy of the name: what Vary mostly names comes first.
func identify(name []byte) httpwire.ID {
	switch string(name) {
	case "accept-encoding":
		return httpwire.AcceptEncoding
	case "accept":
		return httpwire.Accept
	case "accept-language":
		return httpwire.AcceptLanguage
	case "origin":
		return httpwire.Origin
	}
	return httpwire.Identify(string(name))
}

func parseSelector(b []byte) (name, value []byte, present bool, rest []byte, ok bool) {
	name, b, ok = cut(b, 0)
	if !ok {
		return nil, nil, false, nil, false
	}
	n, k := binary.Uvarint(b)
	if k <= 0 {
		return nil, nil, false, nil, false
	}
	if n == 0 {
		return name, nil, false, b[k:], true
	}
	value, rest, ok = cut(b, 1)
	return name, value, true, rest, ok
}

// cut takes a string off b that has its length, and less more than that, before it.
func cut(b []byte, less uint64) (s, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n < less || n-less > uint64(len(b)-k) {
		return nil, nil, false
	}
	end := k + int(n-less)
	return b[k:end:end], b[end:], true
}

func count(b []byte) (n int, rest []byte, ok bool) {
	v, k := binary.Uvarint(b)
	if k <= 0 || v > uint64(len(b)) {
		return 0, nil, false
	}
	return int(v), b[k:], true
}

// VariantID tells the variants of one key apart on the disk. Two that share a number push each other out.
func VariantID(v Variant) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(AppendVariant(nil, v))
	return h.Sum64()
}
