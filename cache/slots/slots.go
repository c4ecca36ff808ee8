// Package slots finds values by the hash of their key and by the hash of a group they belong to, without pointers: the garbage
// collector has a few pointers to follow for a thousand values.
//
//	id := table.Add(key, group, value)
//	for id := table.First(key); id != 0; id = table.Next(id) { value := table.At(id) ... }
//	for id := table.FirstOf(group); id != 0; id = table.NextOf(id) { ... }
//	table.Remove(id)
//
// A table knows hashes only: the caller compares what it holds with what it looks for. Hashes are well mixed, as those of hash/maphash
// are; the upper 32 bits choose the bucket, so that the lower ones may have chosen the table.
//
// A value costs at most 40 bytes beyond its own, rounded up to eight. Nothing is ever copied to make room: a table grows by a thousand
// values and by one bucket at a time (linear hashing), so that no Add takes much longer than another. Memory is not given back: the
// places of removed values serve new ones, so a Table takes what its largest number of values took.
//
// Nothing here is safe for concurrent use: the lock of the shard guards it.
package slots

import (
	"iter"

	"github.com/meridian-edge/meridian/internal/arena"
)

// Table holds values of type V, which should hold no pointers. The zero Table is empty. It holds up to 1<<32-2 values.
//
// Where a method takes an id, it is one that Add returned and Remove has not seen since; anything else is a bug in the caller.
type Table[V any] struct {
	slots  arena.Arena[slot[V]] // the first is nobody's, so that 0 is none
	free   uint32               // the first free slot
	keys   buckets
	groups buckets
}

// slot is a value in the chain of the bucket of its key and in the list of its group. The first one of a group stands for the group in
// the chain of the group's bucket, so that a large group is in nobody's way.
type slot[V any] struct {
	key, group uint64
	next       uint32 // with the key's bucket; the next free slot in one that is
	newer      uint32 // of the group; 0: the first, or in no group; gone: the slot is free
	older      uint32 // of the group
	chain      uint32 // the first of the next group with the same bucket; in the first of a group only
	value      V
}

const gone = 1<<32 - 1

// Add takes in a value. Others may have the same hashes. A value of group 0 is in none. It returns the value's id, which is never 0.
func (t *Table[V]) Add(key, group uint64, v V) uint32 {
	id := t.free
	switch {
	case id != 0:
		t.free = t.slots.At(id).next
	case t.slots.Len() == 0:
		t.slots.Add()
		fallthrough
	default:
		id = t.slots.Add()
	}
	if t.keys.add() {
		t.splitKeys()
	}
	head := t.keys.of(key)
	s := t.slots.At(id)
	*s = slot[V]{key: key, group: group, next: *head, value: v}
	*head = id
	if group != 0 {
		t.join(id, s)
	}
	return id
}

// At returns a value, for the caller to read and to change. The pointer stays good until the value is removed.
func (t *Table[V]) At(id uint32) *V { return &t.slots.At(id).value }

// Key is the key's hash that a value was added with.
func (t *Table[V]) Key(id uint32) uint64 { return t.slots.At(id).key }

// Group is the group's hash that a value was added with.
func (t *Table[V]) Group(id uint32) uint64 { return t.slots.At(id).group }

// Remove takes a value out. Its id may be another's from now on. Nothing is done for 0.
func (t *Table[V]) Remove(id uint32) {
	if id == 0 {
		return
	}
	s := t.slots.At(id)
	if s.newer == gone {
		panic("BUG: slots: a value was removed twice")
	}
	at := t.keys.of(s.key)
	for *at != id {
		at = &t.slots.At(*at).next
	}
	*at = s.next
	if s.group != 0 {
		t.leave(id, s)
	}
	t.keys.n--
	s.next, s.newer = t.free, gone
	t.free = id
}

// First is the value with a key's hash that was added last; 0 when there is none.
func (t *Table[V]) First(key uint64) uint32 {
	if t.keys.n == 0 {
		return 0
	}
	return t.withKey(*t.keys.of(key), key)
}

// Next is the one with the same key's hash that was added before a value; 0 when there is none.
func (t *Table[V]) Next(id uint32) uint32 {
	s := t.slots.At(id)
	return t.withKey(s.next, s.key)
}

func (t *Table[V]) withKey(id uint32, key uint64) uint32 {
	for id != 0 {
		s := t.slots.At(id)
		if s.key == key {
			break
		}
		id = s.next
	}
	return id
}

// FirstOf is the value of a group that was added last; 0 when there is none, and for group 0.
func (t *Table[V]) FirstOf(group uint64) uint32 {
	if t.groups.n == 0 || group == 0 {
		return 0
	}
	return *t.first(group)
}

// NextOf is the one of the same group that was added before a value; 0 when there is none.
func (t *Table[V]) NextOf(id uint32) uint32 { return t.slots.At(id).older }

// Len is the number of values.
func (t *Table[V]) Len() int { return t.keys.n }

// All yields the ids of all values, in no order. The one that was yielded may be removed. Values that are added meanwhile may come or not.
func (t *Table[V]) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for id := 1; id < t.slots.Len(); id++ {
			if t.slots.At(uint32(id)).newer != gone && !yield(uint32(id)) {
				return
			}
		}
	}
}

// From is the least id in use that is not less than id; 0: there is none. It is All for who cannot hold the lock all along.
func (t *Table[V]) From(id uint32) uint32 {
	for ; int64(id) < int64(t.slots.Len()); id++ {
		if id > 0 && t.slots.At(id).newer != gone {
			return id
		}
	}
	return 0
}

// Bytes is the memory that the table takes, values included.
func (t *Table[V]) Bytes() int64 {
	return t.slots.Bytes() + t.keys.heads.Bytes() + t.groups.heads.Bytes()
}

// first is where the first of a group is noted: in the group's bucket, or in the first of another group that comes before.
func (t *Table[V]) first(group uint64) *uint32 {
	at := t.groups.of(group)
	for *at != 0 {
		s := t.slots.At(*at)
		if s.group == group {
			break
		}
		at = &s.chain
	}
	return at
}

// join makes a value the first of its group.
func (t *Table[V]) join(id uint32, s *slot[V]) {
	if t.groups.n > 0 {
		if at := t.first(s.group); *at != 0 {
			old := t.slots.At(*at)
			s.older, s.chain = *at, old.chain
			old.newer, old.chain = id, 0
			*at = id
			return
		}
	}
	if t.groups.add() {
		t.splitGroups()
	}
	head := t.groups.of(s.group)
	s.chain, *head = *head, id
}

// leave takes a value out of its group.
func (t *Table[V]) leave(id uint32, s *slot[V]) {
	if s.older != 0 {
		t.slots.At(s.older).newer = s.newer
	}
	if s.newer != 0 {
		t.slots.At(s.newer).older = s.older
		return
	}
	at := t.first(s.group)
	if s.older == 0 {
		*at = s.chain
		t.groups.n--
		return
	}
	*at = s.older
	t.slots.At(s.older).chain = s.chain
}
