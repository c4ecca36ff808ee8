package slots

// Refs gives numbers to pointers, where something free of pointers must refer to what is not. The zero Refs is empty. It costs eight
// bytes a pointer that the garbage collector follows, and four for each number that is free.
type Refs[T any] struct {
	refs []*T
	free []uint32
}

// Add returns a number for p. It is never 0, and p's until it is removed.
func (r *Refs[T]) Add(p *T) uint32 {
	if last := len(r.free) - 1; last >= 0 {
		id := r.free[last]
		r.free = r.free[:last]
		r.refs[id-1] = p
		return id
	}
	r.refs = append(r.refs, p)
	return uint32(len(r.refs))
}

// At returns what has a number, which must be in use.
func (r *Refs[T]) At(id uint32) *T { return r.refs[id-1] }

// Remove makes a number free, which must be in use.
func (r *Refs[T]) Remove(id uint32) {
	r.refs[id-1] = nil
	r.free = append(r.free, id)
}
