package cache

// recency is the order in which entries go: least recently used first. It is the eviction policy, and the only code that knows
// it; the shard's lock guards it. The links are in the entries, so that a touch allocates nothing.
type recency struct {
	newest, oldest *entry
}

// add takes in an entry that has just been used.
func (r *recency) add(e *entry) {
	e.newer, e.older = nil, r.newest
	if r.newest != nil {
		r.newest.newer = e
	} else {
		r.oldest = e
	}
	r.newest = e
}

// remove takes an entry out.
func (r *recency) remove(e *entry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		r.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		r.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}

// touch marks a use of an entry that is in.
func (r *recency) touch(e *entry) {
	if r.newest != e {
		r.remove(e)
		r.add(e)
	}
}
