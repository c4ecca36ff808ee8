package disk

import "slices"

// Item is an object to be stored.
type Item struct {
	Key     Key
	Variant uint64 // tells apart the objects of one key; the older one with the same is replaced
	Stamp   uint64 // drawn for each object, so that SetMeta does not change a newer one
	Meta    []byte // at most 1 MiB; not changed afterwards
	Size    int64  // of the body
	// Body returns bytes of the body from an offset on, at least one while there are any. It is called by one goroutine at a time, until
	// Done, and what it returned is not changed until then.
	Body func(off int64) []byte
	Done func() // called once, by a goroutine of the tier, when the body is not needed any more; nil: none
}

// write is something that waits to be written: an object, or the metadata that are in Tier.metas.
type write struct {
	item Item  // of metadata: the stamp only
	name name  // of metadata: bare
	meta bool  // metadata only
	over bool  // cancelled; guarded by Tier.mu
	cost int64 // bytes, in the queue
}

// version names one object that was stored under a name.
type version struct {
	bare  name
	stamp uint64
}

// queue is what waits, first in, first out. Tier.mu guards it.
type queue struct {
	list    []*write
	by      map[name]*write // the objects among them, by bare name
	bytes   int64           // of their bodies
	current *write          // being written; in no list
	done    []*write        // cancelled: Done is to be called
}

func (q *queue) len() int {
	if q.current != nil {
		return len(q.list) + 1
	}
	return len(q.list)
}

// fits reports whether there is room for one more.
func (q *queue) fits(size int64) bool {
	return len(q.list)+len(q.done) < maxQueue && (q.bytes == 0 || q.bytes+size <= maxQueueBytes)
}

func (q *queue) push(w *write) {
	q.list = append(q.list, w)
	q.bytes += w.cost
	if !w.meta {
		q.by[w.name.bare()] = w
	}
}

// pop begins the next write; nil: there is none.
func (q *queue) pop() *write {
	if len(q.list) == 0 {
		return nil
	}
	w := q.list[0]
	q.list[0] = nil
	if q.list = q.list[1:]; len(q.list) == 0 {
		q.list = nil
	}
	if !w.meta {
		delete(q.by, w.name.bare())
	}
	q.current = w
	return w
}

// end ends the current write.
func (q *queue) end() {
	q.bytes -= q.current.cost
	q.current = nil
}

// cancel takes out the object of a bare name, and reports whether there was one.
func (q *queue) cancel(bare name) bool {
	found := false
	if w := q.by[bare]; w != nil {
		delete(q.by, bare)
		i := slices.Index(q.list, w)
		q.list = slices.Delete(q.list, i, i+1)
		q.done = append(q.done, w)
		found = true
	}
	if w := q.current; w != nil && !w.meta && w.name.bare() == bare && !w.over {
		w.over = true
		found = true
	}
	return found
}

// cancelAll takes out the objects that match, and returns how many there were.
func (q *queue) cancelAll(match func(name) bool) (n int, bytes int64) {
	var names []name
	for bare := range q.by {
		if match(bare) {
			names = append(names, bare)
		}
	}
	if w := q.current; w != nil && !w.meta && !w.over && match(w.name) {
		names = append(names, w.name.bare())
	}
	for _, bare := range names {
		if w := q.by[bare]; w != nil {
			bytes += w.name.bytes()
		}
		if q.cancel(bare) {
			n++
		}
	}
	return n, bytes
}

// reap returns what was cancelled.
func (q *queue) reap() []*write {
	out := q.done
	for _, w := range out {
		q.bytes -= w.cost
	}
	q.done = nil
	return out
}

// clear takes out everything but what is being written, which is cancelled.
func (q *queue) clear() []*write {
	out := q.reap()
	for _, w := range q.list {
		q.bytes -= w.cost
	}
	out = append(out, q.list...)
	q.list = nil
	clear(q.by)
	if q.current != nil {
		q.current.over = true
	}
	return out
}

// finish tells the owners of bodies that they are not needed any more.
func finish(writes []*write) {
	for _, w := range writes {
		if w.item.Done != nil {
			w.item.Done()
		}
	}
}
