// Package httpwire holds HTTP messages the way the edge reads and writes them: heads with fields in arrival order and
// case, well-known names as small integers, one request and its response as an Exchange.
//
//	x := &httpwire.Exchange{Head: httpwire.Head{Method: "GET", Target: "/a?b=1", Scheme: "https", Authority: "example.org"}}
//	lang, ok := x.Head.Fields.Get(httpwire.AcceptLanguage)
//
// It knows no product: no routes, no policies. Strings in a Head may be views into a connection's buffer: they are valid
// until the exchange ends, and whoever keeps one longer clones it (Fields.Clone). Nothing here is safe for concurrent use
// unless it says so.
package httpwire

import (
	"iter"
	"strings"
)

// Field is one field line. Name keeps the case it arrived in; ID makes comparing well-known names one integer compare.
type Field struct {
	ID    ID
	Name  string
	Value string
}

// Fields is a list of field lines in order of arrival. The nil list is empty and ready to use.
type Fields []Field

// Get returns the value of the first field with this id.
func (f Fields) Get(id ID) (string, bool) {
	for i := range f {
		if f[i].ID == id {
			return f[i].Value, true
		}
	}
	return "", false
}

// Has reports whether there is a field with this id.
func (f Fields) Has(id ID) bool {
	_, ok := f.Get(id)
	return ok
}

// Values yields the value of every field with this id, in order.
func (f Fields) Values(id ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f {
			if f[i].ID == id && !yield(f[i].Value) {
				return
			}
		}
	}
}

// Joined returns all values of id joined by ", " (RFC 9110 section 5.3), and whether there was one. Not for Set-Cookie.
func (f Fields) Joined(id ID) (string, bool) {
	first, n := "", 0
	for v := range f.Values(id) {
		if n == 0 {
			first = v
		} else {
			first += ", " + v
		}
		n++
	}
	return first, n > 0
}

// List yields the members of a comma-separated list field over all its lines, trimmed, empty members left out
// (RFC 9110 section 5.6.1). Commas inside quoted strings do not separate.
func (f Fields) List(id ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for v := range f.Values(id) {
			for m := range members(v) {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// members splits one field value at its unquoted commas.
func members(v string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i <= len(v); i++ {
			if i < len(v) {
				switch c := v[i]; {
				case quoted && c == '\\':
					i++
					continue
				case c == '"':
					quoted = !quoted
					continue
				case c != ',' || quoted:
					continue
				}
			}
			end := min(i, len(v))
			if m := strings.Trim(v[start:end], " \t"); m != "" && !yield(m) {
				return
			}
			start = end + 1
		}
	}
}

// Lookup returns the value of the first field with this name, which may be one without an id; case is ignored.
func (f Fields) Lookup(name string) (string, bool) {
	if id := Identify(name); id != Other {
		return f.Get(id)
	}
	for i := range f {
		if f[i].ID == Other && strings.EqualFold(f[i].Name, name) {
			return f[i].Value, true
		}
	}
	return "", false
}

// Add appends a well-known field under its canonical name.
func (f *Fields) Add(id ID, value string) {
	*f = append(*f, Field{ID: id, Name: id.String(), Value: value})
}

// AddName appends a field by name, keeping the name's case.
func (f *Fields) AddName(name, value string) {
	*f = append(*f, Field{ID: Identify(name), Name: name, Value: value})
}

// Set replaces the first field with this id, removes the others, and appends one when there is none.
func (f *Fields) Set(id ID, value string) {
	out, done := (*f)[:0], false
	for _, field := range *f {
		if field.ID == id {
			if done {
				continue
			}
			field.Value, done = value, true
		}
		out = append(out, field)
	}
	*f = out
	if !done {
		f.Add(id, value)
	}
}

// Del removes every field with this id.
func (f *Fields) Del(id ID) {
	f.Filter(func(field *Field) bool { return field.ID != id })
}

// Filter keeps the fields for which keep is true, in order and in place.
func (f *Fields) Filter(keep func(*Field) bool) {
	out := (*f)[:0]
	for i := range *f {
		if keep(&(*f)[i]) {
			out = append(out, (*f)[i])
		}
	}
	clear((*f)[len(out):])
	*f = out
}

// Clone copies the list and every byte it points at, so that the copy outlives the exchange.
func (f Fields) Clone() Fields {
	if f == nil {
		return nil
	}
	size := 0
	for i := range f {
		size += len(f[i].Value)
		if f[i].ID == Other {
			size += len(f[i].Name)
		}
	}
	// One allocation for all bytes: a stored head is a handful of objects, not one for every field.
	var b strings.Builder
	b.Grow(size)
	out := make(Fields, len(f))
	keep := func(s string) string {
		at := b.Len()
		b.WriteString(s)
		return b.String()[at:]
	}
	for i := range f {
		name := f[i].ID.String()
		if f[i].ID == Other || name != f[i].Name {
			name = keep(f[i].Name)
		}
		out[i] = Field{ID: f[i].ID, Name: name, Value: keep(f[i].Value)}
	}
	return out
}

// Size is the number of bytes the list takes in HTTP/1.1 form: name, colon, space, value, CRLF.
func (f Fields) Size() int {
	n := 0
	for i := range f {
		n += len(f[i].Name) + len(f[i].Value) + 4
	}
	return n
}

// TrimOWS takes spaces and tabs off both ends (optional whitespace, RFC 9110 section 5.6.3).
func TrimOWS(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
