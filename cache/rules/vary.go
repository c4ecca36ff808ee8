package rules

import (
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// selector is one field that Vary names and the value it had in the request a response was stored for (RFC 9111 §4.1).
type selector struct {
	id      httpwire.ID
	name    string // lower case
	value   string // normalised, see appendSelecting
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
		value, present := appendSelecting(nil, request, id, name)
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
		value, present := appendSelecting(buf[:0], request, v[i].id, v[i].name)
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
		x, hasX := appendSelecting(bufA[:0], a, v[i].id, v[i].name)
		y, hasY := appendSelecting(bufB[:0], b, v[i].id, v[i].name)
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

// AppendValue appends the value of a request field as a key has it and says whether there is one: Accept-Encoding as AppendCodings makes
// it, everything else as it was sent, lines joined. A key that is stricter than the origin costs a fetch, one that is laxer poisons.
func AppendValue(dst []byte, fields httpwire.Fields, id httpwire.ID, name string) ([]byte, bool) {
	if id == httpwire.AcceptEncoding {
		return AppendCodings(dst, fields, AllCodings)
	}
	return appendLines(dst, fields, id, name, false)
}

// appendSelecting appends the normalised value of a field that Vary names and says whether there is one (RFC 9111 §4.1): Accept-Encoding
// is the set of codings it accepts, languages are in one order, and of Accept, and of fields that nobody here knows, the
// whitespace around commas goes. Of known fields that are no lists, credentials and names of clients among them, nothing goes.
func appendSelecting(dst []byte, fields httpwire.Fields, id httpwire.ID, name string) ([]byte, bool) {
	switch {
	case id == httpwire.AcceptEncoding:
		return AppendCodings(dst, fields, AllCodings)
	case id == httpwire.AcceptLanguage:
		return appendLanguages(dst, fields)
	case id == httpwire.Accept || id == httpwire.Other:
		return appendLines(dst, fields, id, name, true)
	}
	return appendLines(dst, fields, id, name, false)
}

// appendLines appends the lines of a field as one line (RFC 9110 §5.3), with or without the whitespace around commas.
func appendLines(dst []byte, fields httpwire.Fields, id httpwire.ID, name string, tight bool) ([]byte, bool) {
	present := false
	for i := range fields {
		if fields[i].ID != id || id == httpwire.Other && !strings.EqualFold(fields[i].Name, name) {
			continue
		}
		if present {
			dst = append(dst, ',')
			if !tight {
				dst = append(dst, ' ')
			}
		}
		present = true
		if line := httpwire.TrimOWS(fields[i].Value); tight {
			dst = appendMembers(dst, line)
		} else {
			dst = append(dst, line...)
		}
	}
	return dst, present
}

// appendMembers appends a line without the whitespace around its commas, those within quotes left alone.
func appendMembers(dst []byte, line string) []byte {
	quoted, start := false, len(dst)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '\\' && i+1 < len(line):
			dst = append(dst, c)
			i++
			c = line[i]
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			for len(dst) > start && (dst[len(dst)-1] == ' ' || dst[len(dst)-1] == '\t') {
				dst = dst[:len(dst)-1]
			}
			for i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\t') {
				i++
			}
		}
		dst = append(dst, c)
	}
	return dst
}
