// Package evict decides which stored object goes when there is no room: S3-FIFO, weighted by bytes, with a small queue whose share
// is chosen by miniature simulations.
//
//	node := order.Add(hash, size, value)
//	order.Touch(node)                          // a hit: a counter, no list is changed
//	for need > 0 { victim := order.Victim(free); ... order.Remove(victim) }
//
// A new object enters the small queue. When it comes to its end, an object that was asked for more than once moves to the main
// queue; any other goes, and its key is remembered for as long as the main queue holds objects: if it is asked for in that time, it enters
// the main queue at once. In the main queue an object is passed over once for each of its last uses, at most three. So a scan passes
// through the small queue and leaves the rest alone.
//
// How large the small queue should be depends on the traffic: one tenth suits what is popular for long, nine tenths suit what is
// asked for a few times in a row and then never again. Both are simulated on a sample of the keys, and the better one is used.
//
// Objects are numbers, and what is kept of them is free of pointers: the garbage collector has one pointer to follow for a thousand
// objects. An object takes 32 bytes, and at most 16 more for the keys of those that went. Memory is not given back: the places of
// removed objects serve new ones, so an Order takes what its largest number of objects took.
//
// An Order is not safe for concurrent use: the lock of its shard guards it. Touch allocates for sampled keys only, Add for them and
// once in a thousand objects more than there ever were.
package evict

import "github.com/meridian-edge/meridian/internal/arena"

// node is an object's place in an order.
type node struct {
	hash         uint64
	size         int64
	newer, older uint32 // neighbours in the queue; newer: the next free node in one that is in none
	value        uint32
	queue        uint8
	uses         uint8
}

// The queues. A node of the zero one is free.
const (
	small = 1 + iota
	main
)

// queue is first in, first out.
type queue struct {
	newest, oldest uint32
	count          int
	bytes          int64
}

// Order is the eviction order of one shard. The zero Order is empty.
type Order struct {
	fifo
	trial trial
}

// fifo is S3-FIFO for one share of the small queue.
type fifo struct {
	nodes  arena.Arena[node] // the first is nobody's, so that 0 is none
	free   uint32            // the first free node
	queues [main + 1]queue
	ghosts ghosts
	share  float64 // of the bytes, for the small queue; 0: littleShare
}

const (
	littleShare = 0.1
	largeShare  = 0.9
	mostUses    = 3 // counted
	promotion   = 2 // uses that take an object from the small queue to the main one
)

// Add takes in an object that was just asked for: its key's hash, its size in bytes, and what the caller knows it by. It returns its
// node, which is never 0 and is the object's until it is removed.
func (o *Order) Add(hash uint64, size int64, value uint32) uint32 {
	if o.trial.see(hash, size, o.Bytes(), o.Len()) {
		o.share = o.trial.better()
	}
	return o.add(hash, size, value)
}

// Touch marks a use of an object that is in.
func (o *Order) Touch(id uint32) {
	n := o.nodes.At(id)
	n.uses = min(n.uses+1, mostUses)
	if o.trial.see(n.hash, n.size, o.Bytes(), o.Len()) {
		o.share = o.trial.better()
	}
}

// Cost is the memory that the order itself takes, in bytes, but for its simulations, which are small.
func (o *Order) Cost() int64 { return o.nodes.Bytes() + o.ghosts.buckets.Bytes() }

// Bytes is the size of all objects in the order.
func (o *fifo) Bytes() int64 { return o.queues[small].bytes + o.queues[main].bytes }

// Len is the number of objects in the order.
func (o *fifo) Len() int { return o.queues[small].count + o.queues[main].count }

// Value is what was added with an object that is in.
func (o *fifo) Value(id uint32) uint32 { return o.nodes.At(id).value }

// SetValue changes it.
func (o *fifo) SetValue(id, value uint32) { o.nodes.At(id).value = value }

// Size is the size of an object that is in, in bytes, at least 1.
func (o *fifo) Size(id uint32) int64 { return o.nodes.At(id).size }

// Resize tells the size of an object that is in anew.
func (o *fifo) Resize(id uint32, size int64) {
	n := o.nodes.At(id)
	size = max(size, 1)
	o.queues[n.queue].bytes += size - n.size
	n.size = size
}

// Remove takes an object out. Its node may be another's from now on: the caller forgets it. Nothing is done for 0.
func (o *fifo) Remove(id uint32) {
	if id == 0 {
		return
	}
	n := o.nodes.At(id)
	if n.queue == 0 {
		panic("BUG: evict: an object was removed twice")
	}
	o.unlink(n)
	*n = node{newer: o.free}
	o.free = id
}

func (o *fifo) add(hash uint64, size int64, value uint32) uint32 {
	id := o.free
	switch {
	case id != 0:
		o.free = o.nodes.At(id).newer
	case o.nodes.Len() == 0:
		o.nodes.Add()
		fallthrough
	default:
		id = o.nodes.Add()
	}
	n := o.nodes.At(id)
	*n = node{hash: hash, size: max(size, 1), value: value}
	if o.ghosts.take(hash) {
		o.push(id, n, main)
	} else {
		o.push(id, n, small)
	}
	return id
}

// Victim chooses the object that goes next, of those for whose values free is true (nil: all); 0 when there is none. It is still in
// the order: the caller removes it.
func (o *fifo) Victim(free func(value uint32) bool) uint32 {
	share := o.share
	if share == 0 {
		share = littleShare
	}
	little, large := &o.queues[small], &o.queues[main]
	// Every object is passed over at most once for each use and once for being in use.
	for steps := (mostUses + 2) * o.Len(); steps > 0; steps-- {
		if large.count == 0 || little.count > 0 && little.bytes > int64(share*float64(o.Bytes())) {
			id := little.oldest
			n := o.nodes.At(id)
			switch {
			case n.uses >= promotion:
				n.uses = 0
			case free == nil || free(n.value):
				o.ghosts.put(n.hash, o.Len())
				return id
			}
			o.unlink(n)
			o.push(id, n, main)
			continue
		}
		id := large.oldest
		n := o.nodes.At(id)
		if n.uses == 0 && (free == nil || free(n.value)) {
			return id
		}
		n.uses = max(n.uses, 1) - 1
		o.unlink(n)
		o.push(id, n, main)
	}
	// One queue is in use as a whole, and it was its turn.
	for _, q := range [...]*queue{little, large} {
		for id := q.oldest; id != 0; {
			n := o.nodes.At(id)
			if free == nil || free(n.value) {
				return id
			}
			id = n.newer
		}
	}
	return 0
}

func (o *fifo) push(id uint32, n *node, into uint8) {
	q := &o.queues[into]
	n.queue, n.newer, n.older = into, 0, q.newest
	if q.newest != 0 {
		o.nodes.At(q.newest).newer = id
	} else {
		q.oldest = id
	}
	q.newest = id
	q.bytes += n.size
	q.count++
}

func (o *fifo) unlink(n *node) {
	q := &o.queues[n.queue]
	if n.newer != 0 {
		o.nodes.At(n.newer).older = n.older
	} else {
		q.newest = n.older
	}
	if n.older != 0 {
		o.nodes.At(n.older).newer = n.newer
	} else {
		q.oldest = n.newer
	}
	q.bytes -= n.size
	q.count--
}
