package disk

import (
	"github.com/meridian-edge/meridian/cache/evict"
	"github.com/meridian-edge/meridian/cache/slots"
)

// index knows every file that has been listed, and which goes next. There are no pointers in it: a million files are nothing to the garbage
// collector. Tier.mu guards it.
type index struct {
	table slots.Table[entry] // by key, in groups of a URL
	order evict.Order        // of the ids in table
}

// entry is what a name has beyond its hashes.
type entry struct {
	variant uint64
	pages   uint32
	node    uint32 // in the order
}

func newIndex() *index { return &index{} }

func (x *index) len() int { return x.table.Len() }

// bytes is the size of all files, rounded up.
func (x *index) bytes() int64 { return x.order.Bytes() }

// memory is what the index takes itself, in bytes.
func (x *index) memory() int64 { return x.table.Bytes() + x.order.Cost() }

func (x *index) name(id uint32) name {
	e := x.table.At(id)
	return name{url: x.table.Group(id), key: x.table.Key(id), variant: e.variant, pages: e.pages}
}

// id finds a file by its name, whatever its size; 0: there is none.
func (x *index) id(n name) uint32 {
	for id := x.table.First(n.key); id != 0; id = x.table.Next(id) {
		if x.table.At(id).variant == n.variant && x.table.Group(id) == n.url {
			return id
		}
	}
	return 0
}

// add takes in a file. There must be none of that name, whatever its size.
func (x *index) add(n name) {
	id := x.table.Add(n.key, n.url, entry{variant: n.variant, pages: n.pages})
	x.table.At(id).node = x.order.Add(n.key^n.variant, n.bytes(), id)
}

// find returns the name with the size.
func (x *index) find(n name) (name, bool) {
	id := x.id(n)
	if id == 0 {
		return n, false
	}
	return x.name(id), true
}

// remove takes a file out, if it is in.
func (x *index) remove(n name) {
	if id := x.id(n); id != 0 {
		x.order.Remove(x.table.At(id).node)
		x.table.Remove(id)
	}
}

// touch marks a use.
func (x *index) touch(n name) {
	if id := x.id(n); id != 0 {
		x.order.Touch(x.table.At(id).node)
	}
}

// has reports whether there is a file of the key.
func (x *index) has(n name) bool {
	for id := x.table.First(n.key); id != 0; id = x.table.Next(id) {
		if x.table.Group(id) == n.url {
			return true
		}
	}
	return false
}

// key returns all files of the key, the newest first.
func (x *index) key(n name) (all []name) {
	for id := x.table.First(n.key); id != 0; id = x.table.Next(id) {
		if x.table.Group(id) == n.url {
			all = append(all, x.name(id))
		}
	}
	return all
}

// url returns all files of a URL.
func (x *index) url(url uint64) (all []name) {
	for id := x.table.FirstOf(url); id != 0; id = x.table.NextOf(id) {
		all = append(all, x.name(id))
	}
	return all
}

// victim chooses the file that goes next, of those that free says yes to.
func (x *index) victim(free func(name) bool) (name, bool) {
	node := x.order.Victim(func(id uint32) bool { return free(x.name(id)) })
	if node == 0 {
		return name{}, false
	}
	return x.name(x.order.Value(node)), true
}
