// Package evict decides which stored object goes when there is no room: S3-FIFO, weighted by bytes, with a small queue whose share
// is chosen by miniature simulations.
//
//	order.Add(&e.node, e, hash, size)
//	order.Touch(&e.node, hash)                 // a hit: a counter, no list is changed
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
// An Order is not safe for concurrent use: the lock of its shard guards it. Touch and Add allocate for sampled keys only.
package evict

// Node is an object's place in an Order. The zero Node is in none. It must not be copied while it is in one.
type Node[T any] struct {
	value        T
	newer, older *Node[T]
	hash         uint64
	size         int64
	queue        *queue[T] // nil: in no order
	uses         uint8
}

// Value is what was added with the node.
func (n *Node[T]) Value() T { return n.value }

// Size is the size that was added with the node, in bytes.
func (n *Node[T]) Size() int64 { return n.size }

// queue is first in, first out.
type queue[T any] struct {
	newest, oldest *Node[T]
	bytes          int64
	count          int
}

// Order is the eviction order of one shard. The zero Order is empty.
type Order[T any] struct {
	fifo[T]
	trial trial
}

// fifo is S3-FIFO for one share of the small queue.
type fifo[T any] struct {
	small, main queue[T]
	ghosts      ghosts
	share       float64 // of the bytes, for the small queue; 0: littleShare
}

const (
	littleShare = 0.1
	largeShare  = 0.9
	mostUses    = 3 // counted
	promotion   = 2 // uses that take an object from the small queue to the main one
)

// Add takes in an object that was just asked for: its key's hash and its size in bytes. The node must be in no order.
func (o *Order[T]) Add(n *Node[T], value T, hash uint64, size int64) {
	if o.trial.see(hash, size, o.Bytes(), o.Len()) {
		o.share = o.trial.better()
	}
	o.add(n, value, hash, size)
}

// Touch marks a use of an object that is in.
func (o *Order[T]) Touch(n *Node[T]) {
	n.uses = min(n.uses+1, mostUses)
	if o.trial.see(n.hash, n.size, o.Bytes(), o.Len()) {
		o.share = o.trial.better()
	}
}

// Bytes is the size of all objects in the order.
func (o *fifo[T]) Bytes() int64 { return o.small.bytes + o.main.bytes }

// Len is the number of objects in the order.
func (o *fifo[T]) Len() int { return o.small.count + o.main.count }

// Resize tells the size of an object that is in anew.
func (o *fifo[T]) Resize(n *Node[T], size int64) {
	size = max(size, 1)
	n.queue.bytes += size - n.size
	n.size = size
}

// Remove takes an object out. A node that is in no order stays so.
func (o *fifo[T]) Remove(n *Node[T]) {
	if n.queue == nil {
		return
	}
	n.queue.unlink(n)
	var none T
	n.value, n.queue = none, nil
}

func (o *fifo[T]) add(n *Node[T], value T, hash uint64, size int64) {
	*n = Node[T]{value: value, hash: hash, size: max(size, 1)}
	if o.ghosts.take(hash) {
		o.main.push(n)
	} else {
		o.small.push(n)
	}
}

// Victim chooses the object that goes next, of those for which free is true; nil when there is none. It is still in the order: the
// caller removes it.
func (o *fifo[T]) Victim(free func(T) bool) *Node[T] {
	share := o.share
	if share == 0 {
		share = littleShare
	}
	// Every object is passed over at most once for each use and once for being in use.
	for steps := (mostUses + 2) * o.Len(); steps > 0; steps-- {
		if o.main.count == 0 || o.small.count > 0 && o.small.bytes > int64(share*float64(o.Bytes())) {
			n := o.small.oldest
			switch {
			case n.uses >= promotion:
				n.uses = 0
			case free == nil || free(n.value):
				o.ghosts.put(n.hash, o.Len())
				return n
			}
			o.small.unlink(n)
			o.main.push(n)
			continue
		}
		n := o.main.oldest
		if n.uses == 0 && (free == nil || free(n.value)) {
			return n
		}
		n.uses = max(n.uses, 1) - 1
		o.main.unlink(n)
		o.main.push(n)
	}
	// One queue is in use as a whole, and it was its turn.
	for _, q := range [...]*queue[T]{&o.small, &o.main} {
		for n := q.oldest; n != nil; n = n.newer {
			if free == nil || free(n.value) {
				return n
			}
		}
	}
	return nil
}

func (q *queue[T]) push(n *Node[T]) {
	n.queue, n.newer, n.older = q, nil, q.newest
	if q.newest != nil {
		q.newest.newer = n
	} else {
		q.oldest = n
	}
	q.newest = n
	q.bytes += n.size
	q.count++
}

func (q *queue[T]) unlink(n *Node[T]) {
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		q.newest = n.older
	}
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		q.oldest = n.newer
	}
	n.newer, n.older = nil, nil
	q.bytes -= n.size
	q.count--
}
