package rules

import (
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// selector is one field that Vary names and the value it had in the request a response was stored for (RFC 9111 §4.1).
type selector struct {
	id      httpwire.ID
	name    string // lower case
	value   string // normalised, see AppendValue
	present bool   // absent and empty are different
}

// Variant is the part of a key that comes from Vary. The nil Variant matches every request.
type Variant []selector

// varyStorable reports whether a response's Vary can be matched again: it has no *, no name that cannot be one, and not too many.
func varyStorable(fields httpwire.Fields) bool {
	n := 0
	for name := range fields.List(httpwire.Vary) {
		if n++; n > maxVaryNames || !httpwire.IsToken(name) || name == "*" {
			return false
		}
	}
	return true
}

// NewVariant takes from request the values of the fields that response's Vary names. The result shares no memory with request.
func NewVariant(request, response httpwire.Fields) Variant {
	var v Variant
	for name := range response.List(httpwire.Vary) {
		name = strings.ToLower(name)
		if v.names(name) {
			continue
		}
		id := httpwire.Identify(name)
		value, present := AppendValue(nil, request, id, name)
		v = append(v, selector{id: id, name: name, value: string(value), present: present})
	}
	return v
}

func (v Variant) names(name string) bool {
	for i := range v {
		if v[i].name == name {
			return true
		}
	}
	return false
}

// Match reports whether a request selects this variant (RFC 9111 §4.1). It does not allocate for values of ordinary length.
func (v Variant) Match(request httpwire.Fields) bool {
	var buf [256]byte
	for i := range v {
		value, present := AppendValue(buf[:0], request, v[i].id, v[i].name)
		if present != v[i].present || string(value) != v[i].value {
			return false
		}
	}
	return true
}

// Same reports whether two requests have the same values in the fields of v.
func (v Variant) Same(a, b httpwire.Fields) bool {
	var bufA, bufB [256]byte
	for i := range v {
		x, hasX := AppendValue(bufA[:0], a, v[i].id, v[i].name)
		y, hasY := AppendValue(bufB[:0], b, v[i].id, v[i].name)
		if hasX != hasY || string(x) != string(y) {
			return false
		}
	}
	return true
}

// String is for people: `accept-encoding: gzip; accept-language (absent)`.
func (v Variant) String() string {
	var b strings.Builder
	for i := range v {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v[i].name)
		if v[i].present {
			b.WriteString(": " + v[i].value)
		} else {
			b.WriteString(" (absent)")
		}
	}
	return b.String()
}

// Size is what a Variant costs beyond its selectors.
func (v Variant) Size() int64 {
	n := 0
	for i := range v {
		n += selectorCost + len(v[i].name) + len(v[i].value)
	}
	return int64(n)
}

// AppendValue appends the normalised value of a request field and says whether there is one: lines are joined, Accept-Encoding becomes
// what AppendCodings makes of it, in fields known to be lists the whitespace around members is dropped, and language ranges, whose case
// does not matter, are in lower case (RFC 9111 §4.1).
func AppendValue(dst []byte, fields httpwire.Fields, id httpwire.ID, name string) ([]byte, bool) {
	if id == httpwire.AcceptEncoding {
		return AppendCodings(dst, fields, AllCodings)
	}
	start, present := len(dst), false
	for i := range fields {
		if fields[i].ID != id || id == httpwire.Other && !strings.EqualFold(fields[i].Name, name) {
			continue
		}
		present = true
		if !isList(id) {
			if len(dst) > start {
				dst = append(dst, ", "...)
			}
			dst = append(dst, httpwire.TrimOWS(fields[i].Value)...)
			continue
		}
		for rest, more := fields[i].Value, true; more; {
			var member string
			member, rest, more = strings.Cut(rest, ",")
			if member = httpwire.TrimOWS(member); member == "" {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			if id == httpwire.AcceptLanguage {
				dst = appendRange(dst, member)
			} else {
				dst = append(dst, member...)
			}
		}
	}
	return dst, present
}

// appendRange appends a language range and its weight in lower case and without whitespace (RFC 9110 §12.5.4).
func appendRange(dst []byte, member string) []byte {
	for i := range len(member) {
		switch c := member[i]; {
		case c == ' ' || c == '\t':
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c|0x20)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// isList names the fields whose values are comma-separated lists of parts without quoted commas of any importance: splitting
// them only decides whether two spellings count as one.
func isList(id httpwire.ID) bool {
	return id == httpwire.Accept || id == httpwire.AcceptLanguage
}
