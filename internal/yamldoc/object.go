package yamldoc

import (
	"slices"
	"strings"
	"time"
)

// Object is a mapping with a fixed set of keys. The zero Object has none of them and misses none, which is what a section
// that could not be read looks like.
type Object struct {
	at       Cursor
	ok       bool
	fields   map[string]Cursor
	misspelt []string // keys that an unknown key probably meant: they are not reported as missing
}

// Object reads c as a mapping of these keys and reports every other key.
func (c Cursor) Object(keys ...string) Object {
	list, ok := c.Entries()
	o := Object{at: c, ok: ok, fields: make(map[string]Cursor, len(list))}
	for _, e := range list {
		name := e.key.Value
		if slices.Contains(keys, name) {
			o.fields[name] = e
			continue
		}
		m := c.errorAt(e.key, e.path, "unknown key").Meant(name, keys)
		if near := nearest(name, keys); near != "" {
			o.misspelt = append(o.misspelt, near)
		} else if len(keys) <= 12 {
			m.Hint("known here: %s", strings.Join(keys, ", "))
		}
	}
	return o
}

// OK says whether the value was a mapping at all.
func (o Object) OK() bool { return o.ok }

// Line is the line of the section's own name, or of the mapping where it has none. The zero Object has neither.
func (o Object) Line() int { return o.at.KeyLine() }

// Get returns the value under key, if the key is there.
func (o Object) Get(key string) (Cursor, bool) {
	c, found := o.fields[key]
	return c, found
}

// Has says whether key is written, whatever stands there.
func (o Object) Has(key string) bool {
	_, found := o.fields[key]
	return found
}

// Given are those of keys that are written, in their order here.
func (o Object) Given(keys ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !o.Has(key) })
}

// Absent says whether key is certainly not there: not written, and not meant by a misspelt key either.
func (o Object) Absent(key string) bool {
	return o.ok && !o.Has(key) && !slices.Contains(o.misspelt, key)
}

// Unsure says whether what the file means by key is unknown: it was misspelt, or what it holds is wrong.
func (o Object) Unsure(key string) bool {
	if c, found := o.Get(key); found {
		return !c.Clean()
	}
	return !o.Absent(key)
}

// Need is get for a key that must be there; it reports a missing one at the section's own name.
func (o Object) Need(key string) (Cursor, bool) {
	if o.Absent(key) {
		o.Missing(key)
	}
	return o.Get(key)
}

// Missing reports that key is not there, at the section's own name.
func (o Object) Missing(key string) Report {
	return o.at.errorAt(o.at.head(), joinPath(o.at.path, key), "missing")
}

// Refuse reports the keys that have no meaning here, and why.
func (o Object) Refuse(why string, keys ...string) {
	for _, key := range keys {
		if c, found := o.Get(key); found {
			c.KeyError(why)
		}
	}
}

// Named returns the entries of a mapping whose keys are names the user chose. Entries with an unfit name are reported and
// returned all the same: what refers to them is not wrong.
func (o Object) Named(key string) []Cursor {
	c, found := o.Get(key)
	if !found {
		return nil
	}
	list, _ := c.Entries()
	for _, e := range list {
		if !IsName(e.key.Value) {
			e.errorAt(e.key, e.path, "is not a name").Hint(nameRule)
		}
	}
	return list
}

// Set reads the value under key into its target. It leaves the target alone, and with it the default, when the key is not there
// or its value wrong; it returns whether the key was there and right. read reports what is wrong. The methods below are Set for
// the common kinds of value.
func Set[T any](o Object, key string, into *T, read func(Cursor) (T, bool)) bool {
	c, found := o.Get(key)
	if !found {
		return false
	}
	v, ok := read(c)
	if ok {
		*into = v
	}
	return ok
}

// Text reads a text that is not empty.
func (o Object) Text(key string, into *string) bool { return Set(o, key, into, Cursor.Text) }

// File reads the absolute form of a path.
func (o Object) File(key string, into *string) bool { return Set(o, key, into, Cursor.FilePath) }

// Name reads a name; see IsName.
func (o Object) Name(key string, into *string) bool { return Set(o, key, into, Cursor.Name) }

// Boolean reads true, false, on or off.
func (o Object) Boolean(key string, into *bool) bool { return Set(o, key, into, Cursor.Boolean) }

// Integer reads a whole number from lo to hi.
func (o Object) Integer(key string, into *int, lo, hi int) bool {
	return Set(o, key, into, func(c Cursor) (int, bool) { return c.Integer(lo, hi) })
}

// Number reads a number from lo to hi.
func (o Object) Number(key string, into *float64, lo, hi float64) bool {
	return Set(o, key, into, func(c Cursor) (float64, bool) { return c.Number(lo, hi) })
}

// Duration reads a duration from lo to hi.
func (o Object) Duration(key string, into *time.Duration, lo, hi time.Duration) bool {
	return Set(o, key, into, func(c Cursor) (time.Duration, bool) { return c.Duration(lo, hi) })
}

// Size reads a number of bytes from lo to hi.
func (o Object) Size(key string, into *int64, lo, hi int64) bool {
	return Set(o, key, into, func(c Cursor) (int64, bool) { return c.Size(lo, hi) })
}

// Enum reads one of values.
func (o Object) Enum(key string, into *string, values ...string) bool {
	return Set(o, key, into, func(c Cursor) (string, bool) { return c.Enum(values...) })
}
