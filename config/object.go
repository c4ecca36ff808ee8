package config

import (
	"slices"
	"strings"
	"time"
)

// object is a mapping with a fixed set of keys. The zero object has none of them and misses none, which is what a section
// that could not be read looks like.
type object struct {
	cursor
	ok       bool
	fields   map[string]cursor
	misspelt []string // keys that an unknown key probably meant: they are not reported as missing
}

// object reads c as a mapping of these keys and reports every other key.
func (c cursor) object(keys ...string) object {
	list, ok := c.entries()
	o := object{cursor: c, ok: ok, fields: make(map[string]cursor, len(list))}
	for _, e := range list {
		name := e.key.Value
		if slices.Contains(keys, name) {
			o.fields[name] = e
			continue
		}
		m := c.errorAt(e.key, e.path, "unknown key").meant(name, keys)
		if near := nearest(name, keys); near != "" {
			o.misspelt = append(o.misspelt, near)
		} else if len(keys) <= 12 {
			m.hint("known here: %s", strings.Join(keys, ", "))
		}
	}
	return o
}

// get returns the value under key, if the key is there.
func (o object) get(key string) (cursor, bool) {
	c, found := o.fields[key]
	return c, found
}

func (o object) has(key string) bool {
	_, found := o.fields[key]
	return found
}

// absent says whether key is certainly not there: not written, and not meant by a misspelt key either.
func (o object) absent(key string) bool {
	return o.ok && !o.has(key) && !slices.Contains(o.misspelt, key)
}

// unsure says whether what the file means by key is unknown: it was misspelt, or what it holds is wrong.
func (o object) unsure(key string) bool {
	if c, found := o.get(key); found {
		return !o.d.clean(c.path)
	}
	return !o.absent(key)
}

// need is get for a key that must be there; it reports a missing one at the section's own name.
func (o object) need(key string) (cursor, bool) {
	if o.absent(key) {
		o.missing(key)
	}
	return o.get(key)
}

func (o object) missing(key string) *Mistake {
	n := o.n
	if o.key != nil {
		n = o.key
	}
	return o.errorAt(n, joinPath(o.path, key), "missing")
}

// refuse reports the keys that have no meaning here, and why.
func (o object) refuse(why string, keys ...string) {
	for _, key := range keys {
		if c, found := o.get(key); found {
			o.errorAt(c.key, c.path, why)
		}
	}
}

// named returns the entries of a mapping whose keys are names the user chose. Entries with an unfit name are reported and
// returned all the same: what refers to them is not wrong.
func (o object) named(key string) []cursor {
	c, found := o.get(key)
	if !found {
		return nil
	}
	list, _ := c.entries()
	for _, e := range list {
		if !isName(e.key.Value) {
			e.errorAt(e.key, e.path, "is not a name").hint(nameRule)
		}
	}
	return list
}

// The setters below read the value under key into their target. They leave it alone, and with it the default, when the key is
// not there; they return whether the key was there and right.

func set[T any](o object, key string, into *T, read func(cursor) (T, bool)) bool {
	c, found := o.get(key)
	if !found {
		return false
	}
	v, ok := read(c)
	if ok {
		*into = v
	}
	return ok
}

func (o object) text(key string, into *string) bool { return set(o, key, into, cursor.text) }

func (o object) file(key string, into *string) bool { return set(o, key, into, cursor.filePath) }

func (o object) name(key string, into *string) bool { return set(o, key, into, cursor.name) }

func (o object) boolean(key string, into *bool) bool { return set(o, key, into, cursor.boolean) }

func (o object) integer(key string, into *int, lo, hi int) bool {
	return set(o, key, into, func(c cursor) (int, bool) { return c.integer(lo, hi) })
}

func (o object) number(key string, into *float64, lo, hi float64) bool {
	return set(o, key, into, func(c cursor) (float64, bool) { return c.number(lo, hi) })
}

func (o object) duration(key string, into *time.Duration, lo, hi time.Duration) bool {
	return set(o, key, into, func(c cursor) (time.Duration, bool) { return c.duration(lo, hi) })
}

func (o object) size(key string, into *int64, lo, hi int64) bool {
	return set(o, key, into, func(c cursor) (int64, bool) { return c.size(lo, hi) })
}

func (o object) enum(key string, into *string, values ...string) bool {
	return set(o, key, into, func(c cursor) (string, bool) { return c.enum(values...) })
}
