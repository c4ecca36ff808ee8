package purge

import (
	"fmt"
	"slices"
	"time"
)

// Undo takes a soft order back: what it made stale is as fresh as before, unless another order hit it too. A hard one cannot be
// taken back: what it hit may be gone.
func (b *Book) Undo(id uint64) (Order, error) {
	b.writing.Lock() // so that nothing changes between the look and the deed
	defer b.writing.Unlock()
	o, err := b.undoable(id)
	if err != nil {
		return o, err
	}
	if b.journal != nil {
		if err := b.journal.append(record{Undo: id}); err != nil {
			return o, fmt.Errorf("keep the undo of %s: %w", &o, err)
		}
	}
	b.mu.Lock()
	b.undo(b.index(id))
	b.mu.Unlock()
	b.version.Add(1)
	o.Undone = true
	return o, nil
}

// UndoAll is Undo of an order and of those that are one purge with it.
func (b *Book) UndoAll(id uint64) (Order, error) {
	first, err := b.Undo(id)
	for o := first; err == nil && o.With != 0; {
		if with, found := b.Order(o.With); !found || with.Undone {
			break // it has been taken back by itself
		}
		o, err = b.Undo(o.With)
	}
	return first, err
}

// undoable returns an order that can be taken back.
func (b *Book) undoable(id uint64) (Order, error) {
	o, found := b.Order(id)
	switch {
	case !found, time.Since(o.Time) > b.options.Retention:
		return o, fmt.Errorf("purge %d: %w", id, ErrUnknown)
	case !o.Soft:
		return o, fmt.Errorf("%s cannot be undone: only soft purges keep what they hit", &o)
	case o.Undone:
		return o, fmt.Errorf("%s is undone already", &o)
	}
	return o, nil
}

// Orders returns the orders that are remembered, newest first, at most n of them.
func (b *Book) Orders(n int) []Order {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := slices.Clone(b.orders[max(0, len(b.orders)-n):])
	slices.Reverse(list)
	return list
}

// Order returns a remembered order.
func (b *Book) Order(id uint64) (Order, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if i := b.index(id); i >= 0 {
		return b.orders[i], true
	}
	return Order{}, false
}

func (b *Book) index(id uint64) int {
	i, found := slices.BinarySearchFunc(b.orders, id, func(o Order, id uint64) int {
		switch {
		case o.ID < id:
			return -1
		case o.ID > id:
			return 1
		}
		return 0
	})
	if !found {
		return -1
	}
	return i
}

// undo makes the marks of an order's key anew without it, with mu held.
func (b *Book) undo(i int) {
	b.orders[i].Undone = true
	k := keyOf(&b.orders[i])
	had := len(b.marks[k]) > 0
	b.marks[k] = nil
	for n := range b.orders {
		if o := &b.orders[n]; !o.Undone && keyOf(o) == k {
			b.marks[k] = addMark(b.marks[k], o)
		}
	}
	if had {
		b.drop(k)
	}
}

// drop forgets a key without marks.
func (b *Book) drop(k key) {
	if len(b.marks[k]) > 0 {
		return
	}
	delete(b.marks, k)
	if k.kind != Prefix {
		return
	}
	p := place{k.site, k.host}
	if b.lengths[p][len(k.value)]--; b.lengths[p][len(k.value)] <= 0 {
		delete(b.lengths[p], len(k.value))
	}
	if len(b.lengths[p]) == 0 {
		delete(b.lengths, p)
	}
}

// forget lets go of orders that are too many. Whatever was stored before the newest of them is dead from then on: a limit on memory
// must not bring anything back.
func (b *Book) forget() {
	n := len(b.orders) - maxOrders
	if n <= 0 {
		return
	}
	for i := range b.orders[:n] {
		o := &b.orders[i]
		k := keyOf(o)
		if had := len(b.marks[k]) > 0; had {
			b.marks[k] = slices.DeleteFunc(b.marks[k], func(m mark) bool { return m.id == o.ID })
			b.drop(k)
		}
		b.floor = max(b.floor, o.ID)
	}
	b.orders = slices.Clone(b.orders[n:])
}
